"""The projector: folds the log into customers, ids, touchpoints and feedback, in the log's order.

What it folds and how far it came are committed together, so it can be stopped anywhere and goes on without a repeat. It
concludes nothing. Identity is decided by models/journey/identity.py; a join re-threads what was folded before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Row, case, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Event, Micros
from models.journey.identity import Claim, Owners, bare, claim_of, own_id
from models.journey.touchpoint import Catalogue, Touchpoint
from service.events import store
from service.events.folded import cursors, customers, feedback, identities, touchpoints
from service.state import State

CURSOR = "projector"
VARIABLES_PER_QUERY = 20_000
"""SQLite binds at most 32,766 values in one statement."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last row that was folded, and when it was received."""

    seq: int
    received_at: Micros


def position(connection: Connection) -> Position:
    row = connection.execute(select(cursors).where(cursors.c.name == CURSOR)).first()
    return Position(row.seq, row.received_at) if row else Position(0, 0)


def fold(state: State) -> int:
    """Fold the next rows of the log in one transaction; says how many. 0: all is folded."""
    with state.service.read() as connection, state.log.read() as log:
        if store.head(log) <= position(connection).seq:
            return 0
    with state.service.write() as connection:
        with state.log.read() as log:
            rows = store.after(log, position(connection).seq, state.settings.fold_batch)
        if rows:
            Folding(connection, state.catalogue).fold(rows)
            new = insert(cursors).values(name=CURSOR, seq=rows[-1].seq, received_at=rows[-1].received_at)
            moved = {"seq": rows[-1].seq, "received_at": rows[-1].received_at}
            connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=moved))
    return len(rows)


def fold_all(state: State) -> int:
    """Fold until nothing is left."""
    total = 0
    while folded := fold(state):
        total += folded
    return total


def forget_folded(connection: Connection) -> None:
    """Delete everything that can be folded from the log again."""
    for table in (touchpoints, feedback, identities, customers, cursors):
        connection.execute(delete(table))


@dataclass(frozen=True)
class Folding:
    """One batch of rows on one connection, which is in a transaction that writes."""

    connection: Connection
    catalogue: Catalogue

    def fold(self, rows: Sequence[Row[Any]]) -> None:
        """Learn every claim first, re-thread what they move, then add the new touchpoints under their final owners."""
        events = [store.event_of(row) for row in rows]
        found = (claim for claim in map(claim_of, events) if claim is not None)
        claims = sorted(found, key=lambda claim: (claim.known_at, claim.message_id))
        ids = {own_id(event) for event in events} | {id for claim in claims for id in (claim.id, claim.owner)}
        owners = Owners(self._claims(ids))
        known = set(self._customers_of(ids))
        learned = [claim for claim in claims if owners.learn(claim)]
        self._add_ids(ids - known, owners)
        changed = {bare(owners.customer(id)[0]) for id in ids} | self._join(learned, owners)
        self._add_steps(events, owners)
        self._mark_changed(changed, rows[-1].received_at)

    def _claims(self, ids: set[str]) -> dict[str, Claim]:
        """The claims on these ids, and on the owners they lead to."""
        found: dict[str, Claim] = {}
        wanted = set(ids)
        while wanted:
            rows = self._in(identities, identities.c.id, wanted)
            new = {r.id: Claim(r.id, r.joined_to, r.joined_at, r.message_id) for r in rows if r.joined_to is not None}
            found |= new
            wanted = {claim.owner for claim in new.values()} - ids - set(found)
        return found

    def _customers_of(self, ids: Iterable[str]) -> dict[str, str]:
        return {row.id: row.customer_id for row in self._in(identities, identities.c.id, ids)}

    def _in(self, table: Any, column: Any, values: Iterable[str]) -> list[Row[Any]]:
        listed = sorted(values)
        return [
            row
            for first in range(0, len(listed), VARIABLES_PER_QUERY)
            for row in self.connection.execute(
                select(table).where(column.in_(listed[first : first + VARIABLES_PER_QUERY]))
            )
        ]

    def _add_ids(self, new: set[str], owners: Owners) -> None:
        rows = []
        for id in sorted(new):
            customer, known_at = owners.customer(id)
            claim = owners.claims.get(id)
            rows.append({
                "id": id, "customer_id": bare(customer), "known_at": known_at,
                "joined_to": claim.owner if claim else None, "joined_at": claim.known_at if claim else 0,
                "message_id": claim.message_id if claim else None,
            })  # fmt: skip
        if rows:
            self.connection.execute(insert(identities), rows)

    def _join(self, learned: Sequence[Claim], owners: Owners) -> set[str]:
        """Re-thread: every id behind a claimed one gets its new customer; returns the customers that lost something."""
        for claim in learned:
            joined = {"joined_to": claim.owner, "joined_at": claim.known_at, "message_id": claim.message_id}
            self.connection.execute(update(identities).where(identities.c.id == claim.id).values(joined))
        behind = self._behind([claim.id for claim in learned])
        owners.claims |= self._claims({row.id for row in behind})
        left = set()
        for row in behind:
            customer, known_at = owners.customer(row.id)
            if (bare(customer), known_at) == (row.customer_id, row.known_at):
                continue
            left.add(row.customer_id)
            now = {"customer_id": bare(customer), "known_at": known_at}
            self.connection.execute(update(identities).where(identities.c.id == row.id).values(now))
            for table in (touchpoints, feedback):
                seen = {"customer_id": bare(customer), "known_at": func.max(table.c.received_at, known_at)}
                self.connection.execute(update(table).where(table.c.own_id == row.id).values(seen))
        return left

    def _behind(self, ids: Sequence[str]) -> list[Row[Any]]:
        """These ids and all that are joined to them, directly or through others."""
        found: dict[str, Row[Any]] = {row.id: row for row in self._in(identities, identities.c.id, ids)}
        frontier = list(found)
        while frontier:
            rows = self._in(identities, identities.c.joined_to, frontier)
            frontier = [row.id for row in rows if row.id not in found]
            found |= {row.id: row for row in rows}
        return list(found.values())

    def _add_steps(self, events: Sequence[Event], owners: Owners) -> None:
        points, words = [], []
        for event in events:
            customer, joined_at = owners.customer(own_id(event))
            owner = {"own_id": own_id(event), "customer_id": bare(customer), "received_at": event.received_at,
                     "known_at": max(event.received_at, joined_at)}  # fmt: skip
            if event.kind == "feedback":
                words.append({**owner, "feedback_id": event.message_id, "said_at": event.occurred_at,
                              "channel": event.name, "text": event.properties["text"],
                              "rating": event.properties["rating"]})  # fmt: skip
                continue
            point = self._touchpoint(event)
            if point is None:
                continue
            points.append({**owner, "message_id": event.message_id, "occurred_at": event.occurred_at,
                           "channel": point.channel, "action": point.action, "stage": point.stage,
                           "amount_minor": point.amount_minor, "contact": point.contact})  # fmt: skip
            if point.text is not None:
                words.append({**owner, "feedback_id": event.message_id, "said_at": event.occurred_at,
                              "channel": point.channel, "text": point.text, "rating": point.rating})  # fmt: skip
        if points:
            self.connection.execute(insert(touchpoints).on_conflict_do_nothing(), points)
        if words:
            self.connection.execute(insert(feedback).on_conflict_do_nothing(), words)

    def _touchpoint(self, event: Event) -> Touchpoint | None:
        """One event that no rule can read must not stop the log behind it; it stays in the log."""
        try:
            return self.catalogue.touchpoint(event)
        except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError) as error:
            structlog.get_logger().error("event_not_folded", error=type(error).__name__, kind=event.kind)
            return None

    def _mark_changed(self, changed: set[str], at: Micros) -> None:
        """Who waits already keeps the place in the queue."""
        new = insert(customers).values(changed_at=at, revision=1, concluded_revision=0)
        waits = customers.c.revision > customers.c.concluded_revision
        again = new.on_conflict_do_update(
            index_elements=["customer_id"],
            set_={
                "revision": customers.c.revision + 1,
                "changed_at": case((waits, customers.c.changed_at), else_=at),
            },
        )
        self.connection.execute(again, [{"customer_id": customer} for customer in sorted(changed)])
