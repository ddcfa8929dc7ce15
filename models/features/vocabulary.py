"""The vocabulary: touchpoint names as token codes, fixed at training and carried in the bundle.

Holds codes and nothing learned. A name that training never saw falls back to the code for "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.journey.journeys import Journeys

PADDING, UNKNOWN, FIRST_TOUCHPOINT = 0, 1, 2
"""Token codes: 0 pads a row, 1 is a name never seen in training, touchpoint i of `touchpoints` is 2 + i."""


@dataclass(frozen=True)
class Vocabulary:
    """Touchpoint names in a fixed order, with their stages.

    >>> Vocabulary(("dealer.visit", "web.visit"), ("sale", "convenience")).size
    4
    """

    touchpoints: tuple[str, ...]
    stages: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.stages) != len(self.touchpoints) or len(set(self.touchpoints)) != len(self.touchpoints):
            raise ValueError("a vocabulary needs each touchpoint once, and one stage for each")

    @classmethod
    def of(cls, journeys: Journeys) -> Vocabulary:
        """Every touchpoint that occurs in these journeys, in alphabetical order."""
        used = sorted(set(np.unique(journeys.code).tolist()), key=lambda code: journeys.names[code])
        return cls(tuple(journeys.names[code] for code in used), tuple(journeys.stages[code] for code in used))

    @property
    def size(self) -> int:
        """Token codes in all, padding and unknown among them."""
        return FIRST_TOUCHPOINT + len(self.touchpoints)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the vocabulary, each once, in alphabetical order."""
        return tuple(sorted({name.partition(".")[0] for name in self.touchpoints}))

    def tokens(self, journeys: Journeys) -> NDArray[np.int64]:
        """(N,) the token of each touchpoint; UNKNOWN for a name that training never saw."""
        return np.maximum(journeys.recoded(self.touchpoints) + FIRST_TOUCHPOINT, UNKNOWN)

    def to_dict(self) -> dict[str, Any]:
        return {"touchpoints": list(self.touchpoints), "stages": list(self.stages)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        return cls(tuple(data["touchpoints"]), tuple(data["stages"]))
