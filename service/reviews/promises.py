"""The page of promises, for people who are signed in: what we promise, whether it stands, and how we know. Changes
nothing: a promise is reinstated with a key of scope admin (promise_routes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from service.live.bundles import bundles_of
from service.reviews.desks import PolicyOf
from service.reviews.pages import PersonOf
from service.reviews.promises_told import told
from service.state import State, state_of
from service.web.pages import page

router = APIRouter(prefix="/reviews", include_in_schema=False)

_HERE = Path(__file__).parent
WIDTH = 200
"""Of the drawing of a bound, in its own units."""
NAMES = {"feeling": "Feelings", "next_touchpoint": "Next touchpoints"}


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the true share of mistakes may lie, beside the most that is promised; the line ends at `scale`."""

    low_x: float
    high_x: float
    promised_x: float
    scale: float

    @classmethod
    def of(cls, low: float, high: float, promised: float) -> Bound:
        scale = min(1.0, max(3 * promised, 1.2 * low, min(high, 6 * promised)))
        low_x, high_x, promised_x = (round(min(1.0, one / scale) * WIDTH, 1) for one in (low, high, promised))
        return cls(low_x, high_x, promised_x, scale)


@dataclass(frozen=True, slots=True)
class Shown:
    """One promise as the page shows it."""

    given: dict[str, Any]

    @property
    def name(self) -> str:
        kind, _, definition = self.given["kind"].partition(":")
        name = NAMES.get(kind) or f"Purchases: {definition.replace('_', ' ')}"
        return name if self.given["group"] == "all" else f"{name}, {self.given['group'].replace('_', ' ')}"

    @property
    def terms(self) -> str:
        terms = self.given["terms"]
        if "at_least" in terms:
            return f"The set holds what comes next at least {terms['at_least']:.0%} of the time."
        if "within" in terms:
            return "Of those told a probability, as many do it as the interval says."
        return (f"Of the answers that go out unread at most {terms['at_most_wrong']:.1%} are wrong, with "
                f"{terms['confidence']:.0%} confidence.")  # fmt: skip

    @property
    def wrong_at_most(self) -> float | None:
        terms = self.given["terms"]
        if "at_least" in terms:
            return float(1 - terms["at_least"])
        return float(terms["at_most_wrong"]) if "at_most_wrong" in terms else None

    @property
    def bound(self) -> Bound | None:
        most = self.wrong_at_most
        if most is None or not self.given["checks"]["cases"]:
            return None
        low, high = self.given["checks"]["bounds"]
        return Bound.of(low, high, most)


@router.get("/promises")
def promises(
    request: Request, person: PersonOf, policy: PolicyOf, state: Annotated[State, Depends(state_of)]
) -> Response:
    """What we promise, and whether it stands."""
    if person is None:
        return RedirectResponse("/reviews", status_code=303)
    found = told(state, bundles_of(request).now())
    context = {"found": found, "promises": [Shown(one) for one in found["promises"]], "width": WIDTH,
               "stated": state.settings.promises, "person": person, "policy": policy, "here": "promises"}  # fmt: skip
    return page(_HERE, "promises.html", context)
