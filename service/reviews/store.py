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
    Select,
    String,
    Table,
    Text,
    and_,
    false,
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

SINGLE, READING, ADJUDICATION, REVISION = "single", "reading", "adjudication", "revision"
"""How a verdict came about."""

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
    Column("given_as", String, nullable=False, server_default=SINGLE),
    Column("policy_digest", String),
    Column("superseded_by", String),
    Column("drawn", Boolean, nullable=False, server_default=false()),
    **holds(
        exported="rows about the customer's feedback",
        erased="rows about the customer's feedback are deleted",
        json_columns=("emotions", "flags"),
    ),
)
"""Complete in itself: conclusions can be made again, verdicts cannot. Only `undone_at` (since when it no longer counts)
and `superseded_by` are ever written later.

`conclusion_id` is what the person answered and `answered_as` the conclusion that says so; `claimed_at` is when the case
was taken, null where it was answered without a claim. One that is not `final` is an independent reading; `given_with`
is the verdict that was given for several cases of the same words at once. `given_as` says how it came about: alone
(`single`), as one of several independent readings (`reading`), where those could not settle it (`adjudication`), or in
place of an earlier verdict (`revision`), which then names it in `superseded_by`. `policy_digest` names the policy of
release that was in force. `chance_of_review` is the chance with which a person came
to read it, and `drawn` says that it was drawn at random.
"""
Index("verdicts_standing", verdicts.c.subject, unique=True, sqlite_where=text("undone_at IS NULL AND final"))
Index(
    "verdicts_readings", verdicts.c.subject, verdicts.c.reviewer, sqlite_where=text("undone_at IS NULL AND NOT final")
)
Index("verdicts_reviewer", verdicts.c.reviewer, verdicts.c.decided_at)
Index("verdicts_decided", verdicts.c.decided_at)

WAITING = "superseded_at IS NULL AND place IS NOT NULL"
"""A person is to look: the model wants one, or a released answer was drawn to be read blind."""
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
    *,
    given_as: str = SINGLE,
    policy_digest: str | None = None,
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
        "chance_of_review": stored.get("chance_of_review", 1.0), "drawn": stored.get("drawn", False), "undone_at": None,
        "final": verdict.final, "given_with": given_with, "given_as": given_as, "policy_digest": policy_digest,
    }  # fmt: skip
    connection.execute(insert(verdicts), row)
    _count(connection, verdict, conclusion, by=1)


def take_back(connection: Connection, verdict: Verdict, conclusion: Row[Any]) -> None:
    """Mark a verdict about this conclusion as undone."""
    _count(connection, verdict, conclusion, by=-1)
    mine = verdicts.c.verdict_id == verdict.verdict_id
    connection.execute(update(verdicts).where(mine).values(undone_at=verdict.undone_at))


def replace_verdict(
    connection: Connection, before: Row[Any], verdict: Verdict, answered_as: str, policy_digest: str | None
) -> None:
    """Write a verdict in place of an earlier one about the same conclusion, which stays on record."""
    ended = {"undone_at": verdict.decided_at, "superseded_by": verdict.verdict_id}
    connection.execute(update(verdicts).where(verdicts.c.verdict_id == before.verdict_id).values(ended))
    row = before._asdict() | {
        "verdict_id": verdict.verdict_id, "answered_as": answered_as, "reviewer": verdict.reviewer, "claimed_at": None,
        "decided_at": verdict.decided_at, "answer": verdict.answer.polarity,
        "emotions": msgspec.json.encode(verdict.answer.emotions).decode(), "intensity": verdict.answer.intensity,
        "note": verdict.answer.note, "model_answer_shown": True, "guideline_version": verdict.guideline_version,
        "given_with": None, "given_as": REVISION, "policy_digest": policy_digest,
    }  # fmt: skip
    connection.execute(insert(verdicts), row)
    for one, by in ((before.answer, -1), (verdict.answer.polarity, 1)):
        if one != CANNOT_TELL:
            codes = msgspec.json.decode(before.flags)
            count_verdict(connection, codes, overturned=one != before.model_answer, by=by)


def standing_about(connection: Connection, subject: str) -> Row[Any] | None:
    """The final verdict about this feedback that stands."""
    wanted = (verdicts.c.subject == subject, verdicts.c.undone_at.is_(None), verdicts.c.final)
    return connection.execute(select(verdicts).where(*wanted)).first()


def last_verdict(connection: Connection, reviewer: str, since: Micros) -> Row[Any] | None:
    """This reviewer's latest verdict since then that stands; of several given at once, the one they were given with."""
    mine = (verdicts.c.reviewer == reviewer, verdicts.c.decided_at >= since, verdicts.c.undone_at.is_(None),
            verdicts.c.given_with.is_(None), verdicts.c.given_as != REVISION)  # fmt: skip
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


def past_verdicts(connection: Connection, subject: str, limit: int) -> Sequence[Row[Any]]:
    """The latest final verdicts that stand about other words than these, with the words and whose they are."""
    wanted: Select[Any] = (
        select(verdicts.c.answer, verdicts.c.decided_at, feedback.c.text, feedback.c.customer_id)
        .join(feedback, feedback.c.feedback_id == verdicts.c.subject)
        .where(verdicts.c.undone_at.is_(None), verdicts.c.final, verdicts.c.given_with.is_(None))
        .where(verdicts.c.subject != subject)
    )
    return connection.execute(wanted.order_by(verdicts.c.decided_at.desc()).limit(limit)).all()


def given_by(connection: Connection, reviewer: str, before: Micros | None, limit: int) -> Sequence[Row[Any]]:
    """This reviewer's answers, the newest first, those included that another verdict took the place of."""
    kept = or_(verdicts.c.undone_at.is_(None), verdicts.c.superseded_by.is_not(None))
    wanted = select(verdicts).where(verdicts.c.reviewer == reviewer, kept)
    if before is not None:
        wanted = wanted.where(verdicts.c.decided_at < before)
    order = (verdicts.c.decided_at.desc(), verdicts.c.verdict_id)
    return connection.execute(wanted.order_by(*order).limit(limit)).all()


def steps_after(connection: Connection, customer_id: str, at: Micros, limit: int = 100) -> Sequence[Row[Any]]:
    """The customer's first touchpoints after this moment."""
    mine = select(touchpoints).where(touchpoints.c.customer_id == customer_id, touchpoints.c.occurred_at > at)
    return connection.execute(mine.order_by(touchpoints.c.occurred_at).limit(limit)).all()


def verdict_rows(connection: Connection, as_of: Micros, *, final: bool = True) -> Iterator[Mapping[str, Any]]:
    """Every verdict that stood at `as_of`, oldest first, with all that learning from it needs. Not `final`: instead the
    independent readings that decided nothing alone.

    feedback_id, customer_id, text, channel, rating, said_at; answer, emotions, intensity, note; reviewer, claimed_at,
    decided_at; what the model had answered and how surely, whether it was shown, its version, digest and flags; the
    guideline's version; the chance with which such a case came to a person (1 where flags sent it); how it came about
    (`given_as`), the verdict it was given with, and the policy of release.
    """
    stood = (
        verdicts.c.final if final else ~verdicts.c.final,
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
        for own in ("undone_at", "answered_as", "final", "superseded_by"):
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
