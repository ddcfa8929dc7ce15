"""How good told probabilities turned out to be, once their horizon had passed: overall, and for each group of cases.

Pure: takes what was told and what happened. Used by the service on what it served and by training on an export of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.confidence.binomial import clopper_pearson

BINS = 10
ECE_DRAWS = 200
LIFT_SHARE = 0.1
LEAST_OF_EACH = 20
"""Of fewer cases that happened, or that did not, a group tells how many there are and nothing else."""

Floats = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Checked:
    """n told probabilities with their intervals (low, high), and whether it `happened` (n,) within the horizon.

    `customer` (n,) says whose they are: cases of one customer are alike. `by` names groups: {"channel": (n,), …}.
    """

    probability: Floats
    low: Floats
    high: Floats
    happened: NDArray[np.bool_]
    customer: Names
    by: Mapping[str, Names]

    def of(self, rows: NDArray[np.bool_]) -> Checked:
        """Some of the cases, without groups."""
        return Checked(
            self.probability[rows], self.low[rows], self.high[rows], self.happened[rows], self.customer[rows], {}
        )

    def __len__(self) -> int:
        return len(self.happened)


def quality(checked: Checked, rng: np.random.Generator) -> dict[str, Any]:
    """Figures of all cases, and under `by` those of each group, by kind and name.

    >>> told = np.tile([0.1, 0.9], 50)
    >>> came = np.tile([False] * 9 + [True], 10)
    >>> names = np.arange(100).astype(str)
    >>> cases = Checked(told, told - 0.05, told + 0.05, came, names, {"channel": np.repeat(["web"], 100)})
    >>> found = quality(cases, np.random.default_rng(0))
    >>> found["n"], found["happened"], found["measured"], found["by"]["channel"]["web"]["n"]
    (100, 10, False, 100)
    """
    by = {
        kind: {str(name): _figures(checked.of(names == name), rng) for name in np.unique(names)}
        for kind, names in checked.by.items()
    }
    return {**_figures(checked, rng), "by": by}


def _figures(checked: Checked, rng: np.random.Generator) -> dict[str, Any]:
    n, happened = len(checked), int(checked.happened.sum())
    counted = {
        "n": n, "customers": len(np.unique(checked.customer)), "happened": happened,
        "share": _round(happened / n) if n else None,
        "mean_probability": _round(checked.probability.mean()) if n else None,
    }  # fmt: skip
    if min(happened, n - happened) < LEAST_OF_EACH:
        return {**counted, "measured": False}
    return {**counted, "measured": True, **_ranking(checked, rng), **_calibration(checked, rng)}


def _ranking(checked: Checked, rng: np.random.Generator) -> dict[str, Any]:
    """AUC with its interval, and how much more often it happened among the tenth told to be likeliest."""
    ranked = metrics.auc_interval(checked.probability, checked.happened, checked.customer, rng)
    top = np.argsort(-checked.probability, kind="stable")[: max(1, round(LIFT_SHARE * len(checked)))]
    lift = checked.happened[top].mean() / checked.happened.mean()
    return {
        "auc": _round(ranked.mean), "auc_interval": [_round(ranked.low), _round(ranked.high)],
        "lift": {"share": LIFT_SHARE, "times": _round(lift)},
    }  # fmt: skip


def _calibration(checked: Checked, rng: np.random.Generator) -> dict[str, Any]:
    """Brier score and its skill against the share that happened (Brier 1950; Murphy 1973), ECE in its band, bins."""
    share = checked.happened.mean()
    brier = metrics.brier(checked.probability, checked.happened)
    band = metrics.ece_band(checked.probability, BINS, ECE_DRAWS, rng)
    ece = metrics.ece(checked.probability, checked.happened, BINS)
    bins = calibration_bins(checked)
    return {
        "brier": _round(brier), "brier_skill": _round(1.0 - brier / (share * (1.0 - share))),
        "ece": _round(ece), "ece_band": [_round(band.low), _round(band.high)], "ece_in_band": bool(ece <= band.high),
        "bins": bins, "bins_inside": _round(float(np.mean([one["inside"] for one in bins]))),
    }  # fmt: skip


def calibration_bins(checked: Checked, bins: int = BINS) -> list[dict[str, Any]]:
    """Cases in bins of equal size, from unlikely to likely: what was told on average, and what share happened.

    `inside` says whether that share lies in the bin's mean interval; `observed_interval` is exact binomial, 95 %.
    """
    found = []
    for rows in np.array_split(np.argsort(checked.probability, kind="stable"), min(bins, len(checked))):
        happened = int(checked.happened[rows].sum())
        share = happened / len(rows)
        low, high = float(checked.low[rows].mean()), float(checked.high[rows].mean())
        found.append({
            "n": len(rows), "mean_probability": _round(checked.probability[rows].mean()),
            "interval": [_round(low), _round(high)], "observed": _round(share),
            "observed_interval": [_round(end) for end in clopper_pearson(happened, len(rows))],
            "inside": bool(low <= share <= high),
        })  # fmt: skip
    return found


def _round(value: float) -> float:
    return round(float(value), 4)
