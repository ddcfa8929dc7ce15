"""The vocabulary: touchpoint names as token codes, fixed at training and carried in the bundle.

Holds codes and nothing learned. A name that training never saw falls back to the code of its channel, and where the
channel is new as well, to the code for "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.journey.journeys import Ints, Journeys

PADDING, UNKNOWN, FIRST_TOUCHPOINT = 0, 1, 2
"""Token codes: 0 pads a row, 1 is a name whose channel is new too, touchpoint i of `touchpoints` is 2 + i;
after them come the channels, each for all its names that training never saw."""


@dataclass(frozen=True)
class Vocabulary:
    """Touchpoint names in a fixed order, with their stages.

    >>> vocabulary = Vocabulary(("dealer.visit", "web.search", "web.visit"), ("sale", "convenience", "convenience"))
    >>> vocabulary.size, vocabulary.channels
    (7, ('dealer', 'web'))
    >>> vocabulary.fallback  # of padding, unknown, the three touchpoints, the two channels
    array([0, 1, 5, 6, 6, 5, 6])
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
        """Token codes in all, padding, unknown and channels among them."""
        return FIRST_TOUCHPOINT + len(self.touchpoints) + len(self.channels)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """The channels of the vocabulary, each once, in alphabetical order."""
        return tuple(sorted({name.partition(".")[0] for name in self.touchpoints}))

    @cached_property
    def fallback(self) -> Ints:
        """(size,) what each token says where its name means nothing: its channel."""
        channel = {name: FIRST_TOUCHPOINT + len(self.touchpoints) + i for i, name in enumerate(self.channels)}
        names = [name.partition(".")[0] for name in self.touchpoints]
        return np.array([PADDING, UNKNOWN, *(channel[name] for name in [*names, *self.channels])], dtype=np.int64)

    def tokens(self, journeys: Journeys) -> Ints:
        """(N,) the token of each touchpoint; of its channel, or UNKNOWN, for a name that training never saw."""
        known = journeys.recoded(self.touchpoints)
        first = FIRST_TOUCHPOINT + len(self.touchpoints)
        channel = {name: first + i for i, name in enumerate(self.channels)}
        else_ = np.array([channel.get(name.partition(".")[0], UNKNOWN) for name in journeys.names], dtype=np.int64)
        return np.where(known >= 0, known + FIRST_TOUCHPOINT, else_[journeys.code] if len(else_) else UNKNOWN)

    def named(self, tokens: Ints) -> Ints:
        """The same tokens, UNKNOWN where one is only a channel: what can be foretold is a touchpoint."""
        return np.where(tokens < FIRST_TOUCHPOINT + len(self.touchpoints), tokens, UNKNOWN)

    def to_dict(self) -> dict[str, Any]:
        return {"touchpoints": list(self.touchpoints), "stages": list(self.stages)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        return cls(tuple(data["touchpoints"]), tuple(data["stages"]))
