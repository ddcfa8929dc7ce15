"""Promote and roll back: judge a stored bundle, keep the report, and write the next number of the ledger.

The order of deeds is what makes it safe to kill at any moment: the report is kept first, the ledger is written in one
step, and MLflow, which only mirrors it, comes last and is put right by the next command where it could not be reached.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import check_manifest
from models.journey.event import Micros
from models.ledger import LiveEntry, bundle_folder, current
from training.gate.evidence import Evidence
from training.gate.judge import Judgement, judge
from training.gate.report import FOLDER, JSON, keep
from training.policies import GatePolicy
from training.publish import go_live
from training.tracking import Run, TrackingError, open_run
from training.versions import VersionError, entry_named


@dataclass(frozen=True)
class Judged:
    """A judgement with the folder of its report."""

    judgement: Judgement
    folder: Path

    def place(self, root: Path) -> str:
        """The report's folder as the ledger names it."""
        return self.folder.relative_to(root).as_posix()


def judged(
    root: Path, digest: str, evidence: Evidence, policy: GatePolicy, *, seed: int, now: Micros, by: str
) -> Judged:
    """Judge a stored bundle beside what is live and keep the report. Raises VersionError, BundleError, LedgerError."""
    live = current(root)
    if live is not None and live.digest == digest:
        raise VersionError(f"bundle {digest[:12]} is live already, as version {live.version}")
    found = judge(root, digest, evidence, policy, np.random.default_rng(seed))
    return Judged(found, keep(root, found, now, by))


def let_go_live(root: Path, found: Judged, now: Micros, by: str, *, forced_because: str | None = None) -> LiveEntry:
    """Write the ledger's next entry; against the gate's word only with a reason, which is written down."""
    judgement = found.judgement
    if judgement.passed:
        return go_live(root, judgement.challenger, now, by, judgement.why, gate=found.place(root))
    if not forced_because:
        raise VersionError("the gate refuses it; --force needs a reason: --why")
    why = f"{forced_because} (forced; the gate: {judgement.why})"
    return go_live(root, judgement.challenger, now, by, why, forced=True, gate=found.place(root))


def roll_back(root: Path, wanted: str, now: Micros, by: str, why: str) -> LiveEntry:
    """Make what was live as `wanted` (number, day, moment, digest) live again, as one more entry.

    Raises VersionError, LedgerError, or BundleError where its bundle is damaged or missing.
    """
    then, live = entry_named(root, wanted), current(root)
    if live is not None and live.digest == then.digest:
        raise VersionError(f"version {then.version} is the bundle that is live, as version {live.version}")
    return go_live(root, then.digest, now, by, f"back to version {then.version}: {why}", forced=then.forced)


def written_down(root: Path, found: Judged) -> str | None:
    """Keep the report in MLflow too; gives what kept it from being, or None."""
    try:
        with open_run(root, f"gate {found.judgement.challenger[:12]}") as diary:
            log(diary, found)
    except TrackingError as error:
        return str(error)
    return None


def log(diary: Run, found: Judged) -> None:
    """The report into a run."""
    judgement = found.judgement
    diary.tags(
        {"gate.challenger": judgement.challenger, "gate.passed": str(judgement.passed), "gate.why": judgement.why}
    )
    if judgement.champion is not None:
        diary.tags({"gate.champion": judgement.champion.digest})
    diary.metrics({"gate": {one.about: {one.name: _numbers(one.figures)} for one in judgement.checks}})
    diary.files(found.folder, "gate")


def _numbers(figures: Any) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


def judgements(root: Path) -> Iterator[dict[str, Any]]:
    """Every report that was kept, oldest first, without its figures: what was refused is told in no entry."""
    found = []
    for path in (root / FOLDER).glob(f"*/[0-9]*/{JSON}"):
        try:
            told = json.loads(path.read_text("utf-8"))
            found.append({name: told[name] for name in ("judged_at", "by", "challenger", "passed", "why")}
                         | {"report": path.parent.relative_to(root).as_posix()})  # fmt: skip
        except (OSError, ValueError, KeyError):
            continue
    yield from sorted(found, key=lambda one: (one["judged_at"], one["report"]))


def is_whole(root: Path, digest: str) -> bool:
    """Whether a bundle could go live again."""
    try:
        check_manifest(bundle_folder(root, digest))
    except ValueError:
        return False
    return True
