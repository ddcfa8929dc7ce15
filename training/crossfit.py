"""Fit the mixture of boosting and logistic regression: everything teaches, and nothing is judged by what it was taught.

Customers are parted into folds. What each fold is told by models of the others says how many rounds to boost, how much
to regularise, how to mix, and is handed on to calibrate by; then all examples are learned from once more. Knows columns
and outcomes; no journey, no target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from models.journey.journeys import Ints
from models.journey.target import HAPPENED
from models.predictors.purchase import Logistic, log_features

Features = NDArray[np.float32]
Labels = NDArray[np.int8]
Reals = NDArray[np.float64]
Bools = NDArray[np.bool_]

PENALTIES = (1.0, 0.01)
"""What a logistic regression may cost its weights (scikit-learn's C); the first fold chooses."""


@dataclass(frozen=True, slots=True)
class BoostingConfig:
    """How the boosting is learned.

    learning_rate, leaves, leaf_examples, l2, most_rounds  of the trees; small data lets leaves be smaller
    feature_share  of the columns, tried at each split
    patience       rounds without improvement on a held-out fold after which it stops
    folds          customers are parted into so many
    """

    learning_rate: float = 0.05
    leaves: int = 8
    leaf_examples: int = 50
    l2: float = 1.0
    feature_share: float = 0.5
    most_rounds: int = 400
    patience: int = 20
    folds: int = 4

    def __post_init__(self) -> None:
        for name, least in (("leaf_examples", 1), ("most_rounds", 1), ("patience", 1), ("leaves", 2), ("folds", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)} must be at least {least}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate {self.learning_rate} must be above 0")
        if not 0 < self.feature_share <= 1:
            raise ValueError(f"feature_share {self.feature_share} must be above 0 and at most 1")


@dataclass(frozen=True)
class Learned:
    """The mixture as fitted on everything, and what was said of each example (S,) by models that never saw its fold."""

    boosting: HistGradientBoostingClassifier
    logistic: Logistic
    boosting_weight: float
    rounds: int
    said: Reals
    held_out: dict[str, float]  # log-losses of mixture, boosting, logistic and base_rate

    def chance(self, x: Features, plain: Features | None = None) -> Reals:
        """(n,) raw probability of rows like those it was fitted on."""
        regressed = self.logistic.predict(x if plain is None else plain)
        boosted = self.boosting.predict_proba(x)[:, 1]
        return np.asarray(self.boosting_weight * boosted + (1 - self.boosting_weight) * regressed, dtype=np.float64)


def cross_fit(
    x: Features,
    y: Labels,
    fold: Ints,
    config: BoostingConfig,
    seed: int,
    *,
    plain: Features | None = None,
    constraints: Sequence[int] | None = None,
    counted: Bools | None = None,
) -> Learned:
    """Fit on rows x (S, F) with outcomes y (S,) and a `fold` (S,) for each.

    The regression sees `plain` (S, F), by default x; `constraints` (F,) holds 1 and -1 where the answer may only rise
    or fall with a column. Only examples `counted` (S,) choose the share of the mixture.
    """
    plain = x if plain is None else plain
    boosted, regressed, rates, rounds = (np.empty(len(y)) for _ in range(4))
    penalty = PENALTIES[0]
    for number in np.unique(fold):
        held = fold == number
        fitted = boost(x[~held], y[~held], config, seed, constraints, stop_by=(x[held], y[held]))
        if number == 0:
            penalty = _penalty(plain[~held], y[~held], plain[held], y[held])
        boosted[held] = fitted.predict_proba(x[held])[:, 1]
        regressed[held] = regress(plain[~held], y[~held], penalty).predict(plain[held])
        rates[held], rounds[held] = y[~held].mean(), max(1, int(np.argmax(fitted.validation_score_)))
    counted = np.ones(len(y), dtype=np.bool_) if counted is None else counted
    weight = _boosting_weight(boosted[counted], regressed[counted], y[counted])
    said = weight * boosted + (1 - weight) * regressed
    told = {"mixture": said, "boosting": boosted, "logistic": regressed, "base_rate": rates}
    enough = round(float(rounds.mean()))
    return Learned(
        boosting=boost(x, y, config, seed, constraints, rounds=enough),
        logistic=regress(plain, y, penalty),
        boosting_weight=weight,
        rounds=enough,
        said=said,
        held_out={name: log_loss(one[counted], y[counted]) for name, one in told.items()},
    )


def boost(
    x: Features,
    y: Labels,
    config: BoostingConfig,
    seed: int,
    constraints: Sequence[int] | None = None,
    *,
    stop_by: tuple[Features, Labels] | None = None,
    rounds: int | None = None,
) -> HistGradientBoostingClassifier:
    """Boosted trees of so many `rounds`, or until held-out rows and outcomes are no longer told better."""
    boosting = HistGradientBoostingClassifier(
        learning_rate=config.learning_rate,
        max_iter=rounds or config.most_rounds,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=min(config.leaf_examples, max(5, len(x) // 50)),
        l2_regularization=config.l2,
        max_features=config.feature_share,
        monotonic_cst=None if constraints is None else np.asarray(constraints, dtype=np.int8),
        early_stopping=stop_by is not None,
        n_iter_no_change=config.patience,
        random_state=seed,
    )
    return boosting.fit(x, y) if stop_by is None else boosting.fit(x, y, X_val=stop_by[0], y_val=stop_by[1])


def regress(features: Features, happened: Labels, penalty: float = 1.0) -> Logistic:
    """Fit on standardised logs, and give the weights on the logs' own scale."""
    logs = log_features(features)
    mean, spread = logs.mean(axis=0), logs.std(axis=0)
    scale = np.where(spread > 1e-6, spread, 1.0)  # a column that never changes says nothing
    fitted = LogisticRegression(C=penalty, max_iter=1000).fit((logs - mean) / scale, happened)
    weights = fitted.coef_[0] / scale
    return Logistic(weights, float(fitted.intercept_[0] - mean @ weights))


def log_loss(probability: Reals, happened: Labels) -> float:
    """Mean, in nats."""
    given = np.clip(np.where(happened == HAPPENED, probability, 1 - probability), 1e-12, 1.0)
    return float(-np.log(given).mean())


def _penalty(x: Features, y: Labels, x_held: Features, y_held: Labels) -> float:
    losses = [log_loss(regress(x, y, one).predict(x_held), y_held) for one in PENALTIES]
    return PENALTIES[int(np.argmin(losses))]


def _boosting_weight(boosted: Reals, regressed: Reals, happened: Labels) -> float:
    """The share of the boosting in the mixture that held-out examples like best, in steps of a twentieth."""
    shares = np.linspace(0, 1, 21)
    losses = [log_loss(share * boosted + (1 - share) * regressed, happened) for share in shares]
    return float(shares[int(np.argmin(losses))])
