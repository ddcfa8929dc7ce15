"""Retention: what is older than the settings say is deleted in small steps, oldest first, from both databases.

Age counts from receipt. Of an event that says who is who, or what somebody consented to, only that stays, so that
`rebuild` still comes to the same customers; somebody of whom nothing else is left is forgotten altogether, without a
tombstone. Each step can be cut off anywhere: it is done again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, delete, exists, func, select, update
from sqlalchemy.dialects.sqlite import insert

from models.journey.claims import SPLIT, claims_of
from models.journey.event import DAY, Event
from service.customers import walk
from service.database import Who, log_metadata, metadata, one_of
from service.events import catalogues, projector, store
from service.events.changes import mark_changed
from service.events.consents import DO_NOT_PROFILE, consents, statements_of
from service.events.folded import cursors, feedback, identities, touchpoints
from service.events.store import log
from service.events.words import as_shown, without_words
from service.state import State

ROWS = 1_000
"""Rows of the log that one step looks at."""
EVENTS, WORDS = "retention of events", "retention of words"
_ABOUT_WHO = ("email", DO_NOT_PROFILE, "by", "reason")


def step(state: State) -> int:
    """One small step; says how many rows it looked at or deleted. 0: nothing is too old right now."""
    return (
        sweep(state, EVENTS, state.settings.keep_events_days)
        or sweep(state, WORDS, state.settings.keep_words_days)
        or drop_superseded(state)
        or forget_empty(state)
    )


@dataclass(frozen=True, slots=True)
class Aged:
    """What becomes of some rows of the log: gone, or less; and whose words and touchpoints go with it."""

    gone: Sequence[int]
    less: Mapping[int, Event]
    touchpoints: Sequence[str]
    feedback: Sequence[str]
    uncounted: Sequence[Event]


def sweep(state: State, name: str, days: int) -> int:
    """Go through the next rows of the log that are older than so many days."""
    if not days:
        return 0
    cutoff = state.clock() - days * DAY
    with state.service.read() as connection:
        seen, folded = _seen(connection, name), projector.position(connection).seq
    with state.log.read() as connection:
        rows = [row for row in store.after(connection, seen, ROWS) if row.received_at < cutoff and row.seq <= folded]
        if not rows:
            return 0
        aged = _aged_events(state, connection, rows) if name == EVENTS else _aged_words(state, rows)
    with state.service.write() as connection:
        _delete_folded(state, connection, aged)
        catalogues.uncount(connection, aged.uncounted)
    with state.log.write() as connection:
        connection.execute(delete(log).where(one_of(log.c.seq, aged.gone)))
        for seq, event in aged.less.items():
            connection.execute(update(log).where(log.c.seq == seq).values(_columns(event)))
    with state.service.write() as connection:
        _delete_folded(state, connection, aged)  # whoever mapped the old rows again meanwhile
        new = insert(cursors).values(name=name, seq=rows[-1].seq, received_at=rows[-1].received_at)
        moved = {"seq": rows[-1].seq, "received_at": rows[-1].received_at}
        connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=moved))
    return len(rows)


def _aged_events(state: State, reading: Connection, rows: Sequence[Row[Any]]) -> Aged:
    events = [(row.seq, store.event_of(row)) for row in rows if row.stream == "event"]
    kept = {seq: _only_who(event, state) for seq, event in events}
    full = [(seq, event) for seq, event in events if kept[seq] != event]
    ids = [event.message_id for _, event in full]
    return Aged(
        [seq for seq, _ in full if kept[seq] is None],
        {seq: less for seq, _ in full if (less := kept[seq]) is not None},
        ids, ids, as_shown(reading, [event for _, event in full], state.masking),
    )  # fmt: skip


def _aged_words(state: State, rows: Sequence[Row[Any]]) -> Aged:
    """Feedback goes; of an event only the words do, its touchpoint stays."""
    said = [row for row in rows if row.stream == "feedback"]
    events = [(row.seq, store.event_of(row)) for row in rows if row.stream == "event"]
    less = {seq: bare for seq, event in events if (bare := without_words(event, state.masking)) != event}
    silenced = [event.message_id for seq, event in events if seq in less]
    return Aged([row.seq for row in said], less, [], [*(row.message_id for row in said), *silenced], [])


def _only_who(event: Event, state: State) -> Event | None:
    """What of an event says who is who, or what somebody consented to; None where nothing does.

    What kind of event said so does not matter any more, but that of an alias or a split.
    """
    if event.kind == SPLIT:
        return event
    told = {name: event.properties[name] for name in _ABOUT_WHO if name in event.properties}
    context = {name: event.context[name] for name in ("consent", "externalIds") if name in event.context}
    traits = event.context.get("traits")
    if isinstance(traits, Mapping) and "email" in traits:
        context["traits"] = {"email": traits["email"]}
    kind, rules = event.kind if event.kind == "alias" else "identify", state.settings.identity
    less = replace(event, kind=kind, name="", properties=told if event.kind == "identify" else {}, context=context)
    consented = list(statements_of(event, state.settings.consent_categories_listed))
    return less if consented or claims_of(event, rules) else None


def _delete_folded(state: State, connection: Connection, aged: Aged) -> None:
    """Touchpoints, words, and what was concluded and judged of these words; their customers are concluded anew."""
    mine = {touchpoints: one_of(touchpoints.c.message_id, aged.touchpoints),
            feedback: one_of(feedback.c.feedback_id, aged.feedback)}  # fmt: skip
    changed = set[str]()
    for table, rows in mine.items():
        changed |= set(connection.execute(select(table.c.customer_id).where(rows).distinct()).scalars())
    connection.execute(delete(touchpoints).where(mine[touchpoints]))
    walk.erased(connection, metadata, Who(feedback=tuple(aged.feedback)))
    mark_changed(connection, changed, state.clock())


def drop_superseded(state: State) -> int:
    """Delete conclusions that another superseded too long ago; of words that are there still, one always stands."""
    if not state.settings.keep_conclusions_days:
        return 0
    table: Table = metadata.tables["conclusions"]
    old = table.c.superseded_at < state.clock() - state.settings.keep_conclusions_days * DAY
    some = select(table.c.conclusion_id).where(old).limit(ROWS)
    with state.service.read() as connection:
        found = list(connection.execute(some).scalars())
    if found:
        with state.service.write() as connection:
            connection.execute(delete(table).where(one_of(table.c.conclusion_id, found)))
    return len(found)


def forget_empty(state: State) -> int:
    """Forget customers of whom all events were deleted and nothing came since but who they are; says how many.

    Whoever objected to being profiled is not forgotten: the objection would be, too.
    """
    if not state.settings.keep_events_days:
        return 0
    with state.service.read() as connection:
        seen = _seen(connection, EVENTS)
        empty = _without_folded(connection)
    ids = [id[2:] for ids in empty.values() for id in ids]
    own = func.coalesce(log.c.user_id, log.c.anonymous_id)
    with state.log.read() as reading:
        lively = set(reading.execute(select(own).where(log.c.seq > seen, one_of(own, ids)).distinct()).scalars())
        gone = {name: ids for name, ids in empty.items() if not lively.intersection(id[2:] for id in ids)}
        if not gone:
            return 0
        who = Who(tuple(gone), tuple(id for ids in gone.values() for id in ids))
        with state.log.write() as connection:
            walk.erased(connection, log_metadata, who, reading)
    with state.service.write() as connection:
        walk.erased(connection, metadata, who)
    return len(gone)


def _without_folded(connection: Connection) -> dict[str, list[str]]:
    """The ids of customers who have no touchpoint and said nothing, and who do not object to being profiled."""
    has = [exists().where(table.c.customer_id == identities.c.customer_id) for table in (touchpoints, feedback)]
    own = identities.alias()
    objects = exists().where(consents.c.id == own.c.id, consents.c.objects,
                             own.c.customer_id == identities.c.customer_id)  # fmt: skip
    found = defaultdict[str, list[str]](list)
    for row in connection.execute(select(identities).where(*(~one for one in (*has, objects)))):
        found[row.customer_id].append(row.id)
    return found


def _seen(connection: Connection, name: str) -> int:
    return connection.execute(select(cursors.c.seq).where(cursors.c.name == name)).scalar() or 0


def _columns(event: Event) -> dict[str, str]:
    """What can have become less of an event."""
    properties, context = (msgspec.json.encode(one).decode() for one in (event.properties, event.context))
    return {"kind": event.kind, "name": event.name, "properties": properties, "context": context}
