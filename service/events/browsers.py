"""What a page in a browser needs to send events: the settings its client library asks for; and CORS.

A write key is public, for every visitor of a page can read it; so any site may call the paths that take events in,
unless the setting names some. No other path answers another site unless a second setting names it, and cookies count
for nothing here.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from models.journey.event import KINDS
from service.access.keys import admit
from service.errors import Invalid, NotFound, Problem, documented
from service.state import state_of

router = APIRouter()

PREFLIGHT_SECONDS = 7_200
"""How long a browser remembers that it may send; none remembers longer."""

_PATHS = frozenset(f"/v1/{call}" for kind in (*KINDS, "batch") for call in (kind, kind[0]))


@router.get("/v1/projects/{write_key}/settings", responses=documented(NotFound, Invalid))
async def client_settings(write_key: Annotated[str, Path(max_length=256)], request: Request, response: Response) -> Any:
    """What the browser library asks for first: to send everything here, and nothing about itself to anybody."""
    try:
        await admit(request, [write_key], "ingest")
    except Problem:
        raise NotFound("No such write key is in force.", "Use a key with scope ingest.", code="unknown_key",
                       field="write_key") from None  # fmt: skip
    here = urlsplit(state_of(request).settings.public_url or str(request.base_url))
    response.headers["Cache-Control"] = "no-store"
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{here.netloc}{here.path.rstrip('/')}/v1",
                "protocol": here.scheme,
                "addBundledMetadata": True,
                "unbundledIntegrations": [],
                "maybeBundledConfigIds": {},
            }
        },
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }


class AllowBrowsers:
    """ASGI middleware: CORS on the paths that take events in, and on the rest of the API, each for the origins given
    with commas between them."""

    def __init__(self, app: ASGIApp, origins: str, api_origins: str = "") -> None:
        self.app = app
        self.shared = _cors(app, origins, ["GET", "POST"])
        self.api = _cors(app, api_origins, ["GET", "POST", "PUT", "PATCH", "DELETE"]) if api_origins.strip() else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self.app(scope, receive, send)
        else:
            await (self.shared if for_browsers(scope["path"]) else self.api)(scope, receive, send)


def _cors(app: ASGIApp, origins: str, methods: list[str]) -> CORSMiddleware:
    return CORSMiddleware(
        app,
        allow_origins=[origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()],
        allow_methods=methods,
        allow_headers=["*"],
        expose_headers=["Retry-After", "X-Request-Id", "ETag", "Location"],
        max_age=PREFLIGHT_SECONDS,
    )


def for_browsers(path: str) -> bool:
    """Whether pages of other sites may call this path.

    >>> for_browsers("/v1/t"), for_browsers("/v1/projects/k/settings"), for_browsers("/v1/dead-letters")
    (True, True, False)
    """
    return path in _PATHS or (path.startswith("/v1/projects/") and path.endswith("/settings"))
