"""The time until the next touchpoint as a distribution: a mixture of log-normals, and a share that never comes.

Pure numpy over parameters that a net gives. Everything is conditioned on the silence so far. Works on the log of the
survival function, so that a silence of decades, where the survival is far below the smallest float, still gives
finite answers. Fits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.journey.event import DAY, SECOND

Floats = NDArray[np.float64]

LONGEST_SECONDS = 3650.0 * DAY / SECOND
"""Times are told up to ten years; a quantile beyond, or of those who never come, is this."""
MIN_LOG_SIGMA, MAX_LOG_SIGMA = -3.0, 2.0
_STEPS = 36  # halvings of [0, log1p(ten years)]: to 3e-10 of the answer
_POINTS = 2048  # at so many at once numpy is as fast for each as at more

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
        """(C, Q) seconds from now to the next touchpoint at these levels (Q,), at most ten years; by bisection.

        Few rows are cut into more than two parts at a time: one look at many points costs little more than at one.

        >>> one = GapMixture(np.log([[1.0, 1e-300]]), np.array([[np.log1p(60.0)]]), np.array([[1.0]]))
        >>> one.quantiles(np.array([0.0]), np.array([0.5])).round(2)
        array([[60.]])
        """
        levels = np.asarray(levels, dtype=np.float64)
        asked = len(self.mean) * len(levels)
        halvings = max((n for n in (6, 4, 3, 2, 1) if asked * 2**n <= _POINTS), default=1)
        parts = 2**halvings
        rows = np.repeat(np.arange(len(self.mean)), len(levels) * (parts - 1))
        flat = GapMixture(self.log_weight[rows], self.mean[rows], self.sigma[rows])
        silence = silence_seconds[rows]
        goal = np.repeat(self.log_survival(silence_seconds), len(levels)) + np.tile(np.log1p(-levels), len(self.mean))
        low, width = np.zeros(asked), np.log1p(LONGEST_SECONDS)
        for _ in range(_STEPS // halvings):
            width /= parts
            points = (low[:, None] + width * np.arange(1, parts)).ravel()
            not_yet = flat.log_survival(silence + np.expm1(points)).reshape(asked, parts - 1) > goal[:, None]
            low = low + width * not_yet.sum(axis=1)
        return np.asarray(np.expm1(low + width).reshape(len(self.mean), len(levels)), dtype=np.float64)


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
