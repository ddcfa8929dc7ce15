"""POST /v1/track, identify, page, screen, group, alias and batch: committed to the log before the 200."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from models.journey.event import KINDS
from service.access.keys import authorize, credentials
from service.body import read_body
from service.counters import Counters, counters_of
from service.events import store
from service.events.tracking import Reader, answer
from service.state import State, state_of

router = APIRouter(tags=["events"])


async def receive(
    request: Request,
    state: Annotated[State, Depends(state_of)],
    counters: Annotated[Counters, Depends(counters_of)],
) -> Response:
    """Keep events. Exactly 200 when they are durable; a bad event is refused by itself, in the answer."""
    body = await read_body(request, state.settings.body_bytes)
    call = request.url.path.rpartition("/")[2]
    return await run_in_threadpool(accept, state, counters, call, body, credentials(request))


def accept(state: State, counters: Counters, call: str, body: bytes, offered: list[str]) -> Response:
    """Read, authorise, append. The key may be in the body, so the body is read before it is known who sends it."""
    now = state.clock()
    found = Reader(state.settings, now, state.ids).read(call, body)
    authorize(state, [*offered, found.write_key or ""], "ingest")
    new = store.append(state.log, found.events, now)
    counters.count_events(new, len(found.events) - new, len(found.refusals))
    return Response(msgspec.json.encode(answer(found, new)), media_type="application/json")


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}

for _call in (*KINDS, "batch"):
    router.add_api_route(f"/v1/{_call}", receive, methods=["POST"], summary=f"Keep {_call} calls", name=_call,
                         openapi_extra=_BODY)  # fmt: skip
