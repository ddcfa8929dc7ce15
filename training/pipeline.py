"""The whole run: data, fit, calibrate, measure, gate, bundle, publish. What the data cannot support is not trained.

Parts meet here and nowhere else in training. Nothing is published half-written: a bundle is built in a folder of its
own, closed by its manifest, moved to versions/ in one step, and only then may become live. A run that was stopped goes
on where it was (`unfinished.py`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from models.bundle import write_manifest
from models.journey.event import Micros, format_time
from models.journey.touchpoint import Catalogue
from models.ledger import current
from models.measured import Measured, MeasuredFeeling, MeasuredNextTouchpoint, MeasuredPurchase
from training import questions, unfinished
from training.compute import Compute
from training.config import ConfigError, TrainConfig
from training.console import Reporter
from training.contract.keep import keep_contract
from training.data import TrainingData, load, sha256
from training.errors import TooLittleData
from training.feedback_labels import NotEnoughLabels
from training.gate.baselines import gate
from training.gate.evidence import evidence
from training.golden import read_golden
from training.promote import judged, let_go_live, log
from training.publish import go_live, store
from training.questions import Answered, Asked
from training.registry import mirror
from training.served import served_figures
from training.splits import LogTooShort
from training.tracking import Run, open_run
from training.unfinished import Unfinished
from training.wheel import PROJECT, environment

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


def run(
    config: TrainConfig,
    *,
    clock: Clock,
    by: str,
    reporter: Reporter,
    resume: Path | None = None,
    fresh: bool = False,
) -> Report:
    """Train once. A run of the same data and settings that was stopped is gone on with, to the same bundle.

    `resume` names the folder of the unfinished run that this must be; `fresh` begins anew. Raises EventLogError,
    DataError, CatalogueError, ConfigError, ContractError or UnfinishedError before anything is written, TrackingError
    before anything is trained.
    """
    reporter.step("reading")
    catalogue = Catalogue.load(config.catalogue) if config.catalogue else Catalogue.default()
    data = load(
        config.events, config.feedback, config.verdicts, catalogue, config.event_columns, config.feedback_columns,
        config.labels, read_golden(config.out),
    )  # fmt: skip
    keep_contract(data, config, clock())
    what = _asked_for(config, data)
    _make_folder(config.out)
    with unfinished.open_run(config.out, what, resume=resume, fresh=fresh) as site:
        return _train(config, data, site, clock, by, reporter)


def _train(
    config: TrainConfig, data: TrainingData, site: Unfinished, clock: Clock, by: str, reporter: Reporter
) -> Report:
    reporter.step("opening MLflow")
    with open_run(config.out, f"train {format_time(clock())}") as diary:
        diary.parameters(config.to_dict())
        diary.table(config.to_dict(), "config.json")
        diary.tags({f"data.{name}.sha256": digest for name, digest in data.digests.items()})
        diary.tags({"mlflow.user": by, "code.version": version(PROJECT), "code.sha256": unfinished.code_digest()})
        diary.table(environment(), "environment.json")
        diary.datasets(data.digests, {name: str(getattr(config, name, "") or "") for name in data.digests})
        if config.forecasts is not None:
            reporter.step("what was served")
            served = served_figures(config.forecasts)
            diary.metrics({"served": served})
            diary.table(served, "served.json")
        report = _build(config, data, site, clock, by, diary, reporter)
        diary.tags({"bundle": report.digest, "published": str(report.version is not None), "why": report.why})
    return report


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out {out}: cannot be made a folder ({error.strerror}); name another") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise ConfigError(f"out {out}: cannot be written to; name another folder")


def _asked_for(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """All that the outcome depends on: two runs of which this is the same give the same bundle on one machine."""
    try:
        compute = str(Compute.on(config.next_touchpoint.device))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    files = {"events", "feedback", "verdicts", "forecasts", "catalogue", "out", "publish"}
    files |= {"gate", "contract", "drift"}  # what is done with data and bundle, not what is learned
    return {
        "settings": {name: value for name, value in config.to_dict().items() if name not in files},
        "data": dict(data.digests),
        "catalogue": sha256(config.catalogue) if config.catalogue else "built in",
        "code": {"sha256": unfinished.code_digest(), "torch": version("torch"), "computes_on": compute},
    }


def _build(
    config: TrainConfig, data: TrainingData, site: Unfinished, clock: Clock, by: str, diary: Run, reporter: Reporter
) -> Report:
    bundle, plots = site.bundle, site.plots
    measured, figures = _answer_all(config, data, site, reporter)
    reporter.step("closing the bundle")
    (bundle / "measured.json").write_text(json.dumps(measured.to_dict()) + "\n", "utf-8")
    digest = write_manifest(bundle, _learned_from(config, data), figures, created_at=format_time(clock()))
    diary.metrics(figures)
    diary.table(figures, "figures.json")
    diary.files(plots, "plots")
    _trials(config.out, figures, diary)
    stored = store(config.out, bundle)
    version, why = _promoted(config, data, stored, figures, clock, by, diary, reporter)
    reporter.step("MLflow's mirror of the ledger")
    kept_from = mirror(config.out, challenger=None if version else stored, catalogue=config.catalogue)
    if kept_from:
        reporter.say(kept_from)
    return Report(digest, config.out / "versions" / digest, version, why, figures, diary.run_id)


def _promoted(
    config: TrainConfig, data: TrainingData, digest: str, figures: dict[str, Any], clock: Clock, by: str, diary: Run,
    reporter: Reporter,
) -> tuple[int | None, str]:  # fmt: skip
    """Let the stored bundle go live if it beats its baselines and, where something is live, that too; say why (not)."""
    passed, why = gate(figures)
    if not passed or not config.publish:
        return None, f"{why}; kept out of live/ as asked" if passed else why
    live = current(config.out)
    if live is None:
        return go_live(config.out, digest, clock(), by, why).version, why
    if live.digest == digest:
        return live.version, f"is live already, as version {live.version}"
    reporter.step(f"beside version {live.version}")
    shown = evidence(config.out, data, config.verdicts)
    found = judged(config.out, digest, shown, config.gate, seed=config.seed, now=clock(), by=by)
    log(diary, found)
    if not found.judgement.passed:
        return None, found.judgement.why
    return let_go_live(config.out, found, clock(), by).version, found.judgement.why


def _trials(out: Path, figures: Mapping[str, Any], diary: Run) -> None:
    """Each setting that was tried as a run nested in this one."""
    for name, one in figures["purchase"].items():
        for number, tried in enumerate((one.get("tuned") or {}).get("tried", ()), 2):
            with open_run(out, f"{name}: setting {number}", diary) as trial:
                trial.parameters({key: value for key, value in tried.items() if key != "log_loss"})
                trial.metrics({"log_loss": tried["log_loss"]})


def _answer_all(
    config: TrainConfig, data: TrainingData, site: Unfinished, reporter: Reporter
) -> tuple[Measured, dict[str, Any]]:
    rng = np.random.default_rng(config.seed)
    asked = Asked(config, data, site.plots, rng, reporter, site.checkpoints)
    attempt = partial(_attempt, asked, site)
    following = attempt(
        "next touchpoint", questions.next_touchpoint, "next_touchpoint", MeasuredNextTouchpoint.from_dict
    )
    purchases = {
        one.name: attempt(
            f"purchase: {one.name}",
            partial(questions.purchase, one),
            f"purchase/{one.name}",
            MeasuredPurchase.from_dict,
        )
        for one in config.targets
    }
    feeling = attempt("feeling", questions.feeling, "feedback", MeasuredFeeling.from_dict)
    channel = attempt("preferred channel", questions.preferred_channel, "channel")
    measured = Measured(
        following.measured, {name: one.measured for name, one in purchases.items() if one.measured}, feeling.measured
    )
    figures = {
        "next_touchpoint": following.figures,
        "purchase": {name: one.figures for name, one in purchases.items()},
        "feeling": feeling.figures,
        "channel": channel.figures,
    }
    return measured, figures


def _attempt(
    asked: Asked,
    site: Unfinished,
    name: str,
    answer: Callable[[Asked, Path], Answered[Any]],
    place: str,
    measured_of: Callable[[Mapping[str, Any]], Any] | None = None,
) -> Answered[Any]:
    """Answer a question into its place in the bundle, or say why the data cannot support it and leave no folder.

    What an earlier process of the same run has answered is taken as it was; `measured_of` reads what it had measured.
    """
    asked.reporter.step(name)
    kept, folder = site.answered(place, asked.rng), site.bundle / place
    if kept is not None:
        asked.reporter.say("answered before this run was stopped")
        measured = measured_of(kept["measured"]) if measured_of and kept["measured"] else None
        return Answered(measured, kept["figures"])
    shutil.rmtree(folder, ignore_errors=True)  # half of it, where an earlier process was stopped in this question
    try:
        answered = answer(asked, folder)
        done = Answered(answered.measured, {"status": "trained", **answered.figures})
    except NOT_TRAINED as refusal:
        asked.reporter.say(f"not trained: {refusal}")
        shutil.rmtree(folder, ignore_errors=True)
        done = Answered(None, {"status": "not_trained", "reason": str(refusal)})
    told = None if done.measured is None else done.measured.to_dict()
    site.keep(place, {"measured": told, "figures": done.figures}, asked.rng)
    return done


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
        "base_rates": {} if journeys is None else questions.base_rates(config.targets, journeys, config.seed),
        "seed": config.seed,
        "code_version": version(PROJECT),
    }
