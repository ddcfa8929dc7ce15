"""Served sets of next touchpoints, until their horizon has passed and it is known whether they held what came.

One of each customer and bundle: cases of one customer are alike, and the check takes cases for independent. They count
when their horizon has passed, not as soon as something came, for those who come back soon are not like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.insight import Decision, Insight
from models.journey.event import SECOND, Micros, parse_duration
from models.journey.journeys import Journeys
from service.customers import store as customers
from service.customers.consent import objecting
from service.database import holds, metadata
from service.state import State

ROWS = 500
"""Sets that one step checks."""
HOUR = 3_600 * SECOND

sets = Table(
    "served_sets",
    metadata,
    Column("customer_id", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("policy_digest", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("touchpoints", Text, nullable=False),
    Column("came", String),
    Column("missed", Boolean),
    Column("checked_at", BigInteger),
    Index("served_sets_due", "due_at", sqlite_where=text("checked_at IS NULL")),
    Index("served_sets_checked", "digest", "group_name", "checked_at", sqlite_where=text("missed IS NOT NULL")),
    **holds("all rows of the customer", "all rows of the customer are deleted", json_columns=("touchpoints",)),
)
"""`missed` says whether the set failed to hold `came`; both are null where nothing came within the horizon."""
_KEEP = insert(sets).on_conflict_do_nothing()


def keep(connection: Connection, insights: Sequence[Insight], policy_digest: str) -> None:
    """Keep the sets of insights that are being written, each if it is the first of this customer and bundle."""
    rows = [row for one in insights if (row := _row(one, policy_digest)) is not None]
    if rows:
        connection.execute(_KEEP, rows)


def _row(insight: Insight, policy_digest: str) -> dict[str, Any] | None:
    told = insight.next_touchpoint
    if insight.model.digest is None or told.decision is not Decision.AUTO or told.promise is None:
        return None
    horizon = parse_duration(str(told.about["horizon"])) * SECOND
    return {
        "customer_id": insight.customer_id, "digest": insight.model.digest, "version": insight.model.version,
        "policy_digest": policy_digest, "group_name": told.promise.group, "made_at": insight.as_of,
        "due_at": insight.as_of + horizon,
        "touchpoints": msgspec.json.encode(told.details["prediction_set"]).decode(),
    }  # fmt: skip


def check_some(state: State) -> int:
    """Look what came after sets whose horizon ended long enough ago; says how many were looked at."""
    now = state.clock()
    with state.service.read() as connection:
        waiting = and_(sets.c.checked_at.is_(None), sets.c.due_at <= now - state.settings.forecast_grace_hours * HOUR)
        rows = connection.execute(select(sets).where(waiting).order_by(sets.c.due_at).limit(ROWS)).all()
        found = _came(connection, rows) if rows else []
    if found:
        mine = and_(sets.c.customer_id == bindparam("who"), sets.c.digest == bindparam("which"))
        what: dict[str, Any] = {name: bindparam(f"its_{name}") for name in ("came", "missed", "checked_at")}
        with state.service.write() as connection:
            connection.execute(update(sets).where(mine).values(**what),
                               [{**one, "its_checked_at": now} for one in found])  # fmt: skip
    return len(rows)


def checked(connection: Connection, digest: str, group: str, since: Micros = 0) -> Sequence[Row[Any]]:
    """Sets of a promise that held what came or did not, in the order in which that was found out."""
    s = sets.c
    mine = (s.digest == digest, s.group_name == group, s.missed.is_not(None), s.made_at > since)
    return connection.execute(select(sets).where(*mine).order_by(s.checked_at, s.customer_id)).all()


def groups(connection: Connection, digest: str) -> list[str]:
    """Groups of which sets were kept."""
    wanted = select(sets.c.group_name).distinct().where(sets.c.digest == digest)
    return sorted(connection.execute(wanted).scalars())


def _came(connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """What came first after each set; nothing of people who are known no more or object to being profiled."""
    who = {row.customer_id: customers.resolve(connection, row.customer_id) for row in rows}
    people = sorted({one for one in who.values() if one is not None})
    objectors = objecting(connection, people)
    journeys = customers.journeys_of(connection, [one for one in people if one not in objectors])
    place = {one: number for number, one in enumerate(journeys.customers)}
    found = []
    for row in rows:
        at = place.get(str(who[row.customer_id]))
        came = None if at is None else _first_after(journeys, at, row.made_at, row.due_at)
        missed = None if came is None else came not in msgspec.json.decode(row.touchpoints)
        found.append({"who": row.customer_id, "which": row.digest, "its_came": came, "its_missed": missed})
    return found


def _first_after(journeys: Journeys, row: int, after: Micros, until: Micros) -> str | None:
    own = slice(int(journeys.starts[row]), int(journeys.starts[row + 1]))
    for at, code in zip(journeys.occurred_at[own].tolist(), journeys.code[own].tolist(), strict=True):
        if after < at <= until:
            return str(journeys.names[code])
    return None
