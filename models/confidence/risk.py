"""Selective risk: which answers may go out without a person, with a bound on how many of them are wrong.

A threshold on a score is released only where labels of randomly chosen cases prove it, by an exact binomial test and
fixed-sequence testing (Learn then Test: Angelopoulos et al. 2021; selection with guaranteed risk: Geifman & El-Yaniv
2017). How much risk to accept is the operator's choice, made later: the bundle keeps the table, not the threshold.
Labels must come from cases drawn at random, not from those a person happened to look at.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.confidence.arrays import Flags, Floats, Groups, Ints, Labels, Reals, flags, group_names, reals, share
from models.confidence.binomial import binomial_cdf, upper_bound

ALL = "all"
MINIMUM_GROUP = 200
"""Fewer labels give a group no rule of its own: one or two mistakes would decide it."""
_FIRST_SHARE = (
    5  # the strictest threshold tested releases one in five of the labelled cases, or the least that can pass
)
_STEPS = 50


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """Release a case whose score is at least ``threshold``; None releases nothing.

    **The promise**: of the answers released at most ``alpha`` are wrong, with confidence 1 - ``delta``.
    """

    threshold: float | None
    n_released: int  # labelled cases at or above the threshold
    n_wrong: int  # mistakes among them
    upper_bound: float  # on the share of mistakes, at confidence 1 - delta; 1.0 where nothing is released
    n_more_needed: int  # more random labels, all right, until something could be released; 0 where something is
    alpha: float
    delta: float
    group: str = ALL  # whose labels it rests on

    def releases(self, score: Reals) -> Flags:
        """Which of the cases with these scores (n,) go out, (n,)."""
        checked = reals("score", score)
        return np.zeros(len(checked), dtype=np.bool_) if self.threshold is None else checked >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(**data)


def minimum_cases(alpha: float, delta: float) -> int:
    """How many cases without a mistake it takes to show a risk of at most ``alpha`` with confidence 1 - ``delta``.

    >>> minimum_cases(0.05, 0.05)
    59
    """
    return math.ceil(math.log(share("delta", delta)) / math.log1p(-share("alpha", alpha)) - 1e-9)


def release_threshold(
    score: Reals, wrong: Labels, alpha: float, delta: float, grid: Reals | None = None, *, group: str = ALL
) -> ReleaseRule:
    """The lowest threshold whose share of mistakes is proven to be at most ``alpha`` with confidence 1 - ``delta``.

    ``score`` (n,) is any number that grows with trust, ``wrong`` (n,) whether a random case's answer was a mistake.
    Thresholds are tested from the strictest that releases enough cases to be able to pass, downwards, each at the full
    ``delta``, until the first fails: as all that is tested before the first truly bad threshold is good, the chance of
    ever passing a bad one is the chance of passing that first one, at most delta.

    ``grid`` (any order) fixes the thresholds; choose it before seeing labels. By default they are the scores that
    release a fifth of the cases (a test on the barest 59 fails by one unlucky case), then ever more in 50 steps. They
    depend on scores, never on labels; the bound is then exact where mistakes do not grow rarer as the score falls.

    >>> rule = release_threshold(np.linspace(0, 1, 400), np.arange(400) < 100, alpha=0.05, delta=0.05)
    >>> round(rule.threshold, 2), rule.n_released, rule.n_wrong, round(rule.upper_bound, 3)
    (0.25, 302, 2, 0.021)
    >>> release_threshold(np.array([]), np.array([], dtype=bool), 0.05, 0.05).n_more_needed
    59
    """
    least = minimum_cases(alpha, delta)
    scores, released, mistakes = _tally(score, wrong)
    if grid is None:
        candidates = _score_grid(scores, max(least, math.ceil(len(scores) / _FIRST_SHARE)))
    else:
        candidates = np.sort(reals("grid", grid))[::-1]
    passed: tuple[float, int, int] | None = None
    # Where no threshold releases enough, all cases together are too few.
    failed = (len(scores), int(mistakes[-1]) if len(mistakes) else 0)
    for threshold in candidates.tolist():
        n, k = _at(scores, released, mistakes, threshold)
        if n < least:
            continue
        if binomial_cdf(k, n, alpha) > delta:
            failed = (n, k)
            break
        passed = (threshold, n, k)
    if passed is None:
        return ReleaseRule(None, 0, 0, 1.0, _more_needed(*failed, len(scores), alpha, delta), alpha, delta, group)
    return ReleaseRule(*passed, upper_bound(passed[2], passed[1], 1.0 - delta), 0, alpha, delta, group)


def _tally(score: Reals, wrong: Labels) -> tuple[Floats, Ints, Ints]:
    """Scores from the highest down, how many cases score at least that, and how many of them were mistakes."""
    checked = reals("score", score)
    mistake = flags("wrong", wrong, len(checked))
    order = np.argsort(-checked, kind="stable")
    scores = checked[order]
    released = np.searchsorted(-scores, -scores, side="right").astype(np.int64)  # ties go out together
    return scores, released, np.cumsum(mistake[order], dtype=np.int64)[released - 1]


def _at(scores: Floats, released: Ints, mistakes: Ints, threshold: float) -> tuple[int, int]:
    n = int(np.searchsorted(-scores, -threshold, side="right"))
    return n, int(mistakes[n - 1]) if n else 0


def _score_grid(scores: Floats, first: int) -> Floats:
    """The scores that release ``first`` cases, then more in even steps to all; highest first, each once."""
    if first > len(scores):
        return np.array([])
    counts = np.unique(np.linspace(first, len(scores), _STEPS).round().astype(np.int64))
    return np.unique(scores[counts - 1])[::-1]


def _more_needed(n: int, k: int, n_labels: int, alpha: float, delta: float) -> int:
    """The further random labels, all right, after which a threshold that released ``n`` with ``k`` mistakes passes.

    Only as many of them help as score above the threshold, so the number is scaled up by the share it releases.
    """
    low, high = 0, 1
    while binomial_cdf(k, n + high, alpha) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_cdf(k, n + middle, alpha) > delta else (low, middle)
    return math.ceil(high * n_labels / n) if n else high


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationTable:
    """Labelled cases: score, whether the answer was wrong, and group; kept in the bundle.

    From it the rule for any accepted risk is read without training anew. A group's promise holds for that group by
    itself; the promises of many groups do not hold all at once with the same confidence.
    """

    score: Floats  # (n,)
    wrong: Flags  # (n,)
    group: NDArray[np.str_]  # (n,)

    @classmethod
    def of(cls, score: Reals, wrong: Labels, group: Groups | None = None) -> Self:
        """The table of ``score`` (n,), ``wrong`` 0/1 (n,) and ``group`` (n,), checked; no group means 'all'."""
        checked = reals("score", score)
        names = group_names(group, len(checked))
        return cls(checked, flags("wrong", wrong, len(checked)), np.full(len(checked), ALL) if names is None else names)

    def __len__(self) -> int:
        return len(self.score)

    def release_rule(
        self, alpha: float, delta: float, group: str = ALL, *, minimum_group: int = MINIMUM_GROUP
    ) -> ReleaseRule:
        """The rule of ``group`` where it has enough labels, otherwise that of 'all'; its ``group`` says which.

        A group with enough labels stands by them even where they release nothing: 'all' never speaks over a group
        known to be worse.
        """
        inside = self.group == group
        if group == ALL or inside.sum() < max(minimum_group, minimum_cases(alpha, delta)):
            return release_threshold(self.score, self.wrong, alpha, delta)
        return release_threshold(self.score[inside], self.wrong[inside], alpha, delta, group=group)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        return {
            "score": self.score.tolist(),
            "wrong": self.wrong.astype(int).tolist(),
            "group": self.group.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(
            np.asarray(data["score"], dtype=np.float64),
            np.asarray(data["wrong"], dtype=np.bool_),
            np.asarray(data["group"], dtype=np.str_),
        )
