"""`Idempotency-Key`: a write that makes something may be sent again, and is done once; the same answer comes again.

For what has no id of the caller's own: jobs, audiences, webhooks. Events are known by their `messageId`, feedback by
its `id`, and the rest can be done twice without harm, so there the header changes nothing. As in the IETF's draft
"The Idempotency-Key HTTP Header Field". Only what succeeded is kept, for a day; a secret that is shown once is not, so
an answer that comes again has `null` in its place.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, cast

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.journey.event import SECOND, Micros
from service.access.keys import KeyRing, credentials
from service.database import Database, holds_nothing, metadata
from service.errors import Conflict, Invalid, Problem, TooLarge, respond
from service.state import State

PATHS = ("/v1/jobs", "/v1/audiences", "/v1/webhooks")
WRITES = ("POST", "PUT", "PATCH", "DELETE")
KEPT: Micros = 86_400 * SECOND
GIVEN_UP: Micros = 60 * SECOND
"""After so long without an answer whoever began is taken to be gone."""
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
_HEADERS = (b"content-type", b"location")

replays = Table(
    "replays",
    metadata,
    Column("caller", String, primary_key=True),
    Column("idempotency_key", String, primary_key=True),
    Column("request", String, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger),
    Column("status", Integer),
    Column("headers", Text),
    Column("body", LargeBinary),
    Index("replays_begun", "begun_at"),
    **holds_nothing("answers about jobs, audiences and webhooks, for a day"),
)
"""`caller` and `request` are hashes: of the key, and of method, path and body."""


class Replays:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in WRITES or not scope["path"].startswith(PATHS):
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        given = request.headers.get("idempotency-key")
        if given is None or not _known(request):
            await self.app(scope, receive, send)
            return
        try:
            await self._once(request, given, send)
        except Problem as problem:
            await respond(problem)(scope, receive, send)

    async def _once(self, request: Request, given: str, send: Send) -> None:
        if not _FORM.fullmatch(given):
            raise Invalid("Idempotency-Key has 1 to 255 printable characters.", "Send another.",
                          field="Idempotency-Key", value=given)  # fmt: skip
        state = cast(State, request.app.state.service)
        body = await _whole(request, state.settings.job_bytes)
        asked = _Asked(state.service, _hash(*credentials(request)), given, _hash_of(request, body))
        row = await run_in_threadpool(asked.begin, state.clock())
        if row is not None:
            headers = [(name.encode(), value.encode()) for name, value in msgspec.json.decode(row.headers)]
            headers.append((b"idempotency-replayed", b"true"))
            await send({"type": "http.response.start", "status": row.status, "headers": headers})
            await send({"type": "http.response.body", "body": row.body})
            return
        recorded = _Recorded(send)
        try:
            await self.app(request.scope, _again(body, request.receive), recorded)
        finally:
            await run_in_threadpool(asked.end, recorded, state.clock())


class _Asked:
    """One request, as the table knows it."""

    def __init__(self, database: Database, caller: str, given: str, request: str) -> None:
        self._database, self._caller, self._given, self._request = database, caller, given, request
        self._mine = (replays.c.caller == caller, replays.c.idempotency_key == given)

    def begin(self, now: Micros) -> Row[Any] | None:
        """The answer that was given before; None where this request is to be done. Raises Conflict or Invalid."""
        with self._database.write() as connection:
            connection.execute(delete(replays).where(replays.c.begun_at < now - KEPT))
            row = connection.execute(select(replays).where(*self._mine)).first()
            if row is None:
                self._insert(connection, now)
                return None
            if row.request != self._request:
                raise Invalid("This Idempotency-Key was sent with another request.", "Make a new key for each request.",
                              code="idempotency_key_reused", field="Idempotency-Key", value=self._given)  # fmt: skip
            if row.answered_at is not None:
                return row
            if row.begun_at > now - GIVEN_UP:
                raise Conflict("The first request with this Idempotency-Key is being answered.", "Send it again later.",
                               code="idempotency_in_progress", field="Idempotency-Key",
                               headers={"Retry-After": "1"})  # fmt: skip
            connection.execute(update(replays).where(*self._mine).values(begun_at=now))
            return None

    def _insert(self, connection: Connection, now: Micros) -> None:
        row = {"caller": self._caller, "idempotency_key": self._given, "request": self._request, "begun_at": now}
        connection.execute(insert(replays), row)

    def end(self, recorded: _Recorded, now: Micros) -> None:
        """Keep the answer where it is a success; else the request may be tried again."""
        with self._database.write() as connection:
            if not (recorded.whole and 200 <= recorded.status < 300):
                connection.execute(delete(replays).where(*self._mine))
                return
            told = [(name.decode(), value.decode()) for name, value in recorded.headers if name.lower() in _HEADERS]
            connection.execute(update(replays).where(*self._mine).values(
                answered_at=now, status=recorded.status, headers=msgspec.json.encode(told).decode(),
                body=_without_secret(bytes(recorded.body)),
            ))  # fmt: skip


class _Recorded:
    """Sends an answer on, and keeps it."""

    def __init__(self, send: Send) -> None:
        self._send, self.status, self.whole = send, 0, False
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.whole = not message.get("more_body", False)
        await self._send(message)


def _without_secret(body: bytes) -> bytes:
    """What may lie in a database: secrets may not."""
    if b'"secret"' not in body:
        return body
    told = msgspec.json.decode(body)
    return msgspec.json.encode({**told, "secret": None}) if "secret" in told else body


def _known(request: Request) -> bool:
    """Whether a key in force came with it; who has none is refused by the route."""
    ring, now = cast(KeyRing, request.app.state.keys), cast(State, request.app.state.service).clock()
    found = [ring.find(one) for one in credentials(request)]
    return any(one is not None and one.in_force(now) for one in found)


async def _whole(request: Request, limit_bytes: int) -> bytes:
    received = bytearray()
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > limit_bytes:
                raise TooLarge(f"The body is larger than {limit_bytes} bytes.", "Send less at once.", field="body",
                               headers={"Connection": "close"})  # fmt: skip
    except ClientDisconnect:
        raise Problem("The body is cut short.") from None
    return bytes(received)


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read already, to be read by the route."""
    told = False

    async def messages() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return messages


def _hash_of(request: Request, body: bytes) -> str:
    return _hash(request.method, request.url.path, request.url.query, hashlib.sha256(body).hexdigest())


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
