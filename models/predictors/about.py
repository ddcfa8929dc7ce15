"""The JSON beside a predictor's graph: read, and refused where it is missing, damaged or of another format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.predictors.predictor import PredictorError


def read_about(path: Path, format_version: int) -> dict[str, Any]:
    """The file's object. Raises PredictorError naming the file, what was found and the fix."""
    if not path.is_file():
        raise PredictorError(f"{path.name} is missing in {path.parent.name}/; train the bundle again")
    try:
        about = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise PredictorError(f"{path.name} in {path.parent.name}/ is no JSON: {error}") from error
    if not isinstance(about, dict):
        raise PredictorError(f"{path.name} in {path.parent.name}/ holds no JSON object; train the bundle again")
    found = about.get("format_version")
    if found != format_version:
        raise PredictorError(
            f"{path.name} in {path.parent.name}/ has format_version {found!r}; this version reads {format_version}"
        )
    return about
