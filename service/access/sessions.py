"""Sessions: a reviewer signs in with a name and a password, and is known by a cookie until signing out.

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
from service.access import guessing, passwords, team
from service.access.team import Role, reviewers
from service.database import holds_nothing, metadata
from service.errors import Forbidden, Unauthorized
from service.state import State

COOKIE = "journey_insight_session"
PATH = "/reviews"

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("name", String, nullable=False, index=True),
    Column("signed_in_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    **holds_nothing("sessions belong to reviewers"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Who reviews. `csrf` must come back with whatever this person sends."""

    name: str
    role: Role
    csrf: str

    @property
    def leads(self) -> bool:
        return self.role == "lead"


def sign_in(state: State, name: str, password: str, address: str) -> str:
    """The token of a new session.

    Raises Unauthorized, which does not tell whether there is such a name, and TooMany after too many wrong tries of
    this name or from this address.
    """
    known_as, try_id, now = team.known_as(name)[: team.MAX_NAME], state.ids(), state.clock()
    with state.service.write() as connection:
        guessing.count_try(connection, try_id, known_as, address, now)
        found = team.secret_of(connection, known_as)
    if not passwords.matches(password, found[1] if found else None) or found is None:
        raise Unauthorized("This name and password do not belong together.", "Check both.", code="wrong_password")
    token = secrets.token_urlsafe(32)
    with state.service.write() as connection:
        guessing.forget_tries(connection, try_id, known_as, address)
        row = {
            "token_hash": _hash(token), "name": found[0], "signed_in_at": now,
            "ends_at": now + state.settings.session_hours * 3600 * SECOND,
        }  # fmt: skip
        connection.execute(insert(sessions), row)
    return token


def change_password(state: State, request: Request, person: Person, old: str, new: str, address: str) -> None:
    """Give this person another password, and end their sessions but the one behind this request's cookie.

    Raises Unauthorized for a wrong old password, TooMany after too many, and Invalid for a new one that is too short
    or too long.
    """
    known_as, try_id, now = team.known_as(person.name), state.ids(), state.clock()
    with state.service.write() as connection:
        guessing.count_try(connection, try_id, known_as, address, now)
        found = team.secret_of(connection, known_as)
    if not passwords.matches(old, found[1] if found else None):
        raise Unauthorized("This is not the password you have now.", "Type it again.", code="wrong_password",
                           field="password")  # fmt: skip
    hashed = passwords.hashed(new, field="new")
    with state.service.write() as connection:
        guessing.forget_tries(connection, try_id, known_as, address)
        team.change(connection, person.name, password=hashed)
        end_all(connection, person.name, now, but=request.cookies.get(COOKIE, ""))


def person_of(connection: Connection, request: Request, now: Micros) -> Person | None:
    """Who sent this request; None where the session is over or unknown, or its person left the team."""
    token = request.cookies.get(COOKIE, "")
    if not token:
        return None
    both = sessions.join(reviewers, and_(reviewers.c.name == sessions.c.name, reviewers.c.removed_at.is_(None)))
    wanted = select(reviewers.c.name, reviewers.c.role).select_from(both).where(
        sessions.c.token_hash == _hash(token), sessions.c.ended_at.is_(None), sessions.c.ends_at > now
    )  # fmt: skip
    row = connection.execute(wanted).first()
    return Person(row.name, team.checked_role(row.role), csrf_token(token)) if row else None


def end_all(connection: Connection, name: str, now: Micros, *, but: str = "") -> None:
    """End every session of this reviewer but the one of this token: the password is another now, or they left."""
    theirs = (sessions.c.name == name, sessions.c.ended_at.is_(None), sessions.c.token_hash != _hash(but))
    connection.execute(update(sessions).where(*theirs).values(ended_at=now))


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
