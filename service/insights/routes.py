"""GET /v1/customers/{id}/insight and POST /v1/predictions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from models.contradiction import seen_in, with_behaviour
from models.insight import Insight
from models.journey.event import Micros
from service.access.keys import Key, require
from service.body import documented, read_model
from service.customers.consent import objecting
from service.customers.identity import find_customer
from service.errors import unknown_customer
from service.insights import store
from service.insights.conclude import conclude, explained, insights_of, latest_of, look, moment
from service.insights.example import INSIGHT, PREDICTIONS
from service.insights.moments import check_past, moment_of
from service.insights.predictions import PredictionsIn, predict
from service.insights.shape import answer_of
from service.live.bundles import Live, LiveBundles, bundles_of
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["insights"])

Services = Annotated[State, Depends(state_of)]
Bundles = Annotated[LiveBundles, Depends(bundles_of)]
Reader = Annotated[Key, Depends(require("read", "provisional"))]
JSON = "application/json"
Explain = Annotated[bool, Query(description="Say why beside each answer that can be explained; computed now.")]


@router.get("/customers/{customer_id}/insight", responses=INSIGHT)
def read_insight(
    customer_id: str, state: Services, bundles: Bundles, key: Reader, as_of: str | None = None, explain: Explain = False
) -> Response:
    """What we conclude about one customer, asked for by userId or anonymousId; `as_of` another moment, computed now."""
    provisional = "provisional" in key.scopes
    customer = find_customer(state, customer_id)
    if as_of is not None or explain:
        at = None if as_of is None else moment_of("as_of", as_of)
        insight = insight_at(state, bundles.now(), customer, at, explain=explain)
        shown = answer_of(insight, state.settings.review_due_hours, provisional=provisional)
        return Response(msgspec.json.encode(shown), media_type=JSON)
    with state.service.read() as connection:
        row = store.get_insight(connection, customer)
        withdrawn = bool(objecting(connection, [customer]))
        now = moment(connection, state)
    if withdrawn:
        insight = insight_at(state, bundles.now(), customer, now)
        return Response(msgspec.json.encode(answer_of(insight, None)), media_type=JSON)
    if row is None:
        conclude(state, bundles.now(), [customer])
        with state.service.read() as connection:
            row = store.get_insight(connection, customer)
    if row is None:
        raise unknown_customer(customer_id)
    return Response(row.provisional_body if provisional else row.body, media_type=JSON)


def insight_at(state: State, live: Live, customer: str, at: Micros | None, *, explain: bool = False) -> Insight:
    """As it could have been concluded at that moment (None: now): by today's model, from what was known then.

    With `explain`, answers come with what moved them. Raises Invalid for a moment to come.
    """
    with state.service.read() as connection:
        now = moment(connection, state)
        as_of = now if at is None else at
        check_past(as_of, now)
        known = look(connection, state, live, [customer], as_of)
        said = latest_of(known.said.get(customer, ()), as_of)
        feeling = None if said is None else store.concluded_at(connection, said.feedback_id, as_of)
    if said is not None and feeling is None and not known.objecting:
        feeling = known.bundle.conclude_feedback([said], state.settings.policy)[0]
        feeling = with_behaviour(feeling, said.said_at, seen_in(known.journeys, 0, as_of))
    insight = insights_of(known, [feeling], state, live)
    return explained(known, insight)[0] if explain else insight[0]


@router.post("/predictions", openapi_extra=documented(PredictionsIn), responses=PREDICTIONS)
async def predict_journeys(request: Request, state: Services, bundles: Bundles, key: Reader) -> Response:
    """Insights about up to 1,000 journeys in the body. Nothing is stored and no case is opened."""
    given = await read_model(request, PredictionsIn, state.settings.prediction_bytes)
    return await run_in_threadpool(_predictions, state, bundles, given, "provisional" in key.scopes)


def _predictions(state: State, bundles: LiveBundles, given: PredictionsIn, provisional: bool) -> Response:
    found = predict(state, bundles.now(), given)
    shown = {"predictions": [answer_of(insight, None, provisional=provisional) for insight in found]}
    return Response(msgspec.json.encode(shown), media_type=JSON)
