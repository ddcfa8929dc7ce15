"""The time until the next touchpoint as a distribution: a mixture of log-normals, and a share that never comes.

Pure numpy over parameters that a net gives. Everything is conditioned on the silence so far. Works on the log of the
survival function, so that a silence of decades, where the survival is far below the smallest float, still gives
finite answers. Fits nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.journey.event import DAY, SECOND

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LONGEST_SECONDS = 3650.0 * DAY / SECOND
"""Times are told up to ten years; a quantile beyond, or of those who never come, is this."""
MIN_LOG_SIGMA, MAX_LOG_SIGMA = -3.0, 2.0
_NARROW = 1e-8
"""A quantile is found to this share of it."""
_TINY = 1e-200
"""Survival below this is worked out as a log, several times slower."""
_STEPS = np.linspace(0.0, np.log1p(LONGEST_SECONDS), 9)
"""Between which two of these, on a scale of log1p seconds, a quantile lies is looked at first."""

# Chebyshev fit of the complementary error function, relative error below 1.2e-7 everywhere (Press et al., Numerical
# Recipes in C, 2nd ed., section 6.2, `erfcc`), highest power first.
_ERFC = (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
         1.00002368, -1.26551223)  # fmt: skip


@dataclass(frozen=True)
class GapMixture:
    """The gap from the last touchpoint to the next, for C customers: log1p of its seconds is a mixture of M normals.

    log_weight (C, M+1)  of each component; the last is the share that never comes (Berkson & Gage 1952)
    mean       (C, M)    in log1p seconds
    sigma      (C, M)    above 0

    A log-normal mixture as in Shchur et al. 2020, "Intensity-free learning of temporal point processes".
    """

    log_weight: Floats
    mean: Floats
    sigma: Floats

    @classmethod
    def of(cls, parameters: NDArray[np.floating]) -> GapMixture:
        """From the (C, 3M+1) numbers of a net: M+1 log weights, M means, M log sigmas."""
        components = (parameters.shape[1] - 1) // 3
        wide = parameters.astype(np.float64)
        weight, mean, log_sigma = np.split(wide, [components + 1, 2 * components + 1], axis=1)
        return cls(weight - _log_sum(weight)[:, None], mean, np.exp(np.clip(log_sigma, MIN_LOG_SIGMA, MAX_LOG_SIGMA)))

    def log_survival(self, seconds: Floats) -> Floats:
        """(C,) log P(gap > seconds); 0 at no silence at all."""
        z = (np.log1p(seconds)[:, None] - self.mean) / self.sigma
        weight = np.exp(self.log_weight)
        survival = (weight[:, :-1] * normal_survival(z)).sum(axis=1) + weight[:, -1]
        tiny = np.flatnonzero(survival < _TINY)
        log_survival: Floats = np.log(np.maximum(survival, _TINY))
        if len(tiny):
            log_sf = np.concatenate([log_normal_survival(z[tiny]), np.zeros((len(tiny), 1))], axis=1)
            log_survival[tiny] = _log_sum(self.log_weight[tiny] + log_sf)
        return np.asarray(np.where(seconds > 0, np.minimum(log_survival, 0.0), 0.0), dtype=np.float64)

    def none_within(self, silence_seconds: Floats, horizon_seconds: float) -> Floats:
        """(C,) P(gap > silence + horizon | gap > silence): the chance that nothing comes within the horizon."""
        later = self.log_survival(silence_seconds + horizon_seconds) - self.log_survival(silence_seconds)
        return np.asarray(np.exp(np.minimum(later, 0.0)), dtype=np.float64)

    def quantiles(self, silence_seconds: Floats, levels: Floats) -> Floats:
        """(C, Q) seconds from now to the next touchpoint at these levels (Q,), at most ten years.

        >>> one = GapMixture(np.log([[1.0, 1e-300]]), np.array([[np.log1p(60.0)]]), np.array([[1.0]]))
        >>> one.quantiles(np.array([0.0]), np.array([0.5])).round(2)
        array([[60.]])
        """
        levels = np.asarray(levels, dtype=np.float64)
        rows = np.repeat(np.arange(len(self.mean)), len(levels))
        goal = self.log_survival(silence_seconds)[rows] + np.tile(np.log1p(-levels), len(self.mean))

        def later(row: Ints, points: Floats) -> Floats:
            """The log of what comes later than these points, on a scale of log1p, of these customers."""
            some = GapMixture(self.log_weight[row], self.mean[row], self.sigma[row])
            found: Floats = some.log_survival(silence_seconds[row] + np.expm1(points))
            return found

        each = np.repeat(np.arange(len(self.mean)), len(_STEPS))
        steps = later(each, np.tile(_STEPS, len(self.mean))).reshape(-1, len(_STEPS))
        found = _crossings(lambda which, at: later(rows[which], at) - goal[which], steps[rows] - goal[:, None])
        return np.asarray(np.expm1(found).reshape(len(self.mean), len(levels)), dtype=np.float64)


def _crossings(above: Callable[[Ints, Floats], Floats], at_steps: Floats) -> Floats:
    """(count,) where each of so many falling functions crosses 0; the last of `_STEPS` where one stays above.

    `at_steps` (count, steps) is what they are there. Between two steps by Chandrupatla 1997, "A new hybrid
    quadratic/bisection algorithm": inverse quadratic interpolation where the last three points allow it, else the
    middle. Each goes its own way, so one alone ends where it ends among many.
    """
    which, higher = np.arange(len(at_steps)), (at_steps > 0).sum(axis=1)
    after, before = np.minimum(higher, len(_STEPS) - 1), np.maximum(higher - 1, 0)
    found: Floats = _STEPS[after]
    a, b, at_a, at_b = _STEPS[after], _STEPS[before], at_steps[which, after], at_steps[which, before]
    inside = (at_a < 0) & (at_b > 0)
    which = which[inside]
    a, b, at_a, at_b = np.stack([a, b, at_a, at_b])[:, inside]
    step = np.full(len(a), 0.5)
    while len(which):
        point = a + step * (b - a)
        at_point = above(which, point)
        same = (at_point < 0) == (at_a < 0)
        c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
        b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
        a, at_a = point, at_point
        best = np.where(np.abs(at_a) < np.abs(at_b), a, b)
        narrow = _NARROW / np.abs(b - a)
        done = (narrow > 0.5) | (at_a == 0)
        found[which[done]] = best[done]
        step = np.clip(_next_step(a, b, c, at_a, at_b, at_c), narrow, 1 - narrow)
        which = which[~done]
        a, b, step, at_a, at_b = np.stack([a, b, step, at_a, at_b])[:, ~done]
    return found


def _next_step(a: Floats, b: Floats, c: Floats, at_a: Floats, at_b: Floats, at_c: Floats) -> Floats:
    """Where to look next, as a share of the way from a to b."""
    with np.errstate(divide="ignore", invalid="ignore"):
        xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
        smooth = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        quadratic = at_a / (at_b - at_a) * at_c / (at_b - at_c) + (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (
            at_c - at_b
        )
    return np.where(smooth, quadratic, 0.5)


def normal_survival(z: Floats) -> Floats:
    """P(Z > z) of a standard normal; 0 where it is below the smallest float.

    >>> normal_survival(np.array([0.0, 1.6448536, -1.6448536])).round(3)
    array([0.5 , 0.05, 0.95])
    """
    scale, exponent = _tail(z)
    tail = scale * np.exp(exponent)
    return np.asarray(np.where(z > 0, tail, 1.0 - tail), dtype=np.float64)


def log_normal_survival(z: Floats) -> Floats:
    """log P(Z > z) of a standard normal, finite however large z is.

    >>> log_normal_survival(np.array([0.0, 1.6448536, 100.0])).round(3)
    array([-6.930000e-01, -2.996000e+00, -5.005524e+03])
    """
    scale, exponent = _tail(z)
    log_tail = np.log(scale) + exponent
    other: Floats = np.log1p(-np.exp(np.minimum(log_tail, -np.log(2.0))))
    return np.asarray(np.where(z > 0, log_tail, other), dtype=np.float64)


def _tail(z: Floats) -> tuple[Floats, Floats]:
    """Scale and exponent: P(Z > |z|) is scale * exp(exponent)."""
    x = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.5 * x)
    return 0.5 * t, np.polyval(_ERFC, t) - x * x


def _log_sum(terms: Floats) -> Floats:
    top = terms.max(axis=1)
    total: Floats = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
    return total
