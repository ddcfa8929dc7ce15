"""Challengers without training: copies of a trained bundle in which something was made better or worse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.bundle import write_manifest
from training.publish import store

Change = Callable[[Path, dict[str, Any]], None]


def beating_its_baselines(figures: dict[str, Any]) -> None:
    """Tiny nets lose to baselines; here none does."""
    for one in (figures["next_touchpoint"], figures["feeling"], *figures["purchase"].values()):
        for theirs in one.get("baselines", {}).values():
            theirs["ours_minus_theirs"]["mean"] = -0.1


def variant(bundle: Path, root: Path, name: str, change: Change | None = None) -> str:
    """Store a changed copy of a bundle under `root`; gives its digest. `change` is given its folder and figures."""
    folder = root.parent / f"variant-{name}"
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    figures, learned = manifest["figures"], {**manifest["learned_from"], "variant": name}
    beating_its_baselines(figures)
    if change is not None:
        change(folder, figures)
    (folder / "manifest.json").unlink()
    write_manifest(folder, learned, figures, created_at=manifest["created_at"])
    return store(root, folder)


def without(part: str) -> Change:
    """A bundle that no longer answers one question."""

    def change(folder: Path, figures: dict[str, Any]) -> None:
        shutil.rmtree(folder / part)

    return change


def measured(edit: Callable[[dict[str, Any]], None]) -> Change:
    """What was measured, edited in place."""

    def change(folder: Path, figures: dict[str, Any]) -> None:
        path = folder / "measured.json"
        told = json.loads(path.read_text())
        edit(told)
        path.write_text(json.dumps(told))

    return change
