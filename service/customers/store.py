"""Customers read: who an asked id stands for, their journeys, what they said. Writes nothing (the projector does)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, func, select, text

from models.insight import JourneySummary
from models.journey.assembly import Feedback
from models.journey.claims import ids_for
from models.journey.event import Micros
from models.journey.journeys import Journeys
from service.customers.words import Said, sort_out
from service.database import Database, one_of
from service.events.folded import feedback, identities, touchpoints

TOUCHPOINTS_COUNTED = 20_000
"""Counting all of them would take longer and longer, and is done again for each micro-batch."""


def resolve(connection: Connection, asked: str) -> str | None:
    """The surviving customer behind a userId, an anonymousId or any other id, in the order of `ids_for`; None if nobody
    is known by it."""
    ids = ids_for(asked)
    found = {row.id: row.customer_id for row in connection.execute(select(identities).where(identities.c.id.in_(ids)))}
    return next((found[id] for id in ids if id in found), None)


def living(connection: Connection, customer_ids: Sequence[str]) -> set[str]:
    """Those that at least one id stands for; the others were joined to somebody else."""
    wanted = select(identities.c.customer_id).where(one_of(identities.c.customer_id, customer_ids)).distinct()
    return set(connection.execute(wanted).scalars())


def ids_after(connection: Connection, customer_id: str, limit: int) -> Sequence[str]:
    """The next customers after one, in the order of their ids."""
    ids = identities.c.customer_id
    following = select(ids).where(ids > customer_id).distinct().order_by(ids).limit(limit)
    return connection.execute(following).scalars().all()


_TOUCHPOINTS = """
    SELECT asked.key, own.occurred_at, own.known_at, own.amount_minor, own.contact, own.channel, own.action, own.stage
    FROM json_each(?) AS asked CROSS JOIN touchpoints AS own ON own.customer_id = asked.value
    ORDER BY asked.key, own.occurred_at, own.known_at, own.message_id"""


def journeys_of(connection: Connection, customer_ids: Sequence[str], read: Collection[str] | None = None) -> Journeys:
    """The whole journeys of these customers, in this order; one without touchpoints gets an empty journey.

    So does one that is not among those to `read`, where they are given. Rows become columns without an object each.
    """
    wanted = [one if read is None or one in read else None for one in customer_ids]
    cursor = connection.connection.cursor()
    cursor.execute(_TOUCHPOINTS, (msgspec.json.encode(wanted).decode(),))
    columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * 8
    cursor.close()
    owner, occurred_at, known_at, amount, contact = (np.array(one, dtype=np.int64) for one in columns[:5])
    numbers: dict[tuple[str, ...], int] = {}
    kind = np.array([numbers.setdefault(one, len(numbers)) for one in zip(*columns[5:], strict=True)], dtype=np.int64)
    stages = {f"{channel}.{action}": stage for channel, action, stage in numbers}
    names = tuple(sorted(stages))
    code = np.array([names.index(f"{channel}.{action}") for channel, action, _ in numbers], dtype=np.int32)
    return Journeys(
        customers=tuple(customer_ids),
        starts=np.searchsorted(owner, np.arange(len(customer_ids) + 1)),
        occurred_at=occurred_at,
        known_at=known_at,
        code=code[kind],
        amount_minor=amount,
        contact=contact.astype(np.bool_),
        names=names,
        stages=tuple(stages[name] for name in names),
    )


def extents_of(connection: Connection, customer_ids: Collection[str], as_of: Micros) -> dict[str, JourneySummary]:
    """How many touchpoints each of these customers had at `as_of`, and when the first and the last; nothing else."""
    at = touchpoints.c.occurred_at
    mine = (touchpoints.c.customer_id.in_(customer_ids), at <= as_of, touchpoints.c.known_at <= as_of)
    counted = (func.count().label("n"), func.min(at).label("first"), func.max(at).label("last"))
    wanted = select(touchpoints.c.customer_id, *counted).where(*mine)
    found = dict.fromkeys(customer_ids, JourneySummary(0, None, None, None, None))
    for row in connection.execute(wanted.group_by(touchpoints.c.customer_id)):
        found[row.customer_id] = JourneySummary(row.n, row.first, row.last, None, None)
    return found


def words_of(connection: Connection, customer_ids: Sequence[str], as_of: Micros | None = None) -> dict[str, list[Said]]:
    """All that each of these customers said, what they changed later too; what was known at `as_of` if it is given."""
    mine = select(feedback).where(one_of(feedback.c.customer_id, customer_ids))
    if as_of is not None:
        mine = mine.where(feedback.c.known_at <= as_of, feedback.c.said_at <= as_of)
    found: dict[str, list[Said]] = defaultdict(list)
    for row in connection.execute(mine):
        found[row.customer_id].append(_said(row))
    return found


def words_by_id(connection: Connection, id: str) -> Said | None:
    """The words with this id, of whichever version."""
    row = connection.execute(select(feedback).where(feedback.c.feedback_id == id)).first()
    return _said(row) if row else None


def feedback_of(
    connection: Connection, customer_ids: Sequence[str], as_of: Micros | None = None, window: Micros = 0
) -> dict[str, list[Feedback]]:
    """Of what each of these customers said, the words that count, oldest first; `window`: see words.sort_out."""
    said = words_of(connection, customer_ids, as_of)
    return {customer: [one.feedback for one in sort_out(said[customer], window).counting] for customer in said}


def touchpoint_counts(connection: Connection) -> Mapping[str, int]:
    """How often each touchpoint is among the newest ones: the base rates of a service that has no bundle yet."""
    newest = select(touchpoints.c.channel, touchpoints.c.action).order_by(text("rowid DESC")).limit(TOUCHPOINTS_COUNTED)
    by = newest.subquery().c
    rows = connection.execute(select(by.channel, by.action, func.count().label("n")).group_by(by.channel, by.action))
    return {f"{row.channel}.{row.action}": row.n for row in rows}


def feedback_rows(database: Database, as_of: Micros, window: Micros, batch: int = 1_000) -> Iterator[Said]:
    """The words that counted at `as_of`, for export; customer by customer, `batch` customers at a time."""
    last = ""
    ids = feedback.c.customer_id
    while True:
        with database.read() as connection:
            following = select(ids).where(ids > last).distinct().order_by(ids).limit(batch)
            customers = connection.execute(following).scalars().all()
            said = words_of(connection, customers, as_of)
        if not customers:
            return
        for customer in customers:
            yield from sort_out(said.get(customer, ()), window).counting
        last = customers[-1]


def _said(row: Any) -> Said:
    words = Feedback(row.feedback_id, row.customer_id, row.said_at, row.known_at, row.channel, row.text, row.rating)
    return Said(words, row.edits, row.received_at, row.rated, row.scale, row.language, row.language_given)
