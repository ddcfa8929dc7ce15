"""Stacking: what other predictors say of a journey, as further features of purchase likelihood.

Chances are told in nats, -log p, as a logistic regression likes them. Asks nobody and fits nothing: whoever teaches
passes what was said out of fold (`training/stacking.py`), whoever serves what is said now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features.behaviour import NEVER_DAYS, Feature
from models.features.vocabulary import Vocabulary
from models.journey.target import Target
from models.journey.touchpoint import STAGES
from models.predictors.feedback import POLARITIES
from models.predictors.predictor import NextTouchpointPrediction

Floats = NDArray[np.float64]

NEXT_TOUCHPOINT, FEELING = "next_touchpoint", "feeling"
SOURCES = (NEXT_TOUCHPOINT, FEELING)
"""Who can be asked, in the order of their features."""
SMALLEST_CHANCE = 1e-6
"""A chance below this is told as this: 13.8 nats."""

_OF_NEXT = (
    Feature("next:target", "nats", "-log P(next touchpoint is the target, within its horizon)", "the nearest sign"),
    Feature("next:nothing", "nats", "-log P(no touchpoint within the horizon)", "silence brings no target either"),
    *(
        Feature(f"next:{stage}", "nats", f"-log P(next touchpoint is of stage {stage}, in time)", "where it is going")
        for stage in STAGES
    ),
)
_OF_FEELING = (
    *(Feature(f"feeling:{one}", "share", f"P({one}) of the latest words, 0 without", "mood") for one in POLARITIES),
    Feature("feeling:confidence", "share", "highest of these", "how sure the mood is"),
    Feature("feeling:days_since", "days", "as_of - latest words", "how fresh the mood is"),
)
MONOTONE = {"next:target": -1, "next:nothing": 1}
"""Beyond doubt whatever the target is: a likelier next target, or a less likely silence, never lowers the likelihood,
since P(next is the target) <= P(target) <= 1 - P(nothing). Of behaviour nothing is beyond doubt for any target: a
recent purchase is a good sign for groceries and a bad one for cars, and a renewal comes after a year of silence."""


@dataclass(frozen=True)
class Following:
    """What a next-touchpoint predictor says of C journeys, in its own words."""

    prediction: NextTouchpointPrediction
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Feelings:
    """The latest words of C customers: calibrated polarity (C, 4), zeros without words, and days since (C,)."""

    polarity: Floats
    days_since: Floats

    @classmethod
    def none(cls, customers: int) -> Feelings:
        return cls(np.zeros((customers, len(POLARITIES))), np.full(customers, NEVER_DAYS))


@dataclass(frozen=True)
class Said:
    """What others said of C journeys; None where nobody can be asked."""

    following: Following | None = None
    feelings: Feelings | None = None


def stacked_features(sources: Sequence[str]) -> tuple[Feature, ...]:
    """The columns that these sources add, in order.

    >>> [feature.name for feature in stacked_features(["next_touchpoint"])][:2]
    ['next:target', 'next:nothing']
    """
    return (_OF_NEXT if NEXT_TOUCHPOINT in sources else ()) + (_OF_FEELING if FEELING in sources else ())


def stacked(target: Target, sources: Sequence[str], said: Said) -> NDArray[np.float32]:
    """(C, S) the columns of `stacked_features(sources)`. Raises ValueError where a source was not asked."""
    parts = []
    if NEXT_TOUCHPOINT in sources:
        if said.following is None:
            raise ValueError("purchase likelihood was taught with next touchpoints; say what comes next as well")
        parts.append(_of_next(target, said.following))
    if FEELING in sources:
        if said.feelings is None:
            raise ValueError("purchase likelihood was taught with feelings; say the latest feelings as well")
        polarity = said.feelings.polarity
        parts.append(np.column_stack([polarity, polarity.max(axis=1), said.feelings.days_since]))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _of_next(target: Target, following: Following) -> Floats:
    chance, nothing = following.prediction.distribution, following.prediction.none_within_horizon
    wanted = np.array([target.matches(name) for name in following.vocabulary.touchpoints], dtype=np.bool_)
    stage = np.array(following.vocabulary.stages)
    shares = [chance[:, part].sum(axis=1) for part in (wanted, *(stage == one for one in STAGES))]
    told = [shares[0] * (1 - nothing), nothing, *(share * (1 - nothing) for share in shares[1:])]
    nats: Floats = -np.log(np.clip(np.column_stack(told), SMALLEST_CHANCE, 1.0))
    return nats
