"""Customers read: who an asked id stands for, their journeys, what they said. Writes nothing (the projector does)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, text

from models.journey.assembly import Feedback, Step, columns, with_customers
from models.journey.event import Micros
from models.journey.journeys import Journeys
from models.journey.touchpoint import Touchpoint
from service.database import Database
from service.events.folded import feedback, identities, touchpoints

TOUCHPOINTS_COUNTED = 20_000
"""Counting all of them would take longer and longer, and is done again for each micro-batch."""


def resolve(connection: Connection, asked: str) -> str | None:
    """The surviving customer behind a userId or an anonymousId (in this order); None if nobody is known by it."""
    ids = (f"u:{asked}", f"a:{asked}")
    found = {row.id: row.customer_id for row in connection.execute(select(identities).where(identities.c.id.in_(ids)))}
    return next((found[id] for id in ids if id in found), None)


def living(connection: Connection, customer_ids: Sequence[str]) -> set[str]:
    """Those that at least one id stands for; the others were joined to somebody else."""
    wanted = select(identities.c.customer_id).where(identities.c.customer_id.in_(customer_ids)).distinct()
    return set(connection.execute(wanted).scalars())


def journeys_of(connection: Connection, customer_ids: Sequence[str]) -> Journeys:
    """The whole journeys of these customers, in this order; one without touchpoints gets an empty journey."""
    mine = touchpoints.c.customer_id.in_(customer_ids)
    steps = [
        Step(
            row.customer_id, row.occurred_at, row.known_at, row.message_id,
            Touchpoint(row.channel, row.action, row.stage, row.amount_minor, contact=row.contact),
        )
        for row in connection.execute(select(touchpoints).where(mine))
    ]  # fmt: skip
    return with_customers(columns(steps), customer_ids)


def feedback_of(connection: Connection, customer_ids: Sequence[str]) -> dict[str, list[Feedback]]:
    """What each of these customers said, oldest first, the last one being the latest."""
    mine = select(feedback).where(feedback.c.customer_id.in_(customer_ids))
    found: dict[str, list[Feedback]] = defaultdict(list)
    for row in connection.execute(mine.order_by(feedback.c.said_at, feedback.c.known_at, feedback.c.feedback_id)):
        found[row.customer_id].append(_feedback(row))
    return found


def touchpoint_counts(connection: Connection) -> Mapping[str, int]:
    """How often each touchpoint is among the newest ones: the base rates of a service that has no bundle yet."""
    newest = select(touchpoints.c.channel, touchpoints.c.action).order_by(text("rowid DESC")).limit(TOUCHPOINTS_COUNTED)
    by = newest.subquery().c
    rows = connection.execute(select(by.channel, by.action, func.count().label("n")).group_by(by.channel, by.action))
    return {f"{row.channel}.{row.action}": row.n for row in rows}


def feedback_rows(database: Database, as_of: Micros, batch: int = 5_000) -> Iterator[Feedback]:
    """Everything that was said and known at `as_of`, for export."""
    last = ""
    while True:
        wanted = (feedback.c.feedback_id > last, feedback.c.known_at <= as_of)
        with database.read() as connection:
            rows = connection.execute(
                select(feedback).where(*wanted).order_by(feedback.c.feedback_id).limit(batch)
            ).all()
        if not rows:
            return
        yield from map(_feedback, rows)
        last = rows[-1].feedback_id


def _feedback(row: Any) -> Feedback:
    return Feedback(row.feedback_id, row.customer_id, row.said_at, row.known_at, row.channel, row.text, row.rating)
