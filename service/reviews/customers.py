"""The page of one customer, for people who are signed in: the timeline with what was concluded then, and consent.

Asked by any id, in the address after `?id=`. A person's objection is taken down here by a button; all else is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from models.journey.event import Micros, format_time
from models.journey.touchpoint import STAGES
from service.access import sessions
from service.customers.consent import Told as Statement
from service.customers.consent import asked_for
from service.customers.identity import find_customer
from service.customers.timeline import Place
from service.errors import Forbidden, NotFound, Unauthorized
from service.events.tracking import MAX_ID
from service.insights.customers import take_down
from service.insights.timeline import Concluded, Told, Touched, told_of
from service.live.bundles import bundles_of
from service.reviews.desks import PolicyOf
from service.reviews.journey import span
from service.reviews.pages import FormOf, PersonOf
from service.state import State, state_of
from service.web.pages import page

router = APIRouter(prefix="/reviews/customer", include_in_schema=False)

ON_A_PAGE = 25
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Reading:
    """A conclusion in a few words. `feeling` is the answer, where there is one that may be shown."""

    when: str
    by: str
    feeling: str | None
    confidence: int | None
    ended: bool
    by_person: bool
    subject: str

    @classmethod
    def of(cls, one: Concluded) -> Reading:
        told = one.conclusion.to_dict()
        decided = told["decided_by"] == "person"
        unsure = told["confidence"] if isinstance(told.get("confidence"), float) and not decided else None
        by = "a person" if decided else f"the model, version {one.version}"
        if one.conclusion.waiting:
            by += ", left to a person"
        elif told["answer"] is None:
            by += ": cannot tell" if decided else ", withdrawn" if one.conclusion.is_withdrawn else ", no answer"
        return cls(_minute(one.concluded_at), by, told["answer"], None if unsure is None else round(100 * unsure),
                   one.superseded_at is not None, decided, one.feedback_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One touchpoint as it is shown."""

    touched: Touched
    ago: str

    @property
    def name(self) -> str:
        entry = self.touched.entry
        return f"{entry.channel} · {entry.action}".replace("_", " ")

    @property
    def at(self) -> str:
        return format_time(self.touched.entry.place.at)

    @property
    def value(self) -> str:
        entry = self.touched.entry
        amount = f"{Decimal(entry.amount_minor) / 100:,.2f}"
        return f"{amount} {entry.currency}" if entry.currency else amount

    @property
    def readings(self) -> list[Reading]:
        return [Reading.of(one) for one in self.touched.concluded]


@dataclass(frozen=True, slots=True)
class View:
    """One page of a customer."""

    told: Told
    lines: Sequence[Line]

    @classmethod
    def of(cls, told: Told, now: Micros) -> View:
        return cls(told, [Line(one, span(max(0, now - one.entry.place.at))) for one in told.touched])

    @property
    def stages(self) -> list[str]:
        return [stage for stage in STAGES if any(line.touched.entry.stage == stage for line in self.lines)]

    @property
    def has_contact(self) -> bool:
        return any(line.touched.entry.contact for line in self.lines)

    @property
    def older(self) -> str | None:
        return _address(self.told.customer_id, self.told.next.cursor()) if self.told.next else None

    @property
    def objections(self) -> list[str]:
        return [_objection(one) for one in self.told.consent.objections]


def _objection(one: Statement) -> str:
    """
    >>> from service.events.consents import Statement as Said
    >>> _objection(Statement("a:dev9", "banner", Said(0, True, "m1"), True))
    'On 1970-01-01 00:00 UTC for anonymousId dev9, in the consent banner.'
    """
    who = f", taken down by {one.said.by}" if one.said.by else ""
    how = ", in the consent banner" if one.source == "banner" else who
    why = f": {one.said.reason}" if one.said.reason else ""
    return f"On {_minute(one.said.said_at)} for {one.id_kind} {one.id[2:]}{how}{why}."


@router.get("")
def customer(
    person: PersonOf,
    policy: PolicyOf,
    state: Annotated[State, Depends(state_of)],
    id: Annotated[str, Query(max_length=MAX_ID)] = "",
    cursor: Annotated[str | None, Query(max_length=1_000)] = None,
) -> Response:
    """The timeline, the newest first; without an id, where to enter one."""
    if person is None:
        return RedirectResponse("/reviews", status_code=303)
    asked, view, status = id.strip(), None, 200
    if asked:
        try:
            found = find_customer(state, asked)
            after = Place.read(cursor) if cursor is not None else None
            view = View.of(told_of(state, found, limit=ON_A_PAGE, after=after), state.clock())
        except NotFound:
            status = 404
    context = {"asked": asked, "view": view, "first": cursor is None, "person": person, "policy": policy}
    return page(_HERE, "customer.html", {**context, "here": "customer"}, status)


@router.post("/consent")
def consent(request: Request, person: PersonOf, form: FormOf, state: Annotated[State, Depends(state_of)]) -> Response:
    """Take down an objection for the surviving id; or lift it, for each id that objects."""
    try:
        known = sessions.check_form(person, form.one("csrf"))
    except (Unauthorized, Forbidden):
        return RedirectResponse("/reviews?why=signed_out", status_code=303)
    id, profiling = form.one("id")[:MAX_ID], form.one("profiling") == "yes"
    with state.service.read() as connection:
        before = asked_for(connection, id)
    if before is not None and before.profiling != profiling:
        ids = [one.id for one in before.objections] if profiling else [before.own_id]
        take_down(state, bundles_of(request), sorted(set(ids)), profiling=profiling, by=known.name,
                  reason=form.one("reason").strip()[:500].replace("\0", ""))  # fmt: skip
    return RedirectResponse(_address(id), status_code=303)


def _address(id: str, cursor: str | None = None) -> str:
    return "/reviews/customer?" + urlencode({"id": id, **({"cursor": cursor} if cursor else {})})


def _minute(at: Micros) -> str:
    return format_time(at)[:16].replace("T", " ") + " UTC"
