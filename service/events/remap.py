"""Re-maps history when the catalogue changes: in the background, resumable, and no customer ever speaks two mappings.

The worker does one batch a round, each in one transaction with the place it came to, so it can be killed anywhere.

1. *Marking.* The log is read in its order and each event mapped by the coming catalogue; a touchpoint that would
   become another one (or have other words) is marked `stale`. Nothing that is answered changes: everybody, and every
   event that is folded meanwhile, still speaks the catalogue in force, whose text is kept for this. Where that is not
   known (a service from before catalogues were kept) or cannot be read any more, folding waits; the log takes all.
2. *Writing.* Once marking has come to the last folded row, what is folded speaks the coming catalogue. Stale
   touchpoints are written anew customer by customer, all of one customer's in one transaction. An event or a join that
   changes a customer meanwhile first writes what is stale of that customer, in its own transaction (`catch_up`).

So a customer is wholly of the one mapping up to some transaction and wholly of the other one after it; most customers
have nothing stale and are of both. When nothing is stale the coming catalogue is in force. A third catalogue that comes
while one is being marked starts marking anew; one that comes while one is being written waits for that to end.
What identity decided (whose a touchpoint is, and since when it is known) is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, Row, func, select, update

from models.journey.event import Event, Micros
from models.journey.touchpoint import Catalogue, Touchpoint
from service.database import insert_new
from service.events import catalogues, store
from service.events.catalogues import IN_FORCE, MARKING, WRITING, Standing, Tally
from service.events.changes import mark_changed
from service.events.folded import cursors, feedback, touchpoints
from service.events.words import as_shown, words_of
from service.masking import Masking
from service.state import State

BATCH = 5_000
"""Rows looked at, or touchpoints written, in one go."""
FOLDING = "projector"
"""The name of the projector's place in the log."""
CUSTOMERS = 500
"""Most customers written in one transaction; one with more than a batch is still written whole."""

Settle = Callable[[Connection, Sequence[str], Micros], None]
"""Told of feedback whose words changed or went, in the transaction in which they did."""


def nothing_to_settle(connection: Connection, feedback_ids: Sequence[str], at: Micros) -> None:
    """Where nobody concludes from words."""


def step(state: State, settle: Settle = nothing_to_settle) -> int:
    """One batch of re-mapping in one transaction; says how many rows it took (at least 1 while there is more to do)."""
    digest = state.catalogue.digest
    with state.service.read() as connection:
        if catalogues.standing(connection).settled_by(digest):
            return 0
    with state.service.write() as connection:
        coming = _coming(connection, catalogues.standing(connection), state)
        if coming is None:
            return 0
        if coming.phase == MARKING:
            return _mark(connection, state, coming)
        return _write(connection, state, coming, settle)


def folding_by(connection: Connection, state: State) -> tuple[int, Catalogue] | None:
    """The number and the catalogue that events are folded by now; None: folding waits until history is marked."""
    standing = catalogues.standing(connection)
    if standing.in_force is None and standing.coming is None and _folded_until(connection) == 0:
        return catalogues.begin(connection, state.catalogue, IN_FORCE, state.clock()), state.catalogue
    coming = standing.coming
    row = coming if coming is not None and coming.phase == WRITING else standing.in_force
    if row is None:
        return None
    kept = state.catalogue if row.digest == state.catalogue.digest else catalogues.read(row.text)
    return None if kept is None else (row.number, kept)


def is_writing(connection: Connection) -> bool:
    """Whether stale touchpoints are being written anew, so that folding may change words that were concluded from."""
    coming = catalogues.standing(connection).coming
    return coming is not None and coming.phase == WRITING


def catch_up(connection: Connection, state: State, customers: Collection[str], settle: Settle) -> None:
    """Write what is stale of these customers: something became known of them, in this transaction."""
    coming = catalogues.standing(connection).coming
    if coming is not None and coming.phase == WRITING:
        _rewrite(connection, state, _catalogue(coming, state), sorted(customers), settle)


def rows_left(connection: Connection) -> int:
    """Rows of history that wait to be looked at or written; 0 while no catalogue is coming."""
    coming = catalogues.standing(connection).coming
    if coming is None:
        return 0
    stale = connection.execute(select(func.count()).select_from(touchpoints).where(touchpoints.c.stale)).scalar_one()
    return stale + (max(0, _folded_until(connection) - coming.seq) if coming.phase == MARKING else 0)


def _coming(connection: Connection, standing: Standing, state: State) -> Row[Any] | None:
    """The catalogue that history is to be mapped to, begun or given up where that is due; None where all is settled."""
    digest, in_force, coming = state.catalogue.digest, standing.in_force, standing.coming
    if coming is not None and coming.phase == WRITING and catalogues.read(coming.text) is None:
        # What is half written can be finished by marking anew while folding waits: nobody speaks two mappings then.
        _give_up(connection, coming)
        if in_force is not None:
            catalogues.forget(connection, in_force.number)
        in_force = coming = None
    if coming is not None and (coming.phase == WRITING or coming.digest == digest):
        return coming
    if coming is not None:
        _give_up(connection, coming)
    if in_force is not None and in_force.digest == digest:
        return None
    empty = in_force is None and _folded_until(connection) == 0
    catalogues.begin(connection, state.catalogue, IN_FORCE if empty else MARKING, state.clock())
    if not empty:
        structlog.get_logger().info("catalogue_changed", digest=digest[:12])
    return catalogues.standing(connection).coming


def _give_up(connection: Connection, coming: Row[Any]) -> None:
    connection.execute(update(touchpoints).where(touchpoints.c.stale).values(stale=False))
    catalogues.forget(connection, coming.number)


def _catalogue(row: Row[Any], state: State) -> Catalogue:
    kept = state.catalogue if row.digest == state.catalogue.digest else catalogues.read(row.text)
    if kept is None:
        raise ValueError(f"the catalogue {row.digest[:12]} was kept by another version and cannot be read")
    return kept


def _mark(connection: Connection, state: State, coming: Row[Any]) -> int:
    """Look at the next rows of the log that are folded, and mark what the coming catalogue reads otherwise."""
    until = _folded_until(connection)
    with state.log.read() as log:
        rows = [row for row in store.after(log, coming.seq, BATCH) if row.seq <= until]
        events = _shown(log, [store.event_of(row) for row in rows if row.stream == "event"], state.masking)
    if not rows:
        return _go_on_to_writing(connection, coming)
    catalogue = _catalogue(coming, state)
    tally = Tally.of(catalogue)
    points = _points(events, catalogue, tally)
    said = _said(connection, list(points))
    stale = [id for id, was in _stored(connection, list(points)) if _differs(was, said.get(id), points[id])]
    if stale:
        sql = "UPDATE touchpoints SET stale = 1 WHERE message_id IN (SELECT value FROM json_each(?))"
        connection.exec_driver_sql(sql, (_json(stale),))
    catalogues.add_counts(connection, coming.number, tally)
    catalogues.move(connection, coming.number, seq=rows[-1].seq)
    return len(rows)


def _go_on_to_writing(connection: Connection, coming: Row[Any]) -> int:
    catalogues.move(connection, coming.number, phase=WRITING)
    return 1


def _write(connection: Connection, state: State, coming: Row[Any], settle: Settle) -> int:
    """Write the next customers; when none is left, the catalogue is in force."""
    due = select(touchpoints.c.customer_id).where(touchpoints.c.stale).distinct()
    customers = connection.execute(due.order_by(touchpoints.c.customer_id).limit(CUSTOMERS)).scalars().all()
    if customers:
        return _rewrite(connection, state, _catalogue(coming, state), customers, settle)
    before = catalogues.standing(connection).in_force
    if before is not None:
        catalogues.forget(connection, before.number)
    catalogues.move(connection, coming.number, phase=IN_FORCE, since=state.clock())
    structlog.get_logger().info("history_remapped", digest=coming.digest[:12])
    return 1


def _rewrite(
    connection: Connection, state: State, catalogue: Catalogue, customers: Sequence[str], settle: Settle
) -> int:
    """Write all that is stale of these customers by the catalogue; says how many touchpoints that was."""
    given = "customer_id IN (SELECT value FROM json_each(?))"
    query = f"SELECT message_id, customer_id FROM touchpoints WHERE stale AND {given} LIMIT {BATCH}"  # noqa: S608 - own words
    written, changed, at = 0, set[str](), _folded_at(connection)
    while rows := connection.exec_driver_sql(query, (_json(list(customers)),)).all():
        ids = [row.message_id for row in rows]
        changed |= {row.customer_id for row in rows}
        with state.log.read() as log:
            events = _shown(log, _events(log, ids), state.masking)
        points = _points(events, catalogue)
        settle(connection, _write_words(connection, ids, {event.message_id: event for event in events}, points), at)
        _write_points(connection, ids, points)
        written += len(ids)
    if changed:
        mark_changed(connection, changed, at)
    return written


def _write_points(connection: Connection, ids: Sequence[str], points: Mapping[str, Touchpoint]) -> None:
    """What the catalogue decides of each touchpoint. One whose event is in the log no more stays as it is."""
    rows = [(id, p.channel, p.action, p.stage, p.amount_minor, int(p.contact)) for id, p in points.items()]
    columns = ("channel", "action", "stage", "amount_minor", "contact")
    values = ", ".join(f"{name} = json_extract(given.value, '$[{n}]')" for n, name in enumerate(columns, 1))
    where = "message_id = json_extract(given.value, '$[0]')"
    sql = f"UPDATE touchpoints SET stale = 0, {values} FROM json_each(?) AS given WHERE {where}"  # noqa: S608 - own words
    connection.exec_driver_sql(sql, (_json(rows),))
    if len(points) < len(ids):
        fresh = "UPDATE touchpoints SET stale = 0 WHERE message_id IN (SELECT value FROM json_each(?))"
        connection.exec_driver_sql(fresh, (_json(list(ids)),))


def _write_words(
    connection: Connection, ids: Sequence[str], events: Mapping[str, Event], points: Mapping[str, Touchpoint]
) -> list[str]:
    """The feedback that these events are; returns the ids of those whose words changed or went."""
    said = _said(connection, ids)
    same = {id for id, row in said.items() if id in points and row.text == points[id].text}
    gone = [id for id in said if id in points and id not in same]
    if gone:
        sql = "DELETE FROM feedback WHERE feedback_id IN (SELECT value FROM json_each(?))"
        connection.exec_driver_sql(sql, (_json(gone),))
    for id in same:
        told = {"channel": points[id].channel, "rating": points[id].rating}
        connection.execute(update(feedback).where(feedback.c.feedback_id == id).values(**told))
    owners = _touchpoints(connection, [id for id, p in points.items() if p.text is not None and id not in same])
    new = []
    for id, row in owners.items():
        happened = (id, row.own_id, row.customer_id, row.occurred_at, row.received_at, row.known_at)
        new.append((*happened, *words_of(events[id], points[id])))
    insert_new(connection, feedback, new)
    return gone


def _points(events: Sequence[Event], catalogue: Catalogue, tally: Tally | None = None) -> dict[str, Touchpoint]:
    found = {}
    for event in events:
        point = catalogue.touchpoint(event)
        if point is not None:
            found[event.message_id] = point
            if tally is not None:
                tally.add(event, point)
    return found


def _shown(log: Connection, events: Sequence[Event], masking: Masking) -> list[Event]:
    """As `as_shown`, in any order; most events have none of the properties that words are in, and need no look."""
    roots = {path.split(".")[1] for path in masking.paths if path.startswith("properties.")}
    if not all(path.startswith("properties.") for path in masking.paths):
        return as_shown(log, events, masking)
    plain = [event for event in events if roots.isdisjoint(event.properties)]
    return plain + as_shown(log, [event for event in events if not roots.isdisjoint(event.properties)], masking)


def _differs(was: tuple[Any, ...], said: Row[Any] | None, point: Touchpoint) -> bool:
    if was != (point.channel, point.action, point.stage, point.amount_minor, point.contact):
        return True
    words = None if said is None else (said.channel, said.text, said.rating)
    return words != (None if point.text is None else (point.channel, point.text, point.rating))


def _stored(connection: Connection, ids: Sequence[str]) -> list[tuple[str, tuple[Any, ...]]]:
    """What a catalogue decided of each of these touchpoints."""
    sql = """
        SELECT message_id, channel, action, stage, amount_minor, contact FROM touchpoints
        WHERE message_id IN (SELECT value FROM json_each(?))"""
    return [(row[0], tuple(row[1:])) for row in connection.exec_driver_sql(sql, (_json(list(ids)),)).all()]


def _touchpoints(connection: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    sql = "SELECT * FROM touchpoints WHERE message_id IN (SELECT value FROM json_each(?))"
    return {row.message_id: row for row in connection.exec_driver_sql(sql, (_json(list(ids)),)).all()}


def _said(connection: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The feedback that these very events are: one that was sent in by itself may have the same id."""
    sql = """
        SELECT feedback.* FROM feedback JOIN touchpoints ON message_id = feedback_id
            AND touchpoints.own_id = feedback.own_id AND touchpoints.received_at = feedback.received_at
        WHERE feedback_id IN (SELECT value FROM json_each(?))"""
    return {row.feedback_id: row for row in connection.exec_driver_sql(sql, (_json(list(ids)),)).all()}


def _events(log: Connection, ids: Sequence[str]) -> list[Event]:
    sql = "SELECT * FROM log WHERE stream = 'event' AND message_id IN (SELECT value FROM json_each(?))"
    return [store.event_of(row) for row in log.exec_driver_sql(sql, (_json(list(ids)),)).all()]


def _folded_until(connection: Connection) -> int:
    return int(connection.execute(select(cursors.c.seq).where(cursors.c.name == FOLDING)).scalar() or 0)


def _folded_at(connection: Connection) -> Micros:
    return int(connection.execute(select(cursors.c.received_at).where(cursors.c.name == FOLDING)).scalar() or 0)


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()
