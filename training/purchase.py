"""Teach purchase likelihood: boosting over behaviour at random moments, exported to ONNX and proven equal.

Learns from landmarks whose whole horizon lies before `until`, so no label reaches into a later slice. Calibration and
the test are not here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from models.features.behaviour import behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.event import SECOND, Micros
from models.journey.journeys import Ints, Journeys
from models.journey.target import HAPPENED, Target
from models.predictors.purchase import ABOUT_FILE, BOOSTING_FILE, FORMAT_VERSION, Logistic, log_features
from training.errors import TooLittleData
from training.examples import landmarks
from training.export import export_boosting
from training.loop import Progress

Features = NDArray[np.float32]
Labels = NDArray[np.int8]
Reals = NDArray[np.float64]

_LANDMARKS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class PurchaseConfig:
    """How purchase likelihood is learned.

    per_month          landmarks drawn per customer and 30 days
    most_examples      more landmarks than this are thinned at random
    minimum_positives  fewer purchases (or fewer moments without one) than this are refused as too little data
    learning_rate, leaves, leaf_examples, l2, most_rounds  of the boosting
    patience           rounds without improvement on held-out customers after which it stops
    held_out_share     share of the customers held out to stop by
    """

    per_month: int = 4
    most_examples: int = 200_000
    minimum_positives: int = 50
    learning_rate: float = 0.05
    leaves: int = 8
    leaf_examples: int = 50
    l2: float = 1.0
    most_rounds: int = 400
    patience: int = 20
    held_out_share: float = 0.2

    def __post_init__(self) -> None:
        for name in ("per_month", "most_examples", "minimum_positives", "leaf_examples", "most_rounds", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.leaves < 2:
            raise ValueError(f"leaves {self.leaves} must be at least 2")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate {self.learning_rate} must be above 0")
        if not 0 < self.held_out_share < 1:
            raise ValueError(f"held_out_share {self.held_out_share} must be between 0 and 1")


@dataclass(frozen=True)
class Landmarks:
    """Moments with what was seen and what happened: S examples.

    rows (S,) customers, as_of (S,) microseconds, features (S, F) float32, happened (S,) 1 or 0.
    """

    rows: Ints
    as_of: Ints
    features: Features
    happened: Labels


@dataclass(frozen=True)
class PurchaseFit:
    """What was learned, from how many examples, and the log-losses on held-out customers at later moments."""

    examples: int
    positives: int
    base_rate: float
    rounds: int
    held_out: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class LogisticBaseline:
    """What a report sets beside us: logistic regression on the logs of the same features. Called as we are asked."""

    vocabulary: Vocabulary
    base_rate: float
    logistic: Logistic

    def __call__(self, seen: Journeys, as_of: Ints) -> NDArray[np.float64]:
        """(C,) probability for journeys already cut by `seen_at(as_of)`; an empty journey gets the base rate."""
        if not len(seen):
            return np.empty(0)
        given = self.logistic.predict(behaviour(seen, as_of, self.vocabulary))
        return np.where(seen.lengths > 0, given, self.base_rate)


def purchase_examples(
    journeys: Journeys,
    target: Target,
    vocabulary: Vocabulary,
    since: Micros,
    until: Micros,
    rng: np.random.Generator,
    per_month: int = 1,
    most: int | None = None,
) -> Landmarks:
    """Landmarks in [since, until] whose horizon ends by `until`, with features as of then and what happened."""
    rows, as_of = landmarks(journeys, since, until - target.horizon_seconds * SECOND + 1, rng, per_month)
    if most is not None and len(rows) > most:
        kept = np.sort(rng.choice(len(rows), most, replace=False))
        rows, as_of = rows[kept], as_of[kept]
    features, happened = [], []
    for start in range(0, len(rows), _LANDMARKS_AT_ONCE):
        part, moment = rows[start : start + _LANDMARKS_AT_ONCE], as_of[start : start + _LANDMARKS_AT_ONCE]
        taken = journeys.take(part)
        features.append(behaviour(taken.seen_at(moment), moment, vocabulary))
        happened.append(target.outcome(taken, moment, until))
    width = len(features_of(vocabulary))
    return Landmarks(
        rows,
        as_of,
        np.concatenate([np.empty((0, width), dtype=np.float32), *features]),
        np.concatenate([np.empty(0, dtype=np.int8), *happened]),
    )


def fit_purchase(
    journeys: Journeys,
    target: Target,
    vocabulary: Vocabulary,
    since: Micros,
    until: Micros,
    config: PurchaseConfig,
    seed: int,
    out: Path,
    progress: Progress,
) -> PurchaseFit:
    """Learn from landmarks in [since, until - horizon] and write the predictor's files into the folder `out`.

    Raises TooLittleData where the target (almost) never or always happens.
    """
    began = time.monotonic()
    rng = np.random.default_rng(seed)
    examples = purchase_examples(
        journeys, target, vocabulary, since, until, rng, config.per_month, config.most_examples
    )
    positives = int((examples.happened == HAPPENED).sum())
    _refuse_too_little(target, len(examples.happened), positives, config)
    base_rate = positives / len(examples.happened)
    progress(f"{target.name}: {len(examples.happened)} moments, {positives} followed by it ({base_rate:.2%})")
    held = _held_out(examples.rows, config.held_out_share, rng)
    x, y = examples.features, examples.happened
    boosting = _boost(x[~held], y[~held], x[held], y[held], config, seed)
    logistic = _regress(x[~held], y[~held])
    # Other customers, at the later moments: what serving will be asked is later still.
    late = held & (examples.as_of >= np.median(examples.as_of[held]))
    boosted, regressed = boosting.predict_proba(x[late])[:, 1], logistic.predict(x[late])
    weight = _boosting_weight(boosted, regressed, y[late])
    held_out = {
        "mixture": _log_loss(weight * boosted + (1 - weight) * regressed, y[late]),
        "boosting": _log_loss(boosted, y[late]),
        "logistic": _log_loss(regressed, y[late]),
        "base_rate": _log_loss(np.full(int(late.sum()), y[~held].mean()), y[late]),
    }
    progress(f"held out: {', '.join(f'{name} {loss:.4f}' for name, loss in held_out.items())}")
    out.mkdir(parents=True, exist_ok=True)
    export_boosting(boosting, x, out / BOOSTING_FILE, rng)
    numbers = {"base_rate": base_rate, "n": len(y), "positives": positives, "boosting_weight": weight}
    _write_about(out, target, vocabulary, config, logistic, numbers)
    seconds = time.monotonic() - began
    return PurchaseFit(len(y), positives, base_rate, int(boosting.n_iter_), held_out, seconds)


def _write_about(
    out: Path,
    target: Target,
    vocabulary: Vocabulary,
    config: PurchaseConfig,
    logistic: Logistic,
    numbers: Mapping[str, float],
) -> None:
    """Write what the predictor must know beside the boosting."""
    about = {
        "format_version": FORMAT_VERSION,
        "target": target.to_dict(),
        "vocabulary": vocabulary.to_dict(),
        "features": [feature.name for feature in features_of(vocabulary)],
        "minimum_positives": config.minimum_positives,
        "logistic": logistic.to_dict(),
        **numbers,
    }
    (out / ABOUT_FILE).write_text(json.dumps(about, indent=1, ensure_ascii=False), "utf-8")


def fit_logistic(
    journeys: Journeys,
    target: Target,
    vocabulary: Vocabulary,
    since: Micros,
    until: Micros,
    seed: int,
    config: PurchaseConfig | None = None,
) -> LogisticBaseline:
    """Logistic regression on the very examples that `fit_purchase` learns from with this seed. Raises TooLittleData."""
    config = config or PurchaseConfig()
    examples = purchase_examples(
        journeys, target, vocabulary, since, until, np.random.default_rng(seed), config.per_month, config.most_examples
    )
    positives = int((examples.happened == HAPPENED).sum())
    _refuse_too_little(target, len(examples.happened), positives, config)
    return LogisticBaseline(
        vocabulary, positives / len(examples.happened), _regress(examples.features, examples.happened)
    )


def _refuse_too_little(target: Target, n: int, positives: int, config: PurchaseConfig) -> None:
    wanted, horizon = ", ".join(target.touchpoints), f"{target.horizon_seconds / 86_400:g} days"
    if n == 0:
        raise TooLittleData(
            f"{target.name}: no journey is followed for the whole horizon of {horizon}; send more history"
        )
    if positives < config.minimum_positives:
        raise TooLittleData(
            f"{target.name}: {wanted} followed {positives} of {n} moments within {horizon}; "
            f"at least {config.minimum_positives} are needed to learn from"
        )
    if n - positives < config.minimum_positives:
        raise TooLittleData(
            f"{target.name}: {wanted} followed all but {n - positives} of {n} moments within {horizon}; "
            f"at least {config.minimum_positives} without it are needed to tell them apart: take a shorter horizon"
        )


def _held_out(rows: Ints, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(S,) true for all examples of a random share of the customers: nobody is on both sides."""
    customers = np.unique(rows)
    chosen = rng.permutation(customers)[: max(1, round(share * len(customers)))]
    return np.isin(rows, chosen)


def _boost(
    x: Features, y: Labels, x_held: Features, y_held: Labels, config: PurchaseConfig, seed: int
) -> HistGradientBoostingClassifier:
    boosting = HistGradientBoostingClassifier(
        learning_rate=config.learning_rate,
        max_iter=config.most_rounds,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.leaf_examples,
        l2_regularization=config.l2,
        early_stopping=True,
        n_iter_no_change=config.patience,
        random_state=seed,
    )
    return boosting.fit(x, y, X_val=x_held, y_val=y_held)


def _regress(features: Features, happened: Labels) -> Logistic:
    """Fit on standardised logs, and give the weights on the logs' own scale."""
    logs = log_features(features)
    mean, spread = logs.mean(axis=0), logs.std(axis=0)
    scale = np.where(spread > 1e-6, spread, 1.0)  # a column that never changes says nothing
    fitted = LogisticRegression(max_iter=1000).fit((logs - mean) / scale, happened)
    weights = fitted.coef_[0] / scale
    return Logistic(weights, float(fitted.intercept_[0] - mean @ weights))


def _boosting_weight(boosted: Reals, regressed: Reals, happened: Labels) -> float:
    """The share of the boosting in the mixture that held-out examples like best, in steps of a twentieth."""
    shares = np.linspace(0, 1, 21)
    losses = [_log_loss(share * boosted + (1 - share) * regressed, happened) for share in shares]
    return float(shares[int(np.argmin(losses))])


def _log_loss(probability: NDArray[np.float64], happened: Labels) -> float:
    given = np.clip(np.where(happened == HAPPENED, probability, 1 - probability), 1e-12, 1.0)
    return float(-np.log(given).mean())
