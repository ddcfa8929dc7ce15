"""Calibration: probabilities that mean what they say.

One temperature for many classes; for yes or no the simplest of four maps that held-out cases support. All are
monotone, so calibrating never changes who ranks before whom, and all are plain numbers, so a bundle keeps them as
JSON. Fit them on cases the model was not trained on. How wide the interval of a probability is, see `band.py`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from models.confidence.arrays import Flags, Floats, Groups, Labels, Reals, classes, flags, probabilities, reals
from models.confidence.metrics import SMALLEST_PROBABILITY, binary_log_losses

MINIMUM_CASES = 50
"""With fewer held-out cases nothing is fitted."""
MINIMUM_ISOTONIC_CASES = 1000
"""Isotonic regression overfits on fewer (Niculescu-Mizil & Caruana 2005)."""
_EDGE = 1e-7  # a float32 softmax saturates about here; logits of 0 and 1 are taken there


# -- many classes ------------------------------------------------------------------------------------------------------


def softmax(logits: Reals) -> Floats:
    """Logits (n, K) as probabilities (n, K)."""
    shifted = np.asarray(logits, dtype=np.float64)
    raised = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Temperature:
    """One temperature for all classes (Guo et al. 2017): above 1 it makes an overconfident model less sure.

    It works on probabilities: ``softmax(logits / T)`` equals ``p**(1/T)`` scaled to add up to 1, and a class of
    probability 0 stays at 0.

    >>> Temperature(2.0).apply(np.array([[0.9, 0.1, 0.0]])).round(2).tolist()
    [[0.75, 0.25, 0.0]]

    With `labels` nothing is surer than so many of them allow: had all n been answered right, the next would be with
    (n + 1) / (n + K) (Laplace's rule of succession), so the classes share K / (n + K) evenly.

    >>> Temperature(1.0, labels=17).apply(np.array([[1.0, 0.0, 0.0]])).round(2).tolist()
    [[0.9, 0.05, 0.05]]
    """

    temperature: float
    labels: float = math.inf
    name: ClassVar[str] = "temperature"

    @classmethod
    def fit(cls, prob: Reals, label: Labels, weight: Reals | None = None) -> Self:
        """The temperature in 0.05..20 with the least log-loss on ``prob`` (n, K), ``label`` (n,), ``weight`` (n,)."""
        checked = probabilities("prob", prob, ndim=2)
        right = classes("label", label, *checked.shape)
        if len(checked) < MINIMUM_CASES:
            return cls(1.0)
        log_prob = np.log(np.maximum(checked, SMALLEST_PROBABILITY))
        log_prob -= log_prob.max(axis=1, keepdims=True)
        log_right = log_prob[np.arange(len(checked)), right]
        counts = np.ones(len(checked)) if weight is None else reals("weight", weight)

        def loss(log_temperature: float) -> float:
            scale = math.exp(-log_temperature)
            return float(np.average(np.log(np.exp(log_prob * scale).sum(axis=1)) - log_right * scale, weights=counts))

        return cls(math.exp(_golden_section(loss, math.log(0.05), math.log(20.0))))

    def apply(self, prob: Reals) -> Floats:
        """Calibrated probabilities, shape (n, K) as ``prob``."""
        checked = probabilities("prob", prob, ndim=2)
        raised = (checked / checked.max(axis=1, keepdims=True)) ** (1.0 / self.temperature)
        found = np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)
        shared = 1.0 / (self.labels + checked.shape[1])
        return found if math.isinf(self.labels) else found * (1.0 - checked.shape[1] * shared) + shared

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        limited = {} if math.isinf(self.labels) else {"labels": self.labels}
        return {"name": self.name, "temperature": self.temperature, **limited}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(float(data["temperature"]), float(data.get("labels", math.inf)))


def _golden_section(loss: Callable[[float], float], low: float, high: float) -> float:
    """The minimum of a function with one valley (Kiefer 1953); log-loss is convex in 1/T, so it has one in log T."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-5:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return (low + high) / 2.0


# -- yes or no ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Uncalibrated:
    """Probabilities as they came: the simplest map, kept wherever nothing is clearly better."""

    name: ClassVar[str] = "none"

    @classmethod
    def fit(cls, prob: Reals, label: Labels) -> Self:
        """Nothing to fit."""
        return cls()

    def apply(self, prob: Reals) -> Floats:
        """``prob`` (n,) unchanged."""
        return probabilities("prob", prob)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `calibrator_from_dict` reads it back."""
        return {"name": self.name}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls()


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """Platt scaling (Platt 1999) on the logit: ``sigmoid(slope * logit(p) + intercept)``, slope at least 0."""

    slope: float
    intercept: float
    name: ClassVar[str] = "sigmoid"

    @classmethod
    def fit(cls, prob: Reals, label: Labels) -> Self:
        """Least log-loss on ``prob`` (n,) and ``label`` 0/1 (n,), with Platt's softened targets."""
        checked = _inner(prob)
        (slope,), intercept = _fit_monotone(_logit(checked)[:, None], flags("label", label, len(checked)))
        return cls(float(slope), intercept)

    def apply(self, prob: Reals) -> Floats:
        """Calibrated probabilities (n,)."""
        return _sigmoid(self.slope * _logit(_inner(prob)) + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `calibrator_from_dict` reads it back."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(float(data["slope"]), float(data["intercept"]))


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta calibration (Kull, Silva Filho & Flach 2017): ``sigmoid(a ln p - b ln(1-p) + c)`` with a, b at least 0.

    It bends each end on its own, and a = b = 1, c = 0 changes nothing.
    """

    a: float
    b: float
    c: float
    name: ClassVar[str] = "beta"

    @classmethod
    def fit(cls, prob: Reals, label: Labels) -> Self:
        """Least log-loss on ``prob`` (n,) and ``label`` 0/1 (n,), with Platt's softened targets."""
        checked = _inner(prob)
        columns = np.column_stack([np.log(checked), -np.log1p(-checked)])
        (a, b), c = _fit_monotone(columns, flags("label", label, len(checked)))
        return cls(float(a), float(b), c)

    def apply(self, prob: Reals) -> Floats:
        """Calibrated probabilities (n,)."""
        checked = _inner(prob)
        return _sigmoid(self.a * np.log(checked) - self.b * np.log1p(-checked) + self.c)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `calibrator_from_dict` reads it back."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(float(data["a"]), float(data["b"]), float(data["c"]))


@dataclass(frozen=True, slots=True, eq=False)
class Isotonic:
    """Isotonic regression (Zadrozny & Elkan 2002): the rising steps nearest to the outcomes, joined by lines.

    >>> Isotonic.fit(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1])).apply(np.array([0.2, 0.25])).tolist()
    [0.5, 0.5]
    """

    knots: Floats  # ascending probabilities as they came, (k,)
    values: Floats  # what they are worth, never falling, (k,)
    name: ClassVar[str] = "isotonic"

    @classmethod
    def fit(cls, prob: Reals, label: Labels) -> Self:
        """Pool adjacent violators on ``prob`` (n,) and ``label`` 0/1 (n,); never surer than n cases can show."""
        checked = probabilities("prob", prob)
        if not len(checked):
            raise ValueError("prob holds no case; give at least one to fit isotonic steps")
        scores, inverse, counts = np.unique(checked, return_inverse=True, return_counts=True)
        hits = np.bincount(inverse, weights=flags("label", label, len(checked)))
        blocks: list[tuple[float, float, float, float]] = []  # cases, hits, first score, last score
        for cases, yes, score in zip(counts.tolist(), hits.tolist(), scores.tolist(), strict=True):
            first = score
            while blocks and blocks[-1][1] * cases >= yes * blocks[-1][0]:
                cases, yes, first = blocks[-1][0] + cases, blocks[-1][1] + yes, blocks[-1][2]
                blocks.pop()
            blocks.append((cases, yes, first, score))
        edge = 1.0 / (len(checked) + 2.0)
        values = np.clip(np.array([yes / cases for cases, yes, _, _ in blocks]), edge, 1.0 - edge)
        return cls(np.array([knot for block in blocks for knot in block[2:]]), np.repeat(values, 2))

    def apply(self, prob: Reals) -> Floats:
        """Calibrated probabilities (n,)."""
        return np.asarray(np.interp(probabilities("prob", prob), self.knots, self.values), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `calibrator_from_dict` reads it back."""
        return {"name": self.name, "knots": self.knots.tolist(), "values": self.values.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(np.asarray(data["knots"], dtype=np.float64), np.asarray(data["values"], dtype=np.float64))


Calibrator = Uncalibrated | Sigmoid | Beta | Isotonic
CALIBRATORS: Mapping[str, type[Calibrator]] = {cls.name: cls for cls in (Uncalibrated, Sigmoid, Beta, Isotonic)}
"""The maps for yes or no by name, simplest first."""


def calibrator_from_dict(data: Mapping[str, Any]) -> Calibrator:
    """The calibrator that ``to_dict`` wrote, found by its name."""
    if data.get("name") not in CALIBRATORS:
        raise ValueError(f"name is {data.get('name')!r}; allowed calibrators are {', '.join(CALIBRATORS)}")
    return CALIBRATORS[data["name"]].from_dict(data)


@dataclass(frozen=True, slots=True)
class CalibratorChoice:
    """What `choose_calibrator` took, fitted on all cases, and the cross-validated log-loss of each candidate."""

    calibrator: Calibrator
    log_loss: dict[str, float] = field(default_factory=dict)  # empty where too few cases allowed no choice


def choose_calibrator(
    prob: Reals, label: Labels, rng: np.random.Generator, groups: Groups | None = None, folds: int = 5
) -> CalibratorChoice:
    """The simplest calibrator whose cross-validated log-loss is within one standard error of the best.

    The rule of one standard error (Breiman et al. 1984), on the paired difference to the best, since candidates are
    measured on the same cases. ``prob`` (n,), ``label`` 0/1 (n,); with ``groups`` (n,) a customer's cases stay in
    one fold. Below `MINIMUM_CASES`, with fewer
    customers than folds, or with one class alone, nothing is fitted.
    """
    checked = probabilities("prob", prob)
    yes = flags("label", label, len(checked))
    members = np.arange(len(checked)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_members = int(members.max(initial=-1)) + 1
    if len(checked) < MINIMUM_CASES or n_members < folds or yes.all() or not yes.any():
        return CalibratorChoice(Uncalibrated())
    fold = (rng.permutation(n_members) % folds)[members]
    losses: dict[str, Floats] = {}
    for name, cls in CALIBRATORS.items():
        if cls is Isotonic and len(checked) < MINIMUM_ISOTONIC_CASES:
            continue
        losses[name] = np.empty(len(checked))
        for held_out in (fold == i for i in range(folds)):
            fitted = cls.fit(checked[~held_out], yes[~held_out])
            losses[name][held_out] = binary_log_losses(fitted.apply(checked[held_out]), yes[held_out])
    best = min(losses.values(), key=lambda loss: float(loss.mean()))
    chosen = next(
        name for name, loss in losses.items() if (loss - best).mean() <= (loss - best).std() / math.sqrt(len(loss))
    )
    return CalibratorChoice(
        CALIBRATORS[chosen].fit(checked, yes), {name: float(loss.mean()) for name, loss in losses.items()}
    )


def _inner(prob: Reals) -> Floats:
    return np.clip(probabilities("prob", prob), _EDGE, 1.0 - _EDGE)


def _logit(prob: Floats) -> Floats:
    return np.asarray(np.log(prob) - np.log1p(-prob), dtype=np.float64)


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logit)), dtype=np.float64)


def _fit_monotone(columns: Floats, yes: Flags) -> tuple[Floats, float]:
    """Logistic weights (d,), none below 0, and an intercept; a column that would need a negative weight is dropped.

    Targets are softened as Platt (1999) does, so that cleanly separated cases still have finite weights.
    """
    n_yes, n_no = int(yes.sum()), int((~yes).sum())
    target = np.where(yes, (n_yes + 1.0) / (n_yes + 2.0), 1.0 / (n_no + 2.0))
    weights, kept = np.zeros(columns.shape[1]), list(range(columns.shape[1]))
    while True:
        *found, intercept = _newton(np.column_stack([columns[:, kept], np.ones(len(columns))]), target)
        if not kept or min(found) >= 0.0:
            weights[kept] = found
            return weights, float(intercept)
        kept.pop(int(np.argmin(found)))


def _newton(columns: Floats, target: Floats) -> Floats:
    """Logistic regression by Newton steps, halved until the loss falls."""

    def loss(weights: Floats) -> float:
        logit = columns @ weights
        return float((np.logaddexp(0.0, logit) - target * logit).sum())

    weights = np.zeros(columns.shape[1])
    ridge = 1e-9 * (len(columns) + 1) * np.eye(columns.shape[1])  # keeps equal columns solvable
    for _ in range(100):
        prob = _sigmoid(columns @ weights)
        step = np.linalg.solve((columns.T * (prob * (1.0 - prob))) @ columns + ridge, columns.T @ (prob - target))
        now = loss(weights)
        while loss(weights - step) > now and np.abs(step).max() > 1e-10:
            step = step / 2.0
        if np.abs(step).max() <= 1e-10:
            break
        weights = weights - step
    return reals("weights", weights)
