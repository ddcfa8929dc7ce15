"""Measure how long it took until the next touchpoint came, in log1p seconds, beside the gaps that were seen before.

Only touchpoints that came are asked about, so both answers are taken given that it came while the log was watched: a
gap that outlasts the log is not among the cases. Both are scored as 101 quantiles, so that neither gains by its form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.confidence import metrics
from models.predictors.baseline import LEVELS, EmpiricalGaps
from models.predictors.gap import LONGEST_SECONDS, GapMixture
from models.predictors.next_touchpoint import NextTouchpointPredictor
from training.measure import figures
from training.measure.asked import Asked
from training.measure.figures import Floats

_GRID = np.linspace(0.0, np.log1p(LONGEST_SECONDS), 400)  # log1p seconds, finer than the narrowest component
_LEAST = 1e-9


def gap_report(
    predictor: NextTouchpointPredictor, before: EmpiricalGaps, asked: Asked, rng: np.random.Generator
) -> dict[str, Any]:
    """CRPS and absolute error of the median: ours, beside the gaps that followed each kind of touchpoint before."""
    observed, watched = np.log1p(asked.wait_seconds), np.log1p(asked.watched_seconds())
    ends = np.cumsum([0, *(len(as_of) for _, as_of in asked.histories())])
    ours = np.concatenate(
        [
            mixture_quantiles(predictor.gap(seen, as_of)[0], watched[start:end])
            for (seen, as_of), start, end in zip(asked.histories(), ends[:-1], ends[1:], strict=True)
        ]
    )
    rows = asked.sequences(predictor.vocabulary, 1)
    seen_before = np.log1p(before.quantiles(rows.tokens, rows.lengths, LEVELS))
    theirs = empirical_quantiles(seen_before, watched)
    losses = {
        name: {"crps": metrics.crps_losses(of, observed), "mae": np.abs(of[:, len(LEVELS) // 2] - observed)}
        for name, of in (("ours", ours), ("theirs", theirs))
    }
    who, scores = asked.customer, ("crps", "mae")
    return {
        "n": len(observed),
        **{one: figures.mean(losses["ours"][one], who, rng) for one in scores},
        "empirical": {one: figures.mean(losses["theirs"][one], who, rng) for one in scores},
        "difference": {one: figures.difference(losses["ours"][one], losses["theirs"][one], who, rng) for one in scores},
    }


def mixture_quantiles(gap: GapMixture, watched: Floats) -> Floats:
    """(n, 101) quantiles in log1p seconds of gaps that end within `watched` (n,) log1p seconds."""
    n = len(watched)
    below = np.stack([-np.expm1(gap.log_survival(np.full(n, np.expm1(at)))) for at in _GRID], axis=1)
    inside = np.maximum(-np.expm1(gap.log_survival(np.expm1(watched))), _LEAST)
    share = np.minimum(below / inside[:, None], 1.0)
    quantiles = np.stack([np.interp(LEVELS, row, _GRID) for row in share]) if n else np.empty((0, len(LEVELS)))
    return np.asarray(np.minimum(quantiles, watched[:, None]), dtype=np.float64)


def empirical_quantiles(before: Floats, watched: Floats) -> Floats:
    """(n, 101) the same of gaps seen before, given as their quantiles (n, 101) at the same levels.

    >>> before = np.arange(101.0)[None] / 100
    >>> empirical_quantiles(before, np.array([0.5]))[0, [0, 50, 100]].round(2)
    array([0.  , 0.25, 0.5 ])
    """
    found = np.empty_like(before)
    for row, (known, end) in enumerate(zip(before, watched, strict=True)):
        inside = float(np.interp(end, known, LEVELS, left=_LEAST, right=1.0))
        found[row] = np.interp(LEVELS * inside, LEVELS, known)
    return np.asarray(np.minimum(found, watched[:, None]), dtype=np.float64)
