"""Why this touchpoint is expected next: what moved the answer, the closest pattern in history, and plain counts.

Three plain things and no attribution by gradients: each can be checked by hand. Answers through the predictor as it is
served; fits nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features.sequence import encode_sequences
from models.features.vocabulary import FIRST_TOUCHPOINT, UNKNOWN
from models.journey.event import Micros, format_time
from models.journey.journeys import Ints, Journeys
from models.predictors.next_touchpoint import NextTouchpointPredictor

Floats = NDArray[np.float64]

MOST_MOVED = 5
MOST_COUNTED = 5
LEAST_SEEN = 20
"""A pattern seen less often is no frequent one."""
LEAST_EFFECT = 0.0005
"""A smaller change of the probability is none, as probabilities are told to four digits."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How much lower the answer's probability would be had this touchpoint not happened; negative: higher."""

    touchpoint: str
    occurred_at: Micros
    effect: float


@dataclass(frozen=True, slots=True)
class Pattern:
    """The longest end of this journey that was frequent in what was learned from: how often, and then the answer."""

    touchpoints: tuple[str, ...]
    seen: int
    then_the_answer: int


@dataclass(frozen=True, slots=True)
class WhyNext:
    """`because` holds the strongest first; `counted` what followed the last touchpoint alone, most frequent first."""

    answer: str
    because: tuple[Moved, ...]
    pattern: Pattern | None
    counted: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "because": [
                {
                    "touchpoint": one.touchpoint,
                    "occurred_at": format_time(one.occurred_at),
                    "effect": round(one.effect, 4),
                }
                for one in self.because
            ],
            "pattern": None
            if self.pattern is None
            else {
                "touchpoints": list(self.pattern.touchpoints),
                "seen": self.pattern.seen,
                "then_the_answer": self.pattern.then_the_answer,
            },
            "counted": [{"touchpoint": touchpoint, "times": times} for touchpoint, times in self.counted],
        }


def why_next(
    predictor: NextTouchpointPredictor, calibrated: Callable[[Floats], Floats], seen: Journeys, as_of: Ints
) -> WhyNext:
    """Why the likeliest touchpoint is it, for one journey already cut by `seen_at(as_of)` (1,).

    `because` is exact: each of the last touchpoints that the predictor sees is left out in turn and it is asked again
    (leave-one-out: Covert et al. 2021, "Explaining by removing", section 4). Raises ValueError for an empty journey, or
    more than one.
    """
    if len(seen) != 1 or not seen.lengths[0]:
        raise ValueError(f"one journey with touchpoints can be explained; there are {len(seen)}: {seen.lengths}")
    seen = seen.last(predictor.length + 2)  # what the predictor sees once one is left out, and the gap before it
    without = seen.each_without_one(predictor.length)
    said = calibrated(predictor.distribution(without, np.repeat(as_of, len(without))))  # one batch, the whole first
    answer = int(said[0].argmax())
    row = encode_sequences(seen, as_of, predictor.vocabulary, predictor.length)
    tokens = row.tokens[0, : row.lengths[0]]
    return WhyNext(
        predictor.vocabulary.touchpoints[answer],
        _moved(seen, said[0, answer] - said[1:, answer]),
        _pattern(predictor, tokens, answer),
        _counted(predictor, tokens),
    )


def _moved(seen: Journeys, effect: Floats) -> tuple[Moved, ...]:
    strongest = [int(i) for i in np.argsort(-np.abs(effect), kind="stable")[:MOST_MOVED]]
    last = len(seen.code) - 1
    return tuple(
        Moved(seen.names[seen.code[last - i]], int(seen.occurred_at[last - i]), float(effect[i]))
        for i in strongest
        if abs(effect[i]) >= LEAST_EFFECT
    )


def _pattern(predictor: NextTouchpointPredictor, tokens: Ints, answer: int) -> Pattern | None:
    """Only names that training knew make a pattern; a channel alone does not."""
    known = predictor.vocabulary.named(tokens)
    for order in range(min(predictor.markov.order, len(tokens)), 0, -1):
        end = known[-order:]
        followers = predictor.markov.followers(tokens, order)
        if (end != UNKNOWN).all() and followers.sum() >= LEAST_SEEN:
            names = tuple(predictor.vocabulary.touchpoints[token - FIRST_TOUCHPOINT] for token in end)
            return Pattern(names, int(followers.sum()), int(followers[answer]))
    return None


def _counted(predictor: NextTouchpointPredictor, tokens: Ints) -> tuple[tuple[str, int], ...]:
    followers = predictor.markov.followers(tokens, 1)
    most = [int(i) for i in np.argsort(-followers, kind="stable")[:MOST_COUNTED] if followers[i]]
    return tuple((predictor.vocabulary.touchpoints[i], int(followers[i])) for i in most)
