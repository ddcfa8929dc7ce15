"""The page of purchase forecasts, for people who are signed in: what we told, and what happened. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from service.forecasts.routes import told
from service.reviews.desks import PolicyOf
from service.reviews.pages import PersonOf
from service.state import State, state_of
from service.web.pages import page

router = APIRouter(prefix="/reviews", include_in_schema=False)

_HERE = Path(__file__).parent
WIDTH = 200
"""Of the drawing of one bin, in its own units: 0 is never, this is always."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases that were told about the same probability, and where that lies on a line from never to always."""

    n: int
    told: float
    observed: float
    inside: bool
    from_x: float
    to_x: float
    observed_x: float

    @classmethod
    def of(cls, found: dict[str, Any], scale: float) -> Bin:
        low, high = found["interval"]
        ends = [round(min(1.0, value / scale) * WIDTH, 1) for value in (low, high, found["observed"])]
        return cls(found["n"], found["mean_probability"], found["observed"], found["inside"], *ends)


@dataclass(frozen=True, slots=True)
class Shown:
    """One target as the page shows it; `scale` is the probability at the right end of its drawings."""

    given: dict[str, Any]

    @property
    def quality(self) -> dict[str, Any]:
        return self.given["quality"] or {"measured": False, "by": {}, "n": 0}

    @property
    def scale(self) -> float:
        ends = [value for one in self.quality.get("bins", []) for value in (one["interval"][1], one["observed"])]
        return max([*map(float, ends), 0.01])

    @property
    def bins(self) -> list[Bin]:
        return [Bin.of(one, self.scale) for one in self.quality.get("bins", [])]


@router.get("/forecasts")
def forecasts(person: PersonOf, policy: PolicyOf, state: Annotated[State, Depends(state_of)]) -> Response:
    """How good served purchase probabilities turned out to be."""
    if person is None:
        return RedirectResponse("/reviews", status_code=303)
    shown = [Shown(one) for one in told(state)]
    context = {"targets": shown, "width": WIDTH, "grace": state.settings.forecast_grace_hours}
    return page(_HERE, "forecasts.html", {**context, "person": person, "policy": policy, "here": "forecasts"})
