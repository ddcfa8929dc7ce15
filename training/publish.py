"""Publish: put a finished bundle into versions/<digest>/ and write the next entry of live/. The only writer of both.

Does not decide whether a bundle deserves it (the gates do) nor which is meant (versions.py). A half-written bundle or
entry is never visible, whenever its writer is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

from models.bundle import BundleError, check_manifest
from models.journey.event import Micros, format_time
from models.ledger import LiveEntry, bundle_folder, current
from training.processes import alive


def store(root: Path, finished: Path) -> str:
    """Move a finished bundle folder to its place by digest; storing the same bundle twice changes nothing.

    One of the same digest that was damaged since is replaced. Raises BundleError where `finished` is no whole bundle.
    """
    digest = str(check_manifest(finished)["digest"])
    place = bundle_folder(root, digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() and not _is_whole(place):
        shutil.rmtree(place)
    try:
        finished.rename(place)
    except OSError:
        if not _is_whole(place):  # else somebody stored the same before us
            raise
    return digest


def _is_whole(folder: Path) -> bool:
    try:
        check_manifest(folder)
    except BundleError:
        return False
    return True


def go_live(
    root: Path, digest: str, now: Micros, by: str, why: str, *, forced: bool = False, gate: str | None = None
) -> LiveEntry:
    """Make a stored bundle the live one, by creating the next numbered file exclusively.

    `forced` says that the gate had refused it, `gate` where under the root its report lies. The bundle is checked
    first, so a damaged one never goes live. Two publishers at once get two numbers. Raises BundleError or LedgerError.
    """
    found = str(check_manifest(bundle_folder(root, digest))["digest"])
    if found != digest:
        raise BundleError(f"versions/{digest[:12]} holds the bundle {found[:12]}; train or copy the bundle again")
    folder = root / "live"
    folder.mkdir(parents=True, exist_ok=True)
    before = current(root)
    version = before.version + 1 if before else 1
    body = {"digest": digest, "live_since": format_time(now), "by": by, "why": why}
    told = body | ({"forced": True} if forced else {}) | ({"gate": gate} if gate else {})
    _sweep(folder)
    partial = folder / f".{os.getpid()}-{threading.get_ident()}.partial"  # nobody else's
    try:
        partial.write_text(json.dumps(told, ensure_ascii=False) + "\n", "utf-8")
        while True:
            try:
                os.link(partial, folder / f"{version:06d}.json")  # whole or not at all, and never over another's
                return LiveEntry(version, digest, now, by, why, forced, gate)
            except FileExistsError:
                version += 1
    finally:
        partial.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what a publisher has left that was killed while it wrote; those of living processes stay."""
    for path in folder.glob(".*-*.partial"):
        process = path.name[1:].partition("-")[0]
        if process.isdigit() and not alive(int(process)):
            path.unlink(missing_ok=True)
