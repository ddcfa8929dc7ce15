"""Are the inputs still what they were when promises were measured? Looked at once a day, before any label comes.

Words by the embeddings of the newest texts, one of each customer, beside those that the bundle carries; behaviour by
the features behind the newest purchase probabilities beside theirs (models/confidence/shift.py). One level is spent
over thirty looks. What follows from a shift is the policy's: nothing, more care, or a withdrawal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from sqlalchemy import BigInteger, Column, Connection, Index, Integer, String, Table, Text, func, select
from sqlalchemy.dialects.sqlite import insert

from models.bundle import LoadedBundle
from models.confidence.risk import ALL
from models.confidence.shift import embedding_shift, feature_shift, level_of_look
from models.insight import ModelVersion, ReleasePolicy
from models.journey.event import DAY, Micros
from models.policy import OnShift
from models.watched import Key
from service.customers.consent import objecting
from service.database import holds_nothing, metadata
from service.events.folded import feedback
from service.forecasts import store as forecasts
from service.live.bundles import Live
from service.promises import store, watching
from service.promises.store import Happened
from service.state import State

LOOK_EVERY = DAY
LEAST_NEW = 100
"""Fewer new cases than this are not looked at: they could show little."""
MOST_NEW = 400
LOOKS = 30
"""The policy's level is spent over so many looks; then it is spent anew."""
MOST_PERMUTATIONS = 60_000

looks = Table(
    "input_looks",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("input_looks_of", "digest", "kind", "number"),
    **holds_nothing("distances and p-values over many customers"),
)

Inputs = Literal["feeling", "purchase"]
KINDS: tuple[Inputs, ...] = ("feeling", "purchase")
Touch = Callable[[Connection], None]
"""Lets everybody be concluded again."""
Found = dict[str, Any]


def look(state: State, live: Live, touch: Touch) -> None:
    """Look at words and at behaviour, where the last look is a day old and enough is new."""
    bundle = live.bundle
    if live.model.digest is None or not isinstance(bundle, LoadedBundle):
        return
    now = state.clock()
    with state.service.read() as connection:
        due = {kind: _due(connection, live.model.digest, kind, now) for kind in KINDS}
    for kind, number in due.items():
        if number is None:
            continue
        found = _words(state, bundle, number) if kind == "feeling" else _behaviour(state, bundle, number)
        if found is not None:
            _record(state, live.model, bundle, kind, found, now, touch)


def latest_looks(connection: Connection, digest: str) -> dict[str, dict[str, Any]]:
    """The newest look at the inputs of each kind, with when it was."""
    newest = select(func.max(looks.c.number)).where(looks.c.digest == digest).group_by(looks.c.kind)
    rows = connection.execute(select(looks).where(looks.c.number.in_(newest)))
    return {row.kind: {"at": row.at, **msgspec.json.decode(row.body)} for row in rows}


def _due(connection: Connection, digest: str, kind: str, now: Micros) -> int | None:
    """The number of the look that is due, from 1 to `LOOKS`; None where the last one was not long ago."""
    mine = select(func.count(), func.max(looks.c.at)).where(looks.c.digest == digest, looks.c.kind == kind)
    count, last = connection.execute(mine).one()
    return None if last is not None and now < last + LOOK_EVERY else count % LOOKS + 1


def _words(state: State, bundle: LoadedBundle, number: int) -> Found | None:
    before = bundle.reference.words
    if before is None or bundle.feedback is None:
        return None
    with state.service.read() as connection:
        texts = newest_words(connection, MOST_NEW)
    now = bundle.feedback.embed(texts) if len(texts) >= LEAST_NEW else None
    if now is None:
        return None
    level = _level(state, number)
    permutations = min(math.ceil(2 / level), MOST_PERMUTATIONS)
    found = embedding_shift(before.cases, now, np.random.default_rng(number), permutations, enough=20)
    return {"look": number, "level": level, "p_value": found.p_value, "distance": round(found.distance, 5),
            "n": found.n_now, "n_before": found.n_before, "shifted": found.p_value <= level, "which": []}  # fmt: skip


def _behaviour(state: State, bundle: LoadedBundle, number: int) -> Found | None:
    level = _level(state, number)
    told: list[dict[str, Any]] = []
    seen: list[int] = []
    for name, before in bundle.reference.features.items():
        with state.service.read() as connection:
            rows = forecasts.newest_features(connection, name, bundle.digest, before.names, MOST_NEW)
        if len(rows) < LEAST_NEW:
            continue
        seen.append(len(rows))
        found = feature_shift(before.cases, np.array(rows, dtype=np.float64), before.names, level)
        told += [{"target": name, "feature": one.name, "distance": round(one.distance, 3), "p_value": one.p_value}
                 for one in found if one.shifted]  # fmt: skip
    if not seen:
        return None
    return {"look": number, "level": level, "n": max(seen), "shifted": bool(told), "which": told[:10]}


def _level(state: State, number: int) -> float:
    """Half of the policy's level for words and half for behaviour, spent over `LOOKS` looks."""
    return level_of_look(number, float(state.settings.promises.values["shift.level"]) / len(KINDS))


def newest_words(connection: Connection, limit: int) -> list[str]:
    """The latest text of each of the customers who said something last, of whom none objects to being profiled."""
    newest = func.max(feedback.c.known_at)
    by_customer = select(feedback.c.customer_id, feedback.c.text, newest).group_by(feedback.c.customer_id)
    rows = connection.execute(by_customer.order_by(newest.desc()).limit(limit)).all()
    objectors = objecting(connection, [row.customer_id for row in rows])
    return [row.text for row in rows if row.customer_id not in objectors]


def _record(
    state: State, model: ModelVersion, bundle: LoadedBundle, kind: Inputs, found: Found, now: Micros, touch: Touch
) -> None:
    """Write the look down; where the inputs are otherwise than at the last look, what follows from that."""
    policy = state.settings.promises
    with state.service.write() as connection:
        row = {"kind": kind, "digest": model.digest, "at": now, "body": msgspec.json.encode(found).decode()}
        connection.execute(insert(looks), row)
        before = store.latest_shifts(connection, str(model.digest)).get((kind, "all"))
        was = before is not None and before.what == "shifted"
        if was == found["shifted"]:
            return
        happened = Happened(kind, "all", str(model.digest), "shifted" if found["shifted"] else "settled", now,
                            "the look at inputs", _why(kind, found, policy.on_shift(kind)), now, found)  # fmt: skip
        store.add(connection, happened)
        if found["shifted"] and policy.on_shift(kind) == "withdraw":
            _withdraw(connection, happened, promised(bundle, kind, policy.release))
        touch(connection)


def promised(bundle: LoadedBundle, kind: Inputs, policy: ReleasePolicy) -> list[Key]:
    """Every promise of a bundle that rests on words, or on behaviour."""
    measured = bundle.measured
    if kind == "feeling":
        if measured.feeling is None:
            return []
        channels = [ALL, *measured.feeling.table.group.tolist()]
        rules = {measured.feeling.rule(policy.alpha, policy.delta, channel) for channel in dict.fromkeys(channels)}
        return sorted(("feeling", rule.group) for rule in rules)
    following = measured.next_touchpoint
    groups = sorted(following.set_for(policy.coverage).n) if following is not None else []
    return [("next_touchpoint", one) for one in groups] + [
        (f"purchase:{name}", ALL) for name in measured.purchase or ()
    ]


def _withdraw(connection: Connection, shifted: Happened, keys: Sequence[Key]) -> None:
    """Every promise that rests on these inputs."""
    standing = store.latest(connection, shifted.digest)
    for key in keys:
        if key not in standing or standing[key].what != "withdrawn":
            gone = Happened(*key, shifted.digest, "withdrawn", shifted.at, shifted.by, shifted.why, shifted.at,
                            {"cases": 0})  # fmt: skip
            watching.withdraw(connection, gone)


def _why(kind: str, found: Found, follows: OnShift) -> str:
    what = "What customers write" if kind == "feeling" else "What customers do"
    if not found["shifted"]:
        return f"{what} is again as it was when our promises were measured."
    which = ", ".join(dict.fromkeys(one["feature"] for one in found["which"][:3]))
    then = {"note": "", "widen": " We are more careful until it is measured anew.",
            "withdraw": " Nothing is promised until it is measured anew."}[follows]  # fmt: skip
    return f"{what} is no longer as it was when our promises were measured{f' ({which})' if which else ''}.{then}"
