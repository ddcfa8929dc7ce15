"""The outbox: what a marketing tool should hear of, written in the transaction that made it so, numbered in order.

    add(connection, kind, subject, body, now)    in the transaction of the change: both are there, or neither
    after(connection, Cursor, …)                 what came since, for GET /v1/changes and for webhooks

Only tables and order: who is told, and how, is delivery/'s.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    delete,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros, format_time
from service.database import holds, holds_nothing, metadata, one_of
from service.errors import Conflict, Invalid

Kind = Literal[
    "insight.changed",
    "conclusion.superseded",
    "audience.entered",
    "audience.left",
    "promise.withdrawn",
    "job.finished",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_A_CUSTOMER: frozenset[Kind] = frozenset(KINDS[:4])
"""Kinds whose subject is a customer; those of other kinds name a promise or a job."""

changes = Table(
    "changes",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("customer_id", String),
    Column("about", String),
    Column("body", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("changes_of_customers", "customer_id"),
    Index("changes_in_time", "changed_at"),
    sqlite_autoincrement=True,
    **holds("all rows of the customer", "all rows of the customer are deleted", json_columns=("body",)),
)
"""`about` is what the change is about where that is no customer."""

forgotten = Table(
    "changes_forgotten",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    **holds_nothing("up to which number changes are older than they are kept"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed, as it is told everywhere. `id` is the same however often it is told."""

    seq: int
    kind: str
    customer_id: str | None
    changed_at: Micros
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its number and its moment: a number alone comes again after an older backup was restored."""
        return f"chg_{self.seq}_{self.changed_at}"

    def to_dict(self) -> dict[str, Any]:
        """The shape of Standard Webhooks: type, timestamp, data."""
        return {"id": self.id, "type": self.kind, "timestamp": format_time(self.changed_at), "data": dict(self.body)}


@dataclass(frozen=True, slots=True)
class Cursor:
    """After which change to go on: its number, and its moment to know it by."""

    seq: int
    changed_at: Micros

    def told(self) -> str:
        """Opaque to whoever keeps it.

        >>> Cursor.read(Cursor(7, 1_000_000).told())
        Cursor(seq=7, changed_at=1000000)
        """
        return base64.urlsafe_b64encode(msgspec.json.encode([1, self.seq, self.changed_at])).decode().rstrip("=")

    @classmethod
    def read(cls, told: str) -> Cursor:
        """Raises Invalid."""
        try:
            padded = told.encode() + b"=" * (-len(told) % 4)
            number, seq, at = msgspec.json.decode(
                base64.b64decode(padded, b"-_", validate=True), type=tuple[int, int, int]
            )
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            number, seq, at = 0, 0, 0
        if number != 1 or not 0 <= seq < 2**63 or not 0 <= at < 2**63:
            raise Invalid("The cursor is none of ours.", "Send `next_cursor` of an earlier answer, or none to begin.",
                          field="since", value=told)  # fmt: skip
        return cls(seq, at)


def add(connection: Connection, kind: Kind, subject: str, body: Mapping[str, Any], now: Micros) -> int:
    """Write down a change in the caller's writing transaction; returns its number.

    `subject` is the customer's id for kinds of a customer, else a name (a promise's group, a job's id). `body` becomes
    `data` of what is told, and names its subject itself. Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; allowed: {', '.join(KINDS)}")
    mine = kind in OF_A_CUSTOMER
    row = {"kind": kind, "customer_id": subject if mine else None, "about": None if mine else subject,
           "body": msgspec.json.encode(body).decode(), "changed_at": now}  # fmt: skip
    return int(connection.execute(insert(changes).values(row).returning(changes.c.seq)).scalar_one())


def add_all(connection: Connection, rows: Sequence[tuple[Kind, str, Mapping[str, Any]]], now: Micros) -> None:
    """As `add`, of kinds of customers, for many at once: (kind, customer's id, body), in this order."""
    made = [{"kind": kind, "customer_id": customer, "body": msgspec.json.encode(body).decode(), "changed_at": now}
            for kind, customer, body in rows]  # fmt: skip
    if made:
        connection.execute(insert(changes), made)


def after(connection: Connection, seq: int, kinds: Collection[str], limit: int) -> list[Change]:
    """The next changes of these kinds after a number, in the order in which they were committed."""
    wanted = select(changes).where(changes.c.seq > seq)
    if set(kinds) != set(KINDS):
        wanted = wanted.where(changes.c.kind.in_(kinds))
    return [change_of(row) for row in connection.execute(wanted.order_by(changes.c.seq).limit(limit))]


def head(connection: Connection) -> Cursor:
    """After the newest change that ever was, though it be deleted by now."""
    newest = _newest(connection)
    at = connection.execute(select(changes.c.changed_at).where(changes.c.seq == newest)).scalar()
    return Cursor(newest, at or 0)


def first_since(connection: Connection, moment: Micros) -> int:
    """The number of the first change at or after a moment, or the one that the next change will have."""
    found = select(changes.c.seq).where(changes.c.changed_at >= moment).order_by(changes.c.changed_at, changes.c.seq)
    return connection.execute(found.limit(1)).scalar() or _newest(connection) + 1


def get(connection: Connection, seqs: Sequence[int]) -> dict[int, Change]:
    """These changes by number, as far as they are still there."""
    found = connection.execute(select(changes).where(one_of(changes.c.seq, seqs)))
    return {row.seq: change_of(row) for row in found}


def check(connection: Connection, cursor: Cursor) -> None:
    """Raises Conflict where changes after the cursor are lost: too old, or from before a restore."""
    at = connection.execute(select(changes.c.changed_at).where(changes.c.seq == cursor.seq)).scalar()
    another = at is not None and cursor.changed_at not in (0, at)
    if another or cursor.seq > _newest(connection) or cursor.seq < _forgotten(connection):
        raise Conflict("What changed since this cursor is not all there any more.",
                       "Read the insights anew, and go on without `since`.",
                       code="cursor_expired", field="since")  # fmt: skip


def forget_customer(connection: Connection, customer_id: str) -> None:
    """What was to be told of somebody is told no more: they object to being profiled."""
    connection.execute(delete(changes).where(changes.c.customer_id == customer_id))


def has_before(connection: Connection, moment: Micros) -> bool:
    """Whether any change is from before a moment."""
    return connection.execute(select(changes.c.seq).where(changes.c.changed_at < moment).limit(1)).first() is not None


def forget_before(connection: Connection, moment: Micros, limit: int) -> list[int]:
    """Delete the oldest changes from before a moment; returns their numbers."""
    old = select(changes.c.seq).where(changes.c.changed_at < moment).order_by(changes.c.seq).limit(limit)
    found = list(connection.execute(old).scalars())
    if found:
        connection.execute(delete(changes).where(changes.c.seq.in_(found)))
        new = insert(forgotten).values(one=1, seq=found[-1])
        connection.execute(new.on_conflict_do_update(index_elements=["one"], set_={"seq": found[-1]}))
    return found


def change_of(row: Row[Any]) -> Change:
    return Change(row.seq, row.kind, row.customer_id, row.changed_at, msgspec.json.decode(row.body))


def _newest(connection: Connection) -> int:
    """The highest number that was ever given, though that change be deleted by now."""
    numbers = text("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
    return connection.execute(numbers).scalar() or 0


def _forgotten(connection: Connection) -> int:
    return connection.execute(select(forgotten.c.seq)).scalar() or 0
