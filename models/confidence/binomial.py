"""Exact binomial probabilities and Clopper-Pearson bounds, one count (or share) at a time, without scipy.

The binomial tail is a regularized incomplete beta function; its continued fraction and bisection give every bound to
about 1e-12. Bounds are remembered, since few different counts occur. It knows nothing of scores or thresholds.
"""

import math
from functools import lru_cache

import numpy as np

from models.confidence.arrays import share

_TINY = 1e-300
_MAX_TERMS = 20_000


def _continued_fraction(x: float, a: float, b: float) -> float:
    """The fraction of the incomplete beta function by Lentz's method (Numerical Recipes, 3rd ed., section 6.4)."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    fraction = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        change = 1.0
        for term in (even, odd):
            d, c = 1.0 + term * d, 1.0 + term / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            fraction *= d * c
            change = d * c
        if abs(change - 1.0) < 1e-15:
            break
    return fraction


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b) for a, b > 0."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _continued_fraction(x, a, b) / a
    return 1.0 - math.exp(log_front) * _continued_fraction(1.0 - x, b, a) / b


def _beta_quantile(level: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    while high - low > 1e-13 * max(high, 1e-3):
        middle = (low + high) / 2.0
        low, high = (middle, high) if beta_cdf(middle, a, b) < level else (low, middle)
    return (low + high) / 2.0


def binomial_cdf(successes: int, n: int, p: float) -> float:
    """The probability of at most ``successes`` in ``n`` trials of probability ``p``.

    >>> round(binomial_cdf(0, 59, 0.05), 4)
    0.0485
    """
    _check_counts(successes, n)
    return 1.0 if successes == n else beta_cdf(1.0 - p, n - successes, successes + 1.0)


@lru_cache(maxsize=65_536)
def upper_bound(successes: int, n: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson (1934) upper bound on a probability; 1.0 when nothing was seen."""
    _check_counts(successes, n)
    share("confidence", confidence)
    return 1.0 if successes == n else _beta_quantile(confidence, successes + 1.0, n - successes)


@lru_cache(maxsize=65_536)
def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a probability (Clopper & Pearson 1934), (0, 1) when nothing was seen.

    It holds the true probability at least ``confidence`` of the time, whatever that probability is.

    >>> [round(bound, 4) for bound in clopper_pearson(3, 50)]
    [0.0125, 0.1655]
    """
    tail = (1.0 - share("confidence", confidence)) / 2.0
    _check_counts(successes, n)
    low = 0.0 if successes == 0 else _beta_quantile(tail, successes, n - successes + 1.0)
    return low, upper_bound(successes, n, 1.0 - tail)


@lru_cache(maxsize=65_536)
def predicted_share(share_seen: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Where the share among ``n`` new cases will lie, after this share among ``n`` others: both are subject to luck.

    Quantiles of the beta-binomial that follows from Jeffreys' prior (Brown, Cai & DasGupta 2001, "Interval estimation
    for a binomial proportion", and its predictive form). ``n`` need not be whole: where cases are not independent it is
    their number divided by the design effect (Korn & Graubard 1998). New ones are a whole number of cases, at least 1.

    >>> predicted_share(0.1, 100.0)
    (0.03, 0.2)
    >>> predicted_share(0.002, 500.0)  # of 500 like these, none at all is no surprise
    (0.0, 0.012)
    """
    if not 0.0 <= share_seen <= 1.0 or n < 0.0:
        raise ValueError(f"share_seen is {share_seen} of n = {n}; give a share in 0..1 of at least 0 cases")
    tail, new = (1.0 - share("confidence", confidence)) / 2.0, max(1, round(n))
    yes, no = share_seen * n + 0.5, (1.0 - share_seen) * n + 0.5
    k = np.arange(new)
    steps = np.log(new - k) - np.log(k + 1) + np.log(k + yes) - np.log(new - k - 1 + no)
    logs = np.concatenate([[0.0], np.cumsum(steps)])  # log P(k) less log P(0)
    chance = np.exp(logs - logs.max())
    at_most = np.cumsum(chance / chance.sum())
    low, high = np.searchsorted(at_most, (tail, 1.0 - tail))
    return float(low / new), float(min(high, new) / new)


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes} of n = {n}; give 0 <= successes <= n")
