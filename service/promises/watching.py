"""The live check: each promise followed case by case, and taken back the moment its bound is passed.

Feelings by what people say who read a random share blind, sets and purchase probabilities by what happened. Valid at
every look (models/confidence/betting.py, intervals.py). What was followed so far is kept, so that a look costs what is
new; after a verdict is taken back it is followed anew from the first case. Withdraws, and tells the outbox; what that
means for answers is models/watched.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Column, Connection, Integer, String, Table, Text, and_, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.confidence.betting import Monitor
from models.confidence.intervals import watch
from models.insight import ModelVersion
from models.journey.event import Micros, format_time
from models.policy import Policy
from models.watched import Key
from service.database import holds_nothing, metadata
from service.forecasts.store import firsts_checked
from service.outbox import store as outbox
from service.promises import drawing, sets, store
from service.promises.store import Happened

MOST_FOLLOWED = 50_000

monitors = Table(
    "promise_monitors",
    metadata,
    Column("digest", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("group_name", String, primary_key=True),
    Column("cases", Integer, nullable=False),
    Column("body", Text, nullable=False),
    **holds_nothing("counts over many customers"),
)
"""How far each promise was followed; may be deleted at any time, it is then followed anew."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a promise: when the answer went out, when it was found out whether it was wrong, and that."""

    released_at: Micros
    found_at: Micros
    wrong: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """How a promise fares: cases checked, wrong ones, bounds of the true share, and whether it must be withdrawn.

    `good_until` is when the last answer went out up to which all was well. Of a purchase probability `wrong` counts
    what happened, and the bounds are the mean ends of what was told.
    """

    cases: int = 0
    wrong: int = 0
    lower: float = 0.0
    upper: float = 1.0
    withdraw: bool = False
    withdrawn_after: int | None = None
    last_good: int = 0
    good_until: Micros = 0
    body: dict[str, Any] = field(default_factory=dict)


def look(connection: Connection, policy: Policy, model: ModelVersion, key: Key, now: Micros) -> Happened | None:
    """Follow a promise up to now, in the caller's writing transaction; the withdrawal where it must be, else None."""
    if model.digest is None:
        return None
    word = store.latest(connection, model.digest).get(key)
    if word is not None and word.what == "withdrawn":
        return None
    seen = followed(connection, policy, model.digest, key, keeps=True)
    if not seen.withdraw:
        return None
    happened = Happened(
        key[0], key[1], model.digest, "withdrawn", now, "the live check", _why(key, seen, policy),
        seen.good_until, {"cases": seen.cases, "wrong": seen.wrong, "after": seen.withdrawn_after,
                          "lower": round(seen.lower, 4), "upper": round(seen.upper, 4), "version": model.version},
    )  # fmt: skip
    withdraw(connection, happened)
    return happened


def withdraw(connection: Connection, happened: Happened) -> None:
    """Write a withdrawal down and tell it, in one transaction."""
    store.add(connection, happened)
    outbox.add(connection, "promise.withdrawn", "/".join(happened.key), told(happened), happened.at)


def told(happened: Happened) -> dict[str, Any]:
    """What happened, as programs are told."""
    return {
        "kind": happened.kind, "group": happened.group, "what": happened.what, "digest": happened.digest,
        "at": format_time(happened.at), "by": happened.by, "why": happened.why,
        "good_until": format_time(happened.since), **happened.body,
    }  # fmt: skip


def followed(connection: Connection, policy: Policy, digest: str, key: Key, *, keeps: bool = False) -> Seen:
    """How a promise fares now; since a person reinstated it, where one did. `keeps` writes down how far it came."""
    word = store.latest(connection, digest).get(key)
    since = word.at if word is not None and word.what == "reinstated" else 0
    alpha, delta = policy.risk_of(key[0].partition(":")[0])
    if key[0].startswith("purchase:"):
        return _purchases(connection, digest, key, delta, since)
    terms = {"alpha": alpha, "delta": delta, "since": since}
    before, cases = _kept(connection, digest, key, terms), _cases(connection, digest, key, since)
    if before.cases > len(cases) or not terms.items() <= before.body.items():
        before = Seen()
    if not before.body:
        before = Seen(good_until=since, body={**terms, "monitor": Monitor.of(alpha, delta).to_dict()})
    seen = _follow(before, cases[before.cases :])
    if keeps and seen.cases != before.cases:
        row = {"cases": seen.cases, "body": msgspec.json.encode({**seen.body, "good_until": seen.good_until}).decode()}
        new = insert(monitors).values(digest=digest, kind=key[0], group_name=key[1], **row)
        connection.execute(new.on_conflict_do_update(index_elements=["digest", "kind", "group_name"], set_=row))
    return seen


def forget(connection: Connection, digest: str, key: Key) -> None:
    """A case was taken back: the promise is followed anew when it is looked at next."""
    m = monitors.c
    connection.execute(delete(monitors).where(and_(m.digest == digest, m.kind == key[0], m.group_name == key[1])))


def _follow(before: Seen, cases: Sequence[Case]) -> Seen:
    monitor, good_until = Monitor.from_dict(before.body["monitor"]), before.good_until
    for one in cases:
        monitor = monitor.after(one.wrong)
        if monitor.last_good == monitor.sequence.audits:
            good_until = max(good_until, one.released_at)
    sequence = monitor.sequence
    return Seen(
        sequence.audits, sequence.wrong, sequence.lower, sequence.upper, monitor.withdraw, monitor.withdrawn_at,
        monitor.last_good, good_until, {**before.body, "monitor": monitor.to_dict()},
    )  # fmt: skip


def _kept(connection: Connection, digest: str, key: Key, terms: dict[str, Any]) -> Seen:
    m = monitors.c
    mine = select(monitors).where(m.digest == digest, m.kind == key[0], m.group_name == key[1])
    row = connection.execute(mine).first()
    if row is None:
        return Seen()
    body = msgspec.json.decode(row.body)
    return Seen(cases=row.cases, good_until=body.pop("good_until"), body=body)


def _cases(connection: Connection, digest: str, key: Key, since: Micros) -> list[Case]:
    if key[0] == "feeling":
        rows = drawing.audits(connection, digest, key[1], since)
        return [Case(row.drawn_at, row.answered_at, row.wrong) for row in rows]
    rows = sets.checked(connection, digest, key[1], since)
    return [Case(row.made_at, row.checked_at, row.missed) for row in rows]


def _purchases(connection: Connection, digest: str, key: Key, delta: float, since: Micros) -> Seen:
    """The first probability of each customer that was checked, in the order in which that was found out."""
    rows = firsts_checked(connection, digest, key[0].partition(":")[2], since, MOST_FOLLOWED)
    ends = [np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in ("low", "high")]
    found = watch(np.array([row.happened == 1 for row in rows], dtype=np.bool_), ends[0], ends[1], delta)
    good = max((row.made_at for row in rows[: found.last_good]), default=since)
    return Seen(
        found.cases, found.happened, found.low if rows else 0.0, found.high if rows else 1.0,
        found.withdrawn_at is not None, found.withdrawn_at, found.last_good, good,
    )  # fmt: skip


def _why(key: Key, seen: Seen, policy: Policy) -> str:
    after, most = seen.withdrawn_after, policy.risk_of(key[0].partition(":")[0])[0]
    if key[0] == "feeling":
        return (f"Of {seen.cases} answers that people checked blind {seen.wrong} were wrong, more than the {most:.0%} "
                f"we promised; so nothing goes out unread here.")  # fmt: skip
    if key[0] == "next_touchpoint":
        return f"Of {seen.cases} sets {seen.wrong} did not hold what came, more than the {most:.0%} we promised."
    return (f"Of {seen.cases} customers {seen.wrong} did it, where we had told {seen.lower:.1%} to {seen.upper:.1%}; "
            f"this was found after {after}.")  # fmt: skip
