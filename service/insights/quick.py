"""The two questions that are asked most, a stored insight and predictions, without the framework's detours.

Routes of the same app before the documented ones of the same paths, which answer the same; a request for an insight
with a query goes to that one.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from service.access.keys import Key, admit, credentials
from service.body import read_body
from service.insights.asked import PredictionsIn, read
from service.insights.asking import asking_of
from service.insights.reading import StoredInsights, current
from service.insights.shape import answer_of
from service.live.bundles import bundles_of
from service.responses import etag_of, unchanged
from service.state import State, state_of

INSIGHT, PREDICTIONS = "/v1/customers/{customer_id}/insight", "/v1/predictions"
Headers: TypeAlias = list[tuple[bytes, bytes]]
_JSON = (b"content-type", b"application/json")
_FRESH = (b"cache-control", b"private, no-cache")


class QuickInsight:
    """GET of a stored insight, as an ASGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        key = await admit(request, credentials(request), "read", "provisional")
        asked, provisional = scope["path_params"]["customer_id"], "provisional" in key.scopes
        body = cast(StoredInsights, request.app.state.stored_insights).find(asked, provisional=provisional)
        if body is None:
            state, live = state_of(request), bundles_of(request).now
            body = await run_in_threadpool(lambda: current(state, live(), asked, provisional=provisional))
        etag = etag_of(body)
        headers = [_JSON, _FRESH, (b"etag", etag.encode())]
        if unchanged(request.headers.get("if-none-match"), etag):
            await send({"type": "http.response.start", "status": 304, "headers": headers[1:]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await _told(send, 200, headers, body, head=scope["method"] == "HEAD")


class QuickPredictions:
    """POST of journeys, as an ASGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        key = await admit(request, credentials(request), "read", "provisional")
        body = await predictions(request, state_of(request), key)
        await _told(send, 200, [_JSON], body)


async def _told(send: Send, status: int, headers: Headers, body: bytes, *, head: bool = False) -> None:
    """The answer, or its head alone, with its length."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def predictions(request: Request, state: State, key: Key) -> bytes:
    """The answer to journeys in a body. Raises what is wrong with it, or Unavailable where too much waits."""
    given = read(await read_body(request, state.settings.prediction_bytes), PredictionsIn)
    insights = await asking_of(request).ask(given)
    provisional = "provisional" in key.scopes
    return msgspec.json.encode({"predictions": [answer_of(one, None, provisional=provisional) for one in insights]})


class _Quick(Route):
    """A route that says which it is, as FastAPI's do: the log and the counters name it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return match, {**child, "route": self}


class _Plain(_Quick):
    """For requests without a query."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE, {}) if scope.get("query_string") else super().matches(scope)


def quick_routes() -> list[BaseRoute]:
    """To stand before all others."""
    return [
        _Plain(INSIGHT, QuickInsight(), methods=["GET"], include_in_schema=False),
        _Quick(PREDICTIONS, QuickPredictions(), methods=["POST"], include_in_schema=False),
    ]
