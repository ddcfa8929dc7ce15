"""Measure predictors where they were not fitted: on the calibration slice to calibrate, on the test slice to report.

Each question is asked the way serving would ask it: through the predictor, from what could be seen at that moment. Ours
always stands beside the simple baselines. Fits no model; calibration is the only thing learned here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.confidence.binomial import clopper_pearson
from models.confidence.metrics import Interval
from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.journey.journeys import Ints, Journeys
from models.journey.target import CENSORED, Target
from training.examples import landmarks, next_steps
from training.splits import Slice

ECE_BINS = 15
ECE_DRAWS = 200
MOST_STEPS = 20_000
"""More steps than this are sampled: the interval is narrow enough and the time is bounded."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AskedSteps:
    """Histories that ended with a touchpoint: `seen` at `as_of` (S,), and what came next, `label` (S,).

    `customer` (S,) is the row each came from, so that intervals can be drawn over customers.
    """

    seen: Journeys
    as_of: Ints
    label: Ints
    customer: Ints


class Speaks(Protocol):
    """Whoever has words for what can come next, as a predictor has."""

    @property
    def vocabulary(self) -> Vocabulary: ...


def ask_steps(journeys: Journeys, predictor: Speaks, asked: Slice, rng: np.random.Generator) -> AskedSteps:
    """Every step whose outcome fell into the slice (a sample of them where there are very many)."""
    steps = next_steps(journeys, predictor.vocabulary, asked.until, asked.since)
    index = np.flatnonzero(steps.asks_what)
    if len(index) > MOST_STEPS:
        index = np.sort(rng.choice(index, MOST_STEPS, replace=False))
    customer = np.searchsorted(steps.starts, index, side="right") - 1
    seen = journeys.first(customer, index - steps.starts[customer] + 1)
    as_of = np.maximum.reduceat(seen.known_at, seen.starts[:-1]) if len(index) else np.empty(0, dtype=np.int64)
    as_of = np.maximum(as_of, seen.occurred_at[seen.starts[1:] - 1]) if len(index) else as_of
    return AskedSteps(seen, as_of, steps.next_token[index] - FIRST_TOUCHPOINT, customer)


@dataclass(frozen=True)
class AskedLandmarks:
    """Random moments and what happened within the horizon after them: `happened` (S,) 0 or 1."""

    seen: Journeys
    as_of: Ints
    happened: NDArray[np.int8]
    customer: Ints


def ask_landmarks(journeys: Journeys, target: Target, asked: Slice, rng: np.random.Generator) -> AskedLandmarks:
    """One random moment a customer and month; what the end of the log cut off is left out, not counted as no."""
    rows, as_of = landmarks(journeys, asked.since, asked.until, rng)
    taken = journeys.take(rows)
    outcome = target.outcome(taken, as_of, int(journeys.occurred_at.max()))
    kept = np.flatnonzero(outcome != CENSORED)
    return AskedLandmarks(journeys.take(rows[kept]).seen_at(as_of[kept]), as_of[kept], outcome[kept], rows[kept])


def interval(losses: Floats, customer: Ints, rng: np.random.Generator) -> list[float]:
    """[low, high] of the mean, 95 %, by bootstrap over customers; empty where there are fewer than two."""
    if len(np.unique(customer)) < 2:
        return []
    found = metrics.bootstrap_interval(losses, customer, rng)
    return [_round(found.low), _round(found.high)]


def difference(ours: Floats, theirs: Floats, customer: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """Our loss less theirs, with its paired interval: below zero is better."""
    if len(np.unique(customer)) < 2:
        return {"mean": _round(float(np.mean(ours - theirs))), "interval": []}
    found: Interval = metrics.paired_bootstrap(ours, theirs, customer, rng)
    return {"mean": _round(found.mean), "interval": [_round(found.low), _round(found.high)]}


def ece_figures(
    confidence: Floats, correct: NDArray[Any], rng: np.random.Generator, customer: Ints | None = None
) -> dict[str, Any]:
    """Expected calibration error beside the 95 % band that a perfectly calibrated model would show for the same n.

    Where a `customer` (n,) has several cases, as moments whose horizons overlap, the band minds that they are alike.
    """
    found = metrics.ece(confidence, correct, ECE_BINS)
    if customer is None or len(np.unique(customer)) == len(customer):
        band = metrics.ece_band(confidence, ECE_BINS, ECE_DRAWS, rng)
    else:
        band = metrics.ece_band_of_groups(confidence, correct, customer, ECE_BINS, ECE_DRAWS, rng)
    return {
        "ece": _round(found),
        "ece_band": [_round(band.low), _round(band.high)],
        "ece_in_band": bool(found <= band.high),
    }


def next_touchpoint_figures(
    chance: Floats, sets: NDArray[np.bool_], baselines: dict[str, Floats], asked: AskedSteps, rng: np.random.Generator
) -> dict[str, Any]:
    """Ours (S, K) on the test slice, beside each baseline's (S, K)."""
    ours = metrics.log_losses(chance, asked.label)
    correct = chance.argmax(axis=1) == asked.label
    figures: dict[str, Any] = {
        "n": len(asked.label),
        "log_loss": _round(float(ours.mean())),
        "log_loss_interval": interval(ours, asked.customer, rng),
        "accuracy": _round(float(correct.mean())),
        "top_3": _round(metrics.top_k(chance, asked.label, min(3, chance.shape[1]))),
        "coverage": _round(metrics.coverage(sets, asked.label)),
        "mean_set_size": _round(float(sets.sum(axis=1).mean())),
        **ece_figures(chance.max(axis=1), correct, rng),
        "baselines": {},
    }
    for name, theirs in baselines.items():
        losses = metrics.log_losses(theirs, asked.label)
        figures["baselines"][name] = {
            "log_loss": _round(float(losses.mean())),
            "accuracy": _round(metrics.accuracy(theirs, asked.label)),
            "ours_minus_theirs": difference(ours, losses, asked.customer, rng),
        }
    return figures


def purchase_figures(
    probability: Floats,
    band: tuple[Floats, Floats],
    baselines: dict[str, Floats],
    asked: AskedLandmarks,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Ours (S,) with its interval (low, high) on the test slice, beside each baseline's (S,)."""
    happened = asked.happened
    ours = metrics.binary_log_losses(probability, happened)
    low, high = band
    figures: dict[str, Any] = {
        "n": len(happened),
        "positives": int(happened.sum()),
        "auc": _round(metrics.auc(probability, happened)),
        "average_precision": _round(metrics.average_precision(probability, happened)),
        "brier": _round(metrics.brier(probability, happened)),
        "log_loss": _round(float(ours.mean())),
        "log_loss_interval": interval(ours, asked.customer, rng),
        "mean_interval_width": _round(float((high - low).mean())),
        "bins_inside_interval": _round(bins_inside(probability, low, high, happened)),
        **ece_figures(probability, happened, rng, asked.customer),
        "baselines": {},
    }
    for name, theirs in baselines.items():
        losses = metrics.binary_log_losses(theirs, happened)
        figures["baselines"][name] = {
            "log_loss": _round(float(losses.mean())),
            "brier": _round(metrics.brier(theirs, happened)),
            "ours_minus_theirs": difference(ours, losses, asked.customer, rng),
        }
    return figures


def bins_inside(probability: Floats, low: Floats, high: Floats, happened: NDArray[np.int8], bins: int = 10) -> float:
    """Share of equal-mass bins whose observed rate lies inside the bin's mean interval."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    inside = [low[p].mean() <= happened[p].mean() <= high[p].mean() for p in parts if len(p)]
    return float(np.mean(inside)) if inside else float("nan")


def _share_interval(part: int, whole: int) -> list[float]:
    """[low, high] of a share, exact 95 %; empty where there was nothing to count."""
    return [_round(bound) for bound in clopper_pearson(part, whole)] if whole else []


def _round(value: float) -> float:
    return round(float(value), 5)


def feeling_figures(
    polarity: Floats,
    label: Ints,
    released: NDArray[np.bool_],
    baselines: dict[str, Floats],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Ours (n, 4) on the test part, what would be released unread and how much of that is wrong; beside baselines."""
    ours = metrics.log_losses(polarity, label)
    correct = polarity.argmax(axis=1) == label
    each = np.arange(len(label))
    wrong = ~correct[released]
    figures: dict[str, Any] = {
        "n": len(label),
        "macro_f1": _round(metrics.macro_f1(polarity.argmax(axis=1), label)),
        "accuracy": _round(float(correct.mean())),
        "log_loss": _round(float(ours.mean())),
        "log_loss_interval": interval(ours, each, rng),
        **ece_figures(polarity.max(axis=1), correct, rng),
        "released": int(released.sum()),
        "release_rate": _round(float(released.mean())),
        "released_wrong": int(wrong.sum()),
        "released_error": _round(float(wrong.mean())) if len(wrong) else None,
        "released_error_interval": _share_interval(int(wrong.sum()), len(wrong)),
        "baselines": {},
    }
    for name, theirs in baselines.items():
        losses = metrics.log_losses(theirs, label)
        figures["baselines"][name] = {
            "log_loss": _round(float(losses.mean())),
            "macro_f1": _round(metrics.macro_f1(theirs.argmax(axis=1), label)),
            "ours_minus_theirs": difference(ours, losses, each, rng),
        }
    return figures
