"""A new version with the same weights: its promise about feelings measured anew, on texts drawn at random.

Reads what the service exported and fits nothing. Only texts that the service drew at random count, read blind,
and answered under the same weights; what a flag or a person chose tells of what is doubtful. After a withdrawal only
texts count that were said since all was well for the last time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.bundle import LoadedBundle, check_manifest, load_bundle, write_manifest
from models.confidence.risk import ALL, CalibrationTable, ReleaseRule
from models.insight import ReleasePolicy
from models.journey.event import Micros, format_time
from models.ledger import bundle_folder, current
from models.lottery import UNREAD_REASONS
from models.predictors.feedback import POLARITIES, FeedbackPredictor
from training import calibrate
from training.data import DataError, sha256
from training.publish import go_live, store
from training.reference import keep_words

WEIGHTS = "feedback/feedback.onnx"
LEAST_REFERENCE = 100
"""Fewer texts than this do not take the place of the sample that shifts of the inputs are told by."""


@dataclass(frozen=True)
class Recalibrated:
    """What the labels show: rules by group, and the version that went live (None: none did, and `why`)."""

    digest: str
    version: int | None
    why: str
    labels: int
    passed_over: Mapping[str, int]
    rules: tuple[ReleaseRule, ...]

    def to_dict(self) -> dict[str, Any]:
        rules = [one.to_dict() for one in self.rules]
        return {"digest": self.digest, "version": self.version, "why": self.why, "labels": self.labels,
                "passed_over": dict(self.passed_over), "rules": rules}  # fmt: skip


def recalibrate(
    exported: Path,
    out: Path,
    policy: ReleasePolicy,
    now: Micros,
    by: str,
    *,
    since: Micros | None = None,
    seed: int = 7,
) -> Recalibrated:
    """Measure the live bundle's promise on an export of the service, and publish it where that changes what goes out.

    `since`: only texts said from then on. Raises DataError, LedgerError, BundleError.
    """
    entry = current(out)
    if entry is None:
        raise DataError(f"{out}/live holds no entry: train and publish a bundle first")
    bundle = load_bundle(bundle_folder(out, entry.digest))
    if bundle.feedback is None or bundle.measured.feeling is None:
        raise DataError(f"version {entry.version} reads no feelings, so there is nothing to calibrate")
    frame, passed_over = drawn_labels(exported, out, bundle, since)
    table = table_of(bundle.feedback, bundle, frame)
    before, after = (_rules(one, policy) for one in (bundle.measured.feeling.table, table))
    told = Recalibrated(entry.digest, None, "", len(table), passed_over, after)
    if not any(rule.threshold is not None for rule in (*before, *after)):
        least = min(rule.n_more_needed for rule in after)
        return replace(told, why=f"{len(table)} random labels support no promise yet; {least} more without a mistake "
                                 "would")  # fmt: skip
    digest = _build(out, bundle, entry.digest, table, frame, exported, now, seed)
    released = [rule.group for rule in after if rule.threshold is not None]
    shown = f"promises for {', '.join(released)}" if released else "they support no promise, so nothing goes out"
    why = f"calibrated on {len(table)} random labels: {shown}"
    live = go_live(out, digest, now, by, why)
    return replace(told, digest=digest, version=live.version, why=why)


def drawn_labels(
    exported: Path, out: Path, bundle: LoadedBundle, since: Micros | None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Texts (text, channel, polarity) that were drawn at random and answered under the same weights; and how many
    verdicts are passed over, by why. Raises DataError.
    """
    path = exported / "verdicts.parquet"
    if not path.is_file():
        raise DataError(f"{exported} holds no verdicts.parquet; write it with `python -m service export`")
    frame = pd.read_parquet(path)
    if "drawn" not in frame:
        raise DataError(f"{path} does not say which texts were drawn at random; export again with this version")
    if since is None:
        since = _good_until(exported / "promises.parquet", bundle.digest)
    foreign = {digest for digest in frame["digest"].dropna().unique() if not _same_weights(out, digest, bundle)}
    kept = pd.Series(True, index=frame.index)
    passed_over = {}
    reasons = {
        "not drawn at random": frame["drawn"].fillna(False).astype(bool),
        "answered under other weights": ~frame["digest"].isin(foreign) & frame["digest"].notna(),
        "the model's answer was shown": ~frame["model_answer_shown"].astype(bool),
        "could not be told": frame["answer"].isin(POLARITIES),
        "flagged": frame["flags"].map(lambda codes: set(codes) <= UNREAD_REASONS),
        "said too early": frame["said_at"] >= pd.Timestamp(since or 0, unit="us", tz="UTC"),
    }
    for why, fits in reasons.items():
        passed_over[why] = int((kept & ~fits).sum())
        kept &= fits
    chosen = frame[kept].drop_duplicates("feedback_id", keep="last").rename(columns={"answer": "polarity"})
    return chosen[["text", "channel", "polarity"]].reset_index(drop=True), passed_over


def table_of(predictor: FeedbackPredictor, bundle: LoadedBundle, frame: pd.DataFrame) -> CalibrationTable:
    """Score and mistake of every text that no flag would send to a person, by this bundle; its temperature stays."""
    if frame.empty or bundle.measured.feeling is None:
        return CalibrationTable.of(np.empty(0), np.empty(0, dtype=np.bool_))
    temperature = bundle.measured.feeling.temperature
    found = calibrate.read(predictor.predict(list(frame["text"])), temperature, frame, predictor.language)
    unread = calibrate.unflagged(found)
    wrong = found.polarity.argmax(axis=1) != calibrate.polarity_codes(frame)
    return CalibrationTable.of(found.score[unread], wrong[unread], calibrate.channels(frame)[unread])


def _rules(table: CalibrationTable, policy: ReleasePolicy) -> tuple[ReleaseRule, ...]:
    """The rules that answer for all and for each channel, each once."""
    channels = dict.fromkeys([ALL, *table.group.tolist()])
    rules = {rule.group: rule for rule in (table.release_rule(policy.alpha, policy.delta, one) for one in channels)}
    return tuple(rules.values())


def _build(
    out: Path, bundle: LoadedBundle, before: str, table: CalibrationTable, frame: pd.DataFrame, exported: Path,
    now: Micros, seed: int,
) -> str:  # fmt: skip
    """Store the same bundle with another table. Nothing half-made stays."""
    feeling, manifest = bundle.measured.feeling, bundle.manifest
    if feeling is None or bundle.feedback is None:
        raise DataError("the bundle reads no feelings")
    folder = out / "versions" / f".{before[:12]}.calibrating"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.copytree(bundle_folder(out, before), folder)
        (folder / "manifest.json").unlink()
        measured = replace(bundle.measured, feeling=replace(feeling, table=table))
        (folder / "measured.json").write_text(json.dumps(measured.to_dict()) + "\n", "utf-8")
        if len(frame) >= LEAST_REFERENCE:
            keep_words(bundle.feedback, frame, folder / "feedback", seed)
        own = {"from": before, "labels": len(table), "verdicts": sha256(exported / "verdicts.parquet")}
        learned = {**manifest["learned_from"], "calibrated": own}
        write_manifest(folder, learned, manifest["figures"], created_at=format_time(now))
        return store(out, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _same_weights(out: Path, digest: str, bundle: LoadedBundle) -> bool:
    """Whether a stored bundle reads words with the same net; one that is not there cannot be told and does not."""
    if digest == bundle.digest:
        return True
    try:
        files = check_manifest(bundle_folder(out, digest))["files"]
    except ValueError:
        return False
    return bool(files.get(WEIGHTS) == bundle.manifest["files"].get(WEIGHTS))


def _good_until(path: Path, digest: str) -> Micros | None:
    """When all was well for the last time under a promise of this bundle that was withdrawn; None where none was."""
    if not path.is_file():
        return None
    events = pd.read_parquet(path)
    mine = events[(events["digest"] == digest) & (events["kind"] == "feeling") & (events["what"] == "withdrawn")]
    return None if mine.empty else int(mine["good_until"].max().value // 1000)
