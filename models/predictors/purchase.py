"""Purchase likelihood: gradient boosting and a logistic regression over behaviour, mixed. Any target within a horizon.

What other predictors say of the journey can stand beside its behaviour (`stacking.py`).
Answers raw probabilities from ONNX Runtime and numpy; calibrating them, and how far to trust them, is confidence's
part. A likelihood is not uplift: it says who will, not whom a campaign would move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.features.behaviour import Feature, behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from models.predictors.about import read_about
from models.predictors.predictor import PredictorError, open_session
from models.predictors.stacking import SOURCES, Said, stacked, stacked_features
from models.predictors.trees import Trees

FORMAT_VERSION = 2
BOOSTING_FILE, TREES_FILE, ABOUT_FILE = "boosting.onnx", "trees.safetensors", "purchase.json"
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
class Usual:
    """What is usual of each feature (F,) among the examples: its median, and the mean of its logarithm."""

    median: NDArray[np.float64]
    mean_log: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Usual:
        median = np.median(features, axis=0).astype(np.float64)
        return cls(median, log_features(features).mean(axis=0))

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median.tolist(), "mean_log": self.mean_log.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Usual:
        return cls(np.array(data["median"], dtype=np.float64), np.array(data["mean_log"], dtype=np.float64))


@dataclass(frozen=True)
class PurchasePredictor:
    """Loaded from a folder of boosting.onnx, trees.safetensors and purchase.json.

    Taught by `n` examples, `positives` of them followed. `sources` are the predictors whose answers it takes beside
    behaviour; `trees` are those of the graph once more, to explain by.
    """

    target: Target
    vocabulary: Vocabulary
    sources: tuple[str, ...]
    base_rate: float
    n: int
    positives: int
    minimum_positives: int
    boosting_weight: float
    usual: Usual
    logistic: Logistic
    trees: Trees
    _boosting: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> Self:
        """Raises PredictorError for a missing, damaged or foreign file, or features that this version lacks."""
        about = read_about(folder / ABOUT_FILE, FORMAT_VERSION)
        try:
            vocabulary, sources = Vocabulary.from_dict(about["vocabulary"]), tuple(about["sources"])
            names = [feature.name for feature in (*features_of(vocabulary), *stacked_features(sources))]
            if names != about["features"] or not set(sources) <= set(SOURCES):
                raise PredictorError(
                    f"{ABOUT_FILE} in {folder.name}/ was taught other features; train the bundle again"
                )
            return cls(
                target=Target.from_dict(about["target"]),
                vocabulary=vocabulary,
                sources=sources,
                base_rate=float(about["base_rate"]),
                n=int(about["n"]),
                positives=int(about["positives"]),
                minimum_positives=int(about["minimum_positives"]),
                boosting_weight=float(about["boosting_weight"]),
                usual=Usual.from_dict(about["usual"]),
                logistic=Logistic.from_dict(about["logistic"]),
                trees=Trees.load(folder / TREES_FILE),
                _boosting=open_session(folder / BOOSTING_FILE, threads),
            )
        except (KeyError, TypeError) as error:
            raise PredictorError(f"{ABOUT_FILE} in {folder.name}/ lacks {error}; train the bundle again") from error

    def predict(self, seen: Journeys, as_of: Ints, said: Said | None = None) -> NDArray[np.float64]:
        """(C,) raw probability for journeys already cut by `seen_at(as_of)`; an empty journey gets the base rate."""
        return self.predict_from(self.features(seen, as_of, said), seen)

    def features(self, seen: Journeys, as_of: Ints, said: Said | None = None) -> NDArray[np.float32]:
        """(C, F) what `predict_from` takes, in the order of `feature_names`.

        Raises ValueError where `said` lacks a source that it was taught with.
        """
        behaved = behaviour(seen, as_of, self.vocabulary)
        if not self.sources:
            return behaved
        return np.concatenate([behaved, stacked(self.target, self.sources, said or Said())], axis=1)

    @cached_property
    def feature_list(self) -> tuple[Feature, ...]:
        """What each column is: unit, formula and reason."""
        return features_of(self.vocabulary) + stacked_features(self.sources)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.feature_list)

    def predict_from(self, features: NDArray[np.float32], seen: Journeys) -> NDArray[np.float64]:
        """(C,) as `predict`, where the features (C, F) are there already."""
        return np.where(seen.lengths > 0, self.score(features), self.base_rate)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(C,) raw probability for rows (C, F) of `features`: the mixture."""
        weight = self.boosting_weight
        return weight * self.boosted(features) + (1 - weight) * self.logistic.predict(features)

    def boosted(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(C,) what the boosting alone says of rows (C, F) of `features`."""
        parts = [
            self._boosting.run(["probabilities"], {"features": features[start : start + _CUSTOMERS_AT_ONCE]})[0][:, 1]
            for start in range(0, len(features), _CUSTOMERS_AT_ONCE)
        ]
        return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)
