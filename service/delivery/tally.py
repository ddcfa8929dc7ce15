"""How many attempts to deliver there were, by what became of them: a number for each kind, and nothing of any webhook.

Counted in the transaction that writes attempts down, so that whoever measures sees what is stored, from any process
and over restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from sqlalchemy import Column, Connection, Integer, String, Table, select
from sqlalchemy.dialects.sqlite import insert

from service.database import holds_nothing, metadata
from service.delivery.sending import OutcomeKind

attempts = Table(
    "webhook_attempts",
    metadata,
    Column("outcome", String, primary_key=True),
    Column("attempts", Integer, nullable=False),
    **holds_nothing("numbers of attempts"),
)


def add(connection: Connection, counted: Mapping[OutcomeKind, int]) -> None:
    """So many more of these kinds, in the caller's writing transaction."""
    for outcome, number in counted.items():
        more = insert(attempts).values(outcome=outcome, attempts=number)
        more = more.on_conflict_do_update(index_elements=["outcome"], set_={"attempts": attempts.c.attempts + number})
        connection.execute(more)


def read(connection: Connection) -> dict[OutcomeKind, int]:
    """Every kind with its number."""
    found = {row.outcome: row.attempts for row in connection.execute(select(attempts))}
    return {kind: found.get(kind, 0) for kind in get_args(OutcomeKind)}
