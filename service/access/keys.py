"""Keys: made, verified, rotated, revoked; a key has the scopes it was given and no others.

A key reads `ji_<key id>_<64 hex digits>`; it is shown once. Sessions of reviewers are in sessions.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import structlog
from fastapi import Request
from sqlalchemy import Row
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool

from models.journey.event import SECOND, Micros
from service.access import store
from service.access.limits import Limits
from service.database import Database
from service.errors import Forbidden, Invalid, NotFound, Unauthorized
from service.state import State, state_of

SCOPES = ("ingest", "read", "provisional", "review", "admin")
"""Send events; read insights; see what still waits for a person; review; manage."""

MAX_NAME = 80
USED_EVERY: Micros = 60 * SECOND
"""`last_used_at` is exact to a minute, so that using a key seldom writes."""

MOST_REMEMBERED = 1_000
"""Keys, and what was offered as one, that a ring remembers."""

_FORM = re.compile(r"ji_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Key:
    """Who calls, and what they may."""

    key_id: str
    name: str
    scopes: frozenset[str]
    created_at: Micros
    revoked_at: Micros | None
    last_used_at: Micros | None

    def in_force(self, now: Micros) -> bool:
        """A key that was rotated is so until the moment that was left to its users."""
        return self.revoked_at is None or now < self.revoked_at


def create(database: Database, name: str, scopes: Sequence[str], now: Micros) -> tuple[Key, str]:
    """Make a key; the second value is the whole key, never to be seen again. Raises Invalid."""
    name = name.strip()
    if not 0 < len(name) <= MAX_NAME:
        raise Invalid(f"A key's name has 1 to {MAX_NAME} characters.", "Choose another name.", field="name", value=name)
    for scope in scopes:
        if scope not in SCOPES:
            raise Invalid(f"There is no scope {scope!r}.", "Choose allowed ones.", field="scope", value=scope,
                          allowed=SCOPES)  # fmt: skip
    if not scopes:
        raise Invalid("A key needs at least one scope.", "Choose allowed ones.", field="scope", allowed=SCOPES)
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    ordered = [scope for scope in SCOPES if scope in scopes]
    with database.write() as connection:
        store.add(connection, key_id, name, _hash(secret), ordered, now)
    return Key(key_id, name, frozenset(ordered), now, None, None), f"ji_{key_id}_{secret}"


def verify(database: Database, whole: str, now: Micros) -> Key | None:
    """The key in force behind these characters, or None; its use is noted."""
    key = find(database, whole)
    if key is None or not key.in_force(now):
        return None
    if use_is_news(key, now):
        note_use(database, key, now)
    return key


def find(database: Database, whole: str) -> Key | None:
    """The key behind these characters, in force or not, or None. Reads only; compares the secret in constant time."""
    form = _FORM.fullmatch(whole)
    if form is None:
        return None
    with database.read() as connection:
        row = store.find(connection, form[1])
    expected = row.hash if row else _hash("")
    if not hmac.compare_digest(_hash(form[2]), expected) or row is None:
        return None
    return _key(row)


def use_is_news(key: Key, now: Micros) -> bool:
    return key.last_used_at is None or now - key.last_used_at >= USED_EVERY


def note_use(database: Database, key: Key, now: Micros) -> None:
    """Waits where somebody else writes: not for a coroutine. A storage that cannot be written to keeps nobody out."""
    try:
        with database.write() as connection:
            store.used(connection, key.key_id, now)
    except OperationalError as error:
        structlog.get_logger().warning("use_not_noted", reason=str(error.orig))


def revoke(database: Database, key_id: str, now: Micros) -> None:
    """From now on the key is unknown. Raises NotFound."""
    with database.write() as connection:
        if not store.revoke(connection, key_id, now):
            raise _no_such(key_id)


def rotate(database: Database, key_id: str, now: Micros, overlap: Micros) -> tuple[Key, str]:
    """A new key of the same name and scopes; the old one is in force for `overlap` still. Raises NotFound."""
    with database.read() as connection:
        row = store.find(connection, key_id)
    if row is None or row.revoked_at is not None:
        raise _no_such(key_id)
    made = create(database, row.name, row.scopes.split(), now)
    revoke(database, key_id, now + overlap)
    return made


def _no_such(key_id: str) -> NotFound:
    return NotFound(f"No key {key_id!r} is in force.", "See `python -m service keys list`.", code="unknown_key",
                    field="key_id", value=key_id)  # fmt: skip


def all_keys(database: Database) -> list[Key]:
    """Every key ever made, oldest first."""
    with database.read() as connection:
        return [_key(row) for row in store.all_keys(connection)]


def credentials(request: Request) -> list[str]:
    """What the headers offer as a key: Bearer, or the user of Basic (as tracking clients send their write key)."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip()]
    if scheme.lower() == "basic":
        try:
            return [base64.b64decode(value, validate=True).decode().partition(":")[0]]
        except (binascii.Error, UnicodeDecodeError):
            return []
    return []


def authorize(state: State, offered: Sequence[str], *scopes: str) -> Key:
    """The first offered key that is in force and has one of these scopes. Raises Unauthorized or Forbidden."""
    return _permitted([verify(state.service, one, state.clock()) for one in offered if one], scopes)


class KeyRing:
    """Keys as they were last read, for one thread that must not wait: read again once anybody changed service.db.

    So a key that is revoked, by whichever process, is unknown to the next request.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._watch = database, database.engine.raw_connection()
        self._seen: object = None
        self._found: dict[str, Key | None] = {}
        self._noted: dict[str, Micros] = {}

    def find(self, whole: str) -> Key | None:
        """As `find`. SQLite's data version changes with every commit of another connection, and ours never commits."""
        cursor = self._watch.cursor()
        seen = cursor.execute("PRAGMA data_version").fetchone()
        cursor.close()
        if seen != self._seen or len(self._found) >= MOST_REMEMBERED:
            self._found, self._seen = {}, seen
        hashed = _hash(whole)
        if hashed not in self._found:
            self._found[hashed] = find(self._database, whole)
        return self._found[hashed]

    def use_is_news(self, key: Key, now: Micros) -> bool:
        """True to one of those who use a key at the same time, a minute after it was last noted."""
        if not use_is_news(key, now) or now - self._noted.get(key.key_id, now - USED_EVERY) < USED_EVERY:
            return False
        self._noted[key.key_id] = now
        return True

    def close(self) -> None:
        self._watch.close()


async def admit(request: Request, offered: Sequence[str], *scopes: str) -> Key:
    """`authorize` for a coroutine: knows the key at once, and waits elsewhere where its use is to be noted."""
    state, ring = state_of(request), cast(KeyRing, request.app.state.keys)
    now, found = state.clock(), [ring.find(one) for one in offered if one]
    key = _permitted([one if one is not None and one.in_force(now) else None for one in found], scopes)
    limits_of(request).check(key.key_id)
    if ring.use_is_news(key, now):
        await run_in_threadpool(note_use, state.service, key, now)
    return key


def limits_of(request: Request) -> Limits:
    """How much a key of this app may ask."""
    return cast(Limits, request.app.state.limits)


def _permitted(offered: Sequence[Key | None], scopes: Sequence[str]) -> Key:
    challenge = {"WWW-Authenticate": 'Bearer realm="journey-insight"'}
    if not offered:
        raise Unauthorized("No key was sent.", "Send it as 'Authorization: Bearer KEY'.", code="key_missing",
                           headers=challenge)  # fmt: skip
    found = [key for key in offered if key is not None]
    if not found:
        raise Unauthorized("This key is not in force.", "Make one with `python -m service keys create`.",
                           code="key_unknown", headers=challenge)  # fmt: skip
    for key in found:
        if key.scopes & set(scopes):
            return key
    raise Forbidden(f"This key lacks scope {' or '.join(map(repr, scopes))}.", "Use a key that has it.",
                    code="scope_missing", field="scope", allowed=scopes)  # fmt: skip


def require(*scopes: str) -> Callable[[Request], Key]:
    """FastAPI dependency: the key of the request, which has at least one of these scopes."""

    def key_of(request: Request) -> Key:
        key = authorize(state_of(request), credentials(request), *scopes)
        limits_of(request).check(key.key_id)
        return key

    return key_of


def _key(row: Row[Any]) -> Key:
    scopes = frozenset(row.scopes.split())
    return Key(row.key_id, row.name, scopes, row.created_at, row.revoked_at, row.last_used_at)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
