"""What the pages and the JSON answers show of the queue and of one case. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from sqlalchemy import Row

from models.insight import FLAGS, Conclusion, Flag
from models.journey.event import DAY, Micros, format_time
from models.review import Case, Status
from service.customers.consent import objecting
from service.insights.store import get_conclusion
from service.reviews import queue, store
from service.reviews.journey import Step, Timeline, span, timeline
from service.reviews.logic import Desk, as_read, shows_model_answer
from service.reviews.marks import Piece
from service.reviews.similar import most_like

EXCERPT = 140
PAST = 1_000
"""Latest verdicts among whose words similar ones are looked for."""
Explain: TypeAlias = Callable[[str, str, str | None], Sequence[Piece] | None]
"""The text in pieces, for an answer of the bundle with this digest; None where that is not known yet."""
_SAYS_LITTLE = ("below_threshold", "no_promise")
"""Flags that nearly every case has: told last, and on the list only where there is no other."""


@dataclass(frozen=True, slots=True)
class Counts:
    """`open` can be taken; `urgent` and `adjudicate` (for an adjudicator) are some of those, `claimed` is being read.

    `mine_today` (UTC) was decided by this reviewer.
    """

    open: int
    urgent: int
    adjudicate: int
    claimed: int
    mine_today: int

    def to_dict(self) -> dict[str, int]:
        return {"open": self.open, "urgent": self.urgent, "adjudicate": self.adjudicate, "claimed": self.claimed}


@dataclass(frozen=True, slots=True)
class Waiting:
    """One line of the queue."""

    conclusion_id: str
    customer_id: str
    feedback_id: str
    excerpt: str
    channel: str
    waiting_since: Micros
    waiting_for: str
    urgent: bool
    claimed: bool
    adjudicate: bool
    flags: tuple[Flag, ...]

    @property
    def reasons(self) -> list[str]:
        """The one or two most telling reasons."""
        telling = [flag for flag in self.flags if flag.code not in _SAYS_LITTLE] or self.flags[:1]
        return [flag.to_dict()["text"].rstrip(".") for flag in telling[:2]]

    def to_dict(self) -> dict[str, Any]:
        status: Status = "claimed" if self.claimed else "open"
        return {
            "conclusion_id": self.conclusion_id, "customer_id": self.customer_id, "feedback_id": self.feedback_id,
            "channel": self.channel, "waiting_since": format_time(self.waiting_since), "status": status,
            "urgent": self.urgent, "adjudicate": self.adjudicate, "flags": [flag.to_dict() for flag in self.flags],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a case is here, in a sentence."""

    sentence: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class Chance:
    """One polarity and how probable the model holds it, in whole percent."""

    answer: str
    percent: int


@dataclass(frozen=True, slots=True)
class Past:
    """A case like this one and how people decided it."""

    excerpt: str
    answer: str
    ago: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case as its reviewer sees it. What the model thinks is empty where it is hidden."""

    conclusion_id: str
    customer_id: str
    feedback_id: str
    verdict_id: str
    text: str
    pieces: tuple[Piece, ...]
    """The text, with the words marked that moved the model; in one piece where its answer is hidden."""
    unmarked: bool
    """Whether marks are still to be asked for."""
    channel: str
    said_at: str
    said_ago: str
    rating: int | None
    flags: tuple[Reason, ...]
    shown: bool
    model_answer: str | None
    chances: tuple[Chance, ...]
    model_emotions: tuple[str, ...]
    similar: tuple[Past, ...]
    """Like cases and how people decided them; none where the model's answer is hidden."""
    journey: Timeline
    before: tuple[str, ...]
    """What an adjudicator must know: who escalated it and why, what readers said."""
    alike: int
    """How many other cases of the same words can be answered with this one."""
    twice: bool
    """Whether this is one of several independent readings."""
    until: str
    minutes_left: str


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """What was just saved. `revealed` is what the model had said where it was hidden; `others` were given with it."""

    conclusion_id: str
    answer: str
    excerpt: str
    revealed: str | None
    others: int


def counts(desk: Desk) -> Counts:
    """How much waits, and how much this reviewer did today."""
    today, all = desk.at - desk.at % DAY, queue.count(desk.connection, desk.asking)
    return Counts(
        all.open, all.urgent, all.adjudicate, all.claimed, store.count_verdicts(desk.connection, desk.reviewer, today)
    )


def waiting(desk: Desk, limit: int, offset: int = 0) -> list[Waiting]:
    """The queue in its order, those being read included."""
    return [_waiting(row, desk.at) for row in queue.waiting(desk.connection, desk.asking, limit, offset)]


def unmarked(text: str, _: str, __: str | None) -> Sequence[Piece]:
    """Explains nothing."""
    return [Piece(text)]


def case_view(desk: Desk, row: Row[Any], explain: Explain = unmarked) -> CaseView:
    """The case behind a waiting conclusion."""
    conclusion = as_read(row)
    case = store.case_of(desk.connection, row, desk.policy)
    said = store.words_of(desk.connection, row.subject)
    said_at = said.said_at if said else row.concluded_at
    shown = shows_model_answer(case, row, desk.policy)
    details: Mapping[str, Any] = conclusion.details if shown else {}
    holder = case.held_by(desk.reviewer, desk.at)
    until = holder.until if holder else desk.at
    text = said.text.strip() if said else ""
    marked = explain if shown and conclusion.answer is not None else unmarked
    pieces = marked(text, str(conclusion.answer), row.digest)
    return CaseView(
        conclusion_id=row.conclusion_id,
        customer_id=row.customer_id,
        feedback_id=row.subject,
        verdict_id=desk.ids(),
        text=text,
        pieces=(Piece(text),) if pieces is None else tuple(pieces),
        unmarked=pieces is None,
        channel=said.channel if said else "",
        said_at=format_time(said_at),
        said_ago=span(desk.at - said_at),
        rating=said.rating if said else None,
        flags=_reasons(conclusion.flags),
        shown=shown,
        model_answer=conclusion.answer if shown else None,
        chances=_chances(conclusion) if shown else (),
        model_emotions=tuple(one["emotion"] for one in details.get("emotions") or () if one["emotion"] != "neutral"),
        similar=_similar(desk, row.subject, text) if shown else (),
        journey=_journey(desk, row.customer_id, said_at),
        before=_before(case) if case.needs_adjudicator else (),
        alike=len(desk.alike(row, case)),
        twice=case.readings > 1 and not case.needs_adjudicator,
        until=format_time(until),
        minutes_left=span(until - desk.at),
    )


def case_dict(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    """The same case for a program: the public shape of the conclusion, the model's answer only where it is shown."""
    view = case_view(desk, row)
    return {
        "conclusion_id": view.conclusion_id, "verdict_id": view.verdict_id, "customer_id": view.customer_id,
        "text": view.text, "similar": [asdict(one) for one in view.similar],
        "rating": view.rating, "claimed_until": view.until, "model_answer_shown": view.shown,
        "guideline_version": desk.policy.guideline_version, "alike": view.alike,
        "conclusion": as_read(row).to_dict(provisional=view.shown),
        "journey": [asdict(moment) for moment in view.journey.moments if not moment.now],
    }  # fmt: skip


def last_verdict(desk: Desk) -> LastVerdict | None:
    """What this reviewer saved last, while it can still be taken back."""
    row = desk.last_answered()
    if row is None or get_conclusion(desk.connection, row.conclusion_id) is None:
        return None
    said = store.words_of(desk.connection, row.subject)
    revealed = None if row.model_answer_shown else row.model_answer
    return LastVerdict(row.conclusion_id, row.answer, excerpt(said.text if said else "", 60), revealed,
                       len(store.given_with(desk.connection, row)))  # fmt: skip


def _waiting(row: Row[Any], at: Micros) -> Waiting:
    found = as_read(row).flags
    return Waiting(
        row.conclusion_id, row.customer_id, row.subject, excerpt(row.text or "", EXCERPT), row.channel or "",
        row.waiting_since, span(at - row.waiting_since), any(flag.code == "urgent" for flag in found),
        bool(row.claimed), bool(row.adjudicate), found,
    )  # fmt: skip


def _reasons(found: tuple[Flag, ...]) -> tuple[Reason, ...]:
    ordered = sorted(found, key=lambda flag: flag.code in _SAYS_LITTLE)
    return tuple(Reason(flag.to_dict()["text"], FLAGS[flag.code].severity == "urgent") for flag in ordered)


def _before(case: Case) -> tuple[str, ...]:
    escalated = [claim for claim in case.claims if claim.ending == "escalated"]
    told = [f"{one.reviewer} escalated it" + (f": {one.reason}" if one.reason else ".") for one in escalated]
    for one in case.read:
        note = f", and noted: {one.answer.note}" if one.answer.note else ""
        told.append(f"{one.reviewer} read it as {one.answer.polarity.replace('_', ' ')}{note}")
    return tuple(told)


def _similar(desk: Desk, subject: str, text: str) -> tuple[Past, ...]:
    past = store.past_verdicts(desk.connection, subject, PAST)
    found = [past[number] for number, _ in most_like(text, [row.text for row in past])]
    gone = objecting(desk.connection, [row.customer_id for row in found])
    return tuple(
        Past(excerpt(row.text, EXCERPT), row.answer, span(desk.at - row.decided_at))
        for row in found
        if row.customer_id not in gone
    )


def _chances(conclusion: Conclusion) -> tuple[Chance, ...]:
    listed = conclusion.details.get("distribution") or ()
    return tuple(Chance(one["polarity"], round(100 * one["probability"])) for one in listed)


def _journey(desk: Desk, customer_id: str, said_at: Micros) -> Timeline:
    rows = store.steps_of(desk.connection, customer_id)
    return timeline([Step(f"{r.channel}.{r.action}", r.stage, r.occurred_at, r.contact) for r in rows], said_at)


def excerpt(text: str, length: int) -> str:
    """The beginning, cut between words."""
    plain = " ".join(text.split())
    return plain if len(plain) <= length else plain[:length].rsplit(" ", 1)[0] + "…"
