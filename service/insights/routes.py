"""GET /v1/customers/{id}/insight, POST /v1/insights:query and POST /v1/predictions, as they are documented.

A stored insight asked for without a query is answered by quick.py.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from service.access.keys import Key, require
from service.body import documented
from service.customers.identity import find_customer
from service.errors import Forbidden, Invalid, NotFound, TooLarge, Unauthorized, Unavailable
from service.errors import documented as problems
from service.insights.asked import PredictionsIn
from service.insights.moments import moment_of
from service.insights.quick import predictions
from service.insights.reading import current, fields_in, insight_at, only
from service.insights.shape import answer_of
from service.live.bundles import LiveBundles, bundles_of
from service.responses import JSON, conditional
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["insights"])

_NOT_UPLIFT = (
    "A likelihood in `purchase` is not uplift: it says who will, not whom a message would move, and `why` says what "
    "moved the answer, not what would move the customer."
)
_INSIGHT = {
    200: {"description": f"What we conclude about this customer, here with `explain=true`. {_NOT_UPLIFT}"},
    **problems(Unauthorized, Forbidden, NotFound, Invalid, Unavailable),
}
_PREDICTIONS = {
    200: {"description": f"An insight for each journey, in order. {_NOT_UPLIFT}"},
    **problems(Unauthorized, Forbidden, TooLarge, Invalid, Unavailable),
}
Services = Annotated[State, Depends(state_of)]
Bundles = Annotated[LiveBundles, Depends(bundles_of)]
Reader = Annotated[Key, Depends(require("read", "provisional"))]
Explain = Annotated[bool, Query(description="Say why beside each answer that can be explained; computed now.")]
AsOf = Annotated[str | None, Query(description="Another moment, ISO 8601: what could have been concluded then.")]
Fields = Annotated[str | None, Query(description="Parts of the insight, with commas between; missing: all.")]


@router.get("/customers/{customer_id}/insight", responses=_INSIGHT)
def read_insight(
    customer_id: str, request: Request, state: Services, bundles: Bundles, key: Reader, as_of: AsOf = None,
    explain: Explain = False, fields: Fields = None,
) -> Response:  # fmt: skip
    """What we conclude about one customer, asked for by userId or anonymousId; `as_of` another moment, computed now.

    The answer carries an `ETag`: send it back as `If-None-Match`, and what has not changed is a 304 without a body.
    """
    provisional, parts = "provisional" in key.scopes, fields_in(fields)
    if as_of is None and not explain:
        body = current(state, bundles.now(), customer_id, provisional=provisional)
        if parts is not None:
            body = msgspec.json.encode(only(msgspec.json.decode(body), parts))
    else:
        at = None if as_of is None else moment_of("as_of", as_of)
        insight = insight_at(state, bundles.now(), find_customer(state, customer_id), at, explain=explain)
        shown = answer_of(insight, state.settings.review_due_hours, provisional=provisional)
        body = msgspec.json.encode(only(shown, parts))
    return conditional(body, request.headers.get("if-none-match"))


@router.post("/predictions", openapi_extra=documented(PredictionsIn), responses=_PREDICTIONS)
async def predict_journeys(request: Request, state: Services, key: Reader) -> Response:
    """Insights about up to 1,000 journeys in the body. Nothing is stored and no case is opened."""
    return Response(await predictions(request, state, key), media_type=JSON)
