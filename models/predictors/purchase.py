"""Purchase likelihood: gradient boosting and a logistic regression over behaviour, mixed. Any target within a horizon.

Answers raw probabilities from ONNX Runtime and numpy; calibrating them, and how far to trust them, is confidence's
part. A likelihood is not uplift: it says who will, not whom a campaign would move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.features.behaviour import behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from models.predictors.about import read_about
from models.predictors.predictor import PredictorError, open_session

FORMAT_VERSION = 1
BOOSTING_FILE, ABOUT_FILE = "boosting.onnx", "purchase.json"
_CUSTOMERS_AT_ONCE = 20_000


def log_features(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(S, F) each feature on a logarithmic scale, its sign kept: what the logistic regression sees.

    >>> log_features(np.array([[0.0, 1.0, -1.0]], dtype=np.float32)).round(3)
    array([[ 0.   ,  0.693, -0.693]])
    """
    wide = features.astype(np.float64)
    return np.asarray(np.sign(wide) * np.log1p(np.abs(wide)), dtype=np.float64)


@dataclass(frozen=True)
class Logistic:
    """A logistic regression on `log_features`: extrapolates smoothly where trees stay flat.

    weights (F,) and intercept are on the scale of `log_features` itself.
    """

    weights: NDArray[np.float64]
    intercept: float

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(S,) probability for rows (S, F) of `behaviour`."""
        logit = log_features(features) @ self.weights + self.intercept
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -40, 40))), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.tolist(), "intercept": self.intercept}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Logistic:
        return cls(np.array(data["weights"], dtype=np.float64), float(data["intercept"]))


@dataclass(frozen=True)
class PurchasePredictor:
    """Loaded from a folder of boosting.onnx and purchase.json; taught by `n` examples, `positives` of them followed."""

    target: Target
    vocabulary: Vocabulary
    base_rate: float
    n: int
    positives: int
    minimum_positives: int
    boosting_weight: float
    _logistic: Logistic
    _boosting: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Self:
        """Raises PredictorError for a missing, damaged or foreign file, or features that this version lacks."""
        about = read_about(folder / ABOUT_FILE, FORMAT_VERSION)
        try:
            vocabulary = Vocabulary.from_dict(about["vocabulary"])
            names = [feature.name for feature in features_of(vocabulary)]
            if names != about["features"]:
                raise PredictorError(
                    f"{ABOUT_FILE} in {folder.name}/ was taught other features; train the bundle again"
                )
            return cls(
                target=Target.from_dict(about["target"]),
                vocabulary=vocabulary,
                base_rate=float(about["base_rate"]),
                n=int(about["n"]),
                positives=int(about["positives"]),
                minimum_positives=int(about["minimum_positives"]),
                boosting_weight=float(about["boosting_weight"]),
                _logistic=Logistic.from_dict(about["logistic"]),
                _boosting=open_session(folder / BOOSTING_FILE, threads),
            )
        except (KeyError, TypeError) as error:
            raise PredictorError(f"{ABOUT_FILE} in {folder.name}/ lacks {error}; train the bundle again") from error

    def predict(self, seen: Journeys, as_of: Ints) -> NDArray[np.float64]:
        """(C,) raw probability for journeys already cut by `seen_at(as_of)`; an empty journey gets the base rate."""
        return np.where(seen.lengths > 0, self.score(behaviour(seen, as_of, self.vocabulary)), self.base_rate)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(C,) raw probability for rows (C, F) of `behaviour`: the mixture."""
        weight = self.boosting_weight
        return weight * self.boosted(features) + (1 - weight) * self._logistic.predict(features)

    def boosted(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(C,) what the boosting alone says of rows (C, F) of `behaviour`."""
        parts = [
            self._boosting.run(["probabilities"], {"features": features[start : start + _CUSTOMERS_AT_ONCE]})[0][:, 1]
            for start in range(0, len(features), _CUSTOMERS_AT_ONCE)
        ]
        return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)
