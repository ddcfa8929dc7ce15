"""Selective risk: which answers may go out without a person, with a bound on how many of them are wrong.

A threshold on a score is released only where labels of randomly chosen cases prove it, by exact binomial tests of
thresholds in a fixed order (Learn then Test: Angelopoulos et al. 2021; selection with guaranteed risk: Geifman &
El-Yaniv 2017). How much risk to accept is the operator's choice, made later: the bundle keeps the table, not the
threshold. Labels must come from cases drawn at random, not from those a person or a model chose to look at.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.confidence.arrays import Flags, Floats, Groups, Ints, Labels, Reals, flags, group_names, reals, share
from models.confidence.binomial import binomial_cdf, upper_bound

ALL = "all"
MINIMUM_GROUP = 200
"""Fewer labels give a group no rule of its own: one or two mistakes would decide it."""
_FIRST_SHARE = 10
"""The strictest threshold tested releases a tenth of the labelled cases, or so many that one mistake fails no test."""
_STEPS = 50
_DOWNWARDS = 0.8
"""The part of delta for a threshold that follows one that passed; the rest is for beginning anew."""
_ANEW = (1 / 3, 2 / 3, 1.0)
"""Where a stop by bad luck may be overcome: thresholds that release these shares of the labelled cases."""
_ANEW_FROM = 200
"""With fewer labels nothing is kept back for beginning anew."""


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
    n_more_likely: int | None = 0  # the same with mistakes as often as so far; None: at that rate, however many

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
    Thresholds are tested downwards in 50 steps, from the strictest that releases a tenth of the cases (and enough to
    pass with one mistake). One that follows a passed one is tested at 0.8 ``delta``. After a failure the sequence may
    begin anew at three places only, which share the other 0.2 ``delta`` (as in the fallback procedure of Wiens 2003): a
    floor of mistakes that no score sorts out takes more cases to show than the strictest thresholds release. The first
    truly bad threshold passes by following one with a chance of 0.8 ``delta`` at most; the three places add the rest.

    ``grid`` (any order) fixes the thresholds, and each is tested at the full ``delta`` until the first fails; choose it
    before seeing labels. The default thresholds depend on scores, never on labels. The bound is exact where mistakes do
    not grow rarer as the score falls.

    >>> rule = release_threshold(np.linspace(0, 1, 400), np.arange(400) < 100, alpha=0.05, delta=0.05)
    >>> round(rule.threshold, 2), rule.n_released, rule.n_wrong, round(rule.upper_bound, 3)
    (0.23, 308, 8, 0.046)
    >>> release_threshold(np.array([]), np.array([], dtype=bool), 0.05, 0.05).n_more_needed
    59
    """
    least = minimum_cases(alpha, delta)
    scores, released, mistakes = _tally(score, wrong)
    fixed = grid is not None or len(scores) < _ANEW_FROM
    if grid is None:
        thresholds = _score_grid(scores, _first(len(scores), alpha, delta, fixed))
    else:
        thresholds = np.sort(reals("grid", grid))[::-1]
    counts = [_at(scores, released, mistakes, threshold) for threshold in thresholds.tolist()]
    tests = [(*found, n, k) for found, (n, k) in zip(_levels(counts, least, delta, fixed), counts, strict=True)]
    passed, follows = -1, False
    for at, (alone, after, n, k) in enumerate(tests):
        level = after if follows else alone
        if n < least:
            continue
        follows = level > 0.0 and binomial_cdf(k, n, alpha) <= level
        passed = at if follows else passed
    if passed >= 0:
        n, k = counts[passed]
        bound = upper_bound(k, n, 1.0 - delta)
        return ReleaseRule(float(thresholds[passed]), n, k, bound, 0, alpha, delta, group)
    # Where no threshold releases enough, all cases together are too few.
    tried = [(n, k, alone) for alone, _, n, k in tests if n >= least and alone > 0.0]
    tried = tried or [(len(scores), int(mistakes[-1]) if len(mistakes) else 0, delta)]
    more = min(_more_needed(n, k, len(scores), alpha, level) for n, k, level in tried)
    likely = [_more_likely(n, k, len(scores), alpha, level) for n, k, level in tried]
    return ReleaseRule(
        None, 0, 0, 1.0, more, alpha, delta, group, min((one for one in likely if one is not None), default=None)
    )


def _first(n_labels: int, alpha: float, delta: float, fixed: bool) -> int:
    """How many cases the strictest threshold releases: enough, where there are as many, to pass with one mistake."""
    least = max(minimum_cases(alpha, delta), math.ceil(n_labels / _FIRST_SHARE))
    if fixed:
        return least
    with_one = 1 + _least(lambda more: binomial_cdf(1, 1 + more, alpha) <= _DOWNWARDS * delta)
    return max(least, with_one) if with_one <= n_labels else least


def _levels(counts: list[tuple[int, int]], least: int, delta: float, fixed: bool) -> list[tuple[float, float]]:
    """For each threshold the level it is tested at by itself (0: not at all), and after one that passed."""
    possible = [at for at, (n, _) in enumerate(counts) if n >= least]
    after = delta if fixed else _DOWNWARDS * delta
    alone = [0.0] * len(counts)
    if possible:
        alone[possible[0]] = after
    if not fixed:
        for share_released in _ANEW:
            at = min(possible, key=lambda one: abs(counts[one][0] - share_released * counts[-1][0]), default=None)
            if at is not None:
                alone[at] = max(alone[at], (1.0 - _DOWNWARDS) * delta / len(_ANEW))
    return [(level, after) for level in alone]


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
    high = _least(lambda more: binomial_cdf(k, n + more, alpha) <= delta)
    return math.ceil(high * n_labels / n) if n else high


def _more_likely(n: int, k: int, n_labels: int, alpha: float, delta: float) -> int | None:
    """As `_more_needed`, where mistakes stay as frequent; None where they are then never shown to be rare enough."""
    rate = (k + 0.5) / (n + 1.0)
    if rate >= 0.99 * alpha:
        return None
    more = _least(lambda more: binomial_cdf(k + math.ceil(rate * more), n + more, alpha) <= delta)
    return math.ceil(more * n_labels / n) if n else more


def _least(enough: Callable[[int], bool]) -> int:
    """The least number from 1 on that is enough, where all beyond it are."""
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationTable:
    """Labelled cases: score, whether the answer was wrong, and group; kept in the bundle.

    From it the rule for any accepted risk is read without training anew. A group's promise holds for that group by
    itself; the promises of many groups do not hold all at once with the same confidence.
    """

    score: Floats  # (n,)
    wrong: Flags  # (n,)
    group: NDArray[np.str_]  # (n,)
    _rules: dict[tuple[float, float, str, int], ReleaseRule] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, score: Reals, wrong: Labels, group: Groups | None = None, at_random: Labels | None = None) -> Self:
        """The table of ``score`` (n,), ``wrong`` 0/1 (n,) and ``group`` (n,), checked; no group means 'all'.

        Where not all cases were drawn at random, ``at_random`` 0/1 (n,) says which; the others are left out, as a case
        that a person or a flag chose tells of cases like it and not of all.
        """
        checked = reals("score", score)
        names = group_names(group, len(checked))
        groups = np.full(len(checked), ALL) if names is None else names
        kept = np.ones(len(checked), dtype=np.bool_)
        if at_random is not None:
            kept = flags("at_random", at_random, len(checked))
        return cls(checked[kept], flags("wrong", wrong, len(checked))[kept], groups[kept])

    def __len__(self) -> int:
        return len(self.score)

    def release_rule(
        self, alpha: float, delta: float, group: str = ALL, *, minimum_group: int = MINIMUM_GROUP
    ) -> ReleaseRule:
        """The rule of ``group`` where it has enough labels, otherwise that of 'all'; its ``group`` says which.

        A group with enough labels stands by them even where they release nothing: 'all' never speaks over a group
        known to be worse. A rule is worked out once and remembered: concluding asks for it again and again.
        """
        asked = (alpha, delta, group, minimum_group)
        if asked not in self._rules:
            self._rules[asked] = self._release_rule(*asked)
        return self._rules[asked]

    def _release_rule(self, alpha: float, delta: float, group: str, minimum_group: int) -> ReleaseRule:
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
