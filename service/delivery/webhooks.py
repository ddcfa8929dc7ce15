"""Where webhooks go and what became of each delivery, in tables. Sends nothing (deliverer.py) and holds no secret.

A delivery is due once no earlier one of the same customer waits for the same webhook, so that what one customer's
changes say arrives in their order, whatever was retried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

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
    and_,
    delete,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros
from service.database import holds, holds_nothing, metadata, one_of
from service.outbox.store import Change, changes

State: TypeAlias = Literal["waiting", "delivered", "failed", "withdrawn"]
STATES: tuple[State, ...] = ("waiting", "delivered", "failed", "withdrawn")
"""Still to be sent; answered with 2xx; given up after three days; the customer was erased or objects."""
MOST_WEBHOOKS = 20
MOST_REMEMBERED = 20
"""Attempts of a delivery that are told."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("description", String, nullable=False),
    Column("kinds", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("disabled_at", BigInteger),
    Column("disabled_because", String),
    **holds_nothing("where changes are sent"),
)
"""`kinds` with blanks between; `position` is the number of the newest change that has its delivery."""

secrets = Table(
    "webhook_secrets",
    metadata,
    Column("secret_id", String, primary_key=True),
    Column("webhook_id", String, nullable=False),
    Column("key_print", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("until", BigInteger),
    Index("webhook_secrets_of_webhooks", "webhook_id"),
    **holds_nothing("ids from which secrets are derived"),
)
"""`until` is null for the newest; an earlier one signs beside it until then."""

deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("message_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("customer_id", String),
    Column("state", String, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("history", Text, nullable=False),
    Index("webhook_deliveries_of_customers", "customer_id"),
    **holds("all rows of the customer", "all rows of the customer are deleted", json_columns=("history",)),
)
"""`history` is the last attempts as JSON. What is sent is in `changes`."""
_WAITING = text("state = 'waiting'")
Index("webhook_deliveries_waiting", deliveries.c.webhook_id, deliveries.c.due_at, deliveries.c.seq,
      sqlite_where=_WAITING)  # fmt: skip
Index("webhook_deliveries_by_state", deliveries.c.webhook_id, deliveries.c.state, deliveries.c.seq)
Index("webhook_deliveries_in_order", deliveries.c.webhook_id, deliveries.c.customer_id, deliveries.c.seq,
      sqlite_where=_WAITING)  # fmt: skip


def add(connection: Connection, webhook_id: str, url: str, description: str, kinds: Sequence[str], now: Micros,
        position: int) -> None:  # fmt: skip
    row = {"webhook_id": webhook_id, "url": url, "description": description, "kinds": " ".join(kinds),
           "created_at": now, "position": position}  # fmt: skip
    connection.execute(insert(webhooks).values(row))


def change(connection: Connection, webhook_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(webhooks).where(webhooks.c.webhook_id == webhook_id).values(values))


def remove(connection: Connection, webhook_id: str) -> None:
    """The webhook goes with its secrets and what became of its deliveries."""
    for table in (deliveries, secrets, webhooks):
        connection.execute(delete(table).where(table.c.webhook_id == webhook_id))


def get(connection: Connection, webhook_id: str) -> Row[Any] | None:
    return connection.execute(select(webhooks).where(webhooks.c.webhook_id == webhook_id)).first()


def every(connection: Connection) -> Sequence[Row[Any]]:
    """All webhooks, oldest first."""
    return connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.webhook_id)).all()


def in_force(connection: Connection) -> Sequence[Row[Any]]:
    """Webhooks that are not disabled."""
    return connection.execute(select(webhooks).where(webhooks.c.disabled_at.is_(None))).all()


def add_secret(
    connection: Connection, webhook_id: str, secret_id: str, key_print: str, now: Micros, until: Micros
) -> None:
    """From now on this one signs; the one before does so beside it until then, and those before that no more."""
    mine = secrets.c.webhook_id == webhook_id
    connection.execute(delete(secrets).where(mine, secrets.c.until.is_not(None)))
    connection.execute(update(secrets).where(mine).values(until=until))
    connection.execute(delete(secrets).where(mine, secrets.c.until <= now))
    row = {"secret_id": secret_id, "webhook_id": webhook_id, "key_print": key_print, "created_at": now}
    connection.execute(insert(secrets).values(row))


def secrets_of(connection: Connection, webhook_id: str, now: Micros) -> Sequence[Row[Any]]:
    """The secrets that sign now, the newest first."""
    mine = and_(secrets.c.webhook_id == webhook_id, secrets.c.until.is_(None) | (secrets.c.until > now))
    return connection.execute(select(secrets).where(mine).order_by(secrets.c.created_at.desc())).all()


def hand_out(connection: Connection, webhook_id: str, found: Sequence[Change], position: int, now: Micros) -> None:
    """A delivery for each of these changes, and the webhook stands behind them."""
    rows = [{"webhook_id": webhook_id, "seq": one.seq, "message_id": one.id, "kind": one.kind, "due_at": now,
             "customer_id": one.customer_id, "state": "waiting", "attempts": 0, "history": "[]"}
            for one in found]  # fmt: skip
    if rows:
        connection.execute(insert(deliveries).on_conflict_do_nothing(), rows)
    change(connection, webhook_id, {"position": position})


def due(connection: Connection, webhook_id: str, now: Micros, limit: int) -> Sequence[Row[Any]]:
    """Deliveries to be sent now, of each customer the earliest that waits."""
    earlier = deliveries.alias()
    before = exists().where(
        earlier.c.webhook_id == deliveries.c.webhook_id, earlier.c.customer_id == deliveries.c.customer_id,
        earlier.c.seq < deliveries.c.seq, earlier.c.state == text("'waiting'"),
    )  # fmt: skip
    mine = and_(deliveries.c.webhook_id == webhook_id, deliveries.c.state == text("'waiting'"), ~before)
    wanted = select(deliveries).where(mine, deliveries.c.due_at <= now)
    return connection.execute(wanted.order_by(deliveries.c.due_at, deliveries.c.seq).limit(limit)).all()


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an attempt, and when the next one is due where it waits."""

    webhook_id: str
    seq: int
    state: State
    due_at: Micros
    attempt: Mapping[str, Any]


_SETTLE = f"""
    UPDATE webhook_deliveries SET state = ?, due_at = ?, attempts = attempts + 1, history = json_insert(
        CASE WHEN json_array_length(history) >= {MOST_REMEMBERED} THEN json_remove(history, '$[0]') ELSE history END,
        '$[#]', json(?))
    WHERE webhook_id = ? AND seq = ?
"""  # noqa: S608 - a number of ours
"""By the driver, and without a look at what was there: a backlog is settled some hundred a commit."""


def settle(connection: Connection, settled: Sequence[Settled]) -> None:
    """Write down attempts. Nothing where the delivery is gone by now."""
    rows = [(one.state, one.due_at, msgspec.json.encode(one.attempt).decode(), one.webhook_id, one.seq)
            for one in settled]  # fmt: skip
    if rows:
        connection.exec_driver_sql(_SETTLE, rows)


def withdraw(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """These are not to be sent any more."""
    for row in rows:
        mine = and_(deliveries.c.webhook_id == row.webhook_id, deliveries.c.seq == row.seq)
        connection.execute(update(deliveries).where(mine).values(state="withdrawn"))


def listed(
    connection: Connection, webhook_id: str, state: State | None, before: int | None, limit: int
) -> Sequence[Row[Any]]:
    """Deliveries, the newest change first; those before a number, in one state, if that is given."""
    wanted = select(deliveries).where(deliveries.c.webhook_id == webhook_id)
    if state is not None:
        wanted = wanted.where(deliveries.c.state == state)
    if before is not None:
        wanted = wanted.where(deliveries.c.seq < before)
    return connection.execute(wanted.order_by(deliveries.c.seq.desc()).limit(limit)).all()


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """How many deliveries are in which state, by webhook."""
    by = (deliveries.c.webhook_id, deliveries.c.state)
    found: dict[str, dict[str, int]] = {}
    for webhook_id, state, number in connection.execute(select(*by, func.count()).group_by(*by)):
        found.setdefault(webhook_id, {})[state] = number
    return found


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is still to be sent to webhooks that are in force: how much, and since when the oldest of it is known."""

    waiting: int
    oldest_at: Micros | None


def backlog(connection: Connection) -> Backlog:
    """Deliveries that wait, and changes that were not handed out yet."""
    hooks = in_force(connection)
    mine = and_(
        deliveries.c.webhook_id.in_([hook.webhook_id for hook in hooks]), deliveries.c.state == text("'waiting'")
    )
    waiting, first = connection.execute(select(func.count(), func.min(deliveries.c.seq)).where(mine)).one()
    oldest = [connection.execute(select(changes.c.changed_at).where(changes.c.seq == first)).scalar()]
    for hook in hooks:
        new = and_(changes.c.seq > hook.position, changes.c.kind.in_(hook.kinds.split()))
        number, at = connection.execute(select(func.count(), func.min(changes.c.changed_at)).where(new)).one()
        waiting, oldest = waiting + number, [*oldest, at]
    return Backlog(waiting, min((at for at in oldest if at is not None), default=None))


def again(
    connection: Connection, webhook_id: str, now: Micros, *, state: State | None = None, message_id: str | None = None,
    first: int | None = None,
) -> int:  # fmt: skip
    """Have deliveries sent again from their first attempt on: in one state, of one message, from a number on; says how
    many."""
    conditions = [deliveries.c.webhook_id == webhook_id, deliveries.c.state != "withdrawn"]
    if state is not None:
        conditions.append(deliveries.c.state == state)
    if message_id is not None:
        conditions.append(deliveries.c.message_id == message_id)
    if first is not None:
        conditions.append(deliveries.c.seq >= first)
    values = {"state": "waiting", "due_at": now, "attempts": 0}
    return connection.execute(update(deliveries).where(*conditions).values(values)).rowcount


def forget_deliveries(connection: Connection, seqs: Sequence[int]) -> None:
    """What became of the deliveries of these changes."""
    connection.execute(delete(deliveries).where(one_of(deliveries.c.seq, seqs)))
