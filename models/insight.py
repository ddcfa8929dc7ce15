"""An insight: what we conclude about one journey, each conclusion decided auto, review or abstain.

Holds the words and the shape of an answer, everywhere the same: inside, over HTTP, in files, on pages. Decides nothing
about thresholds (the bundle does) and knows nothing of reviewers (a verdict supersedes a conclusion).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.journey.event import Micros, format_time
from models.journey.target import Target

Json = Mapping[str, Any]
Kind = Literal["next_touchpoint", "purchase", "feeling"]


class Decision(StrEnum):
    """What may be done with a conclusion."""

    AUTO = "auto"
    REVIEW = "review"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class FlagKind:
    """Why a person should look, or why we do not know: the sentence people read, and whether it forbids `auto`."""

    sentence: str
    severity: Literal["review", "urgent", "abstain"]


FLAGS: dict[str, FlagKind] = {
    "urgent": FlagKind("Someone may be in danger, or threatens with harm or the law. Read this first.", "urgent"),
    "mixed_feelings": FlagKind("Praise and complaint in one text.", "review"),
    "negated_praise": FlagKind("Praise that a negation turns round, or a complaint that one cancels.", "review"),
    "sarcasm_cue": FlagKind("Warm words that may be meant the other way round.", "review"),
    "polite_anger": FlagKind("Anger in polite words.", "review"),
    "resignation": FlagKind("The writer seems to have given up.", "review"),
    "raters_would_split": FlagKind("Readers are expected to disagree about this text.", "review"),
    "low_margin": FlagKind("Two answers are nearly equally likely.", "review"),
    "below_threshold": FlagKind("The confidence is below what the promise allows to release unread.", "review"),
    "no_promise": FlagKind(
        "There are not yet enough random labels to promise anything about unread answers.", "review"
    ),
    "promise_withdrawn": FlagKind(
        "Checks found that answers like this one are no longer as good as promised, so none goes out unread.", "review"
    ),
    "drawn_at_random": FlagKind(
        "Drawn at random to check what we promise; read it as if nothing were known of it.", "review"
    ),
    "stars_contradict_words": FlagKind("The stars and the words say different things.", "review"),
    "words_contradict_behaviour": FlagKind(
        "What the customer did around that time says something else than the words.", "review"
    ),
    "anger_waiting": FlagKind("A likely buyer whose anger is waiting to be read.", "review"),
    "out_of_domain": FlagKind("Unlike the texts that the model was taught.", "review"),
    "too_short": FlagKind("Too few words to tell.", "review"),
    "truncated": FlagKind("The text is longer than the model reads; the end was not seen.", "review"),
    "other_language": FlagKind("Not in a language that the model was taught.", "abstain"),
    "not_trained": FlagKind(
        "Nothing was learned for this question yet: the base rate, if any, is all we know.", "abstain"
    ),
    "no_history": FlagKind("Nothing is known of this customer yet.", "abstain"),
    "no_feedback": FlagKind("This customer has said nothing yet.", "abstain"),
    "too_little_data": FlagKind("Too few cases stand behind this answer to promise anything.", "abstain"),
    "no_better_than_base_rate": FlagKind(
        "On customers held out the model is not shown to know more than the base rate, which is given instead.",
        "abstain",
    ),
    "promise_failed": FlagKind("On the latest data our promise did not hold, so it is withdrawn.", "abstain"),
    "do_not_profile": FlagKind("This customer objected to being profiled, so nothing is concluded.", "abstain"),
}
"""One table of codes, sentences and severities: the API, the pages and the docs read it."""


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """How much risk the operator accepts; what was measured is the bundle's, what to accept is a setting.

    `alpha`: at most this share of released feelings may be wrong; `delta`: the chance that this bound is missed;
    `coverage`: how often a set of next touchpoints must contain what happens.
    """

    alpha: float = 0.05
    delta: float = 0.05
    coverage: float = 0.9

    def __post_init__(self) -> None:
        for name in ("alpha", "delta", "coverage"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} {value} must lie between 0 and 1, both excluded")

    @property
    def digest(self) -> str:
        """Names this policy: the same numbers, the same digest."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


_SEVERITY_ORDER = ("urgent", "abstain", "review")


@dataclass(frozen=True, slots=True)
class Flag:
    """A reason code; `text` replaces the table's sentence where the case allows a more telling one."""

    code: str
    text: str = ""

    def __post_init__(self) -> None:
        if self.code not in FLAGS:
            raise ValueError(f"unknown flag {self.code!r}; allowed: {', '.join(FLAGS)}")

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text or FLAGS[self.code].sentence}


def flags(codes: Sequence[str]) -> tuple[Flag, ...]:
    """Flags without repeats, most severe first."""
    return most_severe_first(map(Flag, dict.fromkeys(codes)))


def most_severe_first(found: Iterable[Flag]) -> tuple[Flag, ...]:
    """The order in which flags are told."""
    return tuple(sorted(found, key=lambda flag: _SEVERITY_ORDER.index(FLAGS[flag.code].severity)))


def decision_by_flags(found: Sequence[Flag]) -> Decision:
    """Flags over scores: a flag that asks for a person is never `auto`, whatever the score.

    >>> decision_by_flags(flags(["low_margin"])), decision_by_flags(())
    (<Decision.REVIEW: 'review'>, <Decision.AUTO: 'auto'>)
    """
    severities = {FLAGS[flag.code].severity for flag in found}
    if "urgent" in severities:
        return Decision.REVIEW
    if "abstain" in severities:
        return Decision.ABSTAIN
    return Decision.REVIEW if "review" in severities else Decision.AUTO


@dataclass(frozen=True, slots=True)
class Promise:
    """What we promise about answers like this one, the group it was measured on, on how many cases, and if it stands.

    `terms` is {"at_least": .9} for coverage, {"within": "interval"} for calibration and
    {"at_most_wrong": .05, "confidence": .95} for selective risk.
    """

    kind: Literal["coverage", "calibration", "selective_risk"]
    terms: Json
    group: str
    n: int
    standing: bool

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.terms, "group": self.group, "n": self.n, "standing": self.standing}

    @classmethod
    def from_dict(cls, data: Json) -> Promise:
        own = {"kind", "group", "n", "standing"}
        terms = {k: v for k, v in data.items() if k not in own}
        return cls(data["kind"], terms, data["group"], data["n"], data["standing"])


@dataclass(frozen=True)
class Conclusion:
    """One answer with its decision. `about` says what was asked and is always shown; `answer` and `details`
    (distribution, set, emotions, confidence, …) are withheld while a person has yet to look.

    >>> waiting = Conclusion("feeling", Decision.REVIEW, flags(["low_margin"]), "positive", {"confidence": 0.6})
    >>> shown = waiting.to_dict()
    >>> shown["answer"], "confidence" in shown, waiting.to_dict(provisional=True)["provisional"]["answer"]
    (None, False, 'positive')
    """

    kind: Kind
    decision: Decision
    flags: tuple[Flag, ...] = ()
    answer: Any = None
    details: Json = field(default_factory=dict)
    about: Json = field(default_factory=dict)
    promise: Promise | None = None
    decided_by: Literal["model", "person"] = "model"
    chance_of_review: float = 1.0
    """With what chance a person reads the answer; kept to weigh what they found, and never told."""
    drawn: bool = False
    """Whether it was drawn at random to be read blind, be it released or not."""

    @property
    def waiting(self) -> bool:
        """A case is a conclusion decided `review` that no person has answered."""
        return self.decision is Decision.REVIEW and self.decided_by == "model"

    def to_dict(self, *, provisional: bool = False) -> dict[str, Any]:
        """The public shape. With `provisional` the withheld answer is added under that name; `answer` stays null."""
        shown = {
            **self.about,
            "decision": self.decision.value,
            "decided_by": self.decided_by,
            "flags": [flag.to_dict() for flag in self.flags],
        }
        if self.waiting:
            shown["answer"] = None
            if provisional:
                shown["provisional"] = {"answer": self.answer, **self.details}
        else:
            shown |= {"answer": self.answer, **self.details}
        shown["promise"] = self.promise.to_dict() if self.promise else None
        return shown

    def stored(self) -> dict[str, Any]:
        """Everything, for a store that keeps the conclusion and gives it back with `restore`."""
        return {
            "kind": self.kind, "decision": self.decision.value, "flags": [[f.code, f.text] for f in self.flags],
            "answer": self.answer, "details": dict(self.details), "about": dict(self.about),
            "promise": self.promise.to_dict() if self.promise else None, "decided_by": self.decided_by,
            "chance_of_review": self.chance_of_review, "drawn": self.drawn,
        }  # fmt: skip

    @classmethod
    def restore(cls, data: Json) -> Conclusion:
        return cls(
            kind=data["kind"], decision=Decision(data["decision"]), flags=tuple(Flag(c, t) for c, t in data["flags"]),
            answer=data["answer"], details=data["details"], about=data["about"],
            promise=Promise.from_dict(data["promise"]) if data["promise"] else None, decided_by=data["decided_by"],
            chance_of_review=data.get("chance_of_review", 1.0), drawn=data.get("drawn", False),
        )  # fmt: skip

    def withdrawn(self) -> Conclusion:
        """The customer objected to being profiled: what was asked stays, what was answered goes.

        >>> told = Conclusion("feeling", Decision.AUTO, (), "positive", {"confidence": 0.9}).withdrawn().to_dict()
        >>> told["decision"], told["answer"], told["flags"][0]["code"], "confidence" in told
        ('abstain', None, 'do_not_profile', False)
        """
        return Conclusion(self.kind, Decision.ABSTAIN, flags(["do_not_profile"]), None, {}, self.about)

    def explained(self, why: Json) -> Conclusion:
        """With what moved the answer as `why` beside it; like the answer it is withheld while a person has yet to look.

        >>> Conclusion("purchase", Decision.AUTO, (), 0.3).explained({"because": []}).to_dict()["why"]
        {'because': []}
        """
        return replace(self, details={**self.details, "why": why})

    @property
    def is_withdrawn(self) -> bool:
        return any(flag.code == "do_not_profile" for flag in self.flags)

    def answered_by_person(self, answer: Any, details: Json) -> Conclusion:
        """A verdict supersedes: the decision stays `review`, the person's answer takes the place of the model's."""
        return replace(self, answer=answer, details=details, decided_by="person")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which bundle concluded: its number in the ledger, its digest, since when it is live. No bundle: version 0."""

    version: int
    digest: str | None
    live_since: Micros | None

    def to_dict(self) -> dict[str, Any]:
        since = format_time(self.live_since) if self.live_since is not None else None
        return {"version": self.version, "digest": self.digest, "live_since": since}


@dataclass(frozen=True, slots=True)
class JourneySummary:
    """What is known of the journey itself. `preferred_channel` is None where nothing is known of it, and
    `channel_preference` says what it rests on, how sure it is, and why there is none.
    """

    touchpoints: int
    first_at: Micros | None
    last_at: Micros | None
    stage: str | None
    preferred_channel: str | None
    channel_preference: Json | None = None
    last_channel: str | None = None

    def to_dict(self) -> dict[str, Any]:
        def when(moment: Micros | None) -> str | None:
            return None if moment is None else format_time(moment)

        return {
            "touchpoints": self.touchpoints, "first_at": when(self.first_at), "last_at": when(self.last_at),
            "stage": self.stage, "last_channel": self.last_channel, "preferred_channel": self.preferred_channel,
            "channel_preference": self.channel_preference,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Behind:
    """What a purchase probability was made of: the target, the channel of the last touchpoint, features by name."""

    target: Target
    channel: str
    names: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Insight:
    """What we conclude about one customer as of one moment. `behind` is kept to check the answer by, and never told."""

    customer_id: str
    as_of: Micros
    model: ModelVersion
    journey: JourneySummary
    next_touchpoint: Conclusion
    purchase: tuple[Conclusion, ...]
    feeling: Conclusion
    behind: tuple[Behind, ...] = ()

    def withdrawn(self, journey: JourneySummary) -> Insight:
        """The customer objected to being profiled: of the journey only its extent is told, and nothing is concluded."""
        return replace(
            self,
            journey=replace(journey, stage=None, preferred_channel=None, channel_preference=None, last_channel=None),
            next_touchpoint=self.next_touchpoint.withdrawn(),
            purchase=tuple(one.withdrawn() for one in self.purchase),
            feeling=self.feeling.withdrawn(),
            behind=(),
        )

    def to_dict(self, *, provisional: bool = False) -> dict[str, Any]:
        return {
            "customer_id": self.customer_id,
            "as_of": format_time(self.as_of),
            "model": self.model.to_dict(),
            "journey": self.journey.to_dict(),
            "next_touchpoint": self.next_touchpoint.to_dict(provisional=provisional),
            "purchase": [one.to_dict(provisional=provisional) for one in self.purchase],
            "feeling": self.feeling.to_dict(provisional=provisional),
        }


def probability(value: float) -> float:
    """Probabilities leave the house rounded to four digits."""
    return round(float(value), 4)


def probabilities(values: NDArray[np.float64]) -> list[float]:
    """`probability` of each (n,). Numpy's own rounding multiplies first, and may come to another last digit."""
    return [round(value, 4) for value in values.tolist()]
