"""The team: reviewers by name, each with a role and a password. A row stays after removal: its name stands on verdicts.

Knows no page, no session and no case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, Column, Connection, Row, String, Table, func, insert, select, update

from models.journey.event import Micros
from service.database import holds_nothing, metadata
from service.errors import Conflict, Invalid, NotFound

Role = Literal["reviewer", "adjudicator", "lead"]
ROLES: tuple[Role, ...] = ("reviewer", "adjudicator", "lead")
"""Each may what those before may: answer cases; decide where readers disagree; see the team's figures."""

MAX_NAME = 80

reviewers = Table(
    "reviewers",
    metadata,
    Column("name", String, primary_key=True),
    Column("known_as", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("password", String, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    **holds_nothing("reviewers are colleagues"),
)
"""`known_as` is the name without capitals: nobody else may be called so. `password` is a hash."""
_IN_FORCE = reviewers.c.removed_at.is_(None)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody who answers cases."""

    name: str
    role: Role
    added_at: Micros
    removed_at: Micros | None = None


def plain_name(name: str) -> str:
    """The name with single spaces. Raises Invalid.

    >>> plain_name("  Ada   Lovelace ")
    'Ada Lovelace'
    """
    plain = " ".join(name.split())
    if not 0 < len(plain) <= MAX_NAME or not plain.isprintable():
        raise Invalid(f"A name has 1 to {MAX_NAME} printable characters.", "Enter a name.", field="name", value=name)
    return plain


def known_as(name: str) -> str:
    """The name as it is looked up: capitals and spaces make nobody somebody else."""
    return " ".join(name.split()).casefold()


def checked_role(role: str) -> Role:
    """Raises Invalid, naming what is allowed."""
    for one in ROLES:
        if one == role:
            return one
    raise Invalid(f"There is no role {role!r}.", "Choose one that is allowed.", field="role", value=role, allowed=ROLES)


def add(connection: Connection, name: str, role: str, password: str, now: Micros) -> Reviewer:
    """Somebody new, or somebody who comes back; `password` is its hash. Raises Invalid or Conflict."""
    made = Reviewer(plain_name(name), checked_role(role), now)
    row = {"role": made.role, "password": password, "added_at": now, "removed_at": None}
    before = _find(connection, name)
    if before is None:
        new = {"name": made.name, "known_as": known_as(name), **row}
        connection.execute(insert(reviewers), new)
        return made
    if before.removed_at is None:
        raise Conflict(f"{before.name} is on the team already.", "Choose a name that tells the two apart.",
                       code="name_taken", field="name", value=name)  # fmt: skip
    connection.execute(update(reviewers).where(reviewers.c.name == before.name).values(row))
    return Reviewer(before.name, made.role, now)


def change(connection: Connection, name: str, **values: str | Micros) -> Reviewer:
    """Set `role`, `password` (its hash) or `removed_at`. Raises Invalid or NotFound."""
    row = _find(connection, name)
    if row is None or row.removed_at is not None:
        raise NotFound(f"Nobody on the team is called {name!r}.", "See `python -m service reviewers list`.",
                       code="unknown_reviewer", field="name", value=name)  # fmt: skip
    if "role" in values:
        checked_role(str(values["role"]))
    connection.execute(update(reviewers).where(reviewers.c.name == row.name).values(**values))
    return _reviewer(connection.execute(select(reviewers).where(reviewers.c.name == row.name)).one())


def secret_of(connection: Connection, name: str) -> tuple[str, str] | None:
    """The name as it is written and the hash of its password, of somebody who is on the team."""
    row = _find(connection, name)
    return None if row is None or row.removed_at is not None else (row.name, row.password)


def everybody(connection: Connection) -> Sequence[Reviewer]:
    """All who ever were on the team, in the order in which they came."""
    return [_reviewer(row) for row in connection.execute(select(reviewers).order_by(reviewers.c.added_at))]


def is_empty(connection: Connection) -> bool:
    return connection.execute(select(func.count()).select_from(reviewers).where(_IN_FORCE)).scalar_one() == 0


def adjudicators(connection: Connection) -> frozenset[str]:
    """Who decides where readers disagree."""
    wanted = select(reviewers.c.name).where(_IN_FORCE, reviewers.c.role.in_(("adjudicator", "lead")))
    return frozenset(connection.execute(wanted).scalars())


def _find(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(reviewers).where(reviewers.c.known_as == known_as(name))).first()


def _reviewer(row: Row[Any]) -> Reviewer:
    return Reviewer(row.name, checked_role(row.role), row.added_at, row.removed_at)
