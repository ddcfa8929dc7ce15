"""Audiences and who is in them: saved conditions, asked of each insight in the transaction that writes it.

Membership is kept up by `place`; who came in and who left goes into the outbox beside it. What an insight is, and how
an audience that is new is filled, is above (insights/, delivery/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Row,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros, parse_time
from service.database import holds, holds_nothing, metadata, one_of
from service.outbox import store
from service.outbox.conditions import restored
from service.outbox.store import Kind

audiences = Table(
    "audiences",
    metadata,
    Column("audience_id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("condition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("through", String),
    **holds_nothing("conditions that are asked of every insight alike"),
)
"""`through`: customers up to this id were looked at since the condition changed; null: all were."""

members = Table(
    "audience_members",
    metadata,
    Column("audience_id", String, primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("entered_at", BigInteger, nullable=False),
    Index("audience_members_of_customers", "customer_id"),
    **holds("all rows of the customer", "all rows of the customer are deleted"),
)


Moves = Sequence[tuple[Row[Any], str, Mapping[str, Any] | None, bool]]
"""An audience, a customer, their public insight or None for nobody any more, and whether they are in it so far."""


def place(connection: Connection, insights: Mapping[str, Mapping[str, Any] | None], now: Micros) -> None:
    """Bring the memberships of these customers up to what their insights say: the public one, or None for nobody any
    more. In the caller's writing transaction.
    """
    asked = every(connection)
    if asked:
        mine = select(members.c.audience_id, members.c.customer_id).where(one_of(members.c.customer_id, list(insights)))
        before = {tuple(row) for row in connection.execute(mine)}
        moves = [(one, customer, insight, (one.audience_id, customer) in before)
                 for customer, insight in insights.items() for one in asked]  # fmt: skip
        move(connection, moves, now)


def move(connection: Connection, asked: Moves, now: Micros) -> None:
    """Let customers in or out as the conditions say, and tell it; nothing of those for whom that is so already."""
    entering, leaving, told = [], [], list[tuple[Kind, str, dict[str, Any]]]()
    for audience, customer_id, insight, was_in in asked:
        belongs = insight is not None and restored(audience.condition).holds(insight, parse_time(insight["as_of"]))
        if belongs == was_in:
            continue
        key = {"audience_id": audience.audience_id, "customer_id": customer_id}
        if belongs:
            entering.append({**key, "entered_at": now})
        else:
            leaving.append({"left": audience.audience_id, "who": customer_id})
        kind: Kind = "audience.entered" if belongs else "audience.left"
        body = {**key, "audience": audience.name, "as_of": None if insight is None else insight["as_of"]}
        told.append((kind, customer_id, body))
    if entering:
        connection.execute(insert(members), entering)
    if leaving:
        mine = (members.c.audience_id == bindparam("left"), members.c.customer_id == bindparam("who"))
        connection.execute(delete(members).where(*mine), leaving)
    store.add_all(connection, told, now)


def add(connection: Connection, audience_id: str, name: str, condition: Any, now: Micros) -> None:
    """An audience that nobody was looked at for yet."""
    row = {"audience_id": audience_id, "name": name, "condition": _json(condition), "created_at": now,
           "changed_at": now, "through": ""}  # fmt: skip
    connection.execute(insert(audiences).values(row))


def change(connection: Connection, audience_id: str, now: Micros, **values: Any) -> None:
    """Another name, or another condition: then everybody is looked at again."""
    if "condition" in values:
        values = {**values, "condition": _json(values["condition"]), "through": ""}
    mine = audiences.c.audience_id == audience_id
    connection.execute(update(audiences).where(mine).values(**values, changed_at=now))


def looked_at(connection: Connection, audience_id: str, through: str | None) -> None:
    """Customers up to this id are placed; None: all of them are."""
    mine = audiences.c.audience_id == audience_id
    connection.execute(update(audiences).where(mine).values(through=through))


def remove(connection: Connection, audience_id: str) -> None:
    """The audience goes, and nobody is told to have left."""
    for table in (members, audiences):
        connection.execute(delete(table).where(table.c.audience_id == audience_id))


def get(connection: Connection, audience_id: str) -> Row[Any] | None:
    return connection.execute(select(audiences).where(audiences.c.audience_id == audience_id)).first()


def named(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(audiences).where(audiences.c.name == name)).first()


def every(connection: Connection) -> Sequence[Row[Any]]:
    """All audiences, oldest first."""
    return connection.execute(select(audiences).order_by(audiences.c.created_at, audiences.c.audience_id)).all()


def to_fill(connection: Connection) -> Row[Any] | None:
    """The audience that has waited longest to have everybody looked at."""
    waiting = select(audiences).where(audiences.c.through.is_not(None))
    return connection.execute(waiting.order_by(audiences.c.changed_at, audiences.c.audience_id).limit(1)).first()


def count(connection: Connection, audience_id: str) -> int:
    mine = select(func.count()).select_from(members).where(members.c.audience_id == audience_id)
    return connection.execute(mine).scalar_one()


def page(connection: Connection, audience_id: str, after: str, limit: int) -> Sequence[Row[Any]]:
    """Who is in it, in the order of their ids, after one of them."""
    mine = select(members).where(members.c.audience_id == audience_id, members.c.customer_id > after)
    return connection.execute(mine.order_by(members.c.customer_id).limit(limit)).all()


def among(connection: Connection, audience_id: str, customer_ids: Sequence[str]) -> set[str]:
    """Those of these customers who are in it."""
    mine = select(members.c.customer_id).where(
        members.c.audience_id == audience_id, members.c.customer_id.in_(customer_ids)
    )
    return set(connection.execute(mine).scalars())


def _json(condition: Any) -> str:
    return msgspec.json.encode(condition).decode()
