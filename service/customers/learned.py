"""Which versions of the model learned from somebody who objects to being profiled, while they were in the data.

Reads the log for when they objected, the exports that were written, and the ledger. Who was erased is told in the
receipt (erasure.py); what is exported, and that it is without objectors, is service/export.py's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, func, or_, select

from models.journey.event import Event, Micros
from service.customers import handed_out, walk
from service.customers.consent import consent_of
from service.database import Who, one_of
from service.errors import unknown_customer
from service.events import projector
from service.events.consents import Standing, statements_of
from service.events.folded import feedback, touchpoints
from service.events.joins import joins
from service.events.store import event_of, log
from service.state import State

Span = tuple[Micros, Micros | None]
"""From when until when; None: still."""


def learned_from_objector(state: State, asked: str) -> list[dict[str, Any]]:
    """The versions that learned from a customer who objects now, from exports of when they did not; none where they
    agree. `sure` is false where the data was no recorded export, so that nobody can say. Reads the whole log once.

    Raises NotFound for somebody of whom nothing is known.
    """
    projector.fold_all(state)
    with state.service.read() as connection:
        who = walk.who_is(connection, asked)
        if who is None:
            raise unknown_customer(asked)
        objects = any(consent_of(connection, customer).objections for customer in who.customers)
        if not objects:
            return []
        first, whole = _first_known(connection, who), _last_joined(connection, who)
        with state.log.read() as reading:
            spans = objecting(_events(reading, who), who.ids, state.settings.consent_categories_listed)
        if first is None:
            return []
        held = [
            one
            for one in handed_out.since(connection, first)
            if one.made_at < whole or not any(_covers(span, one.made_at) for span in spans)
        ]
        return handed_out.learned_from(connection, state.settings.mlruns_dir, held, first)


def objecting(events: Iterable[Event], ids: Sequence[str], categories: Sequence[str]) -> list[Span]:
    """When any of these ids (`u:`, `a:`) objected, as it was known: from the receipt of one event to that of another.

    `events` are oldest first. A refusal that is repeated, as banners do with every page, begins nothing anew.

    >>> def page(at, allowed):
    ...     told = {"consent": {"categoryPreferences": {"Ads": allowed}}}
    ...     return Event(f"m{at}", "page", "", "u1", None, at, at, {}, told)
    >>> objecting([page(1, False), page(2, False), page(5, True), page(9, False)], ["u:u1"], ["Ads"])
    [(1, 5), (9, None)]
    """
    standings, spans, since = dict[str, Standing](), list[Span](), None
    for event in events:
        for id, source, said in statements_of(event, categories):
            if id in ids:
                standings[id] = standings.get(id, Standing()).with_one(source, said)
        now = any(one.objects for one in standings.values())
        if now and since is None:
            since = event.received_at
        elif since is not None and not now:
            spans.append((since, event.received_at))
            since = None
    return spans if since is None else [*spans, (since, None)]


def _covers(span: Span, moment: Micros) -> bool:
    return span[0] <= moment and (span[1] is None or moment < span[1])


def _events(reading: Connection, who: Who) -> Iterable[Event]:
    """What carries one of their ids, also beside somebody else's: a banner speaks for the device too."""
    users, devices = ([id[2:] for id in who.ids if id.startswith(kind)] for kind in ("u:", "a:"))
    theirs = or_(one_of(log.c.user_id, users), one_of(log.c.anonymous_id, devices))
    return map(event_of, reading.execute(select(log).where(theirs).order_by(log.c.seq)))


def _first_known(connection: Connection, who: Who) -> Micros | None:
    """When we first heard of anything that they did or said: nothing else teaches."""
    first = (
        connection.execute(select(func.min(table.c.received_at)).where(table.c.customer_id.in_(who.customers))).scalar()
        for table in (touchpoints, feedback)
    )
    return min((one for one in first if one is not None), default=None)


def _last_joined(connection: Connection, who: Who) -> Micros:
    """Until then an id of theirs was somebody else's, and in the data although another of them objected."""
    theirs = joins.c.id.in_(who.ids) & joins.c.owner.in_(who.ids) & joins.c.refused.is_(None)
    return connection.execute(select(func.max(joins.c.known_at)).where(theirs)).scalar() or 0
