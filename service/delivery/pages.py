"""The page of deliveries: where changes are sent, what arrived and what did not, with every attempt.

Everybody who is signed in may look; a lead may send again what was given up and switch a webhook on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Row

from models.journey.event import Micros, format_time
from service.access.sessions import check_form
from service.delivery import webhooks
from service.delivery.webhooks import STATES
from service.errors import Forbidden
from service.reviews import pages as reviews
from service.reviews.desks import PolicyOf
from service.reviews.pages import FormOf, PersonOf
from service.state import State, state_of
from service.web.pages import page

router = APIRouter(prefix="/reviews/deliveries", include_in_schema=False)

DELIVERIES_ON_A_PAGE = 20
_HERE = Path(__file__).parent
_REVIEWS = Path(reviews.__file__).parent
Services = Annotated[State, Depends(state_of)]


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook as it is shown."""

    row: Row[Any]
    counts: dict[str, int]

    @property
    def since(self) -> str:
        return minute(self.row.created_at)

    @property
    def disabled(self) -> str:
        return "" if self.row.disabled_at is None else f"{self.row.disabled_because}, {minute(self.row.disabled_at)}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as it is shown."""

    at: str
    said: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery as it is shown."""

    row: Row[Any]

    @property
    def attempts(self) -> list[Attempt]:
        """The newest first."""
        return [Attempt(one["at"][:19].replace("T", " ") + " UTC", answer(one), one["milliseconds"])
                for one in reversed(msgspec.json.decode(self.row.history))]  # fmt: skip

    @property
    def said(self) -> str:
        """What became of it, in a sentence."""
        times = f"{self.row.attempts} attempt" + ("" if self.row.attempts == 1 else "s")
        last = self.attempts[0] if self.row.history != "[]" else None
        if self.row.state == "withdrawn":
            return "not sent any more: the customer was erased, or objects"
        if last is None or (self.row.state == "waiting" and not self.row.attempts):
            return "not sent yet"
        if self.row.state == "delivered":
            return f"arrived {last.at}, {'at once' if self.row.attempts == 1 else 'after ' + times}"
        if self.row.state == "failed":
            return f"given up after {times}; the last: {last.said}"
        return f"{times}, the last: {last.said}; next attempt {minute(self.row.due_at)}"


def answer(attempt: Mapping[str, Any]) -> str:
    """What the receiver said, or why it could not.

    >>> answer({"status": 503, "error": None}), answer({"status": None, "error": "connection refused"})
    ('answered 503', 'connection refused')
    """
    return str(attempt["error"]) if attempt["status"] is None else f"answered {attempt['status']}"


def minute(at: Micros) -> str:
    """A moment as people read it.

    >>> minute(0)
    '1970-01-01 00:00 UTC'
    """
    return format_time(at)[:16].replace("T", " ") + " UTC"


@router.get("")
def deliveries(
    person: PersonOf,
    policy: PolicyOf,
    state: Services,
    webhook: Annotated[str, Query(max_length=64)] = "",
    which: Annotated[str, Query(max_length=16)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """Every webhook, and the deliveries of one of them, the newest first."""
    if person is None:
        return RedirectResponse("/reviews", status_code=303)
    chosen = next((one for one in STATES if one == which), None)
    with state.service.read() as connection:
        counted = webhooks.counts(connection)
        hooks = [Hook(row, counted.get(row.webhook_id, {})) for row in webhooks.every(connection)]
        shown = next((one for one in hooks if one.row.webhook_id == webhook), hooks[0] if hooks else None)
        rows = webhooks.listed(connection, shown.row.webhook_id, chosen, before, DELIVERIES_ON_A_PAGE) if shown else ()
    context = {
        "hooks": hooks,
        "shown": shown,
        "lines": [Line(row) for row in rows],
        "states": STATES,
        "which": chosen or "",
        "older": rows[-1].seq if len(rows) == DELIVERIES_ON_A_PAGE else None,
        "days": state.settings.keep_changes_days,
        "person": person,
        "policy": policy,
        "here": "deliveries",
    }
    return page(_HERE, "deliveries.html", context, beside=(_REVIEWS,))


@router.post("/again")
def again(person: PersonOf, state: Services, form: FormOf) -> Response:
    """Send one delivery again, or all of a webhook that were given up; a webhook that was off is on then."""
    known = check_form(person, form.one("csrf"))
    if not known.leads:
        raise Forbidden("Only a lead may send again.", "Ask one.", code="not_a_lead")
    webhook_id, message_id = form.one("webhook"), form.one("message")
    with state.service.write() as connection:
        webhooks.change(connection, webhook_id, {"disabled_at": None, "disabled_because": None})
        which: webhooks.State | None = None if message_id else "failed"
        webhooks.again(connection, webhook_id, state.clock(), state=which, message_id=message_id or None)
        exists = webhooks.get(connection, webhook_id) is not None
    return RedirectResponse(f"/reviews/deliveries?webhook={webhook_id}" if exists else "/reviews/deliveries", 303)
