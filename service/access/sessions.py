"""Sessions: a person signs in with a key that may review and a name, and is known by a cookie until signing out.

The cookie's token is stored only as a hash; the token against forged forms is derived from it, so it needs no table.
Knows no page: what happens to somebody who is not signed in is for the pages to say.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from fastapi import Request, Response
from sqlalchemy import BigInteger, Column, Connection, String, Table, and_, insert, select, update

from models.journey.event import SECOND, Micros
from service.access import keys
from service.access.store import keys as key_table
from service.database import holds_nothing, metadata
from service.errors import Forbidden, Invalid, Unauthorized
from service.state import State

COOKIE = "journey_insight_session"
PATH = "/reviews"
MAX_NAME = 80

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("key_id", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("signed_in_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    **holds_nothing("sessions belong to reviewers"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Who reviews. `csrf` must come back with whatever this person sends."""

    name: str
    key_id: str
    csrf: str


def sign_in(state: State, key: str, name: str) -> str:
    """The token of a new session.

    Raises Invalid for a name that is empty or too long, Unauthorized and Forbidden for a key that may not review.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise Invalid(f"A name has 1 to {MAX_NAME} printable characters.", "Enter your name.", field="name", value=name)
    found = keys.authorize(state, [key.strip()], "review")
    token, now = secrets.token_urlsafe(32), state.clock()
    with state.service.write() as connection:
        row = {
            "token_hash": _hash(token), "key_id": found.key_id, "name": name, "signed_in_at": now,
            "ends_at": now + state.settings.session_hours * 3600 * SECOND,
        }  # fmt: skip
        connection.execute(insert(sessions), row)
    return token


def person_of(connection: Connection, request: Request, now: Micros) -> Person | None:
    """Who sent this request; None where the session is over, unknown, or its key was revoked."""
    token = request.cookies.get(COOKIE, "")
    if not token:
        return None
    both = sessions.join(key_table, and_(key_table.c.key_id == sessions.c.key_id, key_table.c.revoked_at.is_(None)))
    wanted = select(sessions.c.name, sessions.c.key_id).select_from(both).where(
        sessions.c.token_hash == _hash(token), sessions.c.ended_at.is_(None), sessions.c.ends_at > now
    )  # fmt: skip
    row = connection.execute(wanted).first()
    return Person(row.name, row.key_id, csrf_token(token)) if row else None


def check_form(person: Person | None, sent: str) -> Person:
    """The person, if the form came from a page that we made for them. Raises Unauthorized or Forbidden."""
    if person is None:
        raise Unauthorized("You are not signed in.", "Sign in at /reviews.", code="signed_out")
    if not hmac.compare_digest(sent.encode(), person.csrf.encode()):
        raise Forbidden("This form was not made for your session.", "Open the page again and repeat it.", code="csrf")
    return person


def sign_out(connection: Connection, request: Request, now: Micros) -> None:
    """End the session behind this request's cookie, if there is one."""
    mine = sessions.c.token_hash == _hash(request.cookies.get(COOKIE, ""))
    connection.execute(update(sessions).where(mine).values(ended_at=now))


def remember(response: Response, token: str, request: Request, state: State) -> None:
    """Hand the browser its token: unreadable to scripts, never sent along from another site."""
    response.set_cookie(
        COOKIE, token, max_age=state.settings.session_hours * 3600, path=PATH, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")


def csrf_token(token: str) -> str:
    """What forms of this session carry; nobody can make it who does not hold the session's token."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
