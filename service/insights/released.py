"""What went out unread under which promise: the list to look at when one falls, and whom its fall concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, text, update

from models.journey.event import Micros
from service.events.folded import customers
from service.insights.store import conclusions, touch_all

_promised_to: ColumnElement[str] = func.json_extract(conclusions.c.stored, "$.promise.group")


def touch_promised(connection: Connection, digest: str, kind: str, group: str) -> None:
    """A promise was withdrawn or stands again: whoever was answered under it is concluded again.

    Of feelings those of the group; of sets and probabilities everybody, for every answer names its promise.
    """
    if kind != "feeling":
        touch_all(connection)
        return
    mine = select(conclusions.c.customer_id).where(
        conclusions.c.superseded_at.is_(None), conclusions.c.digest == digest,
        _promised_to == group,
    )  # fmt: skip
    which = customers.c.customer_id.in_(mine)
    connection.execute(update(customers).where(which).values(revision=customers.c.revision + 1))


def released(
    connection: Connection, digest: str, group: str, since: Micros, limit: int, after: tuple[Micros, str] = (-1, "")
) -> Sequence[Row[Any]]:
    """Feelings that went out unread under a promise from a moment on, superseded ones too, oldest first."""
    c = conclusions.c
    mine = (c.digest == digest, text("decision = 'auto'"), c.concluded_at >= since, _promised_to == group)
    later = (c.concluded_at > after[0]) | ((c.concluded_at == after[0]) & (c.conclusion_id > after[1]))
    wanted = select(conclusions).where(*mine, later, c.kind == "feeling", c.decided_by == "model")
    return connection.execute(wanted.order_by(c.concluded_at, c.conclusion_id).limit(limit)).all()


def count_released(connection: Connection, digest: str, since: Micros) -> dict[str, tuple[int, Micros]]:
    """How many feelings went out unread from a moment on, and when the first of them did, by group."""
    c = conclusions.c
    mine = (c.digest == digest, text("decision = 'auto'"), c.concluded_at >= since, c.kind == "feeling",
            c.decided_by == "model")  # fmt: skip
    counted = select(_promised_to, func.count(), func.min(c.concluded_at)).where(*mine).group_by(_promised_to)
    return {str(group): (n, first) for group, n, first in connection.execute(counted)}
