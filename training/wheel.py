"""The project's wheel, for whoever loads a model elsewhere: built from the checkout this runs from, where it is one."""

from __future__ import annotations

import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def project_wheel(folder: Path) -> Path | None:
    """Build the wheel into the folder; None where this is no checkout, so that an index must have the project.

    Nothing is downloaded: the build backend is one of the training half's own packages.
    """
    if not (ROOT / "pyproject.toml").is_file() or not (ROOT / "models").is_dir():
        return None
    builder = importlib.import_module("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    return Path(next(builder.build(directory=str(folder), versions=["standard"])))
