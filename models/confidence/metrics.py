"""Scores on numbers: how good predictions were, and how sure we are of that.

Every ``*_losses`` function gives one loss a case, so that differences can be bootstrapped by customer; its singular
twin is their mean. Shapes: n cases, K classes. A score that is not defined (one class alone) is NaN. Nothing here
decides what is good enough, fits or plots.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.confidence.arrays import Flags, Floats, Groups, Ints, Labels, Reals, classes, flags, probabilities, reals

SMALLEST_PROBABILITY = 1e-12
"""Log-loss takes smaller probabilities for this one, so that a single certain mistake stays finite."""
_BLOCK = 4_000_000  # numbers drawn at once while bootstrapping: 32 MB


class Interval(NamedTuple):
    """A mean with the two ends of its 95 % interval."""

    mean: float
    low: float
    high: float


# -- proper scores -----------------------------------------------------------------------------------------------------


def log_losses(prob: Reals, label: Labels) -> Floats:
    """Minus the natural log of the probability (n, K) given to what happened (n,); shape (n,)."""
    checked = probabilities("prob", prob, ndim=2)
    right = classes("label", label, *checked.shape)
    return -np.log(np.maximum(checked[np.arange(len(checked)), right], SMALLEST_PROBABILITY))


def log_loss(prob: Reals, label: Labels) -> float:
    """The mean of `log_losses`.

    >>> round(log_loss(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 0])), 4)
    0.3993
    """
    return _mean(log_losses(prob, label))


def binary_log_losses(prob: Reals, label: Labels) -> Floats:
    """As `log_losses`, for the probability (n,) of yes and the labels 0/1 (n,)."""
    checked = probabilities("prob", prob)
    yes = flags("label", label, len(checked))
    return -np.log(np.maximum(np.where(yes, checked, 1.0 - checked), SMALLEST_PROBABILITY))


def binary_log_loss(prob: Reals, label: Labels) -> float:
    """The mean of `binary_log_losses`."""
    return _mean(binary_log_losses(prob, label))


def brier_losses(prob: Reals, label: Labels) -> Floats:
    """Squared error of probabilities (Brier 1950), shape (n,).

    With ``prob`` (n,) it is (p - y)², 0..1; with ``prob`` (n, K) it is added over classes, 0..2.
    """
    if np.ndim(prob) == 1:
        binary = probabilities("prob", prob)
        return np.square(binary - flags("label", label, len(binary)))
    checked = probabilities("prob", prob, ndim=2)
    happened = np.zeros_like(checked)
    happened[np.arange(len(checked)), classes("label", label, *checked.shape)] = 1.0
    return np.asarray(np.square(checked - happened).sum(axis=1), dtype=np.float64)


def brier(prob: Reals, label: Labels) -> float:
    """The mean of `brier_losses`."""
    return _mean(brier_losses(prob, label))


def crps_losses(samples: Reals, observed: Reals) -> Floats:
    """The continuous ranked probability score of S samples a case (n, S), in the unit of ``observed`` (n,).

    E|X - y| - E|X - X'|/2 of the empirical distribution (Gneiting & Raftery 2007, eq. 21), without the S² pairs.
    """
    ordered = np.sort(reals("samples", samples, ndim=2), axis=1)
    size = ordered.shape[1]
    distance = np.abs(ordered - reals("observed", observed, length=len(ordered))[:, None]).mean(axis=1)
    weight = (2.0 * np.arange(1, size + 1) - size - 1.0) / size**2
    return np.asarray(distance - ordered @ weight, dtype=np.float64)


def crps(samples: Reals, observed: Reals) -> float:
    """The mean of `crps_losses`.

    >>> crps(np.array([[1.0], [5.0]]), np.array([1.0, 3.0]))  # one sample a case: the absolute error
    1.0
    """
    return _mean(crps_losses(samples, observed))


def crps_quantile_losses(quantiles: Reals, levels: Reals, observed: Reals) -> Floats:
    """The score of quantiles (n, Q) at ``levels`` (Q,): twice the mean pinball loss (Gneiting & Ranjan 2011).

    It nears `crps_losses` as evenly spread levels grow many.
    """
    forecast = reals("quantiles", quantiles, ndim=2)
    level = probabilities("levels", levels, length=forecast.shape[1])
    miss = reals("observed", observed, length=len(forecast))[:, None] - forecast
    return np.asarray(2.0 * np.maximum(level * miss, (level - 1.0) * miss).mean(axis=1), dtype=np.float64)


def crps_quantiles(quantiles: Reals, levels: Reals, observed: Reals) -> float:
    """The mean of `crps_quantile_losses`."""
    return _mean(crps_quantile_losses(quantiles, levels, observed))


# -- ranking and deciding ----------------------------------------------------------------------------------------------


def auc(score: Reals, label: Labels) -> float:
    """The chance that a yes scores above a no, ties counting half (Mann & Whitney 1947); NaN for one class alone.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))
    0.875
    """
    checked = reals("score", score)
    yes = flags("label", label, len(checked))
    n_yes, n_no = int(yes.sum()), int((~yes).sum())
    if n_yes == 0 or n_no == 0:
        return float("nan")
    _, inverse, counts = np.unique(checked, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2.0
    return float((rank[inverse[yes]].sum() - n_yes * (n_yes + 1) / 2.0) / (n_yes * n_no))


def average_precision(score: Reals, label: Labels) -> float:
    """Precision averaged over recall, tied scores entering together; NaN without a yes."""
    checked = reals("score", score)
    yes = flags("label", label, len(checked))
    if not yes.any():
        return float("nan")
    _, inverse, counts = np.unique(-checked, return_inverse=True, return_counts=True)
    hits = np.bincount(inverse, weights=yes)
    return float((hits * np.cumsum(hits) / np.cumsum(counts)).sum() / yes.sum())


def accuracy(prob: Reals, label: Labels) -> float:
    """The share of cases whose most probable class (n, K) happened; the lower class number wins a tie."""
    return top_k(prob, label, 1)


def top_k(prob: Reals, label: Labels, k: int) -> float:
    """The share of cases whose class is among the ``k`` most probable; lower class numbers win ties."""
    checked = probabilities("prob", prob, ndim=2)
    if k < 1:
        raise ValueError(f"k is {k}; give at least 1")
    right = classes("label", label, *checked.shape)[:, None]
    given = np.take_along_axis(checked, right, axis=1)
    ahead = (checked > given) | ((checked == given) & (np.arange(checked.shape[1]) < right))
    return _mean(ahead.sum(axis=1) < k)


def macro_f1(predicted: Labels, label: Labels) -> float:
    """The plain mean of F1 over the classes that occur in ``predicted`` (n,) or ``label`` (n,)."""
    table = _crosstab(predicted, label)
    sizes = table.sum(axis=0) + table.sum(axis=1)
    seen = sizes > 0
    return _mean(2.0 * np.diag(table)[seen] / sizes[seen])


def cohen_kappa(one: Labels, other: Labels) -> float:
    """Agreement of two raters beyond chance (Cohen 1960), -1..1; NaN where both only ever gave one same answer."""
    table = _crosstab(one, other)
    n = table.sum()
    if n == 0:
        return float("nan")
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / n**2
    return float("nan") if chance == 1.0 else float((np.trace(table) / n - chance) / (1.0 - chance))


def coverage(prediction_set: Flags, label: Labels) -> float:
    """The share of cases whose class lies in its prediction set (n, K)."""
    inside = np.asarray(prediction_set, dtype=np.bool_)
    return _mean(inside[np.arange(len(inside)), classes("label", label, *inside.shape)])


# -- calibration -------------------------------------------------------------------------------------------------------


def ece(confidence: Reals, correct: Labels, bins: int = 15) -> float:
    """Expected calibration error in bins of equal mass (Naeini et al. 2015; Nguyen & O'Connor 2015).

    ``confidence`` (n,) is what was claimed, ``correct`` (n,) whether it held. Equal confidences share a bin. Above 0
    even for a perfect model: read it beside `ece_band`.
    """
    claimed = probabilities("confidence", confidence)
    held = flags("correct", correct, len(claimed))
    return float(np.abs(np.bincount(_equal_mass(claimed, bins), weights=claimed - held)).sum() / max(len(claimed), 1))


def ece_band(prob: Reals, bins: int, n_draws: int, rng: np.random.Generator) -> Interval:
    """Mean and 95 % band of the ECE of a perfectly calibrated model with the same probabilities (n,), simulated.

    An ECE inside the band shows no miscalibration (consistency bars of Bröcker & Smith 2007, for one number). It takes
    cases for independent; where a customer has several, see `ece_band_of_groups`.
    """
    claimed = probabilities("prob", prob)
    where = _equal_mass(claimed, bins)
    draws = np.empty(n_draws)
    for i in range(n_draws):
        held = rng.random(len(claimed)) < claimed
        draws[i] = np.abs(np.bincount(where, weights=claimed - held)).sum() / max(len(claimed), 1)
    return _interval(float(draws.mean()), draws)


def ece_band_of_groups(
    prob: Reals, label: Labels, groups: Groups, bins: int, n_draws: int, rng: np.random.Generator
) -> Interval:
    """`ece_band` where the cases of one group (a customer) are not independent: moments whose horizons overlap are not.

    What is off in each bin is taken out, and what is left of each group is turned up or down as a whole, at random
    (the wild bootstrap over clusters of Cameron, Gelbach & Miller 2008, with Rademacher's signs).

    >>> rng = np.random.default_rng(0)
    >>> who, bought = np.repeat(np.arange(200), 10), np.repeat(rng.random(200) < 0.3, 10)
    >>> said = np.full(2000, 0.3)  # each customer asked ten times, always with the same outcome
    >>> ece_band(said, 5, 200, rng).high < 0.03 < ece_band_of_groups(said, bought, who, 5, 200, rng).high
    True
    """
    claimed = probabilities("prob", prob)
    where = _equal_mass(claimed, bins)
    off = claimed - flags("label", label, len(claimed))
    size = np.bincount(where)
    off = off - (np.bincount(where, weights=off) / np.maximum(size, 1))[where]
    names, member = np.unique(groups, return_inverse=True)
    cell, place = np.unique(member * len(size) + where, return_inverse=True)
    sums, owner, bin_of = np.bincount(place, weights=off), cell // len(size), cell % len(size)
    draws = np.empty(n_draws)
    for i in range(n_draws):
        sign = rng.integers(0, 2, len(names)) * 2 - 1
        draws[i] = np.abs(np.bincount(bin_of, weights=sums * sign[owner])).sum() / max(len(claimed), 1)
    return _interval(float(draws.mean()), draws)


# -- how sure are we ---------------------------------------------------------------------------------------------------


def bootstrap_interval(losses: Reals, groups: Groups, rng: np.random.Generator, draws: int = 1000) -> Interval:
    """The mean of per-case losses (n,) with its 95 % percentile interval, drawing whole groups (customers) anew.

    Cases of one customer are alike, so drawing cases would promise too much (Davison & Hinkley 1997, section 3.8).
    """
    checked = reals("losses", losses)
    if len(groups) != len(checked):
        raise ValueError(f"groups has {len(groups)} cases, losses has {len(checked)}; give one group for each case")
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups = len(names)
    if n_groups < 2:
        raise ValueError(f"groups holds {n_groups} distinct; at least 2 are needed to say how far they differ")
    sums = np.bincount(inverse, weights=checked)
    means = np.empty(draws)
    step = max(1, _BLOCK // n_groups)
    for start in range(0, draws, step):
        drawn = rng.integers(0, n_groups, size=(min(step, draws - start), n_groups))
        means[start : start + step] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return _interval(float(checked.mean()), means)


def auc_interval(score: Reals, label: Labels, groups: Groups, rng: np.random.Generator, draws: int = 500) -> Interval:
    """`auc` with its 95 % percentile interval, drawing whole groups (customers) anew; NaN for one class alone.

    >>> told, came = np.array([0.1, 0.4, 0.4, 0.8] * 25), np.array([0, 0, 1, 1] * 25)
    >>> found = auc_interval(told, came, np.arange(100), np.random.default_rng(0))
    >>> found.mean, found.low < 0.875 < found.high
    (0.875, True)
    """
    checked = reals("score", score)
    yes = flags("label", label, len(checked))
    _, rank = np.unique(checked, return_inverse=True)
    names, inverse = np.unique(groups, return_inverse=True)
    found = []
    for _ in range(draws):
        times = np.bincount(rng.integers(0, len(names), size=len(names)), minlength=len(names))[inverse]
        up, down = np.bincount(rank, weights=times * yes), np.bincount(rank, weights=times * ~yes)
        pairs = up.sum() * down.sum()
        if pairs:  # a draw of one class alone ranks nothing
            found.append(float(up @ (np.cumsum(down) - down / 2.0)) / pairs)
    whole = auc(checked, yes)
    return _interval(whole, np.array(found)) if found else Interval(whole, float("nan"), float("nan"))


def paired_bootstrap(
    loss_a: Reals, loss_b: Reals, groups: Groups, rng: np.random.Generator, draws: int = 1000
) -> Interval:
    """Mean of ``loss_a - loss_b`` on the same cases with its 95 % interval: wholly below 0 where a is the better."""
    first = reals("loss_a", loss_a)
    return bootstrap_interval(first - reals("loss_b", loss_b, length=len(first)), groups, rng, draws)


def _mean(values: NDArray[np.floating] | Flags) -> float:
    return float(values.mean()) if values.size else float("nan")


def _interval(mean: float, draws: Floats) -> Interval:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(mean, float(low), float(high))


def _equal_mass(values: Floats, bins: int) -> Ints:
    """The bin of each value: about as many cases in each of ``bins``, equal values together."""
    if bins < 1:
        raise ValueError(f"bins is {bins}; give at least 1")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    return np.asarray((before * bins // max(len(values), 1))[inverse], dtype=np.int64)


def _crosstab(one: Labels, other: Labels) -> Ints:
    first, second = np.asarray(one).astype(np.int64), np.asarray(other).astype(np.int64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"labels have shapes {first.shape} and {second.shape}; give two of the same length")
    _, numbered = np.unique(np.concatenate([first, second]), return_inverse=True)
    size = int(numbered.max(initial=-1)) + 1
    cells = numbered[: len(first)] * size + numbered[len(first) :]
    return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.int64)
