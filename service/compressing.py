"""Answers gzipped for whoever takes them so.

Starlette's middleware, without its detour for whoever does not.
"""

from __future__ import annotations

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL = 500
"""Bytes below which an answer is not worth it."""
_LEVEL = 5
_VARY = (b"vary", b"Accept-Encoding")


class Compressing:
    """ASGI middleware; an answer that comes plain tells caches that it would have come otherwise to others."""

    def __init__(self, app: ASGIApp) -> None:
        kinds = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/vnd.apache.parquet")  # small already
        self.app = app
        self.gzipping = GZipMiddleware(app, SMALL, _LEVEL, exclude_content_types=kinds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        accepted = next((value for name, value in scope["headers"] if name == b"accept-encoding"), b"")
        if b"gzip" in accepted:
            await self.gzipping(scope, receive, send)
            return

        async def varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), _VARY]
            await send(message)

        await self.app(scope, receive, varying)
