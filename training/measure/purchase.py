"""Measure how likely a purchase is: the standard recipe fitted on one log or table, asked on another.

A log is asked at moments (landmarks), each about the horizon after it; a table is asked about each row. What both
report is decided here. Logs are fitted by `training/purchase.py`, tables by `table.py`; publishes nothing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.features.vocabulary import Vocabulary
from models.journey.assembly import assemble, with_customers
from models.journey.event import DAY, SECOND, Micros
from models.journey.eventlog import read_events, read_rules
from models.journey.journeys import Ints, Journeys
from models.journey.target import CENSORED, Target
from models.journey.touchpoint import Catalogue
from models.measured import MeasuredPurchase
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.purchase import PurchasePredictor
from models.predictors.stacking import NEXT_TOUCHPOINT, Following, Said
from training.bgnbd import BgNbd, Transactions, repeats
from training.calibrate import ask_purchase, calibrate_purchase
from training.config import DEFAULT_HORIZON_SECONDS
from training.errors import TooLittleData
from training.evaluate import ask_landmarks, bins_inside
from training.loop import Progress
from training.measure import figures, truth
from training.measure.figures import Floats, MeasureError
from training.measure.landmarks import every, given
from training.measure.logs import BY_NAME, other_customers, words_of
from training.next_touchpoint import NextTouchpointConfig, fit_next_touchpoint
from training.purchase import LogisticBaseline, PurchaseConfig, fit_logistic, fit_purchase
from training.purchase_tuning import Tuned
from training.simulator.write import PURCHASE_HORIZON_DAYS
from training.splits import LogTooShort, Slice
from training.stacking import NextOutOfFold, Stack

CALIBRATION_SHARE = 0.25
DEFAULT_EVERY: Micros = 28 * DAY
MOST_STEPS = 50_000
"""Touchpoints that teach what comes next: more make purchase likelihood no better for the minutes that they take."""
_AT_ONCE = 20_000


@dataclass(frozen=True)
class LogMeasurement:
    """What to measure on logs: a purchase by this event within the horizon, asked at landmarks or every so often."""

    train: Path
    test: Path
    event: str
    horizon_seconds: int
    landmarks: Path | None = None
    every: Micros | None = None
    truth: Path | None = None
    seed: int = 7
    config: PurchaseConfig = field(default_factory=PurchaseConfig)
    following: NextTouchpointConfig = field(default_factory=NextTouchpointConfig)


@dataclass(frozen=True)
class AskedMoments:
    """Moments (S,) of customers (S,) of these journeys and what `happened` (S,) after each; those cut off left out."""

    journeys: Journeys
    customer: Ints
    as_of: Ints
    happened: NDArray[np.int8]
    censored: int

    @classmethod
    def of(cls, journeys: Journeys, rows: Ints, as_of: Ints, target: Target) -> AskedMoments:
        outcome = target.outcome(journeys.take(rows), as_of, int(journeys.occurred_at.max()))
        kept = np.flatnonzero(outcome != CENSORED)
        return cls(journeys, rows[kept], as_of[kept], outcome[kept], len(rows) - len(kept))

    def seen(self, part: slice) -> tuple[Journeys, Ints]:
        """What could be seen at some of these moments."""
        return self.journeys.take(self.customer[part]).seen_at(self.as_of[part]), self.as_of[part]

    @cached_property
    def parts(self) -> list[slice]:
        return [slice(start, start + _AT_ONCE) for start in range(0, len(self.as_of), _AT_ONCE)]


@dataclass(frozen=True)
class Fitted:
    """The standard recipe as fitted, with what it was calibrated on; `following` is asked too where it could be taught.

    Beside it the baselines: logistic regression, and BG/NBD where the target repeats.
    """

    predictor: PurchasePredictor
    following: NextTouchpointPredictor | None
    measured: MeasuredPurchase
    logistic: LogisticBaseline
    bg_nbd: BgNbd | None
    examples: int
    recent_share: float
    calibrated_on: str
    tuned: Tuned | None

    def chance(self, asked: AskedMoments) -> Floats:
        """(S,) calibrated."""
        return self.measured.calibrator.apply(np.concatenate([self._raw(*asked.seen(part)) for part in asked.parts]))

    def interval(self, asked: AskedMoments, chance: Floats) -> tuple[Floats, Floats]:
        """Low and high end (S,) of each calibrated chance (S,)."""
        lengths = np.concatenate([asked.seen(part)[0].lengths for part in asked.parts])
        return self.measured.interval(chance, lengths)

    def _raw(self, seen: Journeys, as_of: Ints) -> Floats:
        if self.following is None:
            return self.predictor.predict(seen, as_of)
        following = Following(self.following.predict(seen, as_of), self.following.vocabulary)
        return self.predictor.predict(seen, as_of, Said(following))

    def baselines(self, asked: AskedMoments) -> dict[str, Floats]:
        regression = np.concatenate([self.logistic(*asked.seen(part)) for part in asked.parts])
        simple = {"base_rate": np.full(len(asked.as_of), self.predictor.base_rate), "logistic_regression": regression}
        if self.bg_nbd is None:
            return simple
        target = self.predictor.target
        known = [Transactions.of(*asked.seen(part), target) for part in asked.parts]
        days = target.horizon_seconds / 86_400
        return simple | {"bg_nbd": np.concatenate([self.bg_nbd.chance(part, days) for part in known])}


def measure_log(asked_for: LogMeasurement, progress: Progress) -> dict[str, Any]:
    """The whole measurement as figures. Raises EventLogError, MeasureError, TooLittleData and LogTooShort."""
    if asked_for.truth is not None and asked_for.horizon_seconds != PURCHASE_HORIZON_DAYS * 86_400:
        raise MeasureError(
            f"--truth speaks of {PURCHASE_HORIZON_DAYS} days; leave --horizon at {PURCHASE_HORIZON_DAYS}d"
        )
    if asked_for.truth is not None and asked_for.every is not None:
        raise MeasureError("--truth knows its own random moments and no others; leave --every out")
    train, test, target = read_purchase_logs(asked_for)
    asked = moments(test, target, asked_for)
    fitted = fit_standard(train, test, target, asked_for, progress)
    progress(f"{len(asked.as_of)} moments of {len(np.unique(asked.customer))} customers asked")
    rng = np.random.default_rng(asked_for.seed)
    chance, simple = fitted.chance(asked), fitted.baselines(asked)
    told = report(chance, fitted.interval(asked, chance), asked.happened, asked.customer, rng)
    told |= {
        "customers": len(np.unique(asked.customer)),
        "touchpoints": list(target.touchpoints),
        "examples": fitted.examples,
        "recent_share": fitted.recent_share,
        "censored": asked.censored,
        "calibrated_on": fitted.calibrated_on,
        "calibration_n": fitted.measured.n,
        "calibrator": fitted.measured.calibrator.name,
        "drift": round(fitted.measured.drift, 4),
        "stacked": list(fitted.predictor.sources),
        "tuned": fitted.tuned.to_dict() if fitted.tuned else None,
        "baselines": {
            name: beside(chance, theirs, asked.happened, asked.customer, rng) for name, theirs in simple.items()
        },
    }
    if asked_for.truth is not None:
        told |= _skill(asked_for.truth, asked, chance, simple["base_rate"], rng)
    return told


def read_purchase_logs(asked_for: LogMeasurement) -> tuple[Journeys, Journeys, Target]:
    """Both logs in the same words, and the target: every touchpoint that this event, and no other, becomes."""
    read = [list(read_events(path)) for path in (asked_for.train, asked_for.test)]
    events = [event for log in read for event in log]
    catalogue, name = Catalogue.default(), asked_for.event.lower()
    words = words_of(events, catalogue)
    if name not in words:
        some = ", ".join(sorted({one.name for one in events if one.name})[:12])
        raise MeasureError(f"--purchase-event {asked_for.event!r}: no event of this name; the logs have {some}")
    if any(words[name] & touchpoints for other, touchpoints in words.items() if other != name):
        catalogue = Catalogue.parse(BY_NAME)
        words = words_of(events, catalogue)
    paths = asked_for.train, asked_for.test
    train, test = (
        assemble(log, catalogue, read_rules(path)).journeys for log, path in zip(read, paths, strict=True)
    )  # fmt: skip
    for path, journeys in ((asked_for.train, train), (asked_for.test, test)):
        if not len(journeys.code):
            raise MeasureError(f"{path}: holds no touchpoint, only calls that say who somebody is")
    return train, test, Target("purchase", tuple(sorted(words[name])), asked_for.horizon_seconds)


def moments(test: Journeys, target: Target, asked_for: LogMeasurement) -> AskedMoments:
    """When to ask: at the landmarks given, at the truth's random moments, else every so often."""
    if asked_for.landmarks is not None:
        customers, as_of = given(asked_for.landmarks)
    elif asked_for.truth is not None:
        customers, as_of = truth.random_moments(asked_for.truth)
        known = np.isin(customers, test.customers)
        customers, as_of = [one for one, there in zip(customers, known, strict=True) if there], as_of[known]
    else:
        rows, as_of = every(test, asked_for.every or DEFAULT_EVERY, target.horizon_seconds)
        return _some(AskedMoments.of(test, rows, as_of, target), asked_for)
    everyone = dict.fromkeys([*test.customers, *customers])  # one without touchpoints gets an empty journey
    wide = with_customers(test, list(everyone))
    row = {customer: number for number, customer in enumerate(everyone)}
    rows = np.array([row[customer] for customer in customers], dtype=np.int64)
    return _some(AskedMoments.of(wide, rows, as_of, target), asked_for)


def _some(asked: AskedMoments, asked_for: LogMeasurement) -> AskedMoments:
    if not len(asked.as_of):
        days = asked_for.horizon_seconds / 86_400
        raise MeasureError(
            f"{asked_for.test}: no moment to ask at is followed by a whole horizon of {days:g} days ({asked.censored} "
            "are cut off by the end of the log); give a longer log or a shorter --horizon"
        )
    return asked


def fit_standard(
    train: Journeys, test: Journeys, target: Target, asked_for: LogMeasurement, progress: Progress
) -> Fitted:
    """Fit and calibrate on what stands to each other as the two logs do.

    Where the test log holds other customers at the same time, what is said of customers out of fold calibrates, and
    everybody teaches. Otherwise the recipe is fitted twice: once on the past, a horizon before a later time, to learn
    how far probabilities drift in one such step, so that intervals can hold another; then on all that is known.
    """
    config, seed, rng = asked_for.config, asked_for.seed, np.random.default_rng(asked_for.seed)
    start, end = int(train.occurred_at.min()), int(train.occurred_at.max())
    horizon = target.horizon_seconds * SECOND
    others = other_customers(train, test)
    free = end - start - 2 * horizon
    if not others and free <= 0:
        days = (end - start) // DAY
        raise LogTooShort(f"the log spans {days} days; two horizons of {horizon // DAY} days do not fit into it")
    until = end if others else start + int(free * (1 - CALIBRATION_SHARE)) + horizon
    vocabulary = Vocabulary.of(train.seen_at(np.full(len(train), until - 1)))
    with tempfile.TemporaryDirectory() as folder:
        stack = _stack(train, vocabulary, until, asked_for, rng, Path(folder), progress)
        out = Path(folder) / "purchase"
        fit = fit_purchase(
            train, target, vocabulary, start, until, config, seed, out, progress, stack, ahead=not others
        )
        moved = 0.0
        if not others:
            later = ask_landmarks(train, target, Slice(until, end - horizon + 1), rng)
            moved = calibrate_purchase(ask_purchase(PurchasePredictor.load(out), later, stack), rng).drift
            fit = fit_purchase(train, target, vocabulary, start, end, config, seed, out, progress, stack)
        predictor = PurchasePredictor.load(out)
    measured = replace(calibrate_purchase(fit.out_of_fold, rng), drift=moved)
    now = np.full(len(train), end, dtype=np.int64)
    repeating = repeats(Transactions.of(train.seen_at(now), now, target))
    return Fitted(
        predictor=predictor,
        following=stack.following.served if stack.following else None,
        measured=measured,
        logistic=fit_logistic(train, target, vocabulary, start, end, seed, config),
        bg_nbd=BgNbd.fit(train.seen_at(now), now, target) if repeating else None,
        examples=fit.examples,
        recent_share=fit.recent_share,
        calibrated_on="other customers" if others else "other customers, widened by the drift to a later time",
        tuned=fit.tuned,
    )


def _stack(
    train: Journeys,
    vocabulary: Vocabulary,
    until: Micros,
    asked_for: LogMeasurement,
    rng: np.random.Generator,
    folder: Path,
    progress: Progress,
) -> Stack:
    """What comes next, taught by a sample of the customers where there are very many, to be asked about all of them.

    Nobody where it cannot be learned, as where there is but one kind of touchpoint.
    """
    if NEXT_TOUCHPOINT not in asked_for.config.stack:
        return Stack()
    share = MOST_STEPS / max(1, len(train.code))
    customers = np.arange(len(train), dtype=np.int64)
    sample = customers if share >= 1 else np.sort(rng.choice(customers, int(share * len(train)), replace=False))
    served, apart = folder / "next_touchpoint", folder / "apart"
    try:
        fit_next_touchpoint(
            train.take(sample), vocabulary, until, DEFAULT_HORIZON_SECONDS, asked_for.following, asked_for.seed,
            served, progress, ahead=False, apart=apart,
        )  # fmt: skip
    except TooLittleData:
        return Stack()
    following = NextOutOfFold.load(apart, NextTouchpointPredictor.load(served))
    return Stack(following.of_sample(sample, len(train)))


def report(
    chance: Floats, band: tuple[Floats, Floats], happened: NDArray[np.int8], customer: Ints, rng: np.random.Generator
) -> dict[str, Any]:
    """Figures of probabilities (S,) with their intervals, for what happened (S,)."""
    low, high = band

    def inside(index: Ints) -> float:
        return bins_inside(chance[index], low[index], high[index], happened[index])

    return {
        "task": "purchase",
        "n": len(happened),
        "positives": int(happened.sum()),
        **ranking(chance, happened, customer, rng),
        "brier": figures.mean(metrics.brier_losses(chance, happened), customer, rng),
        "log_loss": figures.mean(metrics.binary_log_losses(chance, happened), customer, rng),
        **figures.ece(chance, happened, customer, rng),
        "mean_interval_width": figures.mean(high - low, customer, rng),
        "bins_inside_interval": figures.redrawn(inside, customer, rng),
    }


def ranking(score: Floats, happened: NDArray[Any], customer: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """AUC and average precision of any score (S,) that grows with what happened (S,)."""
    return {
        "auc": figures.redrawn(lambda i: metrics.auc(score[i], happened[i]), customer, rng),
        "average_precision": figures.redrawn(lambda i: metrics.average_precision(score[i], happened[i]), customer, rng),
    }


def beside(
    ours: Floats, theirs: Floats, happened: NDArray[np.int8], customer: Ints, rng: np.random.Generator
) -> dict[str, Any]:
    """Their figures (S,), and ours less theirs with paired intervals: a loss below zero is better."""

    def auc_difference(i: Ints) -> float:
        return metrics.auc(ours[i], happened[i]) - metrics.auc(theirs[i], happened[i])

    brier, loss = metrics.brier_losses(theirs, happened), metrics.binary_log_losses(theirs, happened)
    return {
        **ranking(theirs, happened, customer, rng),
        "brier": figures.mean(brier, customer, rng),
        "log_loss": figures.mean(loss, customer, rng),
        **figures.ece(theirs, happened, customer, rng),
        "difference": {
            "auc": figures.redrawn(auc_difference, customer, rng),
            "brier": figures.difference(metrics.brier_losses(ours, happened), brier, customer, rng),
            "log_loss": figures.difference(metrics.binary_log_losses(ours, happened), loss, customer, rng),
        },
    }


def _skill(path: Path, asked: AskedMoments, ours: Floats, base: Floats, rng: np.random.Generator) -> dict[str, Any]:
    who = [asked.journeys.customers[row] for row in asked.customer]
    rows, known = truth.purchase_chances(path, who, asked.as_of)
    happened, customer = asked.happened[rows], asked.customer[rows]
    by_base, by_us, by_truth = (
        metrics.binary_log_losses(chance, happened) for chance in (base[rows], ours[rows], known)
    )
    return {
        "skill": figures.skill(by_base, by_us, by_truth, customer, rng),
        "truth": {"log_loss": figures.mean(by_truth, customer, rng)},
    }
