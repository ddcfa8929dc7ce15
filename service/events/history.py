"""History in: a file of recorded events into the log, with the times at which they became known kept where possible.

For the first days of a service, and for systems that keep their own record. Live events come through routes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from models.journey.event import Event, Micros
from service.database import Database
from service.events import store

BATCH = 5_000
"""Events of one transaction: an import that is stopped has whole batches in the log, and can be run again."""


def import_events(
    database: Database, events: Iterable[Event], now: Micros, progress: Callable[[int], None]
) -> tuple[int, int]:
    """Append the events in order of (received_at, message_id); says how many were read and how many were new.

    The log stays in order of receipt: what was received before the log's newest row counts as received right after it,
    for nobody here could have known it earlier; what claims to come from the future counts as received now.
    """
    read = new = 0
    ordered = iter(sorted(events, key=lambda event: (event.received_at, event.message_id)))
    while batch := list(islice(ordered, BATCH)):
        read += len(batch)
        new += store.append_recorded(database, batch, now)
        progress(read)
    return read, new
