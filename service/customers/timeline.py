"""A customer's timeline: what they did and said, a page at a time, in an order that later arrivals do not disturb.

Words stand at the touchpoint with which they came, or for themselves where they were sent as feedback; words that were
changed later stay where they were said. Knows no conclusion: insights/timeline.py adds what was concluded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import msgspec
from sqlalchemy import Connection, Row, or_, select

from models.journey.event import Micros
from service.customers import store
from service.customers.words import Said, sort_out
from service.errors import Invalid
from service.events.folded import touchpoints
from service.events.store import log

Order = Literal["newest", "oldest"]
WordsState = Literal["counted", "edited", "repeat"]
SAID = "feedback"
"""The action of words that came as feedback, not with an event."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: by time, and of equal times by id. Arrivals before or after it do not move it."""

    at: Micros
    id: str

    def cursor(self) -> str:
        """As a caller gets it, to be handed back."""
        return base64.urlsafe_b64encode(msgspec.json.encode([self.at, self.id])).decode().rstrip("=")

    @classmethod
    def read(cls, cursor: str) -> Self:
        """Raises Invalid for what is no cursor of ours.

        >>> Place.read(Place(5, "m1").cursor())
        Place(at=5, id='m1')
        """
        try:
            at, id = msgspec.json.decode(
                base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[int, str]
            )
            if abs(at) < 2**63:
                return cls(at, id)
        except (ValueError, binascii.Error):
            pass
        raise Invalid("cursor is none that was given here.", "Send next_cursor of the page before, as it is.",
                      field="cursor", value=cursor)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """What was said. `state`: whether it counts, was changed later, or repeats other words; `about`: the feedback."""

    said: Said
    state: WordsState

    @property
    def about(self) -> str:
        return self.said.about


@dataclass(frozen=True, slots=True)
class Entry:
    """One touchpoint. `stage` is none where only words came; `currency` where none was sent, or there is no amount."""

    place: Place
    channel: str
    action: str
    stage: str | None
    contact: bool = False
    amount_minor: int = 0
    currency: str | None = None
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One page. `next` is where the following one begins; `until` tells for each entry when the next newer one was."""

    entries: tuple[Entry, ...]
    next: Place | None
    until: tuple[Micros | None, ...]


def timeline(
    service: Connection, events: Connection, customer_id: str, *, limit: int, after: Place | None = None,
    order: Order = "newest", as_of: Micros | None = None, window: Micros = 0,
) -> Timeline:  # fmt: skip
    """The page after a place, or the first. With `as_of`: what had happened and was known then.

    `events` reads the log, for the currency of an amount; `window`: see words.sort_out.
    """
    words = _words(service, customer_id, as_of, window)
    points = _points(service, customer_id, limit + 1, after, order, as_of)
    alone = _alone(service, customer_id, words, points, after, order)
    entries = [*map(_entry_of_point, points), *map(_entry_of_words, alone)]
    entries.sort(key=lambda entry: entry.place, reverse=order == "newest")
    found = [_with_words(entry, words.get(entry.place.id)) for entry in entries[:limit]]
    more = len(entries) > limit
    until = _until(found, entries[limit : limit + 1], after, order)
    return Timeline(tuple(_with_currencies(events, found)), found[-1].place if more else None, until)


def _words(service: Connection, customer_id: str, as_of: Micros | None, window: Micros) -> dict[str, Words]:
    """All that this customer said, by id; few customers have said much."""
    found = sort_out(store.words_of(service, [customer_id], as_of).get(customer_id, ()), window)
    told = [Words(one, "counted") for one in found.counting]
    told += [Words(one, "edited") for one in found.edited]
    told += [Words(one, "repeat") for one, _ in found.repeats]
    return {one.said.id: one for one in told}


def _points(
    service: Connection, customer_id: str, limit: int, after: Place | None, order: Order, as_of: Micros | None
) -> Sequence[Row[Any]]:
    at, id = touchpoints.c.occurred_at, touchpoints.c.message_id
    wanted = select(touchpoints).where(touchpoints.c.customer_id == customer_id)
    if as_of is not None:
        wanted = wanted.where(at <= as_of, touchpoints.c.known_at <= as_of)
    if order == "newest":
        wanted = wanted.order_by(at.desc(), id.desc())
        if after is not None:
            wanted = wanted.where(at <= after.at, or_(at < after.at, id < after.id))
    else:
        wanted = wanted.order_by(at, id)
        if after is not None:
            wanted = wanted.where(at >= after.at, or_(at > after.at, id > after.id))
    return service.execute(wanted.limit(limit)).all()


def _alone(
    service: Connection,
    customer_id: str,
    words: Mapping[str, Words],
    points: Sequence[Row[Any]],
    after: Place | None,
    order: Order,
) -> list[Words]:
    """Words after the place that came without an event."""
    if not words:
        return []
    places = {id: Place(one.said.feedback.said_at, id) for id, one in words.items()}
    coming = {id for id, place in places.items()
              if after is None or (place < after if order == "newest" else place > after)}  # fmt: skip
    here = {row.message_id for row in points}
    own = (touchpoints.c.customer_id == customer_id, touchpoints.c.message_id.in_(coming - here))
    with_event = here | set(service.execute(select(touchpoints.c.message_id).where(*own)).scalars())
    return [words[id] for id in coming - with_event]


def _entry_of_point(row: Row[Any]) -> Entry:
    place = Place(row.occurred_at, row.message_id)
    return Entry(place, row.channel, row.action, row.stage, row.contact, row.amount_minor)


def _entry_of_words(words: Words) -> Entry:
    said = words.said.feedback
    return Entry(Place(said.said_at, words.said.id), said.channel, SAID, None)


def _with_words(entry: Entry, words: Words | None) -> Entry:
    return entry if words is None else replace(entry, words=words)


def _with_currencies(events: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """An amount's currency is what the event itself said: a look at the log, for entries with an amount alone."""
    ids = [entry.place.id for entry in entries if entry.amount_minor]
    said = {}
    if ids:
        wanted = select(log.c.message_id, log.c.properties).where(log.c.stream == "event", log.c.message_id.in_(ids))
        said = {row.message_id: _currency(msgspec.json.decode(row.properties)) for row in events.execute(wanted)}
    return [replace(entry, currency=said.get(entry.place.id)) for entry in entries]


def _currency(properties: Mapping[str, Any]) -> str | None:
    """The `currency` of Segment's e-commerce events: an ISO 4217 code."""
    told = properties.get("currency")
    return told.upper() if isinstance(told, str) and len(told) == 3 and told.isalpha() and told.isascii() else None


def _until(
    found: Sequence[Entry], beyond: Sequence[Entry], after: Place | None, order: Order
) -> tuple[Micros | None, ...]:
    """When the next newer touchpoint happened; none for the newest of all."""
    places = [entry.place for entry in found]
    newer = [after, *places[:-1]] if order == "newest" else [*places[1:], *(entry.place for entry in beyond), None]
    return tuple(place.at if place else None for place in newer[: len(places)])
