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
    Connection,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Event, Micros
from service.database import Database, holds, log_metadata

Stream = Literal["event", "feedback"]

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
    **holds(exported="as it is, by user_id and anonymous_id", erased="rows of every id of the customer are deleted"),
)


def append(database: Database, events: Sequence[Event], now: Micros, stream: Stream = "event") -> int:
    """Append in one transaction, committed on return; says how many were new. Repeats are dropped by message id.

    `received_at` is given here: never before that of any earlier row, even where the clock was set back, so that the
    order of the log is the order of (received_at, message_id), which is the order in which identity is learned.
    """
    if not events:
        return 0
    with database.write() as connection:
        received_at = max(now, last_received(connection) + 1)
        stamped = (replace(e, received_at=received_at, occurred_at=min(e.occurred_at, received_at)) for e in events)
        rows = [_row(event, stream) for event in sorted(stamped, key=lambda event: event.message_id)]
        return connection.execute(insert(log).on_conflict_do_nothing(), rows).rowcount


def append_recorded(database: Database, events: Sequence[Event], now: Micros) -> int:
    """Append events, in order of (received_at, message_id), that keep the time at which they were received.

    It is moved only where the order of the log or our clock would not allow it, see `append`: no two rows of an import
    are received at one moment, so that the order of claims is theirs. Says how many were new.
    """
    with database.write() as connection:
        received_at, rows = last_received(connection), []
        for event in events:
            received_at = max(min(event.received_at, now), received_at + 1)
            stamped = replace(event, received_at=received_at, occurred_at=min(event.occurred_at, received_at))
            rows.append(_row(stamped, "event"))
        return connection.execute(insert(log).on_conflict_do_nothing(), rows).rowcount


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


def _row(event: Event, stream: Stream) -> dict[str, Any]:
    return {
        "stream": stream, "message_id": event.message_id, "kind": event.kind, "name": event.name,
        "user_id": event.user_id, "anonymous_id": event.anonymous_id, "previous_id": event.previous_id,
        "occurred_at": event.occurred_at, "received_at": event.received_at,
        "properties": msgspec.json.encode(event.properties).decode(),
        "context": msgspec.json.encode(event.context).decode(),
    }  # fmt: skip
