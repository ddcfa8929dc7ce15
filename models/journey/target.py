"""A target: what we ask of a journey's future. One function says what happened, for training and for the later check.

Knows no model and no probability.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.journey.event import SECOND, Micros
from models.journey.journeys import Ints, Journeys

HAPPENED, DID_NOT, CENSORED = 1, 0, -1
LONGEST_HORIZON_SECONDS = 36_525 * 86_400
"""A hundred years: longer asks nothing, and would leave the range of int64 when added to a moment."""


@dataclass(frozen=True, slots=True)
class Target:
    """One of these touchpoints within the horizon; `*` stands for any channel or action ("*.purchase").

    >>> Target("car_purchase", ("dealer.purchase",), 90 * 86_400).to_dict()["horizon_seconds"]
    7776000
    """

    name: str
    touchpoints: tuple[str, ...]
    horizon_seconds: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ValueError(f"target name {self.name!r} must be letters, digits, '_' or '-', such as 'car_purchase'")
        if not self.touchpoints:
            raise ValueError(f"target {self.name!r} names no touchpoint; name at least one, such as 'dealer.purchase'")
        if not 0 < self.horizon_seconds <= LONGEST_HORIZON_SECONDS:
            allowed = f"allowed: 1 to {LONGEST_HORIZON_SECONDS}"
            raise ValueError(f"target {self.name!r}: horizon_seconds {self.horizon_seconds}; {allowed}")

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "touchpoints": list(self.touchpoints), "horizon_seconds": self.horizon_seconds}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Target:
        return cls(data["name"], tuple(data["touchpoints"]), int(data["horizon_seconds"]))

    def matches(self, touchpoint: str) -> bool:
        """Whether this touchpoint is what the target asks for."""
        return any(fnmatchcase(touchpoint, pattern) for pattern in self.touchpoints)

    def outcome(self, journeys: Journeys, as_of: Ints, observed_until: Micros) -> NDArray[np.int8]:
        """(C,) 1 it happened in (as_of, as_of + horizon], 0 it did not, -1 the data ends before the horizon does.

        A horizon cut by the end of the data is censored even where the event already came: counting those alone
        would make quick buyers look common.

        >>> from models.journey.assembly import journeys_of
        >>> bought = Target("buy", ("shop.purchase",), 10)
        >>> j = journeys_of({"c": [("shop.purchase", 15 * SECOND)]})
        >>> [int(bought.outcome(j, np.array([s * SECOND]), 30 * SECOND)[0]) for s in (4, 5, 15, 21)]
        [0, 1, 0, -1]
        """
        horizon = self.horizon_seconds * SECOND
        of_name = np.array([self.matches(name) for name in journeys.names] or [False])
        wanted = of_name[journeys.code]
        moment = np.repeat(as_of, journeys.lengths)
        inside = wanted & (journeys.occurred_at > moment) & (journeys.occurred_at <= moment + horizon)
        happened = np.bincount(journeys.owner, weights=inside, minlength=len(journeys)) > 0
        return np.where(as_of + horizon > observed_until, CENSORED, happened.astype(np.int8)).astype(np.int8)
