"""The projector: folds the log into customers, ids, touchpoints and feedback, in the log's order.

What it folds and how far it came are committed together, so it can be stopped anywhere and goes on without a repeat. It
concludes nothing. Identity is decided by models/journey/identity.py; a join re-threads what was folded before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import structlog
from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Event, Micros
from models.journey.identity import Claim, Owners, bare, claim_of, own_id
from models.journey.touchpoint import Catalogue, Touchpoint
from service.database import insert_new
from service.events import store
from service.events.folded import cursors, customers, feedback, identities, touchpoints
from service.state import State

CURSOR = "projector"


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
        known = self._identities("id", ids)
        owners = Owners(self._claims(known))
        learned = [claim for claim in claims if owners.learn(claim)]
        self._add_ids(ids - {row.id for row in known}, owners)
        changed = {bare(owners.customer(id)[0]) for id in ids} | self._join(learned, owners)
        self._add_steps(events, owners)
        self._mark_changed(changed, rows[-1].received_at)

    def _claims(self, rows: Sequence[Row[Any]]) -> dict[str, Claim]:
        """The claims on these ids, and on the owners they lead to."""
        found, seen = dict[str, Claim](), set[str]()
        while rows:
            seen |= {row.id for row in rows}
            new = {r.id: Claim(r.id, r.joined_to, r.joined_at, r.message_id) for r in rows if r.joined_to is not None}
            found |= new
            rows = self._identities("id", {claim.owner for claim in new.values()} - seen)
        return found

    def _identities(self, column: Literal["id", "joined_to"], values: Collection[str]) -> Sequence[Row[Any]]:
        """The rows of `identities` with one of these values."""
        if not values:
            return []
        query = f"SELECT * FROM identities WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - own names
        return self.connection.exec_driver_sql(query, (_json(sorted(values)),)).all()

    def _add_ids(self, new: set[str], owners: Owners) -> None:
        rows = []
        for id in sorted(new):
            customer, known_at = owners.customer(id)
            claim = owners.claims.get(id)
            joined = (claim.owner, claim.known_at) if claim else (None, 0)
            rows.append((id, bare(customer), *joined, known_at, claim.message_id if claim else None))
        insert_new(self.connection, identities, rows)

    def _join(self, learned: Sequence[Claim], owners: Owners) -> set[str]:
        """Re-thread: every id behind a claimed one gets its new customer; returns the customers that lost something."""
        claims = [(claim.id, claim.owner, claim.known_at, claim.message_id) for claim in learned]
        self._update("identities", "id", "joined_to = {1}, joined_at = {2}, message_id = {3}", claims)
        behind = self._behind([claim.id for claim in learned])
        owners.claims |= self._claims(behind)
        left, moved = set(), []
        for row in behind:
            customer, known_at = owners.customer(row.id)
            if (bare(customer), known_at) != (row.customer_id, row.known_at):
                left.add(row.customer_id)
                moved.append((row.id, bare(customer), known_at))
        self._update("identities", "id", "customer_id = {1}, known_at = {2}", moved)
        for table in ("touchpoints", "feedback"):
            self._update(table, "own_id", "customer_id = {1}, known_at = max(received_at, {2})", moved)
        return left

    def _behind(self, ids: Sequence[str]) -> list[Row[Any]]:
        """These ids and all that are joined to them, directly or through others."""
        found: dict[str, Row[Any]] = {row.id: row for row in self._identities("id", ids)}
        frontier = list(found)
        while frontier:
            rows = self._identities("joined_to", frontier)
            frontier = [row.id for row in rows if row.id not in found]
            found |= {row.id: row for row in rows}
        return list(found.values())

    def _add_steps(self, events: Sequence[Event], owners: Owners) -> None:
        points, words = [], []
        for event in events:
            own = own_id(event)
            customer, joined_at = owners.customer(own)
            known_at = max(event.received_at, joined_at)
            happened = (event.message_id, own, bare(customer), event.occurred_at, event.received_at, known_at)
            if event.kind == "feedback":
                words.append((*happened, event.name, event.properties["text"], event.properties["rating"]))
                continue
            point = self._touchpoint(event)
            if point is None:
                continue
            points.append((*happened, point.channel, point.action, point.stage, point.amount_minor, point.contact))
            if point.text is not None:
                words.append((*happened, point.channel, point.text, point.rating))
        insert_new(self.connection, touchpoints, points)
        insert_new(self.connection, feedback, words)

    def _touchpoint(self, event: Event) -> Touchpoint | None:
        """One event that no rule can read must not stop the log behind it; it stays in the log."""
        try:
            return self.catalogue.touchpoint(event)
        except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError) as error:
            structlog.get_logger().error("event_not_folded", error=type(error).__name__, kind=event.kind)
            return None

    def _mark_changed(self, changed: set[str], at: Micros) -> None:
        """Who waits already keeps the place in the queue."""
        statement = """
            INSERT INTO customers (customer_id, changed_at, revision, concluded_revision)
            SELECT value, ?, 1, 0 FROM json_each(?) WHERE true
            ON CONFLICT (customer_id) DO UPDATE SET revision = revision + 1,
                changed_at = CASE WHEN revision > concluded_revision THEN changed_at ELSE excluded.changed_at END"""
        self.connection.exec_driver_sql(statement, (at, _json(sorted(changed))))

    def _update(self, table: str, key: str, change: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """One UPDATE for all rows: (key, {1}, {2}, …)."""
        values = [f"json_extract(given.value, '$[{n}]')" for n in range(len(rows[0]) if rows else 0)]
        if rows:
            statement = (f"UPDATE {table} SET {change.format(*values)} "  # noqa: S608 - own names
                         f"FROM json_each(?) AS given WHERE {table}.{key} = {values[0]}")  # fmt: skip
            self.connection.exec_driver_sql(statement, (_json(rows),))


def _json(values: object) -> str:
    """Many values as one: a statement a row would each time give the interpreter's lock away, and cost more than it
    does."""
    return msgspec.json.encode(values).decode()
