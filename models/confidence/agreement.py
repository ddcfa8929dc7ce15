"""Agreement between people: Cohen's kappa, Krippendorff's alpha, and differences of shares, each with a 95 % interval.

Shapes: U units (cases), K categories. What is not defined (nobody differs in anything) is NaN. Says nothing of who is
right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.confidence.metrics import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 2_000
_Z95 = 1.959963984540054
_NOT_DEFINED = Interval(float("nan"), float("nan"), float("nan"))


def nominal(categories: int) -> Floats:
    """(K, K) distances of categories without an order: 0 or 1."""
    return 1.0 - np.eye(categories)


def squared(values: Sequence[float]) -> Floats:
    """(K, K) distances of numbers: their squared differences (the interval metric)."""
    found = np.asarray(values, dtype=np.float64)
    return np.square(found[:, None] - found[None, :])


def krippendorff_alpha(named: Ints, distance: Floats) -> float:
    """How far readers agree beyond chance: 1 always, 0 as chance would, below 0 less.

    `named` (U, K) counts how many readers of a unit named each category; units with one reader say nothing. Any number
    of readers, missing ones included (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    >>> round(krippendorff_alpha(np.array([[2, 0], [0, 2], [1, 1], [2, 0]]), nominal(2)), 3)
    0.533
    """
    patterns, times, apart = _patterns(named, distance)
    return float(_alphas(times[None, :], patterns, apart, distance)[0])


def alpha_interval(named: Ints, distance: Floats, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """`krippendorff_alpha` with its 95 % interval, drawing units anew (Efron & Tibshirani 1993, 13.3)."""
    patterns, times, apart = _patterns(named, distance)
    alpha = float(_alphas(times[None, :], patterns, apart, distance)[0])
    if np.isnan(alpha):
        return _NOT_DEFINED
    drawn = rng.multinomial(times.sum(), times / times.sum(), size=draws)
    return _percentiles(alpha, _alphas(drawn, patterns, apart, distance))


def kappa_interval(table: Ints, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """Cohen's kappa of two readers with its 95 % interval, drawing cases anew.

    `table` (K, K) counts what the one said (rows) and the other (columns) of the same cases (Cohen 1960, "A coefficient
    of agreement for nominal scales").

    >>> found = kappa_interval(np.array([[20, 5], [10, 15]]), np.random.default_rng(0))
    >>> round(found.mean, 3), found.low < 0.4 < found.high
    (0.4, True)
    """
    size = int(table.sum())
    kappa = float(_kappas(table[None])[0]) if size else float("nan")
    if np.isnan(kappa):
        return _NOT_DEFINED
    drawn = rng.multinomial(size, table.ravel() / size, size=draws).reshape(draws, *table.shape)
    return _percentiles(kappa, _kappas(drawn))


def share_interval(successes: int, n: int) -> Interval:
    """A share with Wilson's score interval, 95 % (Wilson 1927); NaN of none.

    >>> [round(end, 3) for end in share_interval(8, 10)]
    [0.8, 0.49, 0.943]
    """
    if n == 0:
        return _NOT_DEFINED
    share, z2 = successes / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def difference_interval(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """The share of the one less that of the other, each (successes, n), with a 95 % interval that holds for few cases
    too (Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10).

    >>> [round(end, 4) for end in difference_interval((56, 70), (48, 80))]  # the paper's first example
    [0.2, 0.0524, 0.3339]
    """
    first, second = share_interval(*one), share_interval(*other)
    difference = first.mean - second.mean
    below = np.hypot(first.mean - first.low, second.high - second.mean)
    above = np.hypot(first.high - first.mean, second.mean - second.low)
    return Interval(difference, float(difference - below), float(difference + above))


def _patterns(named: Ints, distance: Floats) -> tuple[Ints, Ints, Floats]:
    """Units that at least two readers read, equal ones together: (P, K) counts, (P,) how often, (P,) disagreement."""
    pairable = np.asarray(named, dtype=np.int64).reshape(-1, len(distance))
    pairable = pairable[pairable.sum(axis=1) >= 2]
    patterns, times = np.unique(pairable, axis=0, return_counts=True)
    readers = patterns.sum(axis=1)
    apart = np.einsum("pc,pk,ck->p", patterns, patterns, distance) / np.maximum(readers - 1, 1)
    return patterns, times.astype(np.int64), apart


def _alphas(drawn: Ints, patterns: Ints, apart: Floats, distance: Floats) -> Floats:
    """(draws,) alpha where each pattern occurs as often as (draws, P) says; NaN where all named one category."""
    observed = drawn @ apart
    totals = (drawn @ patterns).astype(np.float64)
    expected = np.einsum("dc,dk,ck->d", totals, totals, distance)
    answers = totals.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 1.0 - observed * (answers - 1) / expected
    return np.where(expected > 0, found, np.nan)


def _kappas(tables: Ints) -> Floats:
    """(draws,) kappa of (draws, K, K) tables; NaN where both named one category alone."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    agreed = np.trace(shares, axis1=1, axis2=2)
    by_chance = np.einsum("dk,dk->d", shares.sum(axis=2), shares.sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (agreed - by_chance) / (1.0 - by_chance)
    return np.where(by_chance < 1.0, found, np.nan)


def _percentiles(value: float, drawn: Floats) -> Interval:
    """Draws for which it is not defined are left out."""
    kept = drawn[~np.isnan(drawn)]
    low, high = np.percentile(kept, (2.5, 97.5)) if len(kept) else (value, value)
    return Interval(value, float(low), float(high))
