"""Two windows of one thing, or what was told beside what came: how far apart, from 0 to 1, and a p-value.

Numbers by Kolmogorov and Smirnov's test, names by a chi-squared test with total variation as the distance, likelihoods
by their calibration error. All take cases for independent, so each customer gives one case a window. What a shift means
is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from models.confidence.metrics import ece
from models.confidence.shift import benjamini_hochberg, kolmogorov_smirnov

Kind = Literal["inputs", "predictions", "calibration", "labels"]
LEAST_EXPECTED = 5.0
"""Rarer names are counted together: the test is not to be trusted where fewer cases are to be expected."""
TOLD_BINS, TOLD_DRAWS = 5, 2000


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing compared: with a window before or, where `against` says so, with what was told.

    `real` is set for all at once, so that false alarms stay a share of what is told.
    """

    kind: Kind
    name: str
    distance: float
    p_value: float
    before: int
    now: int
    told: str = ""
    real: bool = False
    against: Literal["before", "told"] = "before"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "distance": round(self.distance, 4),
                "p_value": float(f"{self.p_value:.2g}"), "cases_before": self.before, "cases_now": self.now,
                "told": self.told, "real": self.real, "against": self.against}  # fmt: skip


def of_numbers(kind: Kind, name: str, samples: Iterable[NDArray[Any]]) -> Shift:
    """Two samples of numbers, (m,) before and (n,) now.

    >>> of_numbers("inputs", "visits", [np.arange(50.0), np.arange(50.0) + 40.0]).distance
    0.8
    """
    before, now = samples
    distance, p_value = kolmogorov_smirnov(before.astype(np.float64), now.astype(np.float64))
    middles, means = ([f"{measure(one):.4g}" for one in (before, now)] for measure in (np.median, np.mean))
    told = f"mean {means[0]} before, {means[1]} now"
    if middles[0] != middles[1]:
        told = f"median {middles[0]} before, {middles[1]} now; {told}"
    return Shift(kind, name, distance, p_value, len(before), len(now), told)


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


def of_told(name: str, told: NDArray[np.float64], came: NDArray[Any], rng: np.random.Generator) -> Shift:
    """Told probabilities (n,) and whether it came (n,): their calibration error beyond what luck makes of it.

    The distance is that error as a share of what is rarer, coming or not coming, as told or as it was: 2 % that become
    4 % matter as 20 % that become 40 %. The p-value is the share of draws, under what was told, with at least such an
    error in bins of equal mass (the consistency resampling of Bröcker & Smith 2007).

    >>> rng = np.random.default_rng(0)
    >>> told = rng.uniform(0.1, 0.3, 400)
    >>> off, well = (of_told("visit", told, rng.random(400) < told + more, rng) for more in (0.2, 0.0))
    >>> off.p_value, round(off.distance, 1), off.told, well.p_value > 0.05
    (0.0005, 0.4, 'told 20.6 % on average, came 40.2 %', True)
    """
    found = ece(told, came, TOLD_BINS)
    lucky = np.array([ece(told, rng.random(len(told)) < told, TOLD_BINS) for _ in range(TOLD_DRAWS)])
    p_value = float((1 + (lucky >= found).sum()) / (1 + TOLD_DRAWS))
    shares = np.array([told.mean(), np.mean(came)])
    rarer = shares.max() if shares[0] <= 0.5 else (1.0 - shares).max()
    beyond = min(1.0, max(0.0, found - float(lucky.mean())) / max(float(rarer), 1e-12))
    words = f"told {shares[0]:.1%} on average, came {shares[1]:.1%}".replace("%", " %")
    return Shift("calibration", name, beyond, round(p_value, 4), 0, len(told), words, against="told")


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
    """The same, `real` where Benjamini & Hochberg (1995) keep it within its kind; the surest first.

    Each kind gets an equal part of `false_share`, so that a hundred inputs drown no shift of the few labels. Of all
    that is kept at most `false_share` is false on average: the share of a whole is at most the sum of those of parts.
    """
    kinds = [[one for one in shifts if one.kind == kind] for kind in dict.fromkeys(one.kind for one in shifts)]
    found = []
    for some in kinds:
        kept = benjamini_hochberg(np.array([one.p_value for one in some]), false_share / len(kinds))
        found += [replace(one, real=bool(real)) for one, real in zip(some, kept, strict=True)]
    return sorted(found, key=lambda one: (not one.real, one.p_value, -one.distance, one.name))
