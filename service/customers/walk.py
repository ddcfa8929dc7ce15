"""The one walk over every table that holds something of a person, by what each declares: to export it, or to erase it.

Knows no table by name, so a new one that declares itself is exported and erased from its first day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, LargeBinary, MetaData, Table, delete, select

from models.journey.event import format_time
from service.customers.store import resolve
from service.database import Find, Who, finder_of
from service.events.folded import feedback, identities, touchpoints
from service.events.letters import readable

Rows = list[dict[str, Any]]


def who_is(connection: Connection, asked: str) -> Who | None:
    """The person behind any id, with all that their rows can be found by; None if nobody is known by it."""
    customer = resolve(connection, asked)
    if customer is None:
        return None
    mine = select(identities.c.id).where(identities.c.customer_id == customer)
    return widened(connection, Who(ids=tuple(sorted(connection.execute(mine).scalars()))), customer)


def widened(connection: Connection, who: Who, customer: str | None = None) -> Who:
    """From the ids of a person to what they did and said."""
    customers = {id[2:] for id in who.ids} | ({customer} if customer else set())
    found = Who(tuple(sorted(customers)), who.ids)
    said, did = (
        tuple(connection.execute(select(key).where(finds(connection, table, found))).scalars())
        for table, key, finds in ((feedback, feedback.c.feedback_id, _finder(feedback)),
                                  (touchpoints, touchpoints.c.message_id, _finder(touchpoints)))
    )  # fmt: skip
    return Who(found.customers, found.ids, tuple(sorted(said)), tuple(sorted(did)))


def exported(connection: Connection, tables: MetaData, who: Who) -> dict[str, Rows]:
    """Every row of theirs, by table, in the order of its key."""
    found = {}
    for table, finds in holding(tables):
        wanted = select(table).where(finds(connection, table, who)).order_by(*table.primary_key.columns)
        found[table.name] = [_shown(table, row._mapping) for row in connection.execute(wanted)]
    return found


def erased(connection: Connection, tables: MetaData, who: Who, reading: Connection | None = None) -> dict[str, int]:
    """Delete every row of theirs; says how many, by table. `reading` is what looks for them, if not `connection`."""
    found = [(table, finds(reading or connection, table, who)) for table, finds in holding(tables)]
    return {table.name: connection.execute(delete(table).where(rows)).rowcount for table, rows in found}


def holding(tables: MetaData) -> Iterator[tuple[Table, Find]]:
    """Every table that holds something of a customer, and what finds the rows of one."""
    for table in tables.sorted_tables:
        finds = finder_of(table)
        if finds is not None:
            yield table, finds


def _finder(table: Table) -> Find:
    finds = finder_of(table)
    if finds is None:
        raise KeyError(table.name)
    return finds


def _shown(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Moments as ISO 8601, JSON as what it says, bytes as text."""
    shown = dict[str, Any]()
    for column in table.columns:
        value = row[column.name]
        if value is not None and isinstance(column.type, LargeBinary):
            value = _meant(value)
        elif value is not None and column.name in table.info["json_columns"]:
            value = msgspec.json.decode(value)
        elif value is not None and isinstance(column.type, BigInteger) and column.name.endswith(_MOMENTS):
            value = format_time(value)
        shown[column.name] = value
    return shown


_MOMENTS = ("_at", "as_of", "until")


def _meant(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return readable(raw)
