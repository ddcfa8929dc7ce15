"""The projector: folds the log into customers, ids, touchpoints and feedback, in the log's order.

What it folds and how far it came are committed together, so it can be stopped anywhere and goes on without a repeat. It
concludes nothing. Who is who is told in joins.py; a join or a split re-threads what was folded before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.journey.claims import SPLIT, own_id
from models.journey.event import Event, Micros
from models.journey.touchpoint import Catalogue, Touchpoint
from service.database import insert_new
from service.events import catalogues, consents, remap, store
from service.events.catalogues import Tally
from service.events.changes import mark_changed
from service.events.folded import cursors, customers, feedback, identities, touchpoints
from service.events.joins import Joining, Spot, joins, splits
from service.events.words import as_shown, words_of
from service.state import State

T = TypeVar("T")

CURSOR = "projector"


@dataclass(frozen=True, slots=True)
class Position:
    """The last row that was folded, and when it was received."""

    seq: int
    received_at: Micros


def position(connection: Connection) -> Position:
    row = connection.execute(select(cursors).where(cursors.c.name == CURSOR)).first()
    return Position(row.seq, row.received_at) if row else Position(0, 0)


def fold(state: State, settle: remap.Settle | None = None) -> int:
    """Fold the next rows of the log in one transaction; says how many. 0: all is folded, or remap.py makes it wait.

    Who cannot settle what was concluded from words leaves it to the worker while words may change.
    """
    consents.catch_up(state)
    with state.service.read() as connection, state.log.read() as log:
        if store.head(log) <= position(connection).seq:
            return 0
    with state.service.write() as connection:
        by = remap.folding_by(connection, state)
        if by is None or (settle is None and remap.is_writing(connection)):
            return 0
        with state.log.read() as log:
            rows = store.after(log, position(connection).seq, state.settings.fold_batch)
            events = as_shown(log, [store.event_of(row) for row in rows], state.masking)
        if rows:
            number, catalogue = by
            folding = Folding(connection, catalogue, Tally.of(catalogue), Joining(connection, state.settings.identity))
            changed = folding.fold(events)
            if settle is not None:
                remap.catch_up(connection, state, changed, settle)
            catalogues.add_counts(connection, number, folding.tally)
            consents.learn(connection, events, state.settings.consent_categories_listed)
            new = insert(cursors).values(name=CURSOR, seq=rows[-1].seq, received_at=rows[-1].received_at)
            moved = {"seq": rows[-1].seq, "received_at": rows[-1].received_at}
            connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=moved))
    return len(rows)


def find(state: State, look: Callable[[], T | None]) -> T | None:
    """What `look` finds. Where it finds nothing, what is not folded yet is folded on the spot, and it looks again."""
    found = look()
    if found is None:
        fold(state)  # even if that says 0 we look again: the worker may have been quicker
        found = look()
    return found


def fold_all(state: State) -> int:
    """Fold until nothing is left."""
    total = 0
    while folded := fold(state):
        total += folded
    return total


def forget_folded(connection: Connection) -> None:
    """Delete everything that can be folded from the log again."""
    identity = (identities, joins, splits)
    for table in (touchpoints, feedback, *identity, customers, consents.consents, cursors, *catalogues.tables()):
        connection.execute(delete(table))


@dataclass(frozen=True)
class Folding:
    """One batch of rows on one connection, which is in a transaction that writes."""

    connection: Connection
    catalogue: Catalogue
    tally: Tally
    joining: Joining

    def fold(self, events: Sequence[Event]) -> set[str]:
        """Learn who is who first, which re-threads what it moves, then add the new touchpoints where they belong.

        Returns the customers of whom something became known.
        """
        learned = self.joining.learn(events)
        self._add_steps([event for event in events if event.kind != SPLIT], learned.spots)
        mark_changed(self.connection, learned.changed, events[-1].received_at)
        return learned.changed

    def _add_steps(self, events: Sequence[Event], spots: Mapping[str, Spot]) -> None:
        points, words = [], []
        for event in events:
            own = own_id(event)
            customer, joined_at = spots[own]
            known_at = max(event.received_at, joined_at)
            happened = (event.message_id, own, customer, event.occurred_at, event.received_at, known_at)
            if event.kind == "feedback":
                words.append((*happened, *words_of(event)))
                continue
            point = self._touchpoint(event)
            if point is None:
                continue
            self.tally.add(event, point)
            points.append(
                (*happened, point.channel, point.action, point.stage, point.amount_minor, point.contact, False)
            )
            if point.text is not None:
                words.append((*happened, *words_of(event, point)))
        insert_new(self.connection, touchpoints, points)
        insert_new(self.connection, feedback, words)

    def _touchpoint(self, event: Event) -> Touchpoint | None:
        """One event that no rule can read must not stop the log behind it; it stays in the log."""
        try:
            return self.catalogue.touchpoint(event)
        except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError) as error:
            structlog.get_logger().error("event_not_folded", error=type(error).__name__, kind=event.kind)
            return None
