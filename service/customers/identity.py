"""Who a customer is: their ids, what joined them, what was refused, and the splits; and how a join is undone.

Decides nothing (models/journey/identity.py does) and moves nothing (the projector does): a split is an entry of the
log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, not_, or_, select

from models.journey.claims import DEVICE, KNOWN, PERSON, Pair, ids_for, kind_of, split_event
from models.journey.event import EARLIEST, Micros, format_time
from models.journey.identity import SPLIT_UP, cut
from service.customers.store import resolve
from service.errors import Conflict, NotFound, shown, unknown_customer
from service.events import projector, store
from service.events.folded import identities
from service.events.joins import joins, splits
from service.state import State

MOST_REFUSED = 1_000
"""Refused joins that are told, the newest: a tablet in a shop has one for each customer of the day."""


@dataclass(frozen=True)
class Identity:
    """Rows of one customer: ids, the joins that hold them together, refused ones, and splits."""

    customer_id: str
    ids: list[Row[Any]]
    joins: list[Row[Any]]
    refused: list[Row[Any]]
    splits: list[Row[Any]]

    @property
    def surviving(self) -> str:
        """The surviving id with its kind."""
        mine = {row.id for row in self.ids}
        return next(kind + self.customer_id for kind in (KNOWN, DEVICE, PERSON) if kind + self.customer_id in mine)

    def to_dict(self) -> dict[str, Any]:
        return {
            "customer_id": self.customer_id,
            "surviving_id": self.surviving,
            "ids": [
                {"id": row.id, "kind": named(row.id), "known_at": _time(row.known_at),
                 "shared_at": _time(row.shared_at)}
                for row in self.ids
            ],
            "joins": [_told(row) for row in self.joins],
            "refused": [{**_told(row), "reason": row.refused} for row in self.refused],
            "splits": [
                {"id": row.id, "owner": row.owner, "known_at": _time(row.known_at), "message_id": row.message_id,
                 "by": row.by, "reason": row.reason}
                for row in self.splits
            ],
        }  # fmt: skip


def named(id: str) -> str:
    """The kind of an id as tools call it.

    >>> named("u:u1"), named("a:dev9"), named("x:email:ab12")
    ('userId', 'anonymousId', 'email')
    """
    return {KNOWN: "userId", DEVICE: "anonymousId"}.get(id[:2]) or kind_of(id).removeprefix(PERSON)


def _told(row: Row[Any]) -> dict[str, Any]:
    return {"id": row.id, "owner": row.owner, "rule": row.rule, "message_id": row.message_id,
            "occurred_at": _time(row.occurred_at), "known_at": _time(row.known_at)}  # fmt: skip


def _time(moment: Micros | None) -> str | None:
    return None if moment is None or moment == EARLIEST else format_time(moment)


def find_customer(state: State, asked: str) -> str:
    """The surviving customer. Somebody whose events are not folded yet is folded on the spot. Raises NotFound."""

    def look() -> str | None:
        with state.service.read() as connection:
            return resolve(connection, asked)

    customer = projector.find(state, look)
    if customer is None:
        raise unknown_customer(asked)
    return customer


def identity_of(connection: Connection, customer_id: str) -> Identity:
    """All that is known of who this customer is."""
    mine = select(identities).where(identities.c.customer_id == customer_id)
    ids = connection.execute(mine.order_by(identities.c.known_at, identities.c.id)).all()
    theirs = [row.id for row in ids]
    touching = or_(joins.c.id.in_(theirs), joins.c.owner.in_(theirs))
    within = and_(joins.c.refused.is_(None), touching)
    order = (joins.c.known_at, joins.c.id, joins.c.owner)
    standing = connection.execute(select(joins).where(within).order_by(*order)).all()
    not_so = and_(joins.c.refused.is_not(None), not_(joins.c.refused == SPLIT_UP), touching)
    newest = select(joins).where(not_so).order_by(joins.c.known_at.desc(), joins.c.id, joins.c.owner)
    undone = select(splits).where(or_(splits.c.id.in_(theirs), splits.c.owner.in_(theirs)))
    return Identity(
        customer_id,
        list(ids),
        list(standing),
        list(connection.execute(newest.limit(MOST_REFUSED)).all()),
        list(connection.execute(undone.order_by(splits.c.known_at, splits.c.id, splits.c.owner)).all()),
    )


def split(state: State, asked: str, id: str, by: str, reason: str) -> tuple[Identity, Identity, list[Pair]]:
    """Take one id out of a customer, with all that is there only through it; its events go with it.

    Returns who stays, who left, and the joins that were undone; all of it is in force on return. Raises NotFound for an
    unknown customer, or an id that is not theirs; Conflict for the id that names them.
    """
    projector.fold_all(state)
    customer = find_customer(state, asked)
    with state.service.read() as connection:
        whole = identity_of(connection, customer)
    mine = {row.id for row in whole.ids}
    leaving = next((one for one in ids_for(id) if one in mine), None)
    if leaving is None:
        raise NotFound(f"{shown(id)!r} is no id of customer {shown(customer)!r}.",
                       "Name one that GET /v1/customers/{id}/identity lists.", code="not_joined", field="id",
                       value=id)  # fmt: skip
    pairs = cut([(row.id, row.owner) for row in whole.joins], whole.surviving, leaving)
    if leaving == whole.surviving or not pairs:
        raise Conflict(f"{shown(id)!r} is the id that names this customer.",
                       "Name the ids that do not belong to it.", code="surviving_id", field="id", value=id)  # fmt: skip
    now = state.clock()
    undoing = [split_event(pair, state.ids(), now, by, reason) for pair in pairs]
    state.writer.submit(lambda log: store.append_on(log, undoing, now)).result()
    projector.fold_all(state)
    with state.service.read() as connection:
        left = resolve(connection, leaving)
        if left is None:
            raise unknown_customer(id)
        return identity_of(connection, customer), identity_of(connection, left), pairs
