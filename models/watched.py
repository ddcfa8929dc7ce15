"""A bundle under watch: what it concludes, less what its promises no longer cover.

The live check may withdraw a promise, and a shift of the inputs may withdraw or widen it; here that meets every answer,
wherever it is asked for. Draws nothing, checks nothing and knows no table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.concluded import Concluded
from models.confidence.band import shifted
from models.decided import Decided, Purchases
from models.insight import (
    Conclusion,
    Decision,
    Flag,
    Insight,
    ModelVersion,
    ReleasePolicy,
    most_severe_first,
    probabilities,
)
from models.journey.assembly import Feedback
from models.journey.journeys import Ints, Journeys
from models.measured import COVERAGES

Floats = NDArray[np.float64]

WIDER_LOGITS = 0.5
"""Where behaviour is no longer what it was, both ends of an interval move so far: at 30 % to 21 % and 41 %."""
WIDENED_ALPHA = 0.5
"""Where words are no longer what they were, feelings are released by this part of alpha. The promise stays alpha."""

Key = tuple[str, str]
"""What a promise is about (`feeling`, `next_touchpoint`, `purchase:NAME`) and the group it was measured on."""


def key_of(one: Conclusion) -> Key | None:
    """Which promise an answer is given under."""
    if one.promise is None:
        return None
    definition = one.about.get("definition")
    return (f"purchase:{definition}" if one.kind == "purchase" else one.kind), one.promise.group


@dataclass(frozen=True, slots=True)
class Standing:
    """What does not stand as it was measured. `withdrawn` says why, for people; `widened` names kinds."""

    withdrawn: Mapping[Key, str] = field(default_factory=dict)
    widened: frozenset[str] = frozenset()

    def is_withdrawn(self, key: Key | None) -> bool:
        return key is not None and key in self.withdrawn

    def marked(self, one: Conclusion) -> Conclusion:
        """What was concluded before, saying whether its promise stands now; its decision stays."""
        if one.promise is None or not self.is_withdrawn(key_of(one)):
            return one
        return replace(one, promise=replace(one.promise, standing=False))

    def applied(self, one: Conclusion) -> Conclusion:
        """What is concluded now: of a withdrawn promise nothing is `auto`. A feeling waits for a person, of the rest we
        say that we do not know.

        >>> from models.insight import Promise
        >>> promise = Promise("selective_risk", {}, "all", 9, True)
        >>> told = Conclusion("feeling", Decision.AUTO, (), "positive", promise=promise)
        >>> gone = Standing({("feeling", "all"): "Audits found 9 mistakes in 40."}).applied(told)
        >>> gone.decision.value, gone.flags[0].code, gone.promise.standing
        ('review', 'promise_withdrawn', False)
        """
        key, marked = key_of(one), self.marked(one)
        if marked is one or key is None or one.decision is not Decision.AUTO:
            return marked
        if one.kind == "feeling":
            flag = Flag("promise_withdrawn", self.withdrawn[key])
            return replace(marked, decision=Decision.REVIEW, flags=most_severe_first([*one.flags, flag]))
        flag = Flag("promise_failed", self.withdrawn[key])
        details = {"interval": [0.0, 1.0], "confidence": 0.0} if one.kind == "purchase" else one.details
        flags = most_severe_first([*one.flags, flag])
        return replace(marked, decision=Decision.ABSTAIN, flags=flags, answer=None, details=details)

    def policy_for_feelings(self, policy: ReleasePolicy) -> ReleasePolicy:
        """A part of alpha where words changed."""
        return replace(policy, alpha=policy.alpha * WIDENED_ALPHA) if "feeling" in self.widened else policy

    def policy_for_sets(self, policy: ReleasePolicy) -> ReleasePolicy:
        """The next larger sets where behaviour changed."""
        larger = [one for one in COVERAGES if one > policy.coverage]
        return replace(policy, coverage=larger[0]) if "purchase" in self.widened and larger else policy

    def widened_purchases(self, given: Decided) -> Decided:
        """Both ends of the interval further apart where behaviour changed."""
        if "purchase" not in self.widened:
            return given
        if isinstance(given, Purchases):
            low, high, confidence = _wider(given.low, given.high)
            return replace(given, low=low, high=high, confidence=confidence)
        return given.changed(_widened)


def _widened(one: Conclusion) -> Conclusion:
    if one.decision is Decision.ABSTAIN or "interval" not in one.details:
        return one
    low, high, confidence = _wider(*(np.array([end]) for end in one.details["interval"]))
    told = {"interval": [float(low[0]), float(high[0])], "confidence": float(confidence[0])}
    return replace(one, details={**one.details, **told})


def _wider(low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """Ends (C,) as they are told, moved apart, and the confidence in what lies between."""
    moved = (shifted(low, -WIDER_LOGITS), shifted(high, WIDER_LOGITS))
    lowest, highest = (np.array(probabilities(end)) for end in moved)
    return lowest, highest, np.array(probabilities(1 - (highest - lowest)))


ALL_STAND = Standing()


@dataclass(frozen=True, slots=True)
class WatchedBundle:
    """A bundle whose answers go out under what stands."""

    inner: Bundle
    standing: Standing = ALL_STAND

    @property
    def digest(self) -> str | None:
        return self.inner.digest

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        found = self.inner.conclude_feedback(feedback, self.standing.policy_for_feelings(policy))
        return [self.standing.applied(_promised(one, {"at_most_wrong": policy.alpha})) for one in found]

    def concluded(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> Concluded:
        stands = self.standing
        found = self.inner.concluded(journeys, as_of, feelings, model, stands.policy_for_sets(policy))

        def following(one: Conclusion) -> Conclusion:
            return stands.applied(_promised(one, {"at_least": policy.coverage}))

        return replace(
            found,
            following=found.following.changed(following),
            purchases=tuple(stands.widened_purchases(one).changed(stands.applied) for one in found.purchases),
            feelings=found.feelings.changed(stands.marked),
        )

    def explained(
        self, insights: Sequence[Insight], journeys: Journeys, as_of: Ints, said: Sequence[Feedback | None]
    ) -> list[Insight]:
        return self.inner.explained(insights, journeys, as_of, said)


def _promised(one: Conclusion, terms: Mapping[str, Any]) -> Conclusion:
    """Being more careful promises no more than before."""
    if one.promise is None or not terms.keys() <= one.promise.terms.keys():
        return one
    return replace(one, promise=replace(one.promise, terms={**one.promise.terms, **terms}))
