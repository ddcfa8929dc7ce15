"""Review: people answer what the model would not. Claims with a lease, verdicts, and the status derived from both.

Pure: each function looks at what people did so far and returns a new fact, or raises ReviewError. Stores nothing, knows
no queue (queue.py says which case comes first) and no page, and reads no clock: the moment and the ids are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from models.insight import Conclusion
from models.journey.event import SECOND, Micros, format_time
from models.predictors.feedback import EMOTIONS, INTENSITY_LIMIT, POLARITIES
from models.queue import drawn

CANNOT_TELL = "cannot_tell"
ANSWERS = (*POLARITIES, CANNOT_TELL)
"""What a person may answer. `cannot_tell` is an answer: the case is closed, and the feeling stays unknown."""

GUIDELINE_VERSION = "1"
"""The written guideline that a verdict was given under; it changes whenever the guideline's text does."""

MAX_NOTE, MAX_NAME, MAX_EMOTIONS = 2000, 80, 6

Status = Literal["open", "claimed", "decided"]
Ending = Literal["decided", "released", "skipped", "escalated"]


class ReviewError(ValueError):
    """Something a reviewer may not do now. `code` is stable, the sentence says what to do instead.

    not_waiting        no case waits under this id
    already_decided    somebody has answered it
    held_by_another    another reviewer's lease still runs
    already_read       the reviewer has read it; somebody else is to read it too
    needs_adjudicator  readers disagree, or somebody escalated it; this reviewer does not adjudicate
    not_held           the reviewer does not hold it
    not_decided        nobody has answered it, so it cannot be answered again
    nothing_to_undo    no verdict of this reviewer stands
    too_late_to_undo   the time to take it back is over
    invalid_verdict    an answer, emotion, intensity or note that is not allowed
    """

    def __init__(self, code: str, sentence: str, *, field: str | None = None, allowed: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.field, self.allowed = code, sentence, field, tuple(allowed)


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """How people review.

    `hidden_share` of all cases hide the model's answer, so that over-reliance can be measured; `twice_share` are read
    by two people who see neither the model's answer nor each other's. Where they disagree, and where somebody
    escalated, one of `adjudicators` answers who has not read it; none named: anybody who has not.
    """

    lease_seconds: int = 600
    undo_seconds: int = 60
    hidden_share: float = 0.1
    twice_share: float = 0.0
    adjudicators: frozenset[str] = frozenset()
    guideline_version: str = GUIDELINE_VERSION

    def __post_init__(self) -> None:
        for name in ("lease_seconds", "undo_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)} must be above 0")
        for name in ("hidden_share", "twice_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie between 0 and 1")

    def shows_model_answer(self, subject: str) -> bool:
        """Whether reviewers see the model's answer before they answer: by chance, and for one subject always the same.

        >>> ReviewPolicy(hidden_share=0).shows_model_answer("f1"), ReviewPolicy(hidden_share=1).shows_model_answer("f1")
        (True, False)
        """
        return drawn("hidden", subject) >= self.hidden_share

    def readings(self, lot: float) -> int:
        """How many people read a case independently, by its lot."""
        return 2 if lot < self.twice_share and self.twice_share > 0 else 1

    def may_adjudicate(self, reviewer: str) -> bool:
        return not self.adjudicators or reviewer in self.adjudicators


@dataclass(frozen=True, slots=True)
class Claim:
    """One person works on one case until `until`, or until it ended: decided, released, skipped or escalated."""

    claim_id: str
    conclusion_id: str
    reviewer: str
    claimed_at: Micros
    until: Micros
    ended_at: Micros | None = None
    ending: Ending | None = None
    reason: str = ""

    def runs(self, at: Micros) -> bool:
        """True while nobody else may have the case. The lease ends by itself: at `until` it no longer runs."""
        return self.ended_at is None and at < self.until


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says of a feeling. `intensity` runs from -4 (as bad as can be) to 4 (as good as can be).

    Raises ReviewError `invalid_verdict`, naming the field and what is allowed.
    """

    polarity: str
    emotions: tuple[str, ...] = ()
    intensity: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.polarity not in ANSWERS:
            raise _invalid("answer", self.polarity, ANSWERS)
        for emotion in self.emotions:
            if emotion not in EMOTIONS:
                raise _invalid("emotions", emotion, EMOTIONS)
        if len(self.emotions) > MAX_EMOTIONS or len(set(self.emotions)) != len(self.emotions):
            raise _invalid("emotions", ", ".join(self.emotions), (f"at most {MAX_EMOTIONS}, each once",))
        if self.intensity is not None and abs(self.intensity) > INTENSITY_LIMIT:
            raise _invalid("intensity", str(self.intensity), ("whole numbers from -4 to 4",))
        if len(self.note) > MAX_NOTE:
            raise _invalid("note", f"of {len(self.note)} characters", (f"at most {MAX_NOTE} characters",))

    def of_person(self, conclusion: Conclusion, at: Micros) -> Conclusion:
        """The conclusion as it stands once a person has answered. Who it was stays with the verdict.

        `cannot_tell` leaves the answer null, so that no tool acts on it, and says so under `review`.
        """
        known = self.polarity != CANNOT_TELL
        details: dict[str, Any] = {
            "emotions": [{"emotion": emotion, "probability": 1.0} for emotion in self.emotions],
            "intensity": None if self.intensity is None else {"mean": float(self.intensity), "spread": None},
            "review": {"status": "decided", "decided_at": format_time(at), "cannot_tell": not known},
        }
        return conclusion.answered_by_person(self.polarity if known else None, details)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's answer to a conclusion, with what is needed to learn from it. Never changed; at most taken back.

    One that is not `final` is an independent reading: the case is decided once enough of them agree.
    """

    verdict_id: str
    conclusion_id: str
    reviewer: str
    decided_at: Micros
    answer: Answer
    model_answer_shown: bool
    guideline_version: str
    undone_at: Micros | None = None
    final: bool = True

    @property
    def stands(self) -> bool:
        return self.undone_at is None


@dataclass(frozen=True, slots=True)
class Case:
    """What people did about one conclusion that waits, or about an earlier one on the same subject, in any order.

    `readings` people read it independently.

    >>> case = Case("c1").having(claim(Case("c1"), "Ada", 0, ReviewPolicy(lease_seconds=10), "k1"))
    >>> case.status(at=0), case.status(at=10 * SECOND)
    ('claimed', 'open')
    """

    conclusion_id: str
    claims: tuple[Claim, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    readings: int = 1

    def status(self, at: Micros) -> Status:
        """Derived, never stored: decided once a verdict stands, claimed while nobody else may read, otherwise open."""
        if self.verdict is not None:
            return "decided"
        return "claimed" if len(self.holders(at)) >= self.places else "open"

    def holders(self, at: Micros) -> tuple[Claim, ...]:
        """The claims whose lease runs."""
        return tuple(claim for claim in self.claims if claim.runs(at))

    def held_by(self, reviewer: str, at: Micros) -> Claim | None:
        """This reviewer's running claim."""
        return next((claim for claim in self.holders(at) if claim.reviewer == reviewer), None)

    @property
    def places(self) -> int:
        """How many people may hold it at once."""
        return 1 if self.needs_adjudicator else self.readings - len(self.read)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that stands."""
        return next((verdict for verdict in self.verdicts if verdict.stands and verdict.final), None)

    @property
    def read(self) -> tuple[Verdict, ...]:
        """The independent readings that stand."""
        return tuple(verdict for verdict in self.verdicts if verdict.stands and not verdict.final)

    @property
    def needs_adjudicator(self) -> bool:
        """Somebody escalated it, or all readings are there and no verdict came of them: they disagree."""
        return any(claim.ending == "escalated" for claim in self.claims) or len(self.read) >= self.readings

    def having(self, *facts: Claim | Verdict) -> Case:
        """This case with new facts; a fact of the same id takes the place of the older one."""
        claims: Mapping[str, Claim] = {c.claim_id: c for c in (*self.claims, *facts) if isinstance(c, Claim)}
        verdicts: Mapping[str, Verdict] = {v.verdict_id: v for v in (*self.verdicts, *facts) if isinstance(v, Verdict)}
        return replace(self, claims=tuple(claims.values()), verdicts=tuple(verdicts.values()))


def claim(case: Case, reviewer: str, at: Micros, policy: ReviewPolicy, claim_id: str) -> Claim:
    """Take a case. Who holds it already gets a longer lease, not a second one."""
    held = _free_for(case, reviewer, at, policy)
    if held:
        return replace(held, until=_until(at, policy, held))
    return Claim(claim_id, case.conclusion_id, reviewer, at, _until(at, policy))


def renew(case: Case, reviewer: str, at: Micros, policy: ReviewPolicy) -> Claim:
    """The reviewer is still there: the lease runs on from now."""
    held = _free_for(case, reviewer, at, policy)
    if held is None:
        raise _not_held(case)
    return replace(held, until=_until(at, policy, held))


def release(
    case: Case, reviewer: str, at: Micros, policy: ReviewPolicy, *, ending: Ending = "released", reason: str = ""
) -> Claim:
    """Give a case back. `skipped`: this reviewer would rather not have it again; `escalated`: an adjudicator shall."""
    held = _free_for(case, reviewer, at, policy)
    if held is None:
        raise _not_held(case)
    return replace(held, ended_at=at, ending=ending, reason=reason[:MAX_NOTE])


def decide(
    case: Case, reviewer: str, at: Micros, answer: Answer, *, shown: bool, policy: ReviewPolicy, verdict_id: str
) -> tuple[Verdict, Claim | None]:
    """The verdict and the claim that it ends.

    It is final where one reading is enough, where an adjudicator gives it, and where it is the last of several
    independent readings that all name the same polarity. A verdict sent twice under one id (the connection was cut) is
    the same verdict. A verdict that comes after its lease counts if nobody took the case meanwhile: work that was done
    is not thrown away.
    """
    if again := next((v for v in case.verdicts if v.verdict_id == verdict_id and v.reviewer == reviewer), None):
        return again, None
    held = _free_for(case, reviewer, at, policy)
    agree = all(reading.answer.polarity == answer.polarity for reading in case.read)
    final = _adjudicates(case, reviewer, policy) or (len(case.read) + 1 >= case.readings and agree)
    version = policy.guideline_version
    verdict = Verdict(verdict_id, case.conclusion_id, reviewer, at, answer, shown, version, final=final)
    ended = replace(held, ended_at=at, ending="decided") if held else None
    return verdict, ended


def revise(
    case: Case, reviewer: str, at: Micros, answer: Answer, *, policy: ReviewPolicy, verdict_id: str
) -> tuple[Verdict, Verdict | None]:
    """Another verdict in place of the one that stands, however old; and that one, as it no longer counts.

    By who gave it, or who adjudicates. Sent twice under one id it is the same verdict, and the second value is None.
    """
    if again := next((v for v in case.verdicts if v.verdict_id == verdict_id and v.reviewer == reviewer), None):
        return again, None
    standing = case.verdict
    if standing is None:
        raise ReviewError("not_decided", "Nobody has answered this case yet. It comes in the queue.")
    if standing.reviewer != reviewer and not policy.may_adjudicate(reviewer):
        raise ReviewError("needs_adjudicator", "Somebody else has answered this; an adjudicator may answer it again.")
    version = policy.guideline_version
    verdict = Verdict(verdict_id, standing.conclusion_id, reviewer, at, answer, True, version)
    return verdict, replace(standing, undone_at=at)


def undo(case: Case, reviewer: str, at: Micros, policy: ReviewPolicy) -> Verdict:
    """The reviewer's own verdict, taken back. It stays on record as undone and no longer counts.

    A reading that others have made a verdict of by agreeing with it stays.
    """
    standing = [case.verdict] if case.verdict else case.read
    mine = next((verdict for verdict in standing if verdict.reviewer == reviewer), None)
    if mine is None:
        raise ReviewError("nothing_to_undo", "There is no verdict of yours to take back here.")
    if at > mine.decided_at + policy.undo_seconds * SECOND:
        raise ReviewError(
            "too_late_to_undo", f"A verdict can be taken back for {policy.undo_seconds} seconds; that time is over."
        )
    return replace(mine, undone_at=at)


def _free_for(case: Case, reviewer: str, at: Micros, policy: ReviewPolicy) -> Claim | None:
    """The reviewer's own running claim or None; raises when the case is another's, decided, or not for this person."""
    if case.verdict is not None:
        raise ReviewError("already_decided", "This case has been answered already. Go on with the next one.")
    if any(reading.reviewer == reviewer for reading in case.read):
        raise ReviewError("already_read", "You have read this case; somebody else is to. Go on with the next one.")
    held = case.held_by(reviewer, at)
    if held is None and case.needs_adjudicator and not _adjudicates(case, reviewer, policy):
        raise ReviewError("needs_adjudicator", "This case waits for an adjudicator. Go on with the next one.")
    if held is None and len(case.holders(at)) >= case.places:
        raise ReviewError("held_by_another", "Another reviewer is working on this case. Go on with the next one.")
    return held


def _adjudicates(case: Case, reviewer: str, policy: ReviewPolicy) -> bool:
    """Whether this reviewer's answer settles what readers could not; not of one who escalated it, unless named."""
    passed_on = any(claim.reviewer == reviewer and claim.ending == "escalated" for claim in case.claims)
    named = reviewer in policy.adjudicators
    return case.needs_adjudicator and policy.may_adjudicate(reviewer) and (named or not passed_on)


def _not_held(case: Case) -> ReviewError:
    return ReviewError("not_held", f"You no longer hold case {case.conclusion_id}. Claim it, or take the next one.")


def _until(at: Micros, policy: ReviewPolicy, held: Claim | None = None) -> Micros:
    """A lease is never cut short, not even by a clock that was set back."""
    return max(at + policy.lease_seconds * SECOND, held.until if held else 0)


def _invalid(field: str, value: str, allowed: Sequence[str]) -> ReviewError:
    sentence = f"{field} {value[:80]!r} is not allowed; allowed: {', '.join(allowed)}."
    return ReviewError("invalid_verdict", sentence, field=field, allowed=allowed)
