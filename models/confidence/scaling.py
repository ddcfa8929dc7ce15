"""Scaling of a distribution over many classes: as it came, one temperature, or a shift for each class as well.

The simplest that held-out customers support is taken. Plain numbers, so that a bundle keeps them as JSON. Yes or no is
`calibration.py`'s part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.confidence.arrays import Floats, Ints, Labels, Reals, classes, probabilities, reals
from models.confidence.calibration import MINIMUM_CASES, Temperature, softmax
from models.confidence.metrics import SMALLEST_PROBABILITY, Interval

_RIDGE = 30.0  # cases' worth of doubt that any class needs a shift
_STEPS = 50


@dataclass(frozen=True, slots=True)
class VectorScaling:
    """``softmax(log p / T + shift)``: vector scaling (Guo et al. 2017) with one temperature for all classes.

    >>> VectorScaling(1.0, (0.0, math.log(3.0))).apply(np.array([[0.5, 0.5]])).round(2).tolist()
    [[0.25, 0.75]]
    """

    temperature: float
    shift: tuple[float, ...]

    @classmethod
    def fit(cls, prob: Reals, label: Labels, weight: Reals | None = None) -> Self:
        """The least log-loss on ``prob`` (n, K), ``label`` (n,) and ``weight`` (n,), by damped Newton steps.

        Shifts are drawn towards none, as if thirty more cases had needed none.
        """
        checked = probabilities("prob", prob, ndim=2)
        right = classes("label", label, *checked.shape)
        counts = np.ones(len(checked)) if weight is None else reals("weight", weight, length=len(checked))
        log_prob = np.log(np.maximum(checked, SMALLEST_PROBABILITY))
        happened = np.zeros_like(checked)
        happened[np.arange(len(checked)), right] = 1.0
        found = np.concatenate([[1.0], np.zeros(checked.shape[1])])  # 1 / T, then the shifts
        nothing = found.copy()

        def loss(at: Floats) -> float:
            logits = log_prob * at[0] + at[1:]
            top = logits.max(axis=1)
            each = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - (logits * happened).sum(axis=1)
            return float(counts @ each + _RIDGE / 2 * np.square(at - nothing).sum())

        for _ in range(_STEPS):
            said = softmax(log_prob * found[0] + found[1:])
            slope, bend = _slope_and_bend(said, said - happened, log_prob, counts)
            step = np.linalg.solve(bend + _RIDGE * np.eye(len(found)), slope + _RIDGE * (found - nothing))
            now = loss(found)
            while loss(found - step) > now and np.abs(step).max() > 1e-8:
                step = step / 2.0
            found = found - step
            if np.abs(step).max() <= 1e-8:
                break
        return cls(1.0 / max(float(found[0]), 0.05), tuple(float(shift) for shift in found[1:]))

    def apply(self, prob: Reals) -> Floats:
        """Calibrated probabilities, shape (n, K) as ``prob``; a class of probability 0 stays at 0."""
        checked = probabilities("prob", prob, ndim=2)
        raised = (checked / checked.max(axis=1, keepdims=True)) ** (1.0 / self.temperature) * np.exp(self.shift)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `scaling_from_dict` reads it back."""
        return {"name": "vector", "temperature": self.temperature, "shift": list(self.shift)}


Scaling = Temperature | VectorScaling


def scaling_from_dict(data: Mapping[str, Any]) -> Scaling:
    """What `to_dict` wrote, found by its name."""
    if data["name"] == "vector":
        return VectorScaling(float(data["temperature"]), tuple(map(float, data["shift"])))
    return Temperature.from_dict(data)


def choose_scaling(prob: Reals, label: Labels, weight: Reals, customer: Ints, folds: int = 5) -> Scaling:
    """Nothing, a temperature, or a temperature and shifts: the simplest within one standard error of the best.

    Cross-validated log-loss on ``prob`` (n, K), ``label`` (n,), ``weight`` (n,); a ``customer`` (n,) stays in one fold,
    and differences to the best are paired (Breiman et al. 1984). With few cases or customers nothing is changed.
    """
    names, place = np.unique(customer, return_inverse=True)
    if len(prob) < MINIMUM_CASES or len(names) < folds:
        return Temperature(1.0)
    every = np.arange(len(prob))
    nothing = -np.log(np.maximum(prob[every, label], SMALLEST_PROBABILITY)).astype(np.float64)
    losses = [nothing, nothing.copy(), nothing.copy()]
    kinds: tuple[type[Scaling], ...] = (Temperature, VectorScaling)
    for held in (place % folds == fold for fold in range(folds)):
        rows = np.flatnonzero(held)
        for kind, found in zip(kinds, losses[1:], strict=True):
            fitted = kind.fit(prob[~held], label[~held], weight[~held])
            said = fitted.apply(prob[rows])[np.arange(len(rows)), label[rows]]
            found[rows] = -np.log(np.maximum(said, SMALLEST_PROBABILITY))
    best = min(losses, key=lambda loss: float(weight @ loss))
    for number, loss in enumerate(losses):
        worse = clustered_interval(loss - best, weight, customer)
        if worse.mean <= (worse.mean - worse.low) / 1.96:
            return kinds[number - 1].fit(prob, label, weight) if number else Temperature(1.0)
    raise AssertionError("the best is never worse than itself")


def clustered_interval(values: Floats, weight: Reals, customer: Ints) -> Interval:
    """The weighted mean of ``values`` (n,) and its 95 % interval, where cases of a ``customer`` (n,) are alike.

    By the variance of customers' sums (Liang & Zeger 1986, doi:10.1093/biomet/73.1.13): no draws, so always the same.

    >>> [round(float(end), 3) for end in clustered_interval(np.array([1.0, 1.0, 3.0]), np.ones(3), np.array([1, 1, 2]))]
    [1.667, 0.435, 2.899]
    """
    mean = float(np.average(values, weights=weight))
    sums = np.bincount(np.unique(customer, return_inverse=True)[1], weights=weight * (values - mean))
    half = 1.96 * math.sqrt(float(np.square(sums).sum())) / float(np.sum(weight))
    return Interval(mean, mean - half, mean + half)


def _slope_and_bend(said: Floats, off: Floats, log_prob: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Gradient (K+1,) and Hessian (K+1, K+1) of the log-loss in 1 / T and the shifts; `off` is said less happened."""
    mean = (said * log_prob).sum(axis=1)
    slope = np.concatenate([[weight @ (off * log_prob).sum(axis=1)], weight @ off])
    both = (said * (log_prob - mean[:, None])).T @ weight
    shifts = np.diag(weight @ said) - (said * weight[:, None]).T @ said
    steep = float(weight @ ((said * np.square(log_prob)).sum(axis=1) - np.square(mean)))
    return slope, np.block([[np.array([[steep]]), both[None, :]], [both[:, None], shifts]])
