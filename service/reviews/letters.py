"""The page of refused events, for people who are signed in: what was not kept, why, how often, and as it was sent.

Changes nothing: what was mended is replayed by `python -m service replay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import RedirectResponse

from models.journey.event import Micros, format_time
from service.events import letters
from service.events.letters import Count, Letter
from service.reviews.desks import PolicyOf
from service.reviews.pages import PersonOf
from service.state import State, state_of
from service.web.pages import page

router = APIRouter(prefix="/reviews", include_in_schema=False)

LETTERS_ON_A_PAGE = 20
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Line:
    """One letter as it is shown."""

    letter: Letter

    @property
    def raw(self) -> str:
        return letters.readable(self.letter.raw)

    @property
    def seen(self) -> str:
        return seen(self.letter.times, self.letter.received_at, self.letter.last_at)


@dataclass(frozen=True, slots=True)
class Group:
    """All letters with one code."""

    count: Count

    @property
    def seen(self) -> str:
        return seen(self.count.times, self.count.first_at, self.count.last_at)


def seen(times: int, first: Micros, last: Micros) -> str:
    """How often, and when first and last.

    >>> seen(1, 0, 0), seen(2, 0, 60_000_000)
    ('once, 1970-01-01 00:00 UTC', '2 times, first 1970-01-01 00:00 UTC, last 1970-01-01 00:01 UTC')
    """
    if times == 1:
        return f"once, {_minute(last)}"
    return f"{times:,} times, first {_minute(first)}, last {_minute(last)}"


def _minute(at: Micros) -> str:
    return format_time(at)[:16].replace("T", " ") + " UTC"


@router.get("/dead-letters")
def dead_letters(
    person: PersonOf,
    policy: PolicyOf,
    state: Annotated[State, Depends(state_of)],
    code: Annotated[str, Query(max_length=64)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """What was refused, the newest first."""
    if person is None:
        return RedirectResponse("/reviews", status_code=303)
    with state.log.read() as connection:
        counted = letters.counts(connection)
        listed = letters.listed(connection, code or None, before, LETTERS_ON_A_PAGE)
    context = {
        "groups": [Group(one) for one in counted],
        "lines": [Line(letter) for letter in listed],
        "total": sum(one.letters for one in counted),
        "code": code,
        "older": _older(listed),
        "days": state.settings.letter_days,
    }
    return page(_HERE, "dead_letters.html", {**context, "person": person, "policy": policy, "here": "dead-letters"})


def _older(listed: Sequence[Letter]) -> int | None:
    """Where the next page begins, if there may be one."""
    return listed[-1].seq if len(listed) == LETTERS_ON_A_PAGE else None
