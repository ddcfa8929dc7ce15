"""The tracking API: /v1/track, identify, page, screen, group, alias, batch and their letters; and what it refused.

An event is committed to the log before the 200. What browsers need besides is in browsers.py.
"""

from __future__ import annotations

from asyncio import wrap_future
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from models.journey.event import KINDS, Micros, format_time
from service.access.keys import Key, admit, credentials, require
from service.body import read_body
from service.counters import counters_of
from service.errors import (
    BadRequest,
    Forbidden,
    Invalid,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    Unsupported,
    documented,
)
from service.events import browsers, catalogue_routes, letters, store
from service.events.splitting import Sent, split
from service.events.tombstones import CODE as ERASED
from service.events.tombstones import sift_received
from service.events.tracking import Reader, Received, answer
from service.events.words import before_log, have_words, letter_before_log
from service.settings import Settings
from service.state import State, state_of

router = APIRouter()
router.include_router(browsers.router, tags=["events"])
router.include_router(catalogue_routes.router)

CALLS = {**{kind: kind for kind in KINDS}, **{kind[0]: kind for kind in KINDS}, "batch": "batch", "b": "batch"}
"""The last part of a path and the call it stands for; browsers send the letters."""

MOST_LISTED = 100


async def receive(request: Request) -> Response:
    """Keep events. Exactly 200 when they are durable; a bad event is refused by itself, in the answer."""
    state = state_of(request)
    body = await read_body(request, state.settings.body_bytes, state.settings.body_seconds)
    now = state.clock()
    sent = split(CALLS[request.url.path.rpartition("/")[2]], body, state.settings.events_per_batch)
    await admit(request, [*credentials(request), sent.write_key or ""], "ingest")
    found = Reader(state.settings, now, state.ids, now).read(sent)
    new = 0
    if found.refusals or have_words(found.events, state.masking):
        found = await run_in_threadpool(mask, state, found)
    if found.events or found.refusals:
        keeping = state.writer.submit(lambda connection: keep(connection, sent, found, now, state.settings))
        found, new = await wrap_future(keeping)
    erased = sum(refusal.code == ERASED for refusal in found.refusals)
    counters_of(request).count_events(new, len(found.events) - new, len(found.refusals) - erased, erased)
    return Response(msgspec.json.encode(answer(found, new)), media_type="application/json")


def mask(state: State, found: Received) -> Received:
    """What was received, with the words in it as the log may keep them."""
    most = state.settings.event_bytes
    with state.log.read() as connection:
        return Received(
            before_log(connection, found.events, state.masking),
            [replace(one, raw=letter_before_log(connection, one.raw, state.masking, most)) for one in found.refusals],
        )


def keep(connection: Connection, sent: Sent, found: Received, now: Micros, settings: Settings) -> tuple[Received, int]:
    """Append the events and keep what was refused, together; says what could be kept, and how many events were new."""
    found = sift_received(connection, found)
    letters.keep(connection, sent, found.refusals, now, settings)
    return found, store.append_on(connection, found.events, now) if found.events else 0


_EVENT: dict[str, Any] = {"type": "object"}
_BATCH: dict[str, Any] = {
    "type": "object",
    "properties": {"batch": {"type": "array", "items": {}}},
    "required": ["batch"],
}
_REFUSED = {
    "type": "object",
    "properties": {"index": {"type": "integer"}, "code": {"type": "string"}, "reason": {"type": "string"},
                   "message_id": {"type": ["string", "null"]}},
    "required": ["index", "code", "reason", "message_id"],
}  # fmt: skip
_ANSWER = {
    "type": "object",
    "properties": {"success": {"const": True}, "accepted": {"type": "integer"}, "repeated": {"type": "integer"},
                   "refused": {"type": "array", "items": _REFUSED}},
    "required": ["success", "accepted", "repeated", "refused"],
}  # fmt: skip
_TOLD = {
    200: {"description": "Durable, but for what is listed as refused", "content": {"application/json": {
        "schema": _ANSWER}}},
    **documented(BadRequest, Unauthorized, Forbidden, TooSlow, TooLarge, Unsupported, Unavailable),
}  # fmt: skip


def _body(call: str) -> dict[str, Any]:
    schema = _BATCH if call == "batch" else _EVENT
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


for _path, _call in CALLS.items():
    router.add_api_route(f"/v1/{_path}", receive, methods=["POST"], summary=f"Keep {_call} calls", name=_path,
                         tags=["events"], openapi_extra=_body(_call), responses=_TOLD)  # fmt: skip


@router.get("/v1/dead-letters", tags=["events"], responses=documented(Unauthorized, Forbidden, Invalid, Unavailable))
def dead_letters(
    _: Annotated[Key, Depends(require("admin"))],
    state: Annotated[State, Depends(state_of)],
    code: Annotated[str | None, Query(max_length=64)] = None,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20,
) -> dict[str, Any]:
    """Refused events as they were sent, the newest first, and how many there are by code."""
    with state.log.read() as connection:
        counted = letters.counts(connection)
        listed = letters.listed(connection, code, cursor, limit)
    return {
        "counts": [
            {"code": one.code, "letters": one.letters, "times": one.times,
             "first_received_at": format_time(one.first_at), "last_received_at": format_time(one.last_at)}
            for one in counted
        ],
        "letters": [letter.to_dict() for letter in listed],
        "next_cursor": listed[-1].seq if len(listed) == limit else None,
    }  # fmt: skip
