"""Answers about many customers as columns: how each is decided, by number, and the numbers that are told of it.

How an answer is decided hangs on few things that many customers share: that nothing is known of them, that anger waits,
that a promise does not stand. So each such way is worked out once, as a conclusion without an answer, and a row says
which way is its own. One row read is the conclusion that people and tools get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.insight import Conclusion, Decision, probability
from models.journey.event import format_duration
from models.journey.journeys import Ints

Floats = NDArray[np.float64]

LONGEST_LIST = 20
"""A distribution lists at most so many touchpoints, likeliest first."""


@dataclass(frozen=True)
class Decided:
    """C answers that differ in how they are decided, if in anything: row c is `ways[way[c]]`, way (C,).

    >>> from models.insight import flags
    >>> known, unknown = (Conclusion("purchase", one, flags(codes), None)
    ...                   for one, codes in ((Decision.AUTO, []), (Decision.ABSTAIN, ["no_history"])))
    >>> [one.decision.value for one in Decided((known, unknown), np.array([0, 1, 0])).rows()]
    ['auto', 'abstain', 'auto']
    """

    ways: tuple[Conclusion, ...]
    way: Ints

    @classmethod
    def same(cls, one: Conclusion, customers: int) -> Decided:
        """The same of everybody."""
        return cls((one,), np.zeros(customers, dtype=np.int64))

    @classmethod
    def each(cls, rows: Sequence[Conclusion]) -> Decided:
        """Of rows; one and the same conclusion is one way."""
        numbers: dict[int, int] = {}
        way = np.array([numbers.setdefault(id(one), len(numbers)) for one in rows], dtype=np.int64)
        ways = {id(one): one for one in rows}
        return cls(tuple(ways[number] for number in numbers), way)

    def rows(self) -> list[Conclusion]:
        """A conclusion for each customer."""
        return [self.ways[way] for way in self.way.tolist()]

    def changed(self, change: Callable[[Conclusion], Conclusion]) -> Self:
        """With each way decided otherwise."""
        return replace(self, ways=tuple(map(change, self.ways)))

    @property
    def released(self) -> NDArray[np.bool_]:
        """(C,) whether the answer is told: not where we abstain or a person is to look."""
        return self._where(lambda one: one.decision is not Decision.ABSTAIN and not one.waiting)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(C,) whether the numbers beside it are told: not while a person is to look."""
        return self._where(lambda one: not one.waiting)

    def _where(self, holds: Callable[[Conclusion], bool]) -> NDArray[np.bool_]:
        return np.array([holds(one) for one in self.ways], dtype=np.bool_)[self.way]


@dataclass(frozen=True)
class NextTouchpoints(Decided):
    """What comes next of C customers, over K touchpoints.

    order    (C, K)  the touchpoints, likeliest first       chance, inside (C, K)  of each, and if it is in the set
    none     (C,)    chance that nothing comes in time      expected       (C, 3)  seconds: quantiles 10, 50 and 90 %
    """

    touchpoints: tuple[str, ...]
    order: Ints
    chance: Floats
    inside: NDArray[np.bool_]
    none: Floats
    expected: Floats

    def rows(self) -> list[Conclusion]:
        """A conclusion for each customer."""
        names, found = self.touchpoints, []
        # As lists: one number of an array at a time is slow.
        told = zip(self.way.tolist(), self.order.tolist(), self.chance.tolist(), self.inside.tolist(),
                   self.none.tolist(), self.expected.tolist(), strict=True)  # fmt: skip
        for number, order, shares, within, none, expected in told:
            way = self.ways[number]
            details = {
                "confidence": probability(shares[order[0]]),
                "prediction_set": [names[i] for i in order if within[i]],
                "distribution": [
                    {"touchpoint": names[i], "probability": probability(shares[i])} for i in order[:LONGEST_LIST]
                ],
                "none_within_horizon": probability(none),
                "expected_in": dict(zip(("p10", "p50", "p90"), map(format_duration, expected), strict=True)),
            }
            answer = names[order[0]] if way.decision is Decision.AUTO else None
            found.append(_filled(way, answer, details))
        return found


@dataclass(frozen=True)
class Purchases(Decided):
    """How likely one target is for C customers: each number as it is told, of the answer (C,), of both ends of its
    interval (C,) and of the confidence (C,). Where we abstain it is between 0 and 1, and nothing is told of it.
    """

    answer: Floats
    low: Floats
    high: Floats
    confidence: Floats

    def told(self) -> tuple[Floats, Floats, Floats]:
        """Low, high and confidence (C,), as they are told."""
        abstains = self._where(lambda one: one.decision is Decision.ABSTAIN)
        low, high = np.where(abstains, 0.0, self.low), np.where(abstains, 1.0, self.high)
        return low, high, np.where(abstains, 0.0, self.confidence)

    def rows(self) -> list[Conclusion]:
        """A conclusion for each customer."""
        numbers = (one.tolist() for one in (self.way, self.answer, *self.told()))
        return [
            _filled(
                self.ways[way],
                None if self.ways[way].decision is Decision.ABSTAIN else answer,
                {"interval": [low, high], "confidence": confidence},
            )
            for way, answer, low, high, confidence in zip(*numbers, strict=True)
        ]


def _filled(way: Conclusion, answer: Any, details: dict[str, Any]) -> Conclusion:
    """Made outright: `replace` takes several times as long."""
    return Conclusion(way.kind, way.decision, way.flags, answer, details, way.about, way.promise)
