"""What became of promises, as rows: the key of the draws, policies that were in force, and what happened to a promise.

Tables only. A promise is known by its kind (`feeling`, `next_touchpoint`, `purchase:NAME`), the group it was measured
on and the digest of the bundle that carries it. Nothing here is ever changed; the latest word counts.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Row, String, Table, Text, and_, func, select
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros
from models.policy import Policy
from models.watched import ALL_STAND, Key, Standing
from service.database import holds_nothing, metadata
from service.state import State

What = Literal["withdrawn", "shifted", "settled", "reinstated"]
"""Withdrawn by its audits; inputs shifted; inputs as before again; reinstated by a person."""

keys = Table(
    "promise_keys",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("secret", String, nullable=False),
    **holds_nothing("the key of the draws"),
)

policies = Table(
    "policies",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("digest", String, nullable=False),
    Column("release_digest", String, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    **holds_nothing("what operators wrote"),
)
"""`release_digest` names the part that decides answers; it stands with each conclusion, forecast and verdict."""

events = Table(
    "promise_events",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("what", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("promise_events_of", "digest", "kind", "group_name", "number"),
    **holds_nothing("counts over many customers, and why a person acted"),
)
_NEWEST = select(func.max(events.c.number))
"""`why` is a sentence for people, `since` the last moment at which all was well, `body` the counts as JSON."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to a promise."""

    kind: str
    group: str
    digest: str
    what: What
    at: Micros
    by: str
    why: str
    since: Micros
    body: Mapping[str, Any]

    @property
    def key(self) -> Key:
        return self.kind, self.group


def secret(connection: Connection) -> str:
    """The key of the draws, in a writing transaction; made when it is asked for first."""
    found = connection.execute(select(keys.c.secret).order_by(keys.c.number).limit(1)).scalar()
    if found is None:
        found = secrets.token_hex(32)
        connection.execute(insert(keys), {"secret": found})
    return str(found)


def put_in_force(connection: Connection, policy: Policy, at: Micros) -> bool:
    """Write a policy down where it is not the newest; says whether answers are decided otherwise from now on.

    The first time the key of the draws is made, too.
    """
    secret(connection)
    newest = newest_policy(connection)
    if newest is not None and newest.digest == policy.digest:
        return False
    row = {"digest": policy.digest, "release_digest": policy.release.digest, "since": at,
           "body": _json(policy.to_dict())}  # fmt: skip
    connection.execute(insert(policies), row)
    return newest is not None and newest.release_digest != policy.release.digest


def newest_policy(connection: Connection) -> Row[Any] | None:
    """The policy in force; None before a service was started on these data."""
    return connection.execute(select(policies).order_by(policies.c.number.desc()).limit(1)).first()


def policy_history(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Policies, newest first."""
    rows = connection.execute(select(policies).order_by(policies.c.number.desc()).limit(limit))
    return [{"digest": row.digest, "release_digest": row.release_digest, "since": row.since} for row in rows]


def stake(connection: Connection) -> tuple[float, int]:
    """What is at stake with who bought nothing, and the money that is worth half of the rest, by the policy."""
    newest = newest_policy(connection)
    found = msgspec.json.decode(newest.body) if newest else Policy.default().to_dict()
    return float(found["stake"]["least"]), int(found["stake"]["half_at_minor"])


def add(connection: Connection, happened: Happened) -> None:
    """Write down what happened."""
    row = {"kind": happened.kind, "group_name": happened.group, "digest": happened.digest, "what": happened.what,
           "at": happened.at, "by": happened.by, "why": happened.why, "since": happened.since,
           "body": _json(happened.body)}  # fmt: skip
    connection.execute(insert(events), row)


def latest(connection: Connection, digest: str) -> dict[Key, Happened]:
    """The last word on each promise of a bundle about which there is one: withdrawn, or reinstated."""
    return _last(connection, and_(events.c.digest == digest, events.c.what.in_(("withdrawn", "reinstated"))))


def latest_shifts(connection: Connection, digest: str) -> dict[Key, Happened]:
    """The last word on the inputs of each kind: shifted, or settled."""
    return _last(connection, and_(events.c.digest == digest, events.c.what.in_(("shifted", "settled"))))


def history(connection: Connection, limit: int = -1) -> list[Happened]:
    """What happened, newest first; all of it where no limit is given."""
    return [_happened(row) for row in connection.execute(select(events).order_by(events.c.number.desc()).limit(limit))]


def standing(connection: Connection, digest: str | None, policy: Policy) -> Standing:
    """What of a bundle's promises does not stand now: what audits withdrew, and what follows from shifted inputs."""
    if digest is None:
        return ALL_STAND
    newest = connection.execute(_NEWEST).scalar()
    return _standing(connection, digest, policy) if newest else ALL_STAND


def _standing(connection: Connection, digest: str, policy: Policy) -> Standing:
    words, shifts = latest(connection, digest), latest_shifts(connection, digest)
    withdrawn = {key: one.why for key, one in words.items() if one.what == "withdrawn"}
    shifted: set[Literal["feeling", "purchase"]] = {
        "feeling" if kind == "feeling" else "purchase" for (kind, _), one in shifts.items() if one.what == "shifted"
    }
    return Standing(withdrawn, frozenset(kind for kind in shifted if policy.on_shift(kind) == "widen"))


def standing_now(state: State, digest: str | None) -> Standing:
    """`standing` by what is stored at this moment."""
    if digest is None:
        return ALL_STAND
    with state.service.read() as connection:
        return standing(connection, digest, state.settings.promises)


def good_until(connection: Connection, digest: str | None) -> dict[Key, Micros]:
    """For each withdrawn promise the last moment at which all was well."""
    words = {} if digest is None else latest(connection, digest)
    return {key: one.since for key, one in words.items() if one.what == "withdrawn"}


def _last(connection: Connection, condition: Any) -> dict[Key, Happened]:
    by = (events.c.kind, events.c.group_name)
    newest = select(func.max(events.c.number)).where(condition).group_by(*by)
    rows: Sequence[Row[Any]] = connection.execute(select(events).where(events.c.number.in_(newest))).all()
    return {(row.kind, row.group_name): _happened(row) for row in rows}


def _happened(row: Row[Any]) -> Happened:
    body = msgspec.json.decode(row.body)
    return Happened(row.kind, row.group_name, row.digest, row.what, row.at, row.by, row.why, row.since, body)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
