"""The append-only log in log.db: every accepted event and feedback, once by its id, in the order of receipt.

Only appends and reads. What is folded from it lies in service.db (folded.py) and can be made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    func,
    or_,
    select,
    text,
    update,
)

from models.journey.claims import SPLIT
from models.journey.event import Event, Micros
from service.database import Database, Who, holds, insert_new, log_metadata, one_of
from service.events.tombstones import sift

Stream = Literal["event", "feedback"]


def _pair_of(table: Table) -> list[ColumnElement[str]]:
    """The ids that a split names."""
    return [func.json_extract(table.c.properties, f"$.{name}") for name in ("id", "owner")]


def _rows_of(connection: Connection, table: Table, who: Who) -> ColumnElement[bool]:
    """By the id that each event carries as its own. Reads the whole log, once: an index would slow every append."""
    known, devices = ([id[2:] for id in who.ids if id.startswith(kind)] for kind in ("u:", "a:"))
    own = or_(
        one_of(table.c.user_id, known),
        and_(table.c.user_id.is_(None), one_of(table.c.anonymous_id, devices)),
        and_(table.c.kind == SPLIT, or_(*(one_of(named, who.ids) for named in _pair_of(table)))),
    )
    return one_of(table.c.seq, list(connection.execute(select(table.c.seq).where(own)).scalars()))


log = Table(
    "log",
    log_metadata,
    Column("seq", Integer, primary_key=True),
    Column("stream", String, nullable=False),
    Column("message_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("user_id", String),
    Column("anonymous_id", String),
    Column("previous_id", String),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("properties", Text, nullable=False),
    Column("context", Text, nullable=False),
    UniqueConstraint("stream", "message_id"),
    sqlite_autoincrement=True,
    **holds(
        exported="as it is, by the id that an event carries as its own",
        erased="rows of every id of the customer are deleted; a device of theirs is taken out of others' rows",
        rows=_rows_of,
        json_columns=("properties", "context"),
    ),
)
for _id in (log.c.user_id, log.c.anonymous_id):
    Index(f"log_identify_{_id.name}", _id, sqlite_where=text("kind = 'identify'"))


def append(database: Database, events: Sequence[Event], now: Micros, stream: Stream = "event") -> int:
    """`append_on` in a transaction of its own, committed on return."""
    if not events:
        return 0
    with database.write() as connection:
        return append_on(connection, events, now, stream)


def append_on(connection: Connection, events: Sequence[Event], now: Micros, stream: Stream = "event") -> int:
    """Append in the caller's writing transaction; says how many were new. Repeats are dropped by message id.

    `received_at` is given here: never before that of any earlier row, even where the clock was set back, so that the
    order of the log is the order of (received_at, message_id), which is the order in which identity is learned. What
    happened `now` by a clock that was set back happened when it was received. Nothing is kept of those who were erased,
    however it comes.
    """
    received_at = max(now, last_received(connection) + 1)
    ordered = sorted(sift(connection, events).kept, key=lambda event: event.message_id)
    if received_at > now:
        ordered = [replace(one, occurred_at=received_at) if one.occurred_at >= now else one for one in ordered]
    return insert_new(connection, log, [_row(event, stream, received_at) for event in ordered])


def append_recorded(connection: Connection, events: Sequence[Event], now: Micros) -> int:
    """Append history, in order of (received_at, message_id), that keeps the time at which it was received.

    In the caller's writing transaction. The time is moved only where the order of the log or our clock would not allow
    it, see `append_on`: no two rows of an import are received at one moment, so that the order of claims is theirs.
    Says how many were new.
    """
    received_at, rows = last_received(connection), []
    for event in sift(connection, events).kept:
        received_at = max(min(event.received_at, now), received_at + 1)
        rows.append(_row(event, "feedback" if event.kind == "feedback" else "event", received_at))
    return insert_new(connection, log, rows)


def take_ids_out(connection: Connection, who: Who, reading: Connection) -> int:
    """Others' events forget the devices and ids of this person that stand in them; says how many events. `reading`
    looks for them."""
    bare, found = [id[2:] for id in who.ids], 0
    for column in (log.c.anonymous_id, log.c.previous_id):
        others = (one_of(column, bare), log.c.user_id.is_not(None))
        rows = list(reading.execute(select(log.c.seq).where(*others)).scalars())
        found += connection.execute(update(log).where(one_of(log.c.seq, rows)).values({column: None})).rowcount
    return found


def last_received(connection: Connection) -> Micros:
    """When the newest row was received; 0 for an empty log."""
    newest = select(log.c.received_at).order_by(log.c.seq.desc()).limit(1)
    return connection.execute(newest).scalar() or 0


def head(connection: Connection) -> int:
    """The number of the newest row; 0 for an empty log."""
    return connection.execute(select(func.max(log.c.seq))).scalar() or 0


def received_after(connection: Connection, seq: int) -> Micros | None:
    """When the first row after `seq` was received; None where there is none."""
    following = select(log.c.received_at).where(log.c.seq > seq).order_by(log.c.seq).limit(1)
    return connection.execute(following).scalar()


def after(connection: Connection, seq: int, limit: int) -> Sequence[Row[Any]]:
    """The next rows after `seq`, oldest first."""
    return connection.execute(select(log).where(log.c.seq > seq).order_by(log.c.seq).limit(limit)).all()


def find(connection: Connection, message_id: str, stream: Stream) -> Event | None:
    """The row with this id."""
    row = connection.execute(select(log).where(log.c.stream == stream, log.c.message_id == message_id)).first()
    return event_of(row) if row else None


def events_until(database: Database, as_of: Micros, batch: int = 5_000) -> Iterator[Event]:
    """Every event received at or before `as_of`, in order; feedback left out."""
    seq = 0
    while True:
        wanted = (log.c.seq > seq, log.c.stream == "event", log.c.received_at <= as_of)
        with database.read() as connection:
            rows = connection.execute(select(log).where(*wanted).order_by(log.c.seq).limit(batch)).all()
        if not rows:
            return
        yield from map(event_of, rows)
        seq = rows[-1].seq


def event_of(row: Row[Any]) -> Event:
    return Event(
        row.message_id, row.kind, row.name, row.user_id, row.anonymous_id, row.occurred_at, row.received_at,
        msgspec.json.decode(row.properties), msgspec.json.decode(row.context), row.previous_id,
    )  # fmt: skip


def _row(event: Event, stream: Stream, received_at: Micros) -> tuple[Any, ...]:
    """Its values in the order of the columns after `seq`. Nothing happens after it was received."""
    return (
        stream, event.message_id, event.kind, event.name, event.user_id, event.anonymous_id, event.previous_id,
        min(event.occurred_at, received_at), received_at,
        msgspec.json.encode(event.properties).decode(), msgspec.json.encode(event.context).decode(),
    )  # fmt: skip
