"""Who may be profiled: from what was said for each id to a customer, and a statement taken down for one of them.

A customer who objected under any id has objected. What was said belongs to the id for which it was said, so it follows
that id through joins and splits. Concludes and withdraws nothing: insights/ asks here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, and_, select

from models.journey.claims import ids_for
from models.journey.event import Event, Micros, format_time
from service.customers.store import resolve
from service.events import store
from service.events.consents import DO_NOT_PROFILE, Source, Statement, consents, learn, standing_of, standings
from service.events.folded import identities
from service.events.tombstones import sift
from service.state import State

IdKind = Literal["userId", "anonymousId"]
_PREFIX: dict[str, str] = {"userId": "u:", "anonymousId": "a:"}
_KIND: dict[str, IdKind] = {"u:": "userId", "a:": "anonymousId"}


@dataclass(frozen=True, slots=True)
class Told:
    """One statement, and the id (`u:`, `a:`) for which it was made."""

    id: str
    source: Source
    said: Statement
    objects: bool
    """Whether it is why this customer is not profiled: a refusal that was not lifted since."""

    @property
    def id_kind(self) -> IdKind:
        return _KIND[self.id[:2]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id[2:], "id_kind": self.id_kind, "source": self.source, "profiling": not self.said.refuses,
            "said_at": format_time(self.said.said_at), "by": self.said.by, "reason": self.said.reason,
            "objects": self.objects,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether one customer may be profiled, and all that was said of it, the latest first."""

    customer_id: str
    own_id: str
    """The surviving id with its kind: what is said of the customer as a whole is said for it."""
    told: tuple[Told, ...] = ()

    @property
    def profiling(self) -> bool:
        return not any(one.objects for one in self.told)

    @property
    def objections(self) -> tuple[Told, ...]:
        return tuple(one for one in self.told if one.objects)

    def to_dict(self) -> dict[str, Any]:
        told = [one.to_dict() for one in self.told]
        return {"customer_id": self.customer_id, "profiling": self.profiling, "statements": told}


def consent_of(connection: Connection, customer_id: str) -> Consent:
    """What was said for the ids of this customer; for an id that is not folded yet, what was said for it."""
    mine = select(identities.c.id).where(identities.c.customer_id == customer_id)
    ids = set(connection.execute(mine).scalars())
    own = [prefix + customer_id for prefix in _KIND]
    return _consent(connection, customer_id, next((id for id in own if id in ids), own[0]), ids or set(own))


def _consent(connection: Connection, customer_id: str, own_id: str, ids: set[str]) -> Consent:
    query = "SELECT * FROM consents WHERE id IN (SELECT value FROM json_each(?))"
    told = []
    for row in connection.exec_driver_sql(query, (_json(sorted(ids)),)):
        standing = standing_of(row)
        sources: tuple[tuple[Source, Statement | None], ...] = (
            ("statement", standing.statement), ("banner", standing.banner))  # fmt: skip
        told += [
            Told(row.id, source, said, standing.objects and said.refuses) for source, said in sources if said
        ]  # fmt: skip
    told.sort(key=lambda one: (-one.said.said_at, one.id, one.source))
    return Consent(customer_id, own_id, tuple(told))


def objecting(connection: Connection, customer_ids: Sequence[str]) -> set[str]:
    """Those of these customers who are not to be profiled."""
    query = """
        SELECT DISTINCT identities.customer_id FROM json_each(?) AS asked
        JOIN identities ON identities.customer_id = asked.value
        JOIN consents ON consents.id = identities.id AND consents.objects"""
    return set(connection.exec_driver_sql(query, (_json(list(customer_ids)),)).scalars())


def objecting_names(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of these userIds and anonymousIds, as tools send them, behind which somebody objected."""
    query = """
        SELECT DISTINCT asked.value FROM json_each(?) AS asked
        JOIN identities AS own ON own.id IN ('u:' || asked.value, 'a:' || asked.value, 'x:' || asked.value)
        JOIN identities ON identities.customer_id = own.customer_id
        JOIN consents ON consents.id = identities.id AND consents.objects"""
    return set(connection.exec_driver_sql(query, (_json(list(names)),)).scalars())


@dataclass(frozen=True, slots=True)
class Objectors:
    """Everybody who is not to be profiled, by customer and by every id (`u:`, `a:`), for going through all rows."""

    customers: frozenset[str]
    ids: frozenset[str]

    def did(self, event: Event) -> bool:
        """Whether an event is theirs, or carries one of their ids."""
        return f"u:{event.user_id}" in self.ids or f"a:{event.anonymous_id}" in self.ids

    def are(self, customer_id: str) -> bool:
        """Whether this customer is one of them, or was before a join."""
        return customer_id in self.customers or f"u:{customer_id}" in self.ids or f"a:{customer_id}" in self.ids


def objectors(connection: Connection) -> Objectors:
    """All of them, read once."""
    theirs = (
        select(identities.c.customer_id)
        .join(consents, and_(consents.c.id == identities.c.id, consents.c.objects))
        .distinct()
    )  # fmt: skip
    rows = connection.execute(select(identities).where(identities.c.customer_id.in_(theirs))).all()
    said = connection.execute(select(consents.c.id).where(consents.c.objects)).scalars()
    return Objectors(frozenset(row.customer_id for row in rows), frozenset({row.id for row in rows} | set(said)))


def id_of(connection: Connection, asked: str, kind: IdKind | None) -> str:
    """The id (`u:`, `a:`) that is meant: of the kind named, else the one that is known, else a userId.

    Of somebody asked for by an address or another id of a person, it is the surviving one.
    """
    if kind is not None:
        return _PREFIX[kind] + asked
    meant = ids_for(asked)
    rows = connection.execute(select(identities).where(identities.c.id.in_(meant))).all()
    found = min(rows, key=lambda row: meant.index(row.id), default=None)
    if found is None:
        return f"u:{asked}"
    return found.id if found.id[:2] in _KIND else id_of(connection, found.customer_id, None)


def customers_behind(connection: Connection, ids: Sequence[str]) -> list[str]:
    """The customers behind these ids, as far as they are known."""
    found = select(identities.c.customer_id).where(identities.c.id.in_(ids)).distinct()
    return list(connection.execute(found.order_by(identities.c.customer_id)).scalars())


def state_it(
    state: State, ids: Sequence[str], *, profiling: bool, by: str, reason: str = ""
) -> None:  # fmt: skip
    """Take down what was said for these ids: in the log, so that it is kept for good, and in force on return.

    The projector comes to the same rows of the log later and changes nothing more. It counts over all that was said
    for these ids before, even where the clock was set back.
    """
    now = state.clock()
    with state.service.read() as connection:
        at = max(now, _latest(connection, ids) + 1)
    told: dict[str, Any] = {DO_NOT_PROFILE: not profiling, "by": by, **({"reason": reason} if reason else {})}
    events = [_identify(state.ids(), id, at, told) for id in ids]
    kept = state.writer.submit(lambda log: _append(log, events, now)).result()
    with state.service.write() as connection:
        learn(connection, kept, state.settings.consent_categories_listed)


def _append(log: Connection, events: Sequence[Event], now: Micros) -> Sequence[Event]:
    """Returns what may be kept: nothing of those who were erased."""
    kept = sift(log, events).kept
    store.append_on(log, kept, now)
    return kept


def _latest(connection: Connection, ids: Sequence[str]) -> Micros:
    found = standings(connection, ids).values()
    return max((said.said_at for one in found for said in (one.statement, one.banner) if said), default=0)


def _identify(message_id: str, id: str, at: Micros, told: dict[str, Any]) -> Event:
    user_id, anonymous_id = (id[2:], None) if id.startswith("u:") else (None, id[2:])
    return Event(message_id, "identify", "", user_id, anonymous_id, at, at, told)


def asked_for(connection: Connection, asked: str) -> Consent | None:
    """By any id of a customer; None where nobody is known by it and nothing was said for it."""
    customer = resolve(connection, asked)
    if customer is not None:
        return consent_of(connection, customer)
    found = _consent(connection, asked, f"u:{asked}", {f"u:{asked}", f"a:{asked}"})
    return found if found.told else None


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(values).decode()
