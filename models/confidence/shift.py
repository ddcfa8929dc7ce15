"""Have the inputs changed? One test for embeddings and one for features, both of two samples, before any label comes.

Embeddings: maximum mean discrepancy with a permutation test (Gretton et al. 2012, "A kernel two-sample test"), which
Rabanser et al. 2019 ("Failing loudly") found among the best at noticing a shift. Features: Kolmogorov and Smirnov's
test of each, and of the p-values those that Benjamini & Hochberg (1995) keep. Both ask whether cases come from one
world, so cases must be as good as independent: give one of each customer. A shift is no proof of mistakes, and no shift
no proof of their absence. What follows from a shift is decided elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.confidence.arrays import Floats, Ints, Reals, reals, share

MOST_CASES = 1000
"""So many cases of each sample are compared; of more, a random part."""
_LEAST_CASES = 20
_AT_ONCE = 500  # relabellings that are looked at together


@dataclass(frozen=True, slots=True)
class EmbeddingShift:
    """How far two samples of embeddings are apart, and how rarely that happens where they are of one world."""

    distance: float  # squared maximum mean discrepancy, unbiased: about 0 without a shift
    p_value: float
    n_before: int
    n_now: int


def embedding_shift(
    before: Reals, now: Reals, rng: np.random.Generator, permutations: int = 499, enough: int | None = None
) -> EmbeddingShift:
    """Whether embeddings ``now`` (n, d) come from where those ``before`` (m, d) came from.

    A Gaussian kernel as wide as the median distance; the p-value is exact for any sizes: the share of random
    relabellings that are at least as far apart (Phipson & Smyth 2010 count the one observed too). With ``enough``, no
    more are made once so many were: where nothing shifted a few dozen do (Besag & Clifford 1991).

    >>> rng = np.random.default_rng(0)
    >>> before, same, moved = rng.normal(size=(100, 8)), rng.normal(size=(80, 8)), rng.normal(0.4, 1, size=(80, 8))
    >>> embedding_shift(before, same, rng).p_value > 0.05, embedding_shift(before, moved, rng).p_value
    (True, 0.002)
    """
    first, second = (_sampled(name, cases, rng) for name, cases in (("before", before), ("now", now)))
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"before has {first.shape[1]} columns, now has {second.shape[1]}; give those of one model")
    kernel = _kernel(np.concatenate([first, second]))
    m, n = len(first), len(second)
    inside = np.zeros((m + n, 1))
    inside[:m, 0] = 1.0
    observed = float(_apart(kernel, inside, m)[0])
    as_far = done = 0
    while done < permutations and (enough is None or as_far < enough):
        inside = np.zeros((m + n, min(_AT_ONCE, permutations - done)))  # which cases count as `before`
        for column in range(inside.shape[1]):
            inside[rng.permutation(m + n)[:m], column] = 1.0
        farther = np.cumsum(_apart(kernel, inside, m) >= observed - 1e-12)
        if enough is not None and as_far + farther[-1] >= enough:
            done += int(np.searchsorted(farther, enough - as_far)) + 1
            return EmbeddingShift(observed, enough / done, m, n)
        as_far, done = as_far + int(farther[-1]), done + inside.shape[1]
    return EmbeddingShift(observed, (as_far + 1.0) / (permutations + 1.0), m, n)


def _apart(kernel: Floats, inside: Floats, m: int) -> Floats:
    """The statistic (k,) for each column of ``inside`` (m + n, k), which says what counts as `before`.

    With the kernel's diagonal at 0, three of its sums give the statistic for all columns at once.
    """
    n = len(kernel) - m
    toward = kernel @ inside
    within = (inside * toward).sum(axis=0)
    between = toward.sum(axis=0) - within
    rest = kernel.sum() - within - 2.0 * between
    return np.asarray(within / (m * (m - 1.0)) + rest / (n * (n - 1.0)) - 2.0 * between / (m * n), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """How far one feature's two distributions are apart at most, 0..1, and whether that counts as a shift."""

    name: str
    distance: float
    p_value: float
    shifted: bool


def feature_shift(before: Reals, now: Reals, names: Sequence[str], level: float = 0.05) -> list[FeatureShift]:
    """Which features ``now`` (n, F) are distributed otherwise than ``before`` (m, F), the surest first.

    Of those said to have shifted, at most the share ``level`` has not, on average (Benjamini & Hochberg 1995; it holds
    for features that go together, Benjamini & Yekutieli 2001). NaN is a value like any other: it lies below all.

    >>> rng = np.random.default_rng(0)
    >>> before, now = rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + [0.0, 0.5]
    >>> [(one.name, one.shifted) for one in feature_shift(before, now, ["visits", "days"])]
    [('days', True), ('visits', False)]
    """
    first, second = (_featured(name, cases, names) for name, cases in (("before", before), ("now", now)))
    found = [kolmogorov_smirnov(one, other) for one, other in zip(first.T, second.T, strict=True)]
    p_values = np.array([p_value for _, p_value in found])
    shifted = benjamini_hochberg(p_values, level)
    told = [
        FeatureShift(name, distance, p_value, bool(one))
        for name, (distance, p_value), one in zip(names, found, shifted, strict=True)
    ]
    return sorted(told, key=lambda one: (one.p_value, -one.distance, one.name))


def kolmogorov_smirnov(before: Reals, now: Reals) -> tuple[float, float]:
    """The greatest distance of two empirical distributions (m,) and (n,), and its p-value.

    The limiting distribution with the correction of Stephens 1970 (Numerical Recipes, 3rd ed., section 14.3.3); with
    ties the p-value is too large rather than too small.

    >>> distance, p_value = kolmogorov_smirnov(np.arange(50.0), np.arange(50.0) + 20.0)
    >>> round(distance, 2), round(p_value, 4)
    (0.4, 0.0004)
    """
    m, n = len(before), len(now)
    every = np.unique(np.concatenate([before, now]))
    first, second = (np.searchsorted(np.sort(one), every, side="right") / len(one) for one in (before, now))
    distance = float(np.abs(first - second).max())
    root = math.sqrt(m * n / (m + n))
    at = (root + 0.12 + 0.11 / root) * distance
    if at < 0.2:  # the series below needs ever more terms, and gives 1 to six digits
        return distance, 1.0
    terms = np.arange(1, 101)
    tail = 2.0 * float(((-1.0) ** (terms - 1) * np.exp(-2.0 * np.square(terms * at))).sum())
    return distance, min(1.0, max(0.0, tail))


def benjamini_hochberg(p_values: Reals, level: float) -> Ints:
    """Which of these p-values (F,) count, 0 or 1: all up to the greatest that is at most ``level`` times its rank / F.

    >>> benjamini_hochberg(np.array([0.01, 0.9, 0.03, 0.02]), 0.05).tolist()
    [1, 0, 1, 1]
    """
    checked = reals("p_values", p_values)
    order = np.argsort(checked, kind="stable")
    low_enough = np.flatnonzero(checked[order] <= share("level", level) * np.arange(1, len(checked) + 1) / len(checked))
    kept = np.zeros(len(checked), dtype=np.int64)
    if len(low_enough):
        kept[order[: low_enough[-1] + 1]] = 1
    return kept


def level_of_look(look: int, level: float = 0.05) -> float:
    """The level for the ``look``-th look (from 1 on), so that all looks together alarm falsely at most ``level``.

    Whoever tests each day at 5 % is alarmed every third week by nothing.

    >>> [round(level_of_look(look), 4) for look in (1, 2, 30)]
    [0.025, 0.0083, 0.0001]
    """
    if look < 1:
        raise ValueError(f"look is {look}; the first is 1")
    return share("level", level) / (look * (look + 1.0))


def _kernel(cases: Floats) -> Floats:
    """The Gaussian kernel of all pairs, 0 on the diagonal, as wide as the median distance."""
    squares = np.square(cases).sum(axis=1)
    distance = np.maximum(squares[:, None] + squares[None, :] - 2.0 * cases @ cases.T, 0.0)
    width = float(np.median(distance[np.triu_indices(len(cases), 1)]))
    kernel = np.exp(-distance / (width if width > 0.0 else 1.0))
    np.fill_diagonal(kernel, 0.0)
    return np.asarray(kernel, dtype=np.float64)


def _sampled(name: str, cases: Reals, rng: np.random.Generator) -> Floats:
    checked = reals(name, cases, ndim=2)
    if len(checked) < _LEAST_CASES:
        raise ValueError(f"{name} has {len(checked)} cases; give at least {_LEAST_CASES}")
    return checked if len(checked) <= MOST_CASES else checked[rng.choice(len(checked), MOST_CASES, replace=False)]


def _featured(name: str, cases: Reals, names: Sequence[str]) -> Floats:
    array = np.asarray(cases, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise ValueError(f"{name} has shape {array.shape}; give one column for each of {len(names)} names")
    if len(array) < _LEAST_CASES:
        raise ValueError(f"{name} has {len(array)} cases; give at least {_LEAST_CASES}")
    return np.where(np.isnan(array), -np.inf, array)
