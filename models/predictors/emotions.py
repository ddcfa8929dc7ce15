"""Emotions as they are answered: calibrated each by itself, which are felt, which cannot be ruled out; their groups.

The numbers come from training (`training/emotion_measure.py`) with the predictor's folder; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

EMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
"""The labels of GoEmotions (Demszky et al. 2020), in its order."""
EKMAN: Mapping[str, tuple[str, ...]] = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": ("admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love",
            "optimism", "pride", "relief"),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
    "neutral": ("neutral",),
}  # fmt: skip
"""Ekman's six basic emotions and neutral, with the emotions of each (the grouping of Demszky et al. 2020)."""
_EDGE = 1e-7


@dataclass(frozen=True, slots=True)
class MeasuredEmotions:
    """What each emotion's probability is worth.

    Attributes:
        slope, intercept: (28,) of the logit, so that a probability means what it says (Platt scaling).
        answer_from: (28,) calibrated probability from which an emotion is answered as felt.
        possible_from: (28,) calibrated probability below which it is ruled out: of texts that carry the emotion, nine
            in ten lie above.
    """

    slope: Floats
    intercept: Floats
    answer_from: Floats
    possible_from: Floats

    @classmethod
    def nothing(cls) -> MeasuredEmotions:
        """Nothing was measured: probabilities as they came, felt from one half, and nothing but that is possible."""
        half = np.full(len(EMOTIONS), 0.5)
        return cls(np.ones(len(EMOTIONS)), np.zeros(len(EMOTIONS)), half, half)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasuredEmotions:
        """What training wrote. Raises KeyError and ValueError where it is of other emotions."""
        if tuple(data["names"]) != EMOTIONS:
            raise ValueError("the emotions that were measured are others than this version's; train again.")
        columns = [np.asarray(data[key], dtype=np.float64) for key in cls.__slots__]
        if any(column.shape != (len(EMOTIONS),) or not np.isfinite(column).all() for column in columns):
            raise ValueError("what was measured of emotions is not one number for each; train again.")
        return cls(*columns)

    def calibrate(self, chance: Floats) -> Floats:
        """(n, 28) raw probabilities as calibrated ones."""
        inner = np.clip(chance, _EDGE, 1 - _EDGE)
        return np.asarray(1 / (1 + np.exp(-(self.slope * np.log(inner / (1 - inner)) + self.intercept))))

    def felt(self, calibrated: Floats) -> Flags:
        """(n, 28) which emotions are answered."""
        return np.asarray(calibrated >= self.answer_from)

    def possible(self, calibrated: Floats) -> Flags:
        """(n, 28) the prediction set: what cannot be ruled out, and at least what is answered."""
        return np.asarray(calibrated >= np.minimum(self.possible_from, self.answer_from))


def ekman(calibrated: Floats) -> dict[str, Floats]:
    """Group -> (n,) the chance that at least one of its emotions is felt, were they independent of each other.

    >>> float(ekman(np.full((1, 28), 0.5))["fear"][0])
    0.75
    """
    index = {name: k for k, name in enumerate(EMOTIONS)}
    return {
        group: 1 - np.prod([1 - calibrated[:, index[name]] for name in names], axis=0) for group, names in EKMAN.items()
    }
