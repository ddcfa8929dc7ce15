"""Challenger against champion on the same cases: log-loss, Brier, ECE in its band, no channel or stage left behind.

Differences are challenger less champion, so below zero is better; intervals are of a paired bootstrap over customers
(Davison & Hinkley 1997, section 3.8; Efron & Tibshirani 1993, chapter 16). One rule everywhere: a challenger is worse
where it is worse by more than matters, and by more than the luck of the draw. Asks nobody: cases.py did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence import metrics
from models.confidence.binomial import clopper_pearson
from models.insight import ReleasePolicy
from training.evaluate import ECE_BINS, ece_figures
from training.gate.cases import Cases, Floats, Named, Sets
from training.gate.check import Check, judged, not_asked
from training.policies import GatePolicy

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of mean losses with its 95 % interval; the interval is the mean where one customer is all."""

    mean: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """The standard error that the interval speaks of."""
        return (self.high - self.low) / (2 * _NORMAL.inv_cdf(0.975))

    @property
    def p_value(self) -> float:
        """How often so large a loss would come by luck though there is none (one-sided)."""
        if self.error <= 0:
            return 0.0 if self.mean > 0 else 1.0
        return 1.0 - _NORMAL.cdf(self.mean / self.error)

    def to_dict(self) -> dict[str, Any]:
        return {"mean": round(self.mean, 5), "interval": [round(self.low, 5), round(self.high, 5)]}

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} .. {self.high:+.4f})"


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which of these count so that, of all looked at, one counts falsely at most as often as `level` (Holm 1979).

    Stricter than a false-discovery rate, since one channel is enough to refuse; holds however alike the parts are.

    >>> holm([0.001, 0.2, 0.02], 0.05)
    [True, False, True]
    """
    order = sorted(range(len(p_values)), key=lambda row: p_values[row])
    counts = [False] * len(p_values)
    for rank, row in enumerate(order):
        if p_values[row] > level / (len(p_values) - rank):
            break
        counts[row] = True
    return counts


def compared(cases: Cases, policy: GatePolicy, rng: np.random.Generator) -> Iterator[Check]:
    """Every check that these cases allow."""
    n = len(cases.label)
    if cases.named is not None and cases.named.cases >= policy.least_cases:
        yield _named(cases, cases.named, policy)
    if cases.sets is not None and len(cases.sets.challenger) >= policy.least_cases:
        yield _coverage(cases, cases.sets, policy)
    if n < policy.least_cases or len(np.unique(cases.customer)) < 2:
        told = f"{n} recent cases; {policy.least_cases} are needed to compare by"
        yield not_asked(cases.question, "log-loss", told, n=n)
        return
    both = (cases.challenger, cases.champion)
    ours, theirs = (_log_losses(said, cases) for said in both)
    squared = [metrics.brier_losses(said, cases.label) for said in both]
    nats = difference(ours, theirs, cases.customer, policy, rng)
    brier = difference(squared[0], squared[1], cases.customer, policy, rng)
    yield _paired(cases, "log-loss", (ours, theirs), nats, policy.worse_nats, policy)
    yield _paired(cases, "Brier", (squared[0], squared[1]), brier, policy.worse_brier, policy)
    better = all(one.p_value >= 1.0 - policy.luck_share for one in (nats, brier))
    yield _calibration(cases, better, policy, rng)
    yield _segments(cases, ours, theirs, policy, rng)


def difference(
    ours: Floats, theirs: Floats, customer: NDArray[np.int64], policy: GatePolicy, rng: np.random.Generator
) -> Difference:
    """The paired difference of two losses (n,).

    >>> rng, who = np.random.default_rng(0), np.arange(50)
    >>> found = difference(np.full(50, 0.4), np.full(50, 0.5), who, GatePolicy(), rng)
    >>> round(found.mean, 3), found.p_value
    (-0.1, 1.0)
    """
    if len(np.unique(customer)) < 2:
        mean = float(np.mean(ours - theirs))
        return Difference(mean, mean, mean)
    return Difference(*metrics.paired_bootstrap(ours, theirs, customer, rng, policy.draws))


def _log_losses(said: Floats, cases: Cases) -> Floats:
    if said.ndim == 1:
        return metrics.binary_log_losses(said, cases.label)
    return metrics.log_losses(said, cases.label)


def _named(cases: Cases, named: Named, policy: GatePolicy) -> Check:
    """What the champion has a name for, the challenger must have one for too."""
    lost = named.champion_alone / named.cases
    told = (
        f"of {named.cases} recent cases the champion alone has a name for {named.champion_alone}, the challenger alone "
        f"for {named.challenger_alone}; those that both can name are compared"
    )
    figures = {"cases": named.cases, "champion_alone": named.champion_alone, "challenger_alone": named.challenger_alone}
    return judged(cases.question, "names", lost <= policy.unnamed_share, told, **figures, allowed=policy.unnamed_share)


def _paired(
    cases: Cases, name: str, losses: tuple[Floats, Floats], found: Difference, margin: float, policy: GatePolicy
) -> Check:
    ours, theirs = losses
    passed = found.mean <= margin or found.p_value > policy.luck_share
    told = f"{ours.mean():.4f} against {theirs.mean():.4f}: {found}; at most {margin:+g}"
    if passed and found.mean > margin:
        told += f", but so much comes by luck in {found.p_value:.0%} of draws"
    seen = max(margin, _NORMAL.inv_cdf(1 - policy.luck_share) * found.error)
    figures = {"n": len(ours), "challenger": round(float(ours.mean()), 5), "champion": round(float(theirs.mean()), 5)}
    figures |= {"p_value": round(found.p_value, 5), "would_have_seen": round(seen, 5)}
    return judged(cases.question, name, passed, told, **figures, difference=found.to_dict(), allowed=margin)


def _calibration(cases: Cases, better: bool, policy: GatePolicy, rng: np.random.Generator) -> Check:
    """Within what chance alone would show, or hardly further out than the champion, or further out by luck.

    Log-loss and Brier score are proper and hold calibration in them; ECE is not: it grows where a bundle is right more
    often than it says. So it refuses none that both call surely better.
    """
    ours, theirs = (_ece(said, cases, rng) for said in (cases.challenger, cases.champion))
    allowed = ours["ece_in_band"] or ours["ece"] <= theirs["ece"] + policy.worse_ece
    band = f"{ours['ece_band'][0]:.4f} .. {ours['ece_band'][1]:.4f}"
    told = (
        f"{ours['ece']:.4f} against {theirs['ece']:.4f}; its band {band}; inside it, or at most {policy.worse_ece:+g}"
    )
    if allowed:
        return judged(cases.question, "ECE", True, told, challenger=ours, champion=theirs)
    if better:
        told += ", but log-loss and Brier score, which hold calibration in them, are surely lower"
        return judged(cases.question, "ECE", True, told, challenger=ours, champion=theirs)
    luck = _ece_by_luck(cases, policy, rng)
    told += f", but in {luck:.0%} of draws it is not above" if luck > policy.luck_share else ""
    figures = {"challenger": ours, "champion": theirs, "p_value": luck}
    return judged(cases.question, "ECE", luck > policy.luck_share, told, **figures)


def _ece_by_luck(cases: Cases, policy: GatePolicy, rng: np.random.Generator) -> float:
    """In what share of draws of customers the challenger's ECE is not above the champion's; bins are drawn anew."""
    both = [_claimed(said, cases) for said in (cases.challenger, cases.champion)]
    _, who = np.unique(cases.customer, return_inverse=True)
    many, above = int(who.max()) + 1, 0
    for _ in range(policy.draws):
        drawn = np.bincount(rng.integers(0, many, many), minlength=many)
        rows = np.repeat(np.arange(len(who)), drawn[who])
        ours, theirs = (metrics.ece(said[rows], held[rows], ECE_BINS) for said, held in both)
        above += ours > theirs
    return 1.0 - above / policy.draws


def _claimed(said: Floats, cases: Cases) -> tuple[Floats, NDArray[Any]]:
    """What was claimed and whether it held: a likelihood and its outcome, or the likeliest and whether it came."""
    if said.ndim == 1:
        return said, cases.label
    return said.max(axis=1), said.argmax(axis=1) == cases.label


def _ece(said: Floats, cases: Cases, rng: np.random.Generator) -> dict[str, Any]:
    return ece_figures(*_claimed(said, cases), rng, cases.customer)


def _segments(cases: Cases, ours: Floats, theirs: Floats, policy: GatePolicy, rng: np.random.Generator) -> Check:
    """No channel and no stage may be left behind; there are many, so luck is shared out among those that decide."""
    parts = [(kind, str(name), np.flatnonzero(names == name)) for kind, names in cases.segments.items()
             for name in np.unique(names)]  # fmt: skip
    found = [difference(ours[rows], theirs[rows], cases.customer[rows], policy, rng) for _, _, rows in parts]
    large = [_large(cases, rows, policy) for _, _, rows in parts]
    sure = iter(
        holm([one.p_value for one, decides in zip(found, large, strict=True) if decides], policy.segment_error_share)
    )
    worse, told = [], []
    for (kind, name, rows), one, decides in zip(parts, found, large, strict=True):
        lost = decides and next(sure) and one.mean > policy.segment_worse_nats
        told.append({"segment": kind, "name": name, "n": len(rows), "decides": decides, "worse": lost,
                     **one.to_dict()})  # fmt: skip
        if lost:
            worse.append(f"{kind} {name} {one}")
    none = f"none of {sum(large)} surely worse by more than {policy.segment_worse_nats}"
    small = len(parts) - sum(large)
    none += f"; {small} too small to decide" if small else ""
    return judged(cases.question, "segments", not worse, "; ".join(worse) or none, segments=told)


def _large(cases: Cases, rows: NDArray[np.int64], policy: GatePolicy) -> bool:
    """Whether a part can decide anything."""
    return (
        len(rows) >= policy.least_segment_cases
        and len(np.unique(cases.customer[rows])) >= policy.least_segment_customers
    )


def _coverage(cases: Cases, sets: Sets, policy: GatePolicy) -> Check:
    """The sets that would be served hold what came as often as promised, but for noise; or as often as the champion's,
    where the world moved away under both.
    """
    promised = ReleasePolicy().coverage
    held, before = float(sets.challenger.mean()), float(sets.champion.mean())
    low, high = clopper_pearson(int(sets.challenger.sum()), len(sets.challenger))
    passed = high >= promised - policy.coverage_lost_share or held >= before
    told = f"sets held {held:.3f} ({low:.3f} .. {high:.3f}) of what came, the champion's {before:.3f}; "
    told += f"promised {promised}"
    figures = {"coverage": round(held, 4), "interval": [round(low, 4), round(high, 4)], "champion": round(before, 4)}
    return judged(cases.question, "coverage", passed, told, **figures, promised=promised)
