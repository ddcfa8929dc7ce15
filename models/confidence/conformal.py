"""Prediction sets that contain what happens as often as promised (split conformal prediction, Vovk et al. 2005).

The promise asks only that held-out and new cases come from the same world, not that the model is right. It holds on
average over cases of a group, not for each one. Fitting the model is done elsewhere: fit -> conformalize ->
predict_set.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from models.confidence.arrays import (
    ROW_SUM_TOLERANCE,
    Flags,
    Floats,
    Groups,
    Ints,
    Labels,
    Reals,
    classes,
    group_names,
    probabilities,
    reals,
    share,
)

Method = Literal["lac", "aps", "raps"]
ALL = "all"
"""The group of everybody, which answers where a group has too few cases of its own."""
MINIMUM_GROUP = 100
"""Fewer held-out cases give a group no threshold of its own: its coverage would be known to 3 points at best."""
MINIMUM_GROUP_CUSTOMERS = 200
"""Where cases of a customer are alike: so many customers, counted as if all were as big (Kish 1965). With fewer, sets
grow by what a group's threshold is unsure of."""
_TIE = 1e-6  # probabilities nearer than this are one; a net's arithmetic is no more exact


def luck_of(keys: Iterable[str]) -> Floats:
    """A number in 0..1 for each key (n,), to break ties by: the same for the same key, and evenly spread over keys.

    >>> luck_of(["c_1042 3", "c_1043 3", "c_1042 3"]).round(3).tolist()
    [0.293, 0.122, 0.293]
    """
    drawn = [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") for key in keys]
    return np.array(drawn, dtype=np.float64) / 2.0**48


def conformal_quantile(scores: Reals, alpha: float, weight: Reals | None = None, new: float = 1.0) -> float:
    """The ceil((n+1)(1-alpha))-th smallest score; infinity where n is too small to promise anything.

    With ``weight`` (n,), at most 1 each, the new case weighs 1 and old ones less: the smallest score that 1 - alpha of
    all the weight lies at or below (Barber et al. 2023, "Conformal prediction beyond exchangeability", section 3).
    ``new`` is what is new at once, where that is more than one case.

    >>> conformal_quantile(np.arange(1.0, 20.0), 0.1), conformal_quantile(np.arange(8.0), 0.1)
    (18.0, inf)
    >>> conformal_quantile(np.arange(1.0, 20.0), 0.1, np.ones(19))
    18.0
    """
    order = np.argsort(scores, kind="stable")
    counts = np.ones(len(order)) if weight is None else np.asarray(weight, dtype=np.float64)[order]
    reached = np.cumsum(counts)
    wanted = (1.0 - share("alpha", alpha)) * ((reached[-1] if len(order) else 0.0) + new)
    at = int(np.searchsorted(reached, wanted - 1e-9))
    return float(np.asarray(scores)[order[at]]) if at < len(order) else math.inf


def one_more(weight: Floats, customer: Ints) -> float:
    """How much one more customer weighs, all cases together, as a case meets them: big ones more often than small ones.

    >>> one_more(np.ones(4), np.array([1, 2, 3, 4])), one_more(np.ones(4), np.array([7, 7, 7, 9]))
    (1.0, 2.5)
    """
    if not len(customer):
        return 1.0
    each = np.bincount(np.unique(customer, return_inverse=True)[1], weights=weight)
    return float(np.square(each).sum() / each.sum())


@dataclass(frozen=True, slots=True)
class SplitConformal:
    """Thresholds by group, measured by `conformalize`.

    - ``lac``: all classes at least as probable as a threshold; the smallest sets (Sadinle, Lei & Wasserman 2019).
    - ``aps``: classes from the most probable on until they add up; fairer to hard cases (Romano, Sesia & Candès 2020).
    - ``raps``: aps with a price on long sets (Angelopoulos et al. 2021): ``penalty`` (their lambda) for each class
      after the first ``free_classes`` (their k_reg).
    """

    method: Method
    alpha: float
    thresholds: Mapping[str, float]  # highest nonconformity score inside the set, by group; infinity: every class
    n: Mapping[str, int]  # held-out cases behind each threshold
    randomised: bool = False
    penalty: float = 0.0
    free_classes: int = 0

    @classmethod
    def conformalize(
        cls,
        prob: Reals,
        label: Labels,
        group: Groups | None = None,
        alpha: float = 0.1,
        *,
        method: Method = "lac",
        minimum_group: int | None = None,
        penalty: float = 0.05,
        free_classes: int = 2,
        luck: Reals | None = None,
        weight: Reals | None = None,
        customer: Ints | None = None,
    ) -> Self:
        """Measure thresholds on held-out ``prob`` (n, K), ``label`` (n,) and, optionally, ``group`` (n,).

        Sets then miss at most ``alpha`` of cases, over all and in each group with `MINIMUM_GROUP` cases of its own, or
        ``minimum_group`` (Mondrian: Vovk et al. 2005, section 4.5). With ``luck`` (n,), evenly drawn from 0..1, ties
        and the last class are randomised: coverage becomes exact instead of at least, and `predict_set` needs luck too.
        ``weight`` (n,), at most 1, is for cases that are less like those to come. Where cases of a ``customer`` (n,)
        are alike, it is customers that are drawn: room is left for one more of them (Dunn, Wasserman & Ramdas 2023,
        "Distribution-free prediction sets for two-layer hierarchical models"), and a group needs
        `MINIMUM_GROUP_CUSTOMERS`.
        """
        if method not in get_args(Method):
            raise ValueError(f"method is {method!r}; allowed are {', '.join(get_args(Method))}")
        checked = probabilities("prob", prob, ndim=2)
        right = classes("label", label, *checked.shape)
        names = group_names(group, len(checked))
        price = (penalty, free_classes) if method == "raps" else (0.0, 0)
        empty = cls(method, share("alpha", alpha), {}, {}, luck is not None, *price)
        scores = empty._scores(checked, _drawn(luck, len(checked)))[np.arange(len(checked)), right]
        members = {ALL: np.ones(len(checked), dtype=np.bool_)}
        counts = np.ones(len(checked)) if weight is None else reals("weight", weight)
        if names is not None:
            if ALL in names:
                raise ValueError(f"group holds {ALL!r}, which names everybody; rename that group")
            found = {str(name): names == name for name in np.unique(names)}
            least = MINIMUM_GROUP if customer is None else MINIMUM_GROUP_CUSTOMERS
            least = least if minimum_group is None else minimum_group
            members |= {name: at for name, at in found.items() if _size(counts[at], customer, at) >= least}

        def threshold(at: Flags) -> float:
            new = 1.0 if customer is None else one_more(counts[at], customer[at])
            return conformal_quantile(scores[at], alpha, counts[at], new)

        return cls(
            method,
            empty.alpha,
            {name: threshold(inside) for name, inside in members.items()},
            {name: int(inside.sum()) for name, inside in members.items()},
            empty.randomised,
            *price,
        )

    def predict_set(self, prob: Reals, group: Groups | None = None, luck: Reals | None = None) -> Flags:
        """Which classes are in the set of each case, (n, K); the most probable always is.

        >>> held_out = np.tile([[0.7, 0.2, 0.1]], (99, 1))
        >>> measured = SplitConformal.conformalize(held_out, np.repeat([0, 1], [80, 19]))
        >>> measured.predict_set(np.array([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])).tolist()
        [[True, True, True], [True, False, False]]
        """
        plain = group is None and self.method == "lac" and not self.randomised and np.ndim(prob) == 2
        if plain and len(prob) == 1 and (found := self._of_one(prob)) is not None:
            return found
        checked = probabilities("prob", prob, ndim=2)
        if self.randomised and luck is None:
            raise ValueError("luck is missing; give one number a case, as when these sets were conformalized")
        drawn = _drawn(luck, len(checked)) if self.randomised else None
        inside = self._scores(checked, drawn) <= self._threshold(group, len(checked))
        inside[np.arange(len(checked)), checked.argmax(axis=1)] = True
        return np.asarray(inside, dtype=np.bool_)

    def _of_one(self, prob: Reals) -> Flags | None:
        """`predict_set` of one case without numpy, which takes longer to be called than to count; None where the row is
        no row of probabilities.
        """
        row: list[float] = np.asarray(prob[0], dtype=np.float64).tolist()
        highest = max(row, default=2.0)
        if not (min(row, default=0.0) >= 0.0 and highest <= 1.0 and abs(sum(row) - 1.0) <= ROW_SUM_TOLERANCE):
            return None
        threshold = self.thresholds[ALL]
        inside = [1.0 - one <= threshold for one in row]
        inside[row.index(highest)] = True
        return np.array([inside], dtype=np.bool_)

    def _threshold(self, group: Groups | None, cases: int) -> Floats | float:
        """Of everybody, or (n, 1) of each case by its group."""
        names = group_names(group, cases)
        if names is None:
            return self.thresholds[ALL]
        threshold = np.empty((cases, 1))
        for name in np.unique(names):
            threshold[names == name] = self.thresholds[self.group_of(str(name))]
        return threshold

    def group_of(self, group: str) -> str:
        """The group whose threshold answers for ``group``: itself, or 'all'."""
        return group if group in self.thresholds else ALL

    def _scores(self, prob: Floats, luck: Floats | None) -> Floats:
        """Nonconformity of every class of every case, (n, K): the higher, the stranger. ``luck`` is (n, 1)."""
        if self.method == "lac":
            return 1.0 - prob if luck is None else np.rint((1.0 - prob) / _TIE) * _TIE + _TIE * luck
        order = np.argsort(-prob, axis=1, kind="stable")
        ordered = np.take_along_axis(prob, order, axis=1)
        ranked = np.cumsum(ordered, axis=1) - (0.0 if luck is None else luck * ordered)
        ranked += self.penalty * np.maximum(0, np.arange(1, prob.shape[1] + 1) - self.free_classes)
        scores = np.empty_like(prob)
        np.put_along_axis(scores, order, ranked, axis=1)
        return scores

    def to_dict(self) -> dict[str, Any]:
        """JSON-able (an infinite threshold is null); `from_dict` reads it back."""
        return {
            "method": self.method,
            "alpha": self.alpha,
            "thresholds": {name: None if math.isinf(value) else value for name, value in self.thresholds.items()},
            "n": dict(self.n),
            "randomised": self.randomised,
            "penalty": self.penalty,
            "free_classes": self.free_classes,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        thresholds = {name: math.inf if value is None else float(value) for name, value in data["thresholds"].items()}
        return cls(**{**data, "thresholds": thresholds, "n": dict(data["n"])})


def _size(weight: Floats, customer: Ints | None, at: Flags) -> float:
    """Cases of a group, or as many customers of the same weight as would say as much."""
    return float(at.sum()) if customer is None else float(weight.sum() / one_more(weight, customer[at]))


def _drawn(luck: Reals | None, cases: int) -> Floats | None:
    return None if luck is None else probabilities("luck", luck, length=cases)[:, None]
