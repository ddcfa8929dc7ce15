"""GET /v1/customers/{id}/insight, POST /v1/feedback and POST /v1/predictions."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from models.insight import Insight
from models.journey.event import Micros, format_time
from service.access.keys import Key, require
from service.body import documented, read_model
from service.counters import Counters, counters_of
from service.customers import store as customers
from service.errors import Invalid, unknown_customer
from service.events import projector
from service.insights import store
from service.insights.conclude import conclude, latest_of, look, moment
from service.insights.feedback import FeedbackIn, FeedbackKept, keep
from service.insights.predictions import PredictionsIn, moment_of, predict
from service.insights.shape import answer_of
from service.live.bundles import Live, LiveBundles, bundles_of
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["insights"])

Services = Annotated[State, Depends(state_of)]
Bundles = Annotated[LiveBundles, Depends(bundles_of)]
Reader = Annotated[Key, Depends(require("read", "provisional"))]
JSON = "application/json"


@router.get("/customers/{customer_id}/insight")
def read_insight(
    customer_id: str, state: Services, bundles: Bundles, key: Reader, as_of: str | None = None
) -> Response:
    """What we conclude about one customer, asked for by userId or anonymousId; `as_of` another moment, computed now."""
    provisional = "provisional" in key.scopes
    customer = find_customer(state, customer_id)
    if as_of is not None:
        insight = insight_at(state, bundles.now(), customer, moment_of("as_of", as_of))
        shown = answer_of(insight, state.settings.review_due_hours, provisional=provisional)
        return Response(msgspec.json.encode(shown), media_type=JSON)
    with state.service.read() as connection:
        row = store.get_insight(connection, customer)
    if row is None:
        conclude(state, bundles.now(), [customer])
        with state.service.read() as connection:
            row = store.get_insight(connection, customer)
    if row is None:
        raise unknown_customer(customer_id)
    return Response(row.provisional_body if provisional else row.body, media_type=JSON)


def find_customer(state: State, asked: str) -> str:
    """The surviving customer. Somebody whose events are not folded yet is folded on the spot. Raises NotFound."""
    with state.service.read() as connection:
        customer = customers.resolve(connection, asked)
    if customer is None and projector.fold(state):
        with state.service.read() as connection:
            customer = customers.resolve(connection, asked)
    if customer is None:
        raise unknown_customer(asked)
    return customer


def insight_at(state: State, live: Live, customer: str, as_of: Micros) -> Insight:
    """As it could have been concluded at `as_of`: by today's model, from what was known then. Raises Invalid."""
    with state.service.read() as connection:
        now = moment(connection, state)
        if as_of > now:
            raise Invalid("as_of lies in the future.", "Ask for a moment up to now, or leave it out.", field="as_of",
                          value=format_time(as_of) if as_of < 253_402_300_800_000_000 else None)  # fmt: skip
        known = look(connection, state, live, [customer], as_of)
        said = latest_of(known.said.get(customer, ()), as_of)
        feeling = None if said is None else store.concluded_at(connection, said.feedback_id, as_of)
    if said is not None and feeling is None:
        feeling = known.bundle.conclude_feedback([said], state.settings.policy)[0]
    moments = np.array([as_of], dtype=np.int64)
    return known.bundle.insights(known.journeys, moments, [feeling], live.model, state.settings.policy)[0]


@router.post("/feedback", openapi_extra=documented(FeedbackIn), dependencies=[Depends(require("ingest"))])
async def receive_feedback(
    request: Request, state: Services, counters: Annotated[Counters, Depends(counters_of)]
) -> FeedbackKept:
    """Keep what a customer said: durable when answered, and once by its id."""
    given = await read_model(request, FeedbackIn, state.settings.body_bytes)
    kept = await run_in_threadpool(keep, state, given)
    counters.count_feedback(repeated=kept.repeated)
    return kept


@router.post("/predictions", openapi_extra=documented(PredictionsIn))
async def predict_journeys(request: Request, state: Services, bundles: Bundles, key: Reader) -> Response:
    """Insights about up to 1,000 journeys in the body. Nothing is stored and no case is opened."""
    given = await read_model(request, PredictionsIn, state.settings.prediction_bytes)
    return await run_in_threadpool(_predictions, state, bundles, given, "provisional" in key.scopes)


def _predictions(state: State, bundles: LiveBundles, given: PredictionsIn, provisional: bool) -> Response:
    found = predict(state, bundles.now(), given)
    shown = {"predictions": [answer_of(insight, None, provisional=provisional) for insight in found]}
    return Response(msgspec.json.encode(shown), media_type=JSON)
