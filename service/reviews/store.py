"""Claims and verdicts as rows; the queue that is read from them and from the conclusions that wait is in queue.py.

Knows tables, no rule: what may be done is decided in models/review.py. There is no table of cases, and no status is
stored. A case is known by what it is about (`subject`, the feedback's id), so that a newer bundle which concludes the
same words again neither frees a case that somebody holds nor doubles it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    and_,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros
from models.review import CANNOT_TELL, Answer, Case, Claim, ReviewPolicy, Verdict
from service.database import holds, metadata
from service.events.folded import feedback, touchpoints
from service.insights.store import conclusions
from service.insights.waiting import count_verdict

claims = Table(
    "claims",
    metadata,
    Column("claim_id", String, primary_key=True),
    Column("conclusion_id", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("reviewer", String, nullable=False),
    Column("claimed_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("ending", String),
    Column("reason", Text, nullable=False),
    **holds(exported="rows about the customer's feedback", erased="rows about the customer's feedback are deleted"),
)
Index("claims_held", claims.c.subject, claims.c.until, claims.c.reviewer, sqlite_where=text("ended_at IS NULL"))
Index("claims_ended", claims.c.subject, claims.c.ending, claims.c.reviewer)
Index("claims_running", claims.c.reviewer, claims.c.until, sqlite_where=text("ended_at IS NULL"))

verdicts = Table(
    "verdicts",
    metadata,
    Column("verdict_id", String, primary_key=True),
    Column("conclusion_id", String, nullable=False),
    Column("subject", String, nullable=False, index=True),
    Column("answered_as", String, nullable=False),
    Column("reviewer", String, nullable=False),
    Column("claimed_at", BigInteger),
    Column("decided_at", BigInteger, nullable=False),
    Column("answer", String, nullable=False),
    Column("emotions", Text, nullable=False),
    Column("intensity", Integer),
    Column("note", Text, nullable=False),
    Column("model_answer", String),
    Column("model_confidence", Float),
    Column("model_answer_shown", Boolean, nullable=False),
    Column("guideline_version", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String),
    Column("flags", Text, nullable=False),
    Column("chance_of_review", Float, nullable=False),
    Column("undone_at", BigInteger),
    Column("final", Boolean, nullable=False),
    Column("given_with", String),
    **holds(
        exported="rows about the customer's feedback",
        erased="rows about the customer's feedback are deleted",
        json_columns=("emotions", "flags"),
    ),
)
"""Complete in itself: conclusions can be made again, verdicts cannot. Only `undone_at` is ever written later.

`conclusion_id` is what the person answered and `answered_as` the conclusion that says so; `claimed_at` is when the case
was taken, null where it was answered without a claim. One that is not `final` is an independent reading; `given_with`
is the verdict that was given for several cases of the same words at once.
"""
Index("verdicts_standing", verdicts.c.subject, unique=True, sqlite_where=text("undone_at IS NULL AND final"))
Index(
    "verdicts_readings", verdicts.c.subject, verdicts.c.reviewer, sqlite_where=text("undone_at IS NULL AND NOT final")
)
Index("verdicts_reviewer", verdicts.c.reviewer, verdicts.c.decided_at)

WAITING = "superseded_at IS NULL AND decision = 'review' AND decided_by = 'model'"
URGENT = f"{WAITING} AND urgent = 1"
Index("conclusions_urgent", conclusions.c.urgent, sqlite_where=text(WAITING))


def count_urgent(connection: Connection) -> int:
    """How many urgent cases wait, claimed ones included."""
    return connection.execute(select(func.count()).select_from(conclusions).where(text(URGENT))).scalar_one()


def case_of(connection: Connection, conclusion: Row[Any], policy: ReviewPolicy) -> Case:
    """What people did about this subject."""
    made = connection.execute(select(claims).where(claims.c.subject == conclusion.subject)).all()
    given = connection.execute(select(verdicts).where(verdicts.c.subject == conclusion.subject)).all()
    readings = 1 if conclusion.lot is None else policy.readings(conclusion.lot)
    return Case(conclusion.conclusion_id, tuple(map(_claim, made)), tuple(map(_verdict, given)), readings)


def put_claim(connection: Connection, claim: Claim, subject: str) -> None:
    """Write a claim, or how far it reaches now."""
    row = {
        "conclusion_id": claim.conclusion_id, "subject": subject, "reviewer": claim.reviewer,
        "claimed_at": claim.claimed_at, "until": claim.until, "ended_at": claim.ended_at, "ending": claim.ending,
        "reason": claim.reason,
    }  # fmt: skip
    new = insert(claims).values(claim_id=claim.claim_id, **row)
    connection.execute(new.on_conflict_do_update(index_elements=["claim_id"], set_=row))


def add_verdict(
    connection: Connection,
    verdict: Verdict,
    conclusion: Row[Any],
    answered_as: str,
    claimed_at: Micros | None,
    given_with: str | None = None,
) -> None:
    """Write a verdict with all that the conclusion said to which it answers."""
    stored = msgspec.json.decode(conclusion.stored)
    details = stored["details"]
    row = {
        "verdict_id": verdict.verdict_id, "conclusion_id": verdict.conclusion_id, "subject": conclusion.subject,
        "answered_as": answered_as, "reviewer": verdict.reviewer, "claimed_at": claimed_at,
        "decided_at": verdict.decided_at, "answer": verdict.answer.polarity,
        "emotions": msgspec.json.encode(verdict.answer.emotions).decode(), "intensity": verdict.answer.intensity,
        "note": verdict.answer.note, "model_answer": stored["answer"], "model_confidence": details.get("confidence"),
        "model_answer_shown": verdict.model_answer_shown, "guideline_version": verdict.guideline_version,
        "version": conclusion.version, "digest": conclusion.digest,
        "flags": msgspec.json.encode([code for code, _ in stored["flags"]]).decode(),
        "chance_of_review": float(details.get("chance_of_review", 1.0)), "undone_at": None,
        "final": verdict.final, "given_with": given_with,
    }  # fmt: skip
    connection.execute(insert(verdicts), row)
    _count(connection, verdict, conclusion, by=1)


def take_back(connection: Connection, verdict: Verdict, conclusion: Row[Any]) -> None:
    """Mark a verdict about this conclusion as undone."""
    _count(connection, verdict, conclusion, by=-1)
    mine = verdicts.c.verdict_id == verdict.verdict_id
    connection.execute(update(verdicts).where(mine).values(undone_at=verdict.undone_at))


def last_verdict(connection: Connection, reviewer: str, since: Micros) -> Row[Any] | None:
    """This reviewer's latest verdict since then that stands; of several given at once, the one they were given with."""
    mine = (verdicts.c.reviewer == reviewer, verdicts.c.decided_at >= since, verdicts.c.undone_at.is_(None),
            verdicts.c.given_with.is_(None))  # fmt: skip
    return connection.execute(select(verdicts).where(*mine).order_by(verdicts.c.decided_at.desc()).limit(1)).first()


def given_with(connection: Connection, verdict: Row[Any]) -> Sequence[Row[Any]]:
    """The verdicts that stand about other cases of the same words, given together with this one."""
    wanted = (verdicts.c.reviewer == verdict.reviewer, verdicts.c.decided_at == verdict.decided_at,
              verdicts.c.given_with == verdict.verdict_id, verdicts.c.undone_at.is_(None))  # fmt: skip
    return connection.execute(select(verdicts).where(*wanted)).all()


def count_verdicts(connection: Connection, reviewer: str, since: Micros) -> int:
    mine = (verdicts.c.reviewer == reviewer, verdicts.c.decided_at >= since, verdicts.c.undone_at.is_(None))
    return connection.execute(select(func.count()).select_from(verdicts).where(*mine)).scalar_one()


def words_of(connection: Connection, subject: str) -> Row[Any] | None:
    """The feedback as it was said."""
    return connection.execute(select(feedback).where(feedback.c.feedback_id == subject)).first()


def steps_of(connection: Connection, customer_id: str, limit: int = 500) -> Sequence[Row[Any]]:
    """The customer's latest touchpoints, newest first."""
    mine = select(touchpoints).where(touchpoints.c.customer_id == customer_id)
    return connection.execute(mine.order_by(touchpoints.c.occurred_at.desc()).limit(limit)).all()


def verdict_rows(connection: Connection, as_of: Micros) -> Iterator[Mapping[str, Any]]:
    """Every final verdict that stood at `as_of`, oldest first, with all that learning from it needs.

    feedback_id, customer_id, text, channel, rating, said_at; answer, emotions, intensity, note; reviewer, claimed_at,
    decided_at; what the model had answered and how surely, whether it was shown, its version, digest and flags; the
    guideline's version; and the chance with which such a case came to a person (1 where flags sent it).
    """
    stood = (
        verdicts.c.final,
        verdicts.c.decided_at <= as_of,
        or_(verdicts.c.undone_at.is_(None), verdicts.c.undone_at > as_of),
    )
    said = feedback.c.feedback_id == verdicts.c.subject
    wanted = (
        select(verdicts, *(feedback.c[name] for name in ("customer_id", "text", "channel", "rating", "said_at")))
        .join(feedback, said)
        .where(*stood)
        .order_by(verdicts.c.decided_at, verdicts.c.verdict_id)
    )  # fmt: skip
    for row in connection.execute(wanted):
        found = dict(row._mapping)
        found["feedback_id"] = found.pop("subject")
        for own in ("undone_at", "answered_as", "final", "given_with"):
            del found[own]
        yield found | {name: msgspec.json.decode(found[name]) for name in ("emotions", "flags")}


def _count(connection: Connection, verdict: Verdict, conclusion: Row[Any], by: int) -> None:
    """What people overturn, by flag; who cannot tell neither confirms nor overturns."""
    if not verdict.final or verdict.answer.polarity == CANNOT_TELL:
        return
    stored = msgspec.json.decode(conclusion.stored)
    codes = [code for code, _ in stored["flags"]]
    count_verdict(connection, codes, overturned=verdict.answer.polarity != stored["answer"], by=by)


def running(at: Micros) -> ColumnElement[bool]:
    return and_(claims.c.ended_at.is_(None), claims.c.until > at)


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        row.claim_id, row.conclusion_id, row.reviewer, row.claimed_at, row.until, row.ended_at, row.ending, row.reason
    )


def _verdict(row: Row[Any]) -> Verdict:
    answer = Answer(row.answer, tuple(msgspec.json.decode(row.emotions)), row.intensity, row.note)
    return Verdict(
        row.verdict_id, row.conclusion_id, row.reviewer, row.decided_at, answer, row.model_answer_shown,
        row.guideline_version, row.undone_at, row.final,
    )  # fmt: skip
