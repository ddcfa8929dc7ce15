"""What was said of being profiled: the latest statement for each id, folded from the log.

Two kinds are told apart: what somebody stated outright (`do_not_profile` of an `identify`, which the API, the page and
imports write too), and what a consent banner sends with events (Segment's `context.consent.categoryPreferences`). Knows
ids, not customers: who stands behind an id, and so who objects, is customers/consent.py's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Row, String, Table, Text, delete, select, text
from sqlalchemy.dialects.sqlite import insert

from models.journey.claims import own_id
from models.journey.event import Event, Micros
from service.database import holds, metadata
from service.events import store
from service.events.folded import cursors
from service.state import State

DO_NOT_PROFILE = "do_not_profile"
_NO = frozenset({"", "0", "false", "no", "off", "n", "f"})

Source = Literal["statement", "banner"]

consents = Table(
    "consents",
    metadata,
    Column("id", String, primary_key=True),
    Column("objects", Boolean, nullable=False),
    Column("statement_refuses", Boolean),
    Column("statement_at", BigInteger),
    Column("statement_id", String),
    Column("banner_refuses", Boolean),
    Column("banner_at", BigInteger),
    Column("banner_id", String),
    Column("stated_by", Text),
    Column("reason", Text),
    Index("consents_objecting", "id", sqlite_where=text("objects")),
    **holds(exported="rows of every id of the customer", erased="rows of every id of the customer are deleted"),
)
"""By id with its kind (`u:`, `a:`): so what was said for an id stays with it through joins and splits. `statement_id`
and `banner_id` are of the event that said so."""


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """Somebody wants to be profiled or not. The later one counts; of two at one moment the refusal, in any order."""

    said_at: Micros
    refuses: bool
    message_id: str
    by: str | None = field(default=None, compare=False)
    reason: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts for one id. Statements come in any order, and each may come again: the result is the same.

    >>> told = Standing().with_one("statement", Statement(5, True, "m1"))
    >>> told.objects, told.with_one("banner", Statement(9, False, "m2")).objects
    (True, True)
    >>> told.with_one("statement", Statement(9, False, "m3")).objects
    False
    """

    statement: Statement | None = None
    banner: Statement | None = None

    @property
    def objects(self) -> bool:
        """A banner's yes does not lift what somebody stated outright; a later statement lifts a banner's no."""
        if self.statement is not None and self.statement.refuses:
            return True
        if self.banner is None or not self.banner.refuses:
            return False
        return self.statement is None or self.statement.said_at <= self.banner.said_at

    def with_one(self, source: Source, said: Statement) -> Standing:
        if source == "statement":
            return replace(self, statement=said if self.statement is None else max(self.statement, said))
        return replace(self, banner=said if self.banner is None else max(self.banner, said))


def statements_of(event: Event, categories: Sequence[str]) -> Iterator[tuple[str, Source, Statement]]:
    """What an event says, and for which id: a banner speaks for the device and for who is signed in on it.

    >>> event = Event("m1", "page", "", "u1", "dev9", 5, 6, {}, {"consent": {"categoryPreferences": {"Ads": False}}})
    >>> [(id, source, said.refuses) for id, source, said in statements_of(event, ["Ads"])]
    [('u:u1', 'banner', True), ('a:dev9', 'banner', True)]
    """
    if event.kind == "identify" and event.properties.get(DO_NOT_PROFILE) is not None:
        told = event.properties
        refuses = str(told[DO_NOT_PROFILE]).strip().lower() not in _NO
        said = Statement(event.occurred_at, refuses, event.message_id, _text(told.get("by")), _text(told.get("reason")))
        yield own_id(event), "statement", said
    allowed = _preferences(event.context, categories)
    if allowed:
        said = Statement(event.occurred_at, not all(allowed), event.message_id)
        for kind, id in (("u:", event.user_id), ("a:", event.anonymous_id)):
            if id:
                yield kind + id, "banner", said


def _preferences(context: Mapping[str, Any], categories: Sequence[str]) -> list[bool]:
    """What the banner says of our categories; nothing of those that it does not know."""
    consent = context.get("consent")
    told = consent.get("categoryPreferences") if isinstance(consent, Mapping) else None
    if not isinstance(told, Mapping):
        return []
    return [str(told[one]).strip().lower() not in _NO for one in categories if told.get(one) is not None]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def learn(connection: Connection, events: Iterable[Event], categories: Sequence[str]) -> None:
    """Fold what these events say; whoever it changes is concluded before all others."""
    told = [one for event in events for one in statements_of(event, categories)]
    if not told:
        return
    ids = sorted({id for id, _, _ in told})
    before = standings(connection, ids)
    after = dict(before)
    for id, source, said in told:
        after[id] = after.get(id, Standing()).with_one(source, said)
    _put(connection, {id: one for id, one in after.items() if one != before.get(id)})
    changed = [id for id in ids if after[id].objects != before.get(id, Standing()).objects]
    if changed:
        statement = ("UPDATE customers SET revision = revision + 1, changed_at = 0 WHERE customer_id IN ("
                     "SELECT customer_id FROM identities WHERE id IN (SELECT value FROM json_each(?)))")  # fmt: skip
        connection.exec_driver_sql(statement, (msgspec.json.encode(changed).decode(),))


def standings(connection: Connection, ids: Sequence[str]) -> dict[str, Standing]:
    """What counts for each of these ids for which something was said."""
    query = "SELECT * FROM consents WHERE id IN (SELECT value FROM json_each(?))"
    rows = connection.exec_driver_sql(query, (msgspec.json.encode(ids).decode(),))
    return {row.id: standing_of(row) for row in rows}


def standing_of(row: Row[Any]) -> Standing:
    """The standing that a row holds."""
    statement = banner = None
    if row.statement_at is not None:
        statement = Statement(
            row.statement_at, bool(row.statement_refuses), row.statement_id, row.stated_by, row.reason
        )  # fmt: skip
    if row.banner_at is not None:
        banner = Statement(row.banner_at, bool(row.banner_refuses), row.banner_id)
    return Standing(statement, banner)


def _put(connection: Connection, found: Mapping[str, Standing]) -> None:
    rows = []
    for id, one in sorted(found.items()):
        row: dict[str, Any] = {"id": id, "objects": one.objects}
        for name, said in (("statement", one.statement), ("banner", one.banner)):
            row |= {f"{name}_refuses": said.refuses if said else None, f"{name}_at": said.said_at if said else None,
                    f"{name}_id": said.message_id if said else None}  # fmt: skip
        said = one.statement
        rows.append(row | {"stated_by": said.by if said else None, "reason": said.reason if said else None})
    if rows:
        new = insert(consents)
        others = {column.name: new.excluded[column.name] for column in consents.c if column.name != "id"}
        connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=others), rows)


def catch_up(state: State) -> None:
    """Read the whole log for statements where that was never done: after an update, a rebuild, or a change of which
    categories count. Before anything else is folded, so that nobody who objected is concluded meanwhile."""
    categories = state.settings.consent_categories_listed
    name = f"consents of {','.join(categories)}"
    with state.service.read() as connection:
        if _begun(connection, name):
            return
    with state.service.write() as connection:
        if _begun(connection, name):
            return
        connection.execute(delete(consents))
        connection.execute(delete(cursors).where(cursors.c.name.startswith("consents of ")))
        with state.log.read() as log:
            for events in _speaking(log):
                learn(connection, events, categories)
            seen = {"seq": store.head(log), "received_at": store.last_received(log)}
        connection.execute(insert(cursors).values(name=name, **seen))


def _begun(connection: Connection, name: str) -> bool:
    return connection.execute(select(cursors.c.seq).where(cursors.c.name == name)).first() is not None


def _speaking(log: Connection, batch: int = 5_000) -> Iterator[list[Event]]:
    """The events of the log that may say something, oldest first."""
    said = text(f"instr(context, '\"consent\"') OR (kind = 'identify' AND instr(properties, '\"{DO_NOT_PROFILE}\"'))")
    wanted = select(store.log).where(said).order_by(store.log.c.seq).execution_options(yield_per=batch)
    for rows in log.execute(wanted).partitions():
        yield [store.event_of(row) for row in rows]
