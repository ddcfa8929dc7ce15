"""What a model needs to be loaded elsewhere, and was learned in: the project's wheel, and exact versions of packages.

The wheel is built from the checkout this runs from, where it is one. Nothing is downloaded or installed here.
"""

from __future__ import annotations

import hashlib
import importlib
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = "journey-insight"


def project_wheel(folder: Path) -> Path | None:
    """Build the wheel into the folder; None where this is no checkout, so that an index must have the project.

    Its name carries a build tag of its content: MLflow uses an environment again for requirements of the same names,
    and other code of the same version needs its own. Nothing is downloaded: the build backend is one of the training
    half's own packages.
    """
    if not (ROOT / "pyproject.toml").is_file() or not (ROOT / "models").is_dir():
        return None
    builder = importlib.import_module("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    built = Path(next(builder.build(directory=str(folder), versions=["standard"])))
    name, number, rest = built.name.split("-", 2)
    tag = hashlib.sha256(built.read_bytes()).hexdigest()[:12]
    return built.rename(built.with_name(f"{name}-{number}-0{tag}-{rest}"))


def pinned(*packages: str) -> list[str]:
    """`name==version` of these packages and of all that they need in turn, as installed here; sorted.

    With every version said, an installer has nothing to try out: left to choose, pip fetches release after release of
    what disagrees with what else it has chosen. Extras are followed where they are asked for; markers are those of this
    Python and system.

    >>> [one.partition("==")[0] for one in pinned("jinja2")]
    ['jinja2', 'markupsafe']
    """
    found = dict[str, str]()
    asked = [Requirement(name) for name in packages]
    seen = set[tuple[str, str]]()
    while asked:
        one = asked.pop()
        name = canonicalize_name(one.name)
        new = [extra for extra in ("", *sorted(one.extras)) if (name, extra) not in seen]
        seen |= {(name, extra) for extra in new}
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue  # of another system, or left out on purpose: the installer's own affair
        found[name] = there.version
        asked += [need for extra in new for need in _needs(there.requires or [], extra)]
    return sorted(f"{name}=={version}" for name, version in found.items())


def environment() -> dict[str, Any]:
    """In what something was learned: Python, the system, and the version of every package of the training half."""
    return {"python": platform.python_version(), "system": platform.platform(), "packages": pinned(f"{PROJECT}[train]")}


def _needs(lines: list[str], extra: str) -> Iterator[Requirement]:
    for line in lines:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": extra}):
            yield need
