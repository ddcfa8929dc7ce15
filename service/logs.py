"""The service's log: one JSON object a line on stderr, and one line a request. No personal data is ever in it.

A line names the route's template, never its path; an error its type and place, never its message.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, TextIO, cast

import msgspec
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.clock import Ids
from service.errors import Problem, respond

_REQUEST_ID = re.compile(rb"[0-9A-Fa-f-]{16,64}")


def configure(level: str) -> None:
    """Set up structlog and the standard library's logging (uvicorn's, alembic's) alike; called by commands only."""
    as_json = structlog.processors.JSONRenderer(serializer=_line)
    shared: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                as_json,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _line(told: Any, **_: Any) -> str:
    return msgspec.json.encode(told, enc_hook=repr).decode()


class Lossy:
    """A stream whose lines are lost where they cannot be written (its disk is full, its reader gone): a log stops no
    request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class RequestLog:
    """ASGI middleware: a request id on every answer, a line in the log, and a 500 that tells nothing when all fails."""

    def __init__(self, app: ASGIApp, ids: Ids) -> None:
        self.app, self.ids, self.log = app, ids, structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, begun, status = _given_id(scope) or self.ids(), time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            log_unexpected(error, request_id=request_id)
            if status == 0:
                unexpected = Problem("Something went wrong inside the service.",
                                     f"If it stays, tell the operator request id {request_id}.")  # fmt: skip
                await respond(unexpected)(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "")
            milliseconds = round((time.perf_counter() - begun) * 1000, 2)
            self.log.info(
                "request", method=scope["method"], route=route, status=status, ms=milliseconds, request_id=request_id
            )


def _given_id(scope: Scope) -> str | None:
    """The caller's own id of the request, where it is one that can hold nothing of a person: hex digits and dashes."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else None


def log_unexpected(error: BaseException, **about: object) -> None:
    """Where something unforeseen happened: type and lines of code, without the message, which may quote a customer."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    where = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}:{frame.name}" for frame in frames]
    structlog.get_logger().error("unexpected_error", error=type(error).__name__, where=where, **about)
