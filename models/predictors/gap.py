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
        log_sf = np.concatenate([log_normal_survival(z), np.zeros((len(z), 1))], axis=1)
        survival: Floats = np.where(seconds > 0, np.minimum(_log_sum(self.log_weight + log_sf), 0.0), 0.0)
        return survival

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

        def not_yet(which: Ints, points: Floats) -> Floats:
            """Above 0 where more of the mass than asked for comes later than this point, on a scale of log1p."""
            row = rows[which]
            some = GapMixture(self.log_weight[row], self.mean[row], self.sigma[row])
            above: Floats = some.log_survival(silence_seconds[row] + np.expm1(points)) - goal[which]
            return above

        found = _crossings(not_yet, len(rows), float(np.log1p(LONGEST_SECONDS)))
        return np.asarray(np.expm1(found).reshape(len(self.mean), len(levels)), dtype=np.float64)


def _crossings(above: Callable[[Ints, Floats], Floats], count: int, end: float) -> Floats:
    """(count,) where each of so many falling functions crosses 0 between 0 and `end`; `end` where one stays above.

    By Chandrupatla 1997, "A new hybrid quadratic/bisection algorithm": inverse quadratic interpolation where the last
    three points allow it, else the middle. Each goes its own way, so one alone ends where it ends among many.
    """
    which = np.arange(count)
    found = np.full(count, end)
    a, b, step = np.full(count, end), np.zeros(count), np.full(count, 0.5)
    at_a, at_b = above(which, a), above(which, b)
    inside = (at_a < 0) & (at_b > 0)
    found[at_b <= 0] = 0.0
    which = which[inside]
    a, b, step, at_a, at_b = np.stack([a, b, step, at_a, at_b])[:, inside]
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


def log_normal_survival(z: Floats) -> Floats:
    """log P(Z > z) of a standard normal, finite however large z is.

    >>> log_normal_survival(np.array([0.0, 1.6448536, 100.0])).round(3)
    array([-6.930000e-01, -2.996000e+00, -5.005524e+03])
    """
    x = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.5 * x)
    log_tail = np.log(0.5 * t) - x * x + np.polyval(_ERFC, t)  # log P(Z > |z|)
    other: Floats = np.log1p(-np.exp(np.minimum(log_tail, -np.log(2.0))))
    return np.asarray(np.where(z > 0, log_tail, other), dtype=np.float64)


def _log_sum(terms: Floats) -> Floats:
    top = terms.max(axis=1)
    total: Floats = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
    return total
