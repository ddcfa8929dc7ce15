"""How well the team reviews, as a page for whoever leads it and as JSON for a key that manages. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Query, Request, Response

from models.journey.event import DAY, SECOND
from service.access import team
from service.access.keys import Key, require
from service.reviews.desks import PolicyOf
from service.reviews.journey import span
from service.reviews.pages import PersonOf, to_sign_in
from service.reviews.quality import quality
from service.state import State, state_of
from service.web.pages import page

router = APIRouter()

_HERE = Path(__file__).parent
WIDTH = 200
"""Of the drawing of one figure, in its own units: 0 at the left end, 1 at the right."""
DAYS = 90
PERIODS = (7, 30, 90, 365)

StateOf = Annotated[State, Depends(state_of)]
DaysOf = Annotated[int, Query(ge=1, le=3_650)]


@dataclass(frozen=True, slots=True)
class Figure:
    """A share or a coefficient with its interval, and where both lie on a line from 0 to 1; null of too few cases."""

    n: int
    value: float | None
    low: float
    high: float

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        low, high = told["interval"] or (0.0, 0.0)
        return cls(told["n"], told["value"], low, high)

    @property
    def from_x(self) -> float:
        return round(max(self.low, 0.0) * WIDTH, 1)

    @property
    def width(self) -> float:
        return max(1.0, round(max(self.high, 0.0) * WIDTH - self.from_x, 1))

    @property
    def x(self) -> float:
        return round(max(self.value or 0.0, 0.0) * WIDTH, 1)


@dataclass(frozen=True, slots=True)
class Member:
    """One line of the team: who it is and how they read."""

    name: str
    role: str
    answered: int
    median: float | None
    overturned: Figure | None


@dataclass(frozen=True, slots=True)
class Shown:
    """All figures as the page shows them."""

    given: dict[str, Any]
    members: list[Member]

    @property
    def polarity(self) -> Figure:
        return Figure.of(self.given["agreement"]["polarity"])

    @property
    def intensity(self) -> Figure:
        return Figure.of(self.given["agreement"]["intensity"])

    @property
    def pairs(self) -> list[tuple[str, Figure]]:
        return [(" and ".join(one["reviewers"]), Figure.of(one["kappa"])) for one in self.given["agreement"]["pairs"]]

    @property
    def swayed(self) -> dict[str, Figure]:
        return {name: Figure.of(found) for name, found in self.given["over_reliance"].items()}

    @property
    def overturned(self) -> Figure:
        return Figure.of(self.given["overturned"]["all"])

    @property
    def overturned_by(self) -> dict[str, dict[str, Figure]]:
        by = self.given["overturned"]["by"]
        return {name: {key: Figure.of(found) for key, found in by[name].items()} for name in ("flag", "version")}

    @property
    def oldest(self) -> str | None:
        return _span(self.given["backlog"]["oldest_seconds"])

    @property
    def middle(self) -> str | None:
        return _span(self.given["backlog"]["median_seconds"])


@router.get("/reviews/team", include_in_schema=False)
def team_page(request: Request, person: PersonOf, policy: PolicyOf, state: StateOf, days: DaysOf = DAYS) -> Response:
    """The figures, for a lead; others are told whose page it is."""
    if person is None:
        return to_sign_in(request)
    context: dict[str, Any] = {"person": person, "policy": policy, "here": "team", "days": days, "periods": PERIODS}
    if not person.leads:
        return page(_HERE, "team.html", {**context, "shown": None}, 403)
    return page(_HERE, "team.html", {**context, "shown": _shown(state, days), "width": WIDTH})


@router.get("/v1/reviews/quality", tags=["reviews"])
def quality_of_reviews(
    key: Annotated[Key, Depends(require("admin"))], state: StateOf, days: DaysOf = DAYS
) -> dict[str, Any]:
    """How far readers agree, what they overturn, how far the model's answer sways them, and how long cases take."""
    return {"days": days, **_figures(state, days)}


def _figures(state: State, days: int) -> dict[str, Any]:
    now = state.clock()
    with state.service.read() as connection:
        return quality(connection, now - days * DAY, now, state.settings.review_due_hours * 3_600 * SECOND)


def _shown(state: State, days: int) -> Shown:
    found = _figures(state, days)
    with state.service.read() as connection:
        everybody = team.everybody(connection)
    timed, over = found["seconds"]["by_reviewer"], found["overturned"]["by"]["reviewer"]
    roles = {one.name: one.role if one.removed_at is None else "left the team" for one in everybody}
    names = [*roles, *(name for name in sorted({*timed, *over}) if name not in roles)]
    members = [
        Member(name, roles.get(name, "not on the team"), found["answered"].get(name, 0),
               timed[name]["median"] if name in timed else None, Figure.of(over[name]) if name in over else None)
        for name in names
    ]  # fmt: skip
    return Shown(found, members)


def _span(seconds: int | None) -> str | None:
    return None if seconds is None else span(seconds * SECOND)
