"""What the worker does for audiences and changes, a small piece at a time: looks at everybody for an audience that is
new or asks something else, and forgets changes that are too old.

Cut off anywhere, it goes on where it was; insights that are written meanwhile place their customer themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection

from models.journey.event import DAY, SECOND, Micros
from service.customers.consent import objecting
from service.delivery.webhooks import forget_deliveries
from service.insights.store import bodies_after
from service.outbox import audiences, store
from service.state import State

ROWS = 500
"""Customers that one step looks at: a few tens of milliseconds, during which nobody else writes."""
CHANGES = 5_000
"""Changes that one step forgets."""
FORGET_EVERY = 600 * SECOND
"""Between two looks for changes that are too old."""


@dataclass
class Tending:
    """Does a small piece at a time; who runs it decides when."""

    state: State
    _forget_from: Micros = field(default=0, init=False)

    def step(self) -> int:
        """One piece; says how many customers or changes it was about. 0: there is nothing to do right now."""
        if looked := fill_some(self.state):
            return looked
        now = self.state.clock()
        if now < self._forget_from:
            return 0
        gone = forget_some(self.state)
        if not gone:
            self._forget_from = now + FORGET_EVERY
        return gone


def fill_some(state: State) -> int:
    """Look at the next customers for the audience that waits longest; says how many. 0: every audience is complete."""
    with state.service.read() as connection:
        if audiences.to_fill(connection) is None:
            return 0
    with state.service.write() as connection:
        return _look(connection, state.clock())


def _look(connection: Connection, now: Micros) -> int:
    audience = audiences.to_fill(connection)
    if audience is None:
        return 0
    bodies = bodies_after(connection, audience.through, ROWS)
    ids = list(bodies)
    inside, withheld = audiences.among(connection, audience.audience_id, ids), objecting(connection, ids)
    told = {id: None if id in withheld else msgspec.json.decode(body) for id, body in bodies.items()}
    audiences.move(connection, [(audience, id, insight, id in inside) for id, insight in told.items()], now)
    audiences.looked_at(connection, audience.audience_id, ids[-1] if len(ids) == ROWS else None)
    return max(1, len(ids))


def forget_some(state: State) -> int:
    """Delete some changes that are older than they are kept, and what became of their deliveries; says how many."""
    before = state.clock() - state.settings.keep_changes_days * DAY
    with state.service.read() as connection:
        if not store.has_before(connection, before):
            return 0
    with state.service.write() as connection:
        gone = store.forget_before(connection, before, CHANGES)
        forget_deliveries(connection, gone)
    return len(gone)
