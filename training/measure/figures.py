"""A figure: a number with the ends of its 95 % interval and how many cases stand behind it.

Intervals are drawn over customers: cases of one customer are alike, so drawing cases would promise too much. Scores
themselves are in `models/confidence/metrics.py`; nothing here fits or reads anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.journey.journeys import Ints
from training import evaluate

Floats = NDArray[np.float64]
Figure: TypeAlias = dict[str, float | int | None]
"""{"value", "low", "high", "n"}; a number that is not defined (one class alone, one customer) is None."""

DRAWS = 400
"""Of scores that are no mean of losses; means are drawn more often (`metrics.bootstrap_interval`)."""


class MeasureError(ValueError):
    """Something given to a measurement is wrong; the message names it, its value and what is allowed."""


def figure(value: float, low: float, high: float, n: int) -> Figure:
    """
    >>> figure(0.5, 0.25, float("nan"), 4)
    {'value': 0.5, 'low': 0.25, 'high': None, 'n': 4}
    """
    return {"value": _told(value), "low": _told(low), "high": _told(high), "n": n}


def mean(losses: NDArray[Any], customer: Ints, rng: np.random.Generator) -> Figure:
    """The mean of one number a case (n,), its interval over customers (n,)."""
    values = np.asarray(losses, dtype=np.float64)
    if len(np.unique(customer)) < 2:
        return figure(float(values.mean()) if len(values) else math.nan, math.nan, math.nan, len(values))
    return figure(*metrics.bootstrap_interval(values, customer, rng), len(values))


def difference(ours: NDArray[Any], theirs: NDArray[Any], customer: Ints, rng: np.random.Generator) -> Figure:
    """The mean of ours less theirs on the same cases, with its paired interval."""
    return mean(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64), customer, rng)


def redrawn(
    score: Callable[[Ints], float],
    customer: Ints,
    rng: np.random.Generator,
    *,
    centred: bool = False,
    draws: int = DRAWS,
) -> Figure:
    """Any score of cases, given by their index (n,), with its interval over customers (n,).

    `centred` moves the draws onto the value: for a score that repeats of cases push up, as they do an ECE.
    """
    n = len(customer)
    value = score(np.arange(n)) if n else math.nan
    names, place = np.unique(customer, return_inverse=True)
    if len(names) < 2:
        return figure(value, math.nan, math.nan, n)
    order, counts = np.argsort(place, kind="stable"), np.bincount(place)
    starts = np.cumsum(counts) - counts
    found = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(0, len(names), len(names))
        size = counts[chosen]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        found[draw] = score(order[np.repeat(starts[chosen], size) + within])
    found = found[np.isfinite(found)]
    if not len(found):
        return figure(value, math.nan, math.nan, n)
    if centred:
        found = np.maximum(found - found.mean() + value, 0.0)
    low, high = np.quantile(found, (0.025, 0.975))
    return figure(value, float(low), float(high), n)


def ece(confidence: Floats, correct: NDArray[Any], customer: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """`ece` beside `ece_band`, what a perfectly calibrated model of the same probabilities, bins and n would show.

    Where customers have several cases each, the band minds that these are alike.
    """
    told = evaluate.ece_figures(confidence, correct, rng, customer)

    def score(index: Ints) -> float:
        return metrics.ece(confidence[index], correct[index], evaluate.ECE_BINS)

    return told | {"ece": redrawn(score, customer, rng, centred=True)}


def skill(base: Floats, ours: Floats, truth: Floats, customer: Ints, rng: np.random.Generator) -> Figure:
    """(loss of the base rate - ours) / (loss of the base rate - loss of the truth), from losses a case (n,).

    1 is all that could be known, 0 the base rate.
    """

    def score(index: Ints) -> float:
        knowable = float(base[index].mean() - truth[index].mean())
        return float(base[index].mean() - ours[index].mean()) / knowable if knowable > 0 else math.nan

    return redrawn(score, customer, rng)


def _told(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
