"""Quality from answers that people read, when what they read is no random sample; and quality before anybody has read.

A reviewer sees what is doubtful more often than what is not, so a plain mean of reviewed answers tells of the doubtful.
Weighted by one over its chance of review, each answer also stands for those like it that nobody read (Horvitz &
Thompson 1952; Hájek 1971). Nothing here draws a sample or knows what an answer is.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from models.confidence.arrays import Floats, Labels, Reals, flags, reals, share
from models.confidence.binomial import beta_cdf, clopper_pearson
from models.confidence.metrics import Interval

BINS = 20
"""So many steps of equal mass turn a score into a share of right answers."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A share measured on reviewed answers: weighted by their chance of review, and naive beside it.

    ``effective`` is how many answers drawn evenly would say as much as these (Kish 1965). ``total`` is how many answers
    of all kinds had the property (Horvitz & Thompson), for those with a chance of review above 0.
    """

    weighted: Interval
    naive: Interval
    n: int
    effective: float
    total: float


def reviewed_share(holds: Labels, chance: Reals, confidence: float = 0.95) -> Reviewed:
    """The share of all answers for which ``holds`` (n,) is true, from the reviewed ones and their ``chance`` (n,).

    Each answer was reviewed independently of the others, with its own chance in (0, 1], kept when it was drawn. The
    weighted share is Hájek's; its interval is exact binomial for the effective number of answers (Korn & Graubard
    1998), which stays honest with few answers, or none that are wrong. What never had a chance is in no figure.

    >>> wrong = np.array([1] * 30 + [0] * 70 + [0] * 19 + [1])  # 100 doubtful, all read; 20 released, read one in 50
    >>> told = reviewed_share(wrong, np.repeat([1.0, 0.02], [100, 20]))
    >>> [round(end, 3) for end in told.weighted], round(told.naive.mean, 3), round(told.effective, 1)
    ([0.073, 0.007, 0.255], 0.258, 24.2)
    """
    weight = 1.0 / _chances(chance)
    yes = flags("holds", holds, len(weight)).astype(np.float64)
    if not len(yes):
        empty = Interval(math.nan, 0.0, 1.0)
        return Reviewed(empty, empty, 0, 0.0, 0.0)
    mean = float(np.average(yes, weights=weight))
    effective = _effective(yes, weight, mean)
    low, high = _exact(min(max(mean, 0.0), 1.0), effective, share("confidence", confidence))
    naive = clopper_pearson(int(yes.sum()), len(yes), confidence)
    return Reviewed(
        Interval(mean, low, high),
        Interval(float(yes.mean()), *naive),
        len(yes),
        effective,
        float((yes * weight).sum()),
    )


def weighted_mean(value: Reals, chance: Reals, confidence: float = 0.95) -> Interval:
    """Hájek's mean of any numbers ``value`` (n,) with its interval by linearisation (Särndal et al. 1992, section 5.7).

    It needs some dozens of answers in each part that matters; for a share take `reviewed_share`.
    """
    weight = 1.0 / _chances(chance)
    checked = reals("value", value, length=len(weight))
    if len(checked) < 2:
        raise ValueError(f"value has {len(checked)} answers; at least 2 are needed to say how far they differ")
    mean = float(np.average(checked, weights=weight))
    spread = math.sqrt(len(checked) / (len(checked) - 1) * float(np.square(weight * (checked - mean)).sum()))
    reach = NormalDist().inv_cdf((1.0 + share("confidence", confidence)) / 2.0) * spread / float(weight.sum())
    return Interval(mean, mean - reach, mean + reach)


@dataclass(frozen=True, slots=True)
class Expected:
    """The share of right answers expected before anybody has read them, and what that rests on."""

    accuracy: Interval
    n: int
    unlike: float  # the share of new scores outside the range of the old ones: of these nothing is known
    assumes: str = (
        "At each score, answers are right as often as when it was measured; only the mix of scores may have changed."
    )


def expected_accuracy(score: Reals, old_score: Reals, old_wrong: Labels, confidence: float = 0.95) -> Expected:
    """What share of new answers with these scores (n,) is right, from old scores (m,) with random labels (m,).

    Old answers are sorted into bins of equal mass by score, and the share that was right in each is counted as often as
    new scores fall there: the mean of calibrated confidence, calibrated by bins (compare Guillory et al. 2021,
    "Predicting with confidence on unseen distributions"). The interval knows chance, old and new. It knows
    nothing of a world in which the same words come to mean something else; only labels do.

    >>> old = np.linspace(0, 1, 2000)
    >>> wrong = np.random.default_rng(0).random(2000) > old  # right as often as the score says
    >>> told = expected_accuracy(np.linspace(0.8, 1, 500), old, wrong)
    >>> round(told.accuracy.mean, 1), told.accuracy.low < 0.9 < told.accuracy.high
    (0.9, True)
    """
    new, known = reals("score", score), np.asarray(old_score, dtype=np.float64)
    right = ~flags("old_wrong", old_wrong, len(reals("old_score", known)))
    if not len(new) or len(known) < BINS:
        return Expected(Interval(math.nan, 0.0, 1.0), len(new), math.nan)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    old_bin, new_bin = (np.searchsorted(edges, at, side="right") for at in (known, new))
    cases = np.bincount(old_bin, minlength=len(edges) + 1)
    hits = np.bincount(old_bin, weights=right, minlength=len(edges) + 1)
    rate = (hits + 0.5) / (cases + 1.0)  # never quite sure of a bin, however small
    mix = np.bincount(new_bin, minlength=len(edges) + 1) / len(new)
    mean = float(mix @ rate)
    of_old = np.square(mix) * rate * (1.0 - rate) / (cases + 1.0)
    of_new = mean * (1.0 - mean) / len(new)
    spread = math.sqrt(float(of_old.sum()) + of_new)
    reach = NormalDist().inv_cdf((1.0 + share("confidence", confidence)) / 2.0) * spread
    unlike = float(((new < known.min()) | (new > known.max())).mean())
    return Expected(Interval(mean, max(0.0, mean - reach), min(1.0, mean + reach)), len(new), unlike)


def _chances(chance: Reals) -> Floats:
    checked = reals("chance", chance)
    if len(checked) and (checked.min() <= 0.0 or checked.max() > 1.0):
        raise ValueError(
            f"chance ranges {checked.min():.4g}..{checked.max():.4g}; a reviewed answer's chance of review lies above "
            "0 and is at most 1"
        )
    return checked


def _effective(yes: Floats, weight: Floats, mean: float) -> float:
    """So many answers drawn evenly have a mean as uncertain as this one; where all are alike, Kish's number."""
    kish = float(weight.sum() ** 2 / np.square(weight).sum())
    variance = float(np.square(weight * (yes - mean)).sum()) / float(weight.sum()) ** 2
    return min(len(yes) * 1.0, kish, mean * (1.0 - mean) / variance) if variance > 0.0 else kish


def _exact(mean: float, n: float, confidence: float) -> tuple[float, float]:
    """The interval of Clopper and Pearson for a number of answers that need not be whole (Korn & Graubard 1998)."""
    tail, hits = (1.0 - confidence) / 2.0, mean * n

    def reached(level: float, a: float, b: float) -> float:
        low, high = 0.0, 1.0
        while high - low > 1e-10:
            middle = (low + high) / 2.0
            low, high = (middle, high) if beta_cdf(middle, a, b) < level else (low, middle)
        return (low + high) / 2.0

    low = 0.0 if hits <= 1e-12 else reached(tail, hits, n - hits + 1.0)
    return low, 1.0 if n - hits <= 1e-12 else reached(1.0 - tail, hits + 1.0, n - hits)
