"""The whole run: data, fit, calibrate, measure, gate, bundle, publish. What the data cannot support is not trained.

Parts meet here and nowhere else in training. Nothing is published half-written: a bundle is built in a folder of its
own, closed by its manifest, moved to versions/ in one step, and only then may become live.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from models.bundle import write_manifest
from models.journey.event import Micros, format_time
from models.journey.touchpoint import Catalogue
from models.measured import Measured
from training import questions
from training.config import ConfigError, TrainConfig
from training.console import Reporter
from training.data import TrainingData, load
from training.errors import TooLittleData
from training.feedback_labels import NotEnoughLabels
from training.publish import go_live, store
from training.questions import Answered, Asked
from training.splits import LogTooShort
from training.tracking import Run, open_run

Clock: TypeAlias = Callable[[], Micros]
"""Tells the time: a run takes minutes, and the ledger says when a bundle went live, not when training began."""

NOT_TRAINED = (TooLittleData, NotEnoughLabels, LogTooShort)
"""Refusals that leave a question unanswered (`not_trained`) without stopping the run."""


@dataclass(frozen=True)
class Report:
    """How a run ended. `version` is the number in live/ where the bundle was published; `why` says why or why not."""

    digest: str
    folder: Path
    version: int | None
    why: str
    figures: dict[str, Any]
    run_id: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "folder": str(self.folder),
            "published": self.version is not None,
            "version": self.version,
            "why": self.why,
            "figures": self.figures,
            "mlflow_run": self.run_id,
        }


def run(config: TrainConfig, *, clock: Clock, by: str, reporter: Reporter) -> Report:
    """Train once.

    Raises EventLogError, DataError, CatalogueError or ConfigError before anything is written, TrackingError before
    anything is trained.
    """
    reporter.step("reading")
    catalogue = Catalogue.load(config.catalogue) if config.catalogue else Catalogue.default()
    data = load(
        config.events, config.feedback, config.verdicts, catalogue, config.event_columns, config.feedback_columns
    )  # fmt: skip
    _make_folder(config.out)
    reporter.step("opening MLflow")
    with open_run(config.out, f"train {format_time(clock())}") as diary:
        diary.parameters(config.to_dict())
        diary.table(config.to_dict(), "config.json")
        diary.tags({f"data.{name}.sha256": digest for name, digest in data.digests.items()})
        with tempfile.TemporaryDirectory(dir=config.out, prefix=".building-") as building:
            report = _build(config, data, Path(building), clock, by, diary, reporter)
        diary.tags({"bundle": report.digest, "published": str(report.version is not None), "why": report.why})
    return report


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out {out}: cannot be made a folder ({error.strerror}); name another") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise ConfigError(f"out {out}: cannot be written to; name another folder")


def _build(
    config: TrainConfig, data: TrainingData, building: Path, clock: Clock, by: str, diary: Run, reporter: Reporter
) -> Report:
    bundle, plots = building / "bundle", building / "plots"
    bundle.mkdir()
    plots.mkdir()
    measured, figures = _answer_all(config, data, bundle, plots, reporter)
    reporter.step("closing the bundle")
    (bundle / "measured.json").write_text(json.dumps(measured.to_dict()) + "\n", "utf-8")
    digest = write_manifest(bundle, _learned_from(config, data), figures, created_at=format_time(clock()))
    diary.metrics(figures)
    diary.table(figures, "figures.json")
    diary.files(plots, "plots")
    stored = store(config.out, bundle)
    passed, why = gate(figures)
    entry = go_live(config.out, stored, clock(), by, why) if passed and config.publish else None
    if passed and not config.publish:
        why += "; kept out of live/ as asked"
    return Report(
        digest, config.out / "versions" / digest, entry.version if entry else None, why, figures, diary.run_id
    )


def _answer_all(
    config: TrainConfig, data: TrainingData, bundle: Path, plots: Path, reporter: Reporter
) -> tuple[Measured, dict[str, Any]]:
    rng = np.random.default_rng(config.seed)
    asked = Asked(config, data, plots, rng, reporter)
    following = _attempt("next touchpoint", questions.next_touchpoint, asked, bundle / "next_touchpoint")
    purchases = {
        target.name: _attempt(
            f"purchase: {target.name}", partial(questions.purchase, target), asked, bundle / "purchase" / target.name
        )
        for target in config.targets
    }
    feeling = _attempt("feeling", questions.feeling, asked, bundle / "feedback")
    measured = Measured(
        following.measured, {name: one.measured for name, one in purchases.items() if one.measured}, feeling.measured
    )
    figures = {
        "next_touchpoint": following.figures,
        "purchase": {name: one.figures for name, one in purchases.items()},
        "feeling": feeling.figures,
    }
    return measured, figures


def _attempt(name: str, answer: Callable[[Asked, Path], Answered[Any]], asked: Asked, folder: Path) -> Answered[Any]:
    """Answer a question into its folder of the bundle, or say why the data cannot support it and leave no folder."""
    asked.reporter.step(name)
    try:
        answered = answer(asked, folder)
    except NOT_TRAINED as refusal:
        asked.reporter.say(f"not trained: {refusal}")
        shutil.rmtree(folder, ignore_errors=True)
        return Answered(None, {"status": "not_trained", "reason": str(refusal)})
    return Answered(answered.measured, {"status": "trained", **answered.figures})


def gate(figures: dict[str, Any]) -> tuple[bool, str]:
    """A champion beats every baseline of every question that was trained, on the test slice.

    >>> gate({"next_touchpoint": {"status": "not_trained"}, "purchase": {}, "feeling": {"status": "not_trained"}})
    (False, 'nothing could be trained')
    """
    questions_asked = {
        "next touchpoint": figures["next_touchpoint"],
        **{f"purchase {name}": one for name, one in figures["purchase"].items()},
        "feeling": figures["feeling"],
    }
    trained = {name: one for name, one in questions_asked.items() if one["status"] == "trained"}
    if not trained:
        return False, "nothing could be trained"
    lost = [
        f"{name} loses to {baseline} by {theirs['ours_minus_theirs']['mean']:.4f} nats"
        for name, one in trained.items()
        for baseline, theirs in one["baselines"].items()
        if not theirs["ours_minus_theirs"]["mean"] < 0
    ]
    if lost:
        return False, "; ".join(lost)
    return True, f"beats every baseline: {', '.join(trained)}"


def _learned_from(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    journeys = data.assembled.journeys if data.assembled else None
    counts = [] if journeys is None else np.bincount(journeys.code, minlength=len(journeys.names)).tolist()
    at = np.empty(0, dtype=np.int64) if journeys is None else journeys.occurred_at
    moments = [format_time(int(moment)) for moment in (at.min(), at.max())] if len(at) else []
    return {
        "data": dict(data.digests),
        "customers": 0 if journeys is None else len(journeys),
        "touchpoints": sum(counts),
        "touchpoint_counts": {} if journeys is None else dict(zip(journeys.names, counts, strict=True)),
        "first_at": moments[0] if moments else None,
        "last_at": moments[1] if moments else None,
        "texts": 0 if data.feedback is None else len(data.feedback),
        "verdicts": data.verdicts_used,
        "targets": [target.to_dict() for target in config.targets],
        "seed": config.seed,
        "code_version": version("journey-insight"),
    }
