"""Two windows of one thing, and how far apart they are: a distance from 0 to 1 and a p-value.

Numbers by Kolmogorov and Smirnov's test, names by a chi-squared test with total variation as the distance. Both take
cases for independent, so each customer gives one case a window. What a shift means is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from models.confidence.shift import benjamini_hochberg, kolmogorov_smirnov

Kind = Literal["inputs", "predictions", "calibration", "labels"]
LEAST_EXPECTED = 5.0
"""Rarer names are counted together: the test is not to be trusted where fewer cases are to be expected."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing compared. `real` is set for all at once, so that false alarms stay a share of what is told."""

    kind: Kind
    name: str
    distance: float
    p_value: float
    before: int
    now: int
    told: str = ""
    real: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "distance": round(self.distance, 4),
                "p_value": float(f"{self.p_value:.2g}"), "cases_before": self.before, "cases_now": self.now,
                "told": self.told, "real": self.real}  # fmt: skip


def of_numbers(kind: Kind, name: str, samples: Iterable[NDArray[Any]]) -> Shift:
    """Two samples of numbers, (m,) before and (n,) now.

    >>> of_numbers("inputs", "visits", [np.arange(50.0), np.arange(50.0) + 40.0]).distance
    0.8
    """
    before, now = samples
    distance, p_value = kolmogorov_smirnov(before.astype(np.float64), now.astype(np.float64))
    middle = f"median {np.median(before):.3g} before, {np.median(now):.3g} now"
    means = f"mean {before.mean():.3g} before, {now.mean():.3g} now"
    return Shift(kind, name, distance, p_value, len(before), len(now), f"{middle}; {means}")


def of_names(kind: Kind, name: str, samples: Iterable[Sequence[str]]) -> Shift:
    """Two samples of names, before and now; what moved most is told.

    >>> of_names("labels", "answers", [["a"] * 50 + ["b"] * 50, ["a"] * 90 + ["b"] * 10]).told
    'a from 50 % to 90 %'
    """
    before, now = samples
    every = sorted(set(before) | set(now))
    counts = np.array([[list(some).count(one) for one in every] for some in (before, now)], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    moved = shares[1] - shares[0]
    most = int(np.argmax(np.abs(moved)))
    told = f"{every[most]} from {shares[0, most]:.0%} to {shares[1, most]:.0%}".replace("%", " %")
    return Shift(kind, name, float(np.abs(moved).sum() / 2), _p_value(counts), len(before), len(now), told)


def _p_value(counts: NDArray[np.float64]) -> float:
    """Of a table (2, K), rare columns counted together."""
    least = counts.sum(axis=0) * counts.sum(axis=1).min() / max(counts.sum(), 1.0)
    rare = least < LEAST_EXPECTED
    table = np.concatenate([counts[:, ~rare], counts[:, rare].sum(axis=1, keepdims=True)], axis=1)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    return float(chi2_contingency(table, correction=False).pvalue)


def told_apart(shifts: Sequence[Shift], false_share: float) -> list[Shift]:
    """The same, `real` where Benjamini & Hochberg (1995) keep it; the surest first."""
    if not shifts:
        return []
    kept = benjamini_hochberg(np.array([one.p_value for one in shifts]), false_share)
    found = [
        Shift(one.kind, one.name, one.distance, one.p_value, one.before, one.now, one.told, bool(real))
        for one, real in zip(shifts, kept, strict=True)
    ]
    return sorted(found, key=lambda one: (not one.real, one.p_value, -one.distance, one.name))
