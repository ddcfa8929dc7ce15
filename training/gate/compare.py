"""Challenger against champion on the same cases: log-loss, Brier, ECE in its band, no channel or stage left behind.

Differences are challenger less champion, so below zero is better; intervals are of a paired bootstrap over customers
(Davison & Hinkley 1997, section 3.8; Efron & Tibshirani 1993, chapter 16). Asks nobody: cases.py did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.confidence.binomial import clopper_pearson
from models.insight import ReleasePolicy
from training.evaluate import ece_figures
from training.gate.cases import Cases, Floats
from training.gate.check import Check, judged, not_asked
from training.policies import GatePolicy


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of mean losses with its 95 % interval; the interval is the mean where one customer is all."""

    mean: float
    low: float
    high: float

    @property
    def surely_worse(self) -> bool:
        return self.low > 0

    def surely_worse_of(self, looks: int) -> bool:
        """The same where so many are looked at, the level shared among them (Bonferroni)."""
        error = (self.high - self.low) / (2 * NormalDist().inv_cdf(0.975))
        return self.mean > NormalDist().inv_cdf(1 - 0.025 / max(1, looks)) * error

    def to_dict(self) -> dict[str, Any]:
        return {"mean": round(self.mean, 5), "interval": [round(self.low, 5), round(self.high, 5)]}

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} .. {self.high:+.4f})"


def compared(cases: Cases, policy: GatePolicy, rng: np.random.Generator) -> Iterator[Check]:
    """Every check that these cases allow."""
    n = len(cases.label)
    if n < policy.least_cases or len(np.unique(cases.customer)) < 2:
        told = f"{n} recent cases; {policy.least_cases} are needed to compare by"
        yield not_asked(cases.question, "log-loss", told, n=n)
        return
    losses = {name: _log_losses(said, cases) for name, said in (("a", cases.challenger), ("b", cases.champion))}
    yield _paired(cases, "log-loss", losses["a"], losses["b"], policy.worse_nats, policy, rng)
    squared = [metrics.brier_losses(said, cases.label) for said in (cases.challenger, cases.champion)]
    yield _paired(cases, "Brier", squared[0], squared[1], policy.worse_brier, policy, rng)
    yield _calibration(cases, policy, rng)
    yield _segments(cases, losses["a"], losses["b"], policy, rng)
    if cases.covered is not None:
        yield _coverage(cases, cases.covered, policy)


def difference(
    ours: Floats, theirs: Floats, customer: NDArray[np.int64], policy: GatePolicy, rng: np.random.Generator
) -> Difference:
    """The paired difference of two losses (n,).

    >>> rng, who = np.random.default_rng(0), np.arange(50)
    >>> found = difference(np.full(50, 0.4), np.full(50, 0.5), who, GatePolicy(), rng)
    >>> round(found.mean, 3), found.surely_worse
    (-0.1, False)
    """
    if len(np.unique(customer)) < 2:
        mean = float(np.mean(ours - theirs))
        return Difference(mean, mean, mean)
    return Difference(*metrics.paired_bootstrap(ours, theirs, customer, rng, policy.draws))


def _log_losses(said: Floats, cases: Cases) -> Floats:
    if said.ndim == 1:
        return metrics.binary_log_losses(said, cases.label)
    return metrics.log_losses(said, cases.label)


def _paired(
    cases: Cases, name: str, ours: Floats, theirs: Floats, margin: float, policy: GatePolicy, rng: np.random.Generator
) -> Check:
    found = difference(ours, theirs, cases.customer, policy, rng)
    passed = found.mean <= margin and not (found.surely_worse and found.mean > margin / 2)
    allowed = f"at most {margin:+g}, and not surely worse by over half of that"
    told = f"{ours.mean():.4f} against {theirs.mean():.4f}: {found}; {allowed}"
    figures = {"n": len(ours), "challenger": round(float(ours.mean()), 5), "champion": round(float(theirs.mean()), 5)}
    return judged(cases.question, name, passed, told, **figures, difference=found.to_dict(), allowed=margin)


def _calibration(cases: Cases, policy: GatePolicy, rng: np.random.Generator) -> Check:
    """Within what chance alone would show, or hardly further out than the champion."""
    ours, theirs = (_ece(said, cases, rng) for said in (cases.challenger, cases.champion))
    passed = ours["ece_in_band"] or ours["ece"] <= theirs["ece"] + policy.worse_ece
    band = f"{ours['ece_band'][0]:.4f} .. {ours['ece_band'][1]:.4f}"
    told = (
        f"{ours['ece']:.4f} against {theirs['ece']:.4f}; its band {band}; inside it, or at most {policy.worse_ece:+g}"
    )
    return judged(cases.question, "ECE", passed, told, challenger=ours, champion=theirs)


def _ece(said: Floats, cases: Cases, rng: np.random.Generator) -> dict[str, Any]:
    if said.ndim == 1:
        return ece_figures(said, cases.label, rng, cases.customer)
    return ece_figures(said.max(axis=1), said.argmax(axis=1) == cases.label, rng, cases.customer)


def _segments(cases: Cases, ours: Floats, theirs: Floats, policy: GatePolicy, rng: np.random.Generator) -> Check:
    worse, told = [], []
    parts = [(kind, name, np.flatnonzero(names == name)) for kind, names in cases.segments.items()
             for name in np.unique(names)]  # fmt: skip
    deciding = sum(_large(cases, rows, policy) for _, _, rows in parts)
    for kind, name, rows in parts:
        found = difference(ours[rows], theirs[rows], cases.customer[rows], policy, rng)
        large = _large(cases, rows, policy)
        lost = large and found.surely_worse_of(deciding) and found.mean > policy.segment_worse_nats
        told.append({"segment": kind, "name": str(name), "n": len(rows), "decides": large, "worse": lost,
                     **found.to_dict()})  # fmt: skip
        if lost:
            worse.append(f"{kind} {name} {found}")
    said = "; ".join(worse) if worse else f"none of {len(told)} surely worse by more than {policy.segment_worse_nats}"
    return judged(cases.question, "segments", not worse, said, segments=told)


def _large(cases: Cases, rows: NDArray[np.int64], policy: GatePolicy) -> bool:
    """Whether a part can decide anything."""
    return (
        len(rows) >= policy.least_segment_cases
        and len(np.unique(cases.customer[rows])) >= policy.least_segment_customers
    )


def _coverage(cases: Cases, covered: NDArray[np.bool_], policy: GatePolicy) -> Check:
    """The sets that would be served hold what came as often as promised, but for noise."""
    promised = ReleasePolicy().coverage
    low, high = clopper_pearson(int(covered.sum()), len(covered))
    least = promised - policy.coverage_lost_share
    told = f"sets held {covered.mean():.3f} ({low:.3f} .. {high:.3f}) of what came; promised {promised}"
    figures = {"coverage": round(float(covered.mean()), 4), "interval": [round(low, 4), round(high, 4)]}
    return judged(cases.question, "coverage", high >= least, told, **figures, promised=promised)
