"""Every error the service tells a caller, as one tree, and the one handler that turns them into RFC 9457 problem+json.

    Problem                         code, status, title; a sentence that says the fix; field, value, allowed
    ├── BadRequest          400     no_json, no_gzip, cut_short
    ├── Unauthorized        401     key_missing, key_unknown, signed_out, wrong_password
    ├── Forbidden           403     scope_missing, csrf
    ├── NotFound            404     unknown_customer, unknown_feedback, unknown_path, …
    ├── TooSlow             408     body_too_slow
    ├── Conflict            409     feedback_id_taken, customer_erased, already_decided, …
    ├── TooLarge            413     body_too_large, too_many_events, too_many_journeys, text_too_long
    ├── Unsupported         415     unknown_encoding
    ├── Invalid             422     invalid_value, …
    ├── TooMany             429     too_many_tries, too_many_requests  with Retry-After
    ├── Unavailable         503     storage_unavailable            with Retry-After
    └── (unexpected)        500     internal_error                 tells nothing of what happened inside

`code` and `message` are there for real tracking clients, which need them.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

LONGEST_VALUE_SHOWN = 200
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a file says that cannot grow: the disk is full, or as full as this user or file may make it."""


class Problem(Exception):
    """An error to be told. `message` is the first sentence alone, `detail` with the fix."""

    status = 500
    code = "internal_error"
    title = "Internal error"

    def __init__(
        self,
        message: str,
        fix: str = "",
        *,
        code: str | None = None,
        title: str | None = None,
        field: str | None = None,
        value: object = None,
        allowed: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.fix = message, fix
        self.code = code or self.code
        self.title = title or (self.code.replace("_", " ").capitalize() if code else self.title)
        self.field, self.value, self.allowed = field, value, tuple(allowed)
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": f"/errors/{self.code.replace('_', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": f"{self.message} {self.fix}".strip(),
            "code": self.code,
            "message": self.message,
        }
        if self.field is not None:
            body["field"] = self.field
        if self.value is not None:
            body["value"] = shown(self.value)
        if self.allowed:
            body["allowed"] = list(self.allowed)
        return body


class BadRequest(Problem):
    status, code, title = 400, "bad_request", "Bad request"


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(Problem):
    status, code, title = 404, "not_found", "Not found"


class TooSlow(Problem):
    status, code, title = 408, "body_too_slow", "Body too slow"


class Conflict(Problem):
    status, code, title = 409, "conflict", "Conflict"


class TooLarge(Problem):
    status, code, title = 413, "body_too_large", "Body too large"


class Unsupported(Problem):
    status, code, title = 415, "unknown_encoding", "Unknown encoding"


class Invalid(Problem):
    status, code, title = 422, "invalid_value", "Invalid value"


class TooMany(Problem):
    """Not now: the same request may be sent again after `Retry-After` seconds."""

    status, code, title = 429, "too_many_tries", "Too many tries"

    def __init__(self, message: str, fix: str, *, code: str | None = None, retry_seconds: int) -> None:
        super().__init__(message, fix, code=code, headers={"Retry-After": str(retry_seconds)})


class Unavailable(Problem):
    """Nothing was stored; the same request may be sent again after `Retry-After` seconds."""

    status, code, title = 503, "storage_unavailable", "Storage unavailable"

    def __init__(self, message: str, fix: str = "Send the request again later.", *, retry_seconds: int = 1) -> None:
        super().__init__(message, fix, headers={"Retry-After": str(retry_seconds)})


def unknown_customer(customer_id: str) -> NotFound:
    """The customer asked for is not known under any id."""
    return NotFound(
        f"No events are stored for customer {shown(customer_id)!r}.",
        "Send events with this userId first, or look it up by anonymousId.",
        code="unknown_customer",
        field="customer_id",
        value=customer_id,
    )


def invalid_body(errors: Sequence[Any]) -> Invalid:
    """The first of pydantic's findings as a problem; the sentence counts the others."""
    first = errors[0]
    path = [str(step) for step in first["loc"] if step not in ("body", "query", "path", "header", "cookie")]
    field = ".".join(path) or "body"
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    value = first.get("input")
    if not isinstance(value, str | int | float | bool):
        value = None
    allowed = (
        [str(first["ctx"]["expected"])] if isinstance(first.get("ctx"), dict) and "expected" in first["ctx"] else []
    )
    return Invalid(f"{field}: {reason}{more}.", f"Correct {field} and send it again.", field=field, value=value,
                   allowed=allowed)  # fmt: skip


def documented(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these problems."""
    texts = {name: {"type": "string"} for name in ("type", "title", "detail", "code", "message", "field", "value")}
    allowed = {"type": "array", "items": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {**texts, "status": {"type": "integer"}, "allowed": allowed},
        "required": ["type", "title", "status", "detail", "code", "message"],
    }
    content = {"application/problem+json": {"schema": schema}}
    return {kind.status: {"description": kind.title, "content": content} for kind in kinds}


def shown(value: object) -> str:
    """A caller's value as it may be shown back: cut, and safe to write as UTF-8."""
    return str(value)[:LONGEST_VALUE_SHOWN].encode("utf-8", "backslashreplace").decode()


def respond(problem: Problem) -> Response:
    """The one shape of every error."""
    return JSONResponse(problem.to_dict(), problem.status, problem.headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Let every error leave the app as problem+json."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(OSError, _files)


async def _problem(_: Request, error: Exception) -> Response:
    return respond(error) if isinstance(error, Problem) else respond(_internal())


async def _validation(_: Request, error: Exception) -> Response:
    return respond(invalid_body(error.errors())) if isinstance(error, RequestValidationError) else respond(_internal())


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return respond(_internal())
    if error.status_code == 404:
        found: Problem = NotFound(
            f"There is nothing at {shown(request.url.path)!r}.",
            "The paths are listed at /openapi.json.",
            code="unknown_path",
        )
    elif error.status_code == 405:
        found = Problem(f"{request.method} is not allowed here.", code="method_not_allowed", field="method",
                        value=request.method, headers=error.headers,
                        allowed=(error.headers or {}).get("Allow", "").split(", "))  # fmt: skip
    else:
        title = HTTPStatus(error.status_code).phrase
        found = Problem(f"{shown(error.detail)}.", code=title.lower().replace(" ", "_"), headers=error.headers)
    found.status = error.status_code
    return respond(found)


async def _database(_: Request, error: Exception) -> Response:
    """A locked database or a full disk is told as such; anything else of a database is our own mistake."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    name = type(error).__name__
    if isinstance(cause, sqlite3.OperationalError):
        structlog.get_logger().error("storage_unavailable", error=name, reason=str(cause))
        return respond(Unavailable("The storage cannot be used right now, so nothing was stored."))
    structlog.get_logger().error("unexpected_error", error=name)
    return respond(_internal())


async def _files(_: Request, error: Exception) -> Response:
    """No room for a file is told as such; whatever else a file or socket says is our own mistake."""
    if not isinstance(error, OSError) or error.errno not in NO_ROOM:
        raise error
    structlog.get_logger().error("storage_unavailable", error=type(error).__name__, reason=os.strerror(error.errno))
    return respond(Unavailable("There is no room to work in right now, so nothing was stored."))


def _internal() -> Problem:
    return Problem("Something went wrong inside the service.", "Try again; if it stays, tell the operator.")
