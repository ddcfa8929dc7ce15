"""Measure what comes next, and when: the standard recipe fitted on one log, each touchpoint of another predicted.

A touchpoint is predicted from those before it, as they were known when it came; the first of a journey is not
asked about, and that a journey ended is not an answer. Fits by `training/next_touchpoint.py`; publishes nothing.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.confidence.conformal import SplitConformal
from models.features.vocabulary import Vocabulary
from models.journey.journeys import Ints, Journeys
from models.measured import MeasuredNextTouchpoint
from models.predictors.baseline import majority, repeat_last
from models.predictors.next_touchpoint import NextTouchpointPredictor
from training.calibrate import calibrate_next_touchpoint
from training.config import DEFAULT_HORIZON_SECONDS
from training.loop import Progress
from training.markov import NextBaselines, fit_baselines
from training.measure import figures, truth
from training.measure.asked import Asked
from training.measure.figures import Floats, MeasureError
from training.measure.gap import gap_report
from training.measure.logs import groups_of, read_logs, same_time
from training.next_touchpoint import NextTouchpointConfig, fit_next_touchpoint

COVERAGE = 0.9
OFTEN = 100
"""Of fewer cases no coverage is told apart."""


@dataclass(frozen=True)
class Fitted:
    """The standard recipe as fitted: predictor, calibration, plain LAC on the same scores, and the baselines."""

    predictor: NextTouchpointPredictor
    measured: MeasuredNextTouchpoint
    lac: SplitConformal
    simple: NextBaselines
    examples: int
    calibrated_on: str
    half_life_seconds: float

    def chance(self, asked: Asked) -> Floats:
        """(n, K) calibrated probabilities."""
        parts = [
            self.measured.chance(self.predictor.predict(seen, as_of).distribution, seen.lengths)
            for seen, as_of in asked.histories()
        ]
        return np.concatenate(parts)

    def sets(self, asked: Asked, chance: Floats) -> NDArray[np.bool_]:
        """(n, K) the sets that serving would give with these probabilities (n, K)."""
        counts = np.cumsum([0, *(len(seen) for seen, _ in asked.histories())])
        parts = [
            self.measured.sets_of(chance[first:last], seen, COVERAGE)
            for first, last, (seen, _) in zip(counts[:-1], counts[1:], asked.histories(), strict=True)
        ]
        return np.concatenate(parts)

    def baselines(self, asked: Asked) -> dict[str, Floats]:
        """(n, K) of each baseline, counted on the whole learning log."""
        rows = asked.sequences(self.predictor.vocabulary, 4)
        base = majority(self.simple.markov, len(rows.lengths))
        return {
            "majority": base,
            "repeat_last": repeat_last(rows.tokens, rows.lengths, base, self.simple.again),
            **{f"markov_{k}": self.simple.markov.predict(rows.tokens, rows.lengths, k) for k in (1, 2, 3)},
        }


@dataclass(frozen=True)
class NextMeasurement:
    """What to measure: logs to learn from and to predict, an optional column whose values stay on one side."""

    train: Path
    test: Path
    group: str | None = None
    horizon_seconds: int = DEFAULT_HORIZON_SECONDS
    truth: Path | None = None
    seed: int = 7
    config: NextTouchpointConfig = field(default_factory=NextTouchpointConfig)


def measure_next_touchpoint(asked_for: NextMeasurement, progress: Progress) -> dict[str, Any]:
    """The whole measurement as JSON-able figures. Raises EventLogError, MeasureError and TooLittleData."""
    train, test = read_logs(asked_for.train, asked_for.test)
    groups = groups_of(train, asked_for.group) if asked_for.group else None
    fitted = fit_standard(train.journeys, test.journeys, groups, asked_for, progress)
    asked = Asked.of(test.journeys, fitted.predictor.vocabulary)
    if not len(asked.index):
        raise MeasureError(f"{asked_for.test}: no journey has a second touchpoint, so there is nothing to predict")
    progress(f"{len(asked.index)} touchpoints of {len(np.unique(asked.customer))} customers predicted")
    rng = np.random.default_rng(asked_for.seed)
    chance, simple = fitted.chance(asked), fitted.baselines(asked)
    told = report(fitted, asked, chance, rng)
    told["baselines"] = {name: beside(chance, theirs, asked, rng) for name, theirs in simple.items()}
    if asked_for.truth is not None:
        known = truth.next_losses(asked_for.truth, *asked.moments())
        base = losses(simple["majority"], asked.label)[known.rows]
        ours = losses(chance, asked.label)[known.rows]
        told["skill"] = figures.skill(base, ours, known.losses, asked.customer[known.rows], rng)
        told["truth"] = {"log_loss": figures.mean(known.losses, asked.customer[known.rows], rng)}
    return told


def fit_standard(
    train: Journeys, test: Journeys, groups: Ints | None, asked_for: NextMeasurement, progress: Progress
) -> Fitted:
    """Fit and calibrate on the whole learning log; groups (C,), such as devices, are held out whole.

    Where the test log lies at the same time, what is recent there is no nearer to it than what is old.
    """
    end = int(train.occurred_at.max()) + 1
    ahead = not same_time(train, test)
    vocabulary = Vocabulary.of(train)
    with tempfile.TemporaryDirectory() as folder:
        fit = fit_next_touchpoint(
            train, vocabulary, end, asked_for.horizon_seconds, asked_for.config, asked_for.seed, Path(folder), progress,
            groups=groups, ahead=ahead,
        )  # fmt: skip
        predictor = NextTouchpointPredictor.load(Path(folder))
    measured, said = calibrate_next_touchpoint(fit.out_of_fold), fit.out_of_fold
    scores = measured.chance(said.chance, np.ones(len(said.label), dtype=np.int64))
    lac = SplitConformal.conformalize(
        scores, said.label, alpha=round(1 - COVERAGE, 6), method="lac", weight=said.weight, luck=said.luck
    )
    on = ("other customers" if groups is None else "other groups") + (", recent ones most" if ahead else "")
    return Fitted(
        predictor, measured, lac, fit_baselines(train, vocabulary, end), fit.examples, on, fit.half_life_seconds
    )


def losses(chance: Floats, label: Ints) -> Floats:
    """(n,) nats; a touchpoint that learning never saw (-1) had no probability and costs what the smallest one does."""
    found = np.full(len(label), -np.log(metrics.SMALLEST_PROBABILITY))
    known = label >= 0
    found[known] = metrics.log_losses(chance[known], label[known])
    return found


def among(chance: Floats, label: Ints, k: int) -> NDArray[np.bool_]:
    """(n,) whether what came is among the k most probable; the lower class wins a tie, an unseen one never does."""
    given = np.where(label >= 0, chance[np.arange(len(label)), label], -1.0)[:, None]
    ahead = (chance > given) | ((chance == given) & (np.arange(chance.shape[1]) < label[:, None]))
    return np.asarray((ahead.sum(axis=1) < k) & (label >= 0), dtype=np.bool_)


def report(fitted: Fitted, asked: Asked, chance: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Our figures for calibrated probabilities (n, K)."""
    who, right = asked.customer, among(chance, asked.label, 1)
    sets, lac = fitted.sets(asked, chance), fitted.lac.predict_set(chance, luck=rng.random(len(chance)))
    life = fitted.half_life_seconds
    covered = sets[np.arange(len(sets)), asked.label] & (asked.label >= 0)
    return {
        "task": "next-touchpoint",
        "n": len(asked.label),
        "customers": len(np.unique(who)),
        "late": asked.late,
        "unseen": int((asked.label < 0).sum()),
        "examples": fitted.examples,
        "calibrated_on": fitted.calibrated_on,
        "calibration_n": fitted.measured.n,
        "half_life_days": None if math.isinf(life) else round(life / 86_400, 1),
        "accuracy": figures.mean(right, who, rng),
        "top_3": figures.mean(among(chance, asked.label, 3), who, rng),
        "log_loss": figures.mean(losses(chance, asked.label), who, rng),
        **figures.ece(chance.max(axis=1), right, who, rng),
        "beats_base_rate": fitted.measured.base_rate is None,
        "coverage": figures.mean(covered, who, rng),
        **_coverage_band(covered),
        "coverage_by_last": _by_last(covered, asked, rng),
        "mean_set_size": figures.mean(sets.sum(axis=1), who, rng),
        "lac_mean_set_size": figures.mean(lac.sum(axis=1), who, rng),
        "gap": gap_report(fitted.predictor, fitted.simple.gaps, asked, rng),
    }


def _coverage_band(covered: NDArray[np.bool_]) -> dict[str, Any]:
    """Where 95 % of coverages would lie if each case were covered as promised, alone (that of customers is wider)."""
    half = 1.96 * math.sqrt(COVERAGE * (1 - COVERAGE) / max(1, len(covered)))
    inside = abs(float(covered.mean()) - COVERAGE) <= half
    return {"coverage_band": [round(COVERAGE - half, 4), round(COVERAGE + half, 4)], "coverage_in_band": bool(inside)}


def _by_last(covered: NDArray[np.bool_], asked: Asked, rng: np.random.Generator) -> dict[str, Any]:
    """The coverage after each touchpoint that was asked about often enough to tell."""
    journeys = asked.journeys
    code = journeys.code[asked.index]
    common = [name for name, cases in enumerate(np.bincount(code, minlength=len(journeys.names))) if cases >= OFTEN]
    return {
        journeys.names[name]: figures.mean(covered[code == name], asked.customer[code == name], rng) for name in common
    }


def beside(ours: Floats, theirs: Floats, asked: Asked, rng: np.random.Generator) -> dict[str, Any]:
    """Their figures (n, K), and ours less theirs with paired intervals: a log-loss below zero is better."""
    label, who = asked.label, asked.customer
    hit, loss = among(theirs, label, 1), losses(theirs, label)
    return {
        "accuracy": figures.mean(hit, who, rng),
        "top_3": figures.mean(among(theirs, label, 3), who, rng),
        "log_loss": figures.mean(loss, who, rng),
        "difference": {
            "accuracy": figures.difference(among(ours, label, 1), hit, who, rng),
            "log_loss": figures.difference(losses(ours, label), loss, who, rng),
        },
    }
