"""Prediction sets that contain what happens as often as promised (split conformal prediction, Vovk et al. 2005).

The promise asks only that held-out and new cases come from the same world, not that the model is right. It holds on
average over cases of a group, not for each one. Fitting the model is done elsewhere: fit -> conformalize ->
predict_set.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from models.confidence.arrays import (
    Flags,
    Floats,
    Groups,
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


def conformal_quantile(scores: Reals, alpha: float, weight: Reals | None = None) -> float:
    """The ceil((n+1)(1-alpha))-th smallest score; infinity where n is too small to promise anything.

    With ``weight`` (n,), at most 1 each, the new case weighs 1 and old ones less: the smallest score that 1 - alpha of
    all the weight lies at or below (Barber et al. 2023, "Conformal prediction beyond exchangeability", section 3).

    >>> conformal_quantile(np.arange(1.0, 20.0), 0.1), conformal_quantile(np.arange(8.0), 0.1)
    (18.0, inf)
    >>> conformal_quantile(np.arange(1.0, 20.0), 0.1, np.ones(19))
    18.0
    """
    if weight is not None:
        order = np.argsort(scores, kind="stable")
        reached = np.cumsum(np.asarray(weight, dtype=np.float64)[order])
        at = (
            int(np.searchsorted(reached, (1.0 - share("alpha", alpha)) * (reached[-1] + 1.0) - 1e-9))
            if len(order)
            else 0
        )
        return float(np.asarray(scores)[order[at]]) if at < len(order) else math.inf
    rank = math.ceil((len(scores) + 1) * (1.0 - share("alpha", alpha)) - 1e-9)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else math.inf


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
        minimum_group: int = MINIMUM_GROUP,
        penalty: float = 0.05,
        free_classes: int = 2,
        rng: np.random.Generator | None = None,
        weight: Reals | None = None,
    ) -> Self:
        """Measure thresholds on held-out ``prob`` (n, K), ``label`` (n,) and, optionally, ``group`` (n,).

        Sets then miss at most ``alpha`` of cases, in each group with ``minimum_group`` cases of its own (Mondrian:
        Vovk et al. 2005, section 4.5) and over all. With ``rng``, ties and the last class are randomised: coverage
        becomes exact instead of at least, and `predict_set` needs a generator too. ``weight`` (n,), at most 1, is for
        cases that are less like those to come.
        """
        if method not in get_args(Method):
            raise ValueError(f"method is {method!r}; allowed are {', '.join(get_args(Method))}")
        checked = probabilities("prob", prob, ndim=2)
        right = classes("label", label, *checked.shape)
        names = group_names(group, len(checked))
        price = (penalty, free_classes) if method == "raps" else (0.0, 0)
        empty = cls(method, share("alpha", alpha), {}, {}, rng is not None, *price)
        scores = empty._scores(checked, rng)[np.arange(len(checked)), right]
        members = {ALL: np.ones(len(checked), dtype=np.bool_)}
        counts = np.ones(len(checked)) if weight is None else reals("weight", weight)
        if names is not None:
            if ALL in names:
                raise ValueError(f"group holds {ALL!r}, which names everybody; rename that group")
            found = {str(name): names == name for name in np.unique(names)}
            members |= {name: inside for name, inside in found.items() if inside.sum() >= minimum_group}
        return cls(
            method,
            empty.alpha,
            {name: conformal_quantile(scores[inside], alpha, counts[inside]) for name, inside in members.items()},
            {name: int(inside.sum()) for name, inside in members.items()},
            empty.randomised,
            *price,
        )

    def predict_set(self, prob: Reals, group: Groups | None = None, rng: np.random.Generator | None = None) -> Flags:
        """Which classes are in the set of each case, (n, K); the most probable always is.

        >>> held_out = np.tile([[0.7, 0.2, 0.1]], (99, 1))
        >>> measured = SplitConformal.conformalize(held_out, np.repeat([0, 1], [80, 19]))
        >>> measured.predict_set(np.array([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])).tolist()
        [[True, True, True], [True, False, False]]
        """
        checked = probabilities("prob", prob, ndim=2)
        if self.randomised and rng is None:
            raise ValueError("rng is missing; sets conformalized with a generator are predicted with one")
        names = group_names(group, len(checked))
        threshold = np.full(len(checked), self.thresholds[ALL])
        if names is not None:
            for name in np.unique(names):
                threshold[names == name] = self.thresholds[self.group_of(str(name))]
        inside = self._scores(checked, rng if self.randomised else None) <= threshold[:, None]
        inside[np.arange(len(checked)), checked.argmax(axis=1)] = True
        return np.asarray(inside, dtype=np.bool_)

    def group_of(self, group: str) -> str:
        """The group whose threshold answers for ``group``: itself, or 'all'."""
        return group if group in self.thresholds else ALL

    def _scores(self, prob: Floats, rng: np.random.Generator | None) -> Floats:
        """Nonconformity of every class of every case, (n, K): the higher, the stranger."""
        luck = None if rng is None else rng.random((len(prob), 1))
        if self.method == "lac":
            return 1.0 - prob if luck is None else 1.0 - prob + 1e-9 * luck  # so small that it only breaks ties
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
