"""The interval of a probability: where the observed share of alike cases lies.

It asks the held-out cases nearest in score what happened to them, exactly and without a model, and counts them for no
more than they are worth where one customer has several. It does not say what one customer will do, and it does not
calibrate (`calibration.py` does).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.confidence.arrays import Flags, Floats, Groups, Ints, Labels, Reals, flags, probabilities, share
from models.confidence.binomial import predicted_share

MINIMUM_NEIGHBOURS = 50
_NEIGHBOUR_SHARE = 20  # one in twenty of the held-out cases, where that is more
_MOST_WORTH = 500  # more cases than are worth these make a promise about groups that nobody looks at
_BINS = 20


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityBand:
    """Held-out probabilities and outcomes, sorted by probability; made by `binomial_band`.

    **The promise**: among customers given this probability, as many as the interval was learned from, the observed
    share lies inside the interval. So it allows for luck twice: of those it was learned from and of those observed.
    """

    scores: Floats  # ascending calibrated probabilities, (n,)
    labels: Flags  # what happened to them, (n,)
    neighbours: int
    confidence: float
    design_effect: float = 1.0  # how many cases are worth one, since a customer's are alike

    def interval(self, prob: Reals) -> tuple[Floats, Floats]:
        """Low and high end, each (q,), for the calibrated probabilities ``prob`` (q,); prob lies between them.

        Of the ``neighbours`` nearest held-out cases and all that tie with the outermost: where the share among as many
        new ones will lie (`predicted_share`), their number being divided by the design effect. Where the nearest lie to
        one side (the thin ends), the interval is also taken as moved from their mean score to ``prob``, and both are
        covered.
        """
        asked = probabilities("prob", prob)
        if self.neighbours == 0:
            return np.zeros(len(asked)), np.ones(len(asked))
        first, after = self._window(asked)
        hits = np.concatenate([[0], np.cumsum(self.labels, dtype=np.int64)])
        seen, size = hits[after] - hits[first], after - first
        pairs, inverse = np.unique(np.stack([seen, size], axis=1), axis=0, return_inverse=True)
        worth = self.design_effect
        bounds = np.array([predicted_share(int(k) / int(n), int(n) / worth, self.confidence) for k, n in pairs])
        bounds = bounds.reshape(-1, 2)
        low, high = bounds[inverse.ravel()].T
        # The mean of each window on its own: a difference of long running sums would depend on the other cases.
        ends = np.stack([first, after], axis=1).ravel()
        centre = np.add.reduceat(np.append(self.scores, 0.0), ends)[::2] / size
        moved = asked - centre
        lowest = np.minimum(np.minimum(low, low + moved), asked)
        highest = np.maximum(np.maximum(high, high + moved), asked)
        return np.clip(lowest, 0.0, 1.0), np.clip(highest, 0.0, 1.0)

    def _window(self, asked: Floats) -> tuple[Ints, Ints]:
        """First and one past the last of the nearest cases of each asked probability, ties included."""
        # Moving the window right helps while its first case is farther away than the next one on the right.
        middle = (self.scores[: -self.neighbours] + self.scores[self.neighbours :]) / 2.0
        start = np.searchsorted(middle, asked, side="left")
        first = np.searchsorted(self.scores, self.scores[start], side="left")
        after = np.searchsorted(self.scores, self.scores[start + self.neighbours - 1], side="right")
        return first, after

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        return {
            "scores": self.scores.tolist(),
            "labels": self.labels.astype(int).tolist(),
            "neighbours": self.neighbours,
            "confidence": self.confidence,
            "design_effect": self.design_effect,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(
            np.asarray(data["scores"], dtype=np.float64),
            np.asarray(data["labels"], dtype=np.bool_),
            int(data["neighbours"]),
            float(data["confidence"]),
            float(data.get("design_effect", 1.0)),  # bundles of before count every case
        )


def shifted(prob: Reals, logits: float) -> Floats:
    """Probabilities (q,) moved by so many logits; 0 and 1 stay.

    >>> shifted(np.array([0.0, 0.5, 1.0]), 1.0).round(3)
    array([0.   , 0.731, 1.   ])
    """
    checked = probabilities("prob", prob)
    odds = np.exp(logits)
    return np.asarray(checked * odds / (1 - checked + checked * odds), dtype=np.float64)


def drift(prob: Reals, labels: Labels, groups: int) -> float:
    """How far, in logits, probabilities (n,) are off from what happened, 0/1 (n,), all one way; 0 within noise.

    The shift that makes their mean equal to the observed share, where it is more than 1.96 of its standard errors;
    cases of the same of the ``groups`` customers count as one. On the simplest sign of a changed base rate, see
    Steyerberg et al. 2004, "Validation and updating of predictive logistic regression models" (calibration in the
    large).

    >>> drift(np.full(1000, 0.2), np.repeat([1, 0], [100, 900]), 1000) > 0.5
    True
    """
    checked = np.clip(probabilities("prob", prob), 1e-6, 1 - 1e-6)
    share = float(flags("labels", labels, len(checked)).mean())
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if shifted(checked, middle).mean() < share else (low, middle)
    moved = shifted(checked, low)
    information = float((moved * (1 - moved)).mean()) * max(1, groups)
    return abs(low) if abs(low) > 1.96 / math.sqrt(information) else 0.0


def design_effect(prob: Reals, labels: Labels, groups: Groups) -> float:
    """How many cases are worth one: 1 where they are independent, more where a group (a customer) has several alike.

    The variance of what happened, 0/1 (n,), within bins of like ``prob`` (n,), summed by group first, over what it
    would be for independent cases (Kish 1965, "Survey Sampling", section 8.2). Never below 1.

    >>> design_effect(np.full(6, 0.5), np.array([1, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 1, 1, 1]))
    3.0
    """
    scores = probabilities("prob", prob)
    happened = flags("labels", labels, len(scores))
    if not len(scores):
        return 1.0
    where = np.empty(len(scores), dtype=np.int64)
    bins = min(_BINS, max(1, len(scores) // MINIMUM_NEIGHBOURS))
    where[np.argsort(scores, kind="stable")] = np.arange(len(scores)) * bins // len(scores)
    size = np.bincount(where)
    rate = (np.bincount(where, weights=happened) / size)[where]
    independent = float((rate * (1.0 - rate)).sum())
    if independent <= 0.0:
        return 1.0
    _, member = np.unique(groups, return_inverse=True)
    _, cell = np.unique(member * len(size) + where, return_inverse=True)
    by_group = float((np.bincount(cell, weights=happened - rate) ** 2).sum())
    return max(1.0, by_group / independent)


def binomial_band(
    calibration_scores: Reals,
    labels: Labels,
    neighbours: int | None = None,
    confidence: float = 0.95,
    groups: Groups | None = None,
) -> ProbabilityBand:
    """The band of calibrated held-out probabilities (n,) and what happened, 0/1 (n,).

    ``neighbours`` is how many nearest cases answer: by default one in twenty, at least 50 and at most what 500
    customers are worth. More make the interval narrower and blunter. ``groups`` (n,) names each case's customer. With
    no case at all every interval is 0..1. Venn-Abers intervals (Vovk & Petej 2014) were not taken: their width tells
    how the fit moves with one more case, not the sampling noise of an observed share.

    >>> band = binomial_band(np.repeat([0.1, 0.6], 100), np.tile([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 20))
    >>> [bound.round(3).tolist() for bound in band.interval(np.array([0.1, 0.6]))]
    [[0.03, 0.03], [0.2, 0.6]]
    """
    scores = probabilities("calibration_scores", calibration_scores)
    happened = flags("labels", labels, len(scores))
    effect = 1.0 if groups is None else design_effect(scores, happened, groups)
    if neighbours is None:
        most = round(_MOST_WORTH * effect)
        neighbours = max(MINIMUM_NEIGHBOURS, min(len(scores) // _NEIGHBOUR_SHARE, most))
    if neighbours < 1:
        raise ValueError(f"neighbours is {neighbours}; give at least 1")
    order = np.argsort(scores, kind="stable")
    return ProbabilityBand(
        scores[order], happened[order], min(neighbours, len(scores)), share("confidence", confidence), effect
    )
