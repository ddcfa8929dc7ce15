"""A customer's timeline with what was concluded then: the answer of GET /v1/customers/{id}/journey, and of the page.

Of words, every conclusion in its order, people's verdicts among them; of any touchpoint, the feeling in force until the
next one. Where the customer objects to being profiled, nothing that was concluded before is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import Row

from models.insight import Conclusion
from models.journey.event import Micros, format_time
from models.journey.rating import STARS
from service.customers.consent import Consent, consent_of
from service.customers.timeline import Entry, Order, Place, Timeline, Words, timeline
from service.insights import store
from service.state import State


@dataclass(frozen=True, slots=True)
class Concluded:
    """A conclusion about some words, from when to when it was in force; `superseded_at` is none while it is."""

    feedback_id: str
    conclusion: Conclusion
    version: int
    concluded_at: Micros
    superseded_at: Micros | None

    def to_dict(self, *, provisional: bool) -> dict[str, Any]:
        ended = None if self.superseded_at is None else format_time(self.superseded_at)
        return {
            "feedback_id": self.feedback_id, "concluded_at": format_time(self.concluded_at), "superseded_at": ended,
            "version": self.version, **self.conclusion.to_dict(provisional=provisional),
        }  # fmt: skip

    def brief(self) -> dict[str, Any]:
        """Enough to know what was known: nothing that is withheld while a person has yet to look."""
        told = self.conclusion.to_dict()
        names = ("decision", "decided_by", "answer", "confidence")
        return {"feedback_id": self.feedback_id, **{name: told.get(name) for name in names}}


@dataclass(frozen=True, slots=True)
class Touched:
    """One touchpoint, what was concluded of its words, and the feeling in force until the next touchpoint."""

    entry: Entry
    concluded: tuple[Concluded, ...]
    feeling: Concluded | None


@dataclass(frozen=True, slots=True)
class Told:
    """One page of a customer's timeline."""

    customer_id: str
    touched: tuple[Touched, ...]
    next: Place | None
    consent: Consent


def told_of(
    state: State, customer_id: str, *, limit: int, after: Place | None = None, order: Order = "newest",
    as_of: Micros | None = None,
) -> Told:  # fmt: skip
    """Read a page, all of it at one moment."""
    with state.service.read() as service, state.log.read() as log:
        page = timeline(service, log, customer_id, limit=limit, after=after, order=order, as_of=as_of,
                        window=state.settings.repeat_window)  # fmt: skip
        consent = consent_of(service, customer_id)
        rows = store.concluded_of(service, customer_id, as_of)
    every = [_concluded(row, as_of) for row in rows]
    if not consent.profiling:
        every = [_withdrawn(one) for one in every if one.superseded_at is None]
    return Told(customer_id, tuple(_touched(page, every, telling=consent.profiling)), page.next, consent)


def _concluded(row: Row[Any], as_of: Micros | None) -> Concluded:
    ended = row.superseded_at if as_of is None or (row.superseded_at or 0) <= as_of else None
    return Concluded(row.subject, store.restored(row), row.version, row.concluded_at, ended)


def _withdrawn(one: Concluded) -> Concluded:
    return Concluded(one.feedback_id, one.conclusion.withdrawn(), one.version, one.concluded_at, None)


def _touched(page: Timeline, every: Sequence[Concluded], *, telling: bool) -> list[Touched]:
    found = []
    for entry, until in zip(page.entries, page.until, strict=True):
        own = tuple(one for one in every if entry.words is not None and one.feedback_id == entry.words.said.id)
        found.append(Touched(entry, own, _in_force(every, entry.place.at, until) if telling else None))
    return found


def _in_force(every: Sequence[Concluded], since: Micros, until: Micros | None) -> Concluded | None:
    """The last that stood at some moment from this touchpoint until the next one."""
    stood = [
        one for one in every
        if (until is None or one.concluded_at < until) and (one.superseded_at is None or one.superseded_at > since)
        and not one.conclusion.is_withdrawn
    ]  # fmt: skip
    return stood[-1] if stood else None


def answer_of(told: Told, as_of: Micros, *, provisional: bool) -> dict[str, Any]:
    """The public shape. `insight` says where the whole insight of the moment of a touchpoint is computed."""
    path = f"/v1/customers/{quote(told.customer_id, safe='')}/insight?as_of="
    return {
        "customer_id": told.customer_id,
        "as_of": format_time(as_of),
        "profiling": told.consent.profiling,
        "touchpoints": [_shown(one, path, provisional=provisional) for one in told.touched],
        "next_cursor": told.next.cursor() if told.next else None,
    }


def _shown(one: Touched, path: str, *, provisional: bool) -> dict[str, Any]:
    entry = one.entry
    value = {"amount_minor": entry.amount_minor, "currency": entry.currency} if entry.amount_minor else None
    at = format_time(entry.place.at)
    return {
        "id": entry.place.id, "occurred_at": at, "touchpoint": f"{entry.channel}.{entry.action}",
        "channel": entry.channel, "action": entry.action, "stage": entry.stage, "contact": entry.contact,
        "value": value, "words": _words(entry.words) if entry.words else None,
        "concluded": [each.to_dict(provisional=provisional) for each in one.concluded],
        "feeling": one.feeling.brief() if one.feeling else None, "insight": path + at,
    }  # fmt: skip


def _words(words: Words) -> dict[str, Any]:
    said = words.said
    stars = said.feedback.rating
    rating = None if stars is None else {
        "value": stars if said.rated is None else said.rated, "scale": said.scale or STARS, "stars": stars,
    }  # fmt: skip
    return {"feedback_id": words.about, "text": said.feedback.text, "rating": rating, "language": said.language,
            "state": words.state}  # fmt: skip
