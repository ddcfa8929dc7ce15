"""POST /v1/feedback and GET /v1/feedback/{id}."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from service.access.keys import Key, require
from service.body import documented, read_model
from service.counters import Counters, counters_of
from service.feedback.sending import FeedbackIn, FeedbackKept, keep
from service.feedback.view import feedback_at
from service.state import State, state_of

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])

Services = Annotated[State, Depends(state_of)]


@router.post("", openapi_extra=documented(FeedbackIn), dependencies=[Depends(require("ingest"))])
async def receive_feedback(
    request: Request, state: Services, counters: Annotated[Counters, Depends(counters_of)]
) -> FeedbackKept:
    """Keep what a customer said: durable when answered, once by its id; other words said later are an edit."""
    given = await read_model(request, FeedbackIn, state.settings.body_bytes)
    kept = await run_in_threadpool(keep, state, given)
    counters.count_feedback(repeated=kept.repeated)
    return kept


@router.get("/{feedback_id}")
def read_feedback(
    feedback_id: str, state: Services, key: Annotated[Key, Depends(require("read", "provisional"))]
) -> dict[str, Any]:
    """What one customer said, without personal data: the newest words, earlier ones, and what is concluded."""
    return feedback_at(state, feedback_id, provisional="provisional" in key.scopes)
