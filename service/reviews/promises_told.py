"""What is told of promises, to programs and on the page: each promise with its checks, first texts, what the audit can
notice, quality weighted by the chance of review, the load of people, and the inputs. Changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, func, select, text

from models.bundle import LoadedBundle
from models.confidence.betting import noticing
from models.confidence.binomial import clopper_pearson
from models.confidence.metrics import Interval
from models.confidence.weighted import expected_accuracy, reviewed_share
from models.journey.event import DAY, Micros, format_time
from models.policy import Policy
from models.review import CANNOT_TELL
from models.watched import Key
from service.insights import store as insights
from service.insights.released import count_released
from service.insights.released import released as released_rows
from service.insights.store import conclusions
from service.live.bundles import Live
from service.promises import drawing, shifts, store, watching
from service.promises.load import Load, load_of
from service.reviews.store import WAITING, verdicts
from service.state import State

RECENT = 7 * DAY
NOTICED = (1.2, 1.5, 2.0, 3.0, 4.0)
"""True shares of mistakes, in multiples of alpha, of which it is told when they would be noticed."""
MOST_WEIGHED = 20_000
EVENTS = 50


def told(state: State, live: Live) -> dict[str, Any]:
    """Everything, as GET /v1/promises tells it."""
    now, policy = state.clock(), state.settings.promises
    with state.service.read() as connection:
        released = {} if live.model.digest is None else count_released(
            connection, live.model.digest, now - RECENT
        )  # fmt: skip
        return {
            "model": live.model.to_dict(),
            "policy": {"digest": policy.digest, "release_digest": policy.release.digest},
            "promises": [
                _promise(connection, policy, live, key, released, now) for key in keys(connection, policy, live)
            ],
            "quality": _quality(connection, live),
            "load": load(connection, policy, now).to_dict(),
            "inputs": _inputs(connection, live),
            "events": [watching.told(one) for one in store.history(connection, EVENTS)],
        }


def keys(connection: Connection, policy: Policy, live: Live) -> list[Key]:
    """The promises of the live bundle."""
    if isinstance(live.bundle, LoadedBundle):
        return [key for kind in shifts.KINDS for key in shifts.promised(live.bundle, kind, policy.release)]
    if live.model.digest is None:
        return []
    groups = connection.execute(select(drawing.draws.c.group_name).distinct()).scalars()
    return [("feeling", group) for group in sorted(set(groups))]


def load(connection: Connection, policy: Policy, now: Micros) -> Load:
    """What reviewers face, by what came in the last seven days (fewer where the service is younger)."""
    c, v, since = conclusions.c, verdicts.c, now - RECENT
    waiting = select(func.count()).select_from(conclusions).where(text(WAITING))
    still = connection.execute(waiting.where(c.waiting_since >= since)).scalar_one()
    read = select(func.count(), func.count().filter(v.final)).where(v.decided_at >= since, v.undone_at.is_(None))
    readings, final = connection.execute(read).one()
    came = select(func.count()).select_from(verdicts).join(conclusions, c.conclusion_id == v.conclusion_id)
    gone = connection.execute(
        came.where(v.decided_at >= since, v.undone_at.is_(None), v.final, c.waiting_since >= since)
    ).scalar_one()  # fmt: skip
    begun = connection.execute(
        select(
            select(func.min(c.waiting_since)).where(text(WAITING)).scalar_subquery(),
            select(func.min(v.decided_at)).where(v.decided_at >= since).scalar_subquery(),
        )
    ).one()
    age = now - min((one for one in begun if one is not None), default=since)
    days = min(RECENT, max(DAY, age)) / DAY
    each = max(1.0, readings / final) if final else 1.0
    return load_of(policy, connection.execute(waiting).scalar_one(), still + gone, days, each)


def _promise(
    connection: Connection, policy: Policy, live: Live, key: Key, released: dict[str, tuple[int, Micros]], now: Micros
) -> dict[str, Any]:
    digest = str(live.model.digest)
    word = store.latest(connection, digest).get(key)
    withdrawn = word is not None and word.what == "withdrawn"
    measured = _measured(live, policy, key)
    seen = watching.followed(connection, policy, digest, key)
    alpha, delta = policy.risk_of(key[0].partition(":")[0])
    found = {
        "kind": key[0], "group": key[1], **measured, "standing": bool(measured["proven"] and not withdrawn),
        "withdrawn": watching.told(word) if word is not None and withdrawn else None,
        "checks": _checks(seen, key, delta), "released_a_day": None, "first_texts": None, "noticing": [],
        "accuracy": None, "released_since_good": None,
    }  # fmt: skip
    if key[0] != "feeling":
        return found
    first = drawing.count_first(connection, digest, key[1])
    n, oldest = released.get(key[1], (0, now))
    a_day = n / (min(RECENT, max(DAY, now - oldest)) / DAY)
    return found | {
        "released_a_day": round(a_day, 2),
        "first_texts": None if found["standing"] else {"wanted": policy.day_one_texts, **asdict(first)},
        "noticing": _noticing(alpha, delta, policy.audit_share, a_day),
        "accuracy": _accuracy(connection, live, key, seen, now - RECENT),
        "released_since_good": _since_good(connection, digest, key, seen.good_until) if withdrawn else None,
    }


def _measured(live: Live, policy: Policy, key: Key) -> dict[str, Any]:
    """What the bundle's own labels show, by the policy."""
    kind, _, name = key[0].partition(":")
    alpha, delta = policy.risk_of(kind)
    terms: dict[str, Any] = {"at_most_wrong": alpha, "confidence": round(1 - delta, 6)}
    unknown = {"terms": terms, "n": 0, "proven": True, "n_more_needed": 0, "n_more_likely": 0}
    if not isinstance(live.bundle, LoadedBundle):
        return unknown
    measured = live.bundle.measured
    if kind == "feeling" and measured.feeling is not None:
        table, rule = measured.feeling.table, measured.feeling.rule(alpha, delta, key[1])
        n = len(table) if rule.group == "all" else int((table.group == rule.group).sum())
        return {
            "terms": terms, "n": n, "proven": rule.threshold is not None, "n_more_needed": rule.n_more_needed,
            "n_more_likely": rule.n_more_likely, "threshold": rule.threshold, "upper_bound": round(rule.upper_bound, 4),
        }  # fmt: skip
    if kind == "next_touchpoint" and measured.next_touchpoint is not None:
        chosen = measured.next_touchpoint.set_for(policy.release.coverage)
        return unknown | {"terms": {"at_least": policy.release.coverage}, "n": chosen.n.get(key[1], 0)}
    purchase = (measured.purchase or {}).get(name)
    held = purchase is not None and purchase.held
    return unknown | {"terms": {"within": "interval"}, "n": purchase.n if purchase else 0, "proven": held}


def _checks(seen: watching.Seen, key: Key, delta: float) -> dict[str, Any]:
    purchase = key[0].startswith("purchase:")
    return {
        "by": "people" if key[0] == "feeling" else "what happened", "cases": seen.cases,
        "happened" if purchase else "wrong": seen.wrong,
        "told" if purchase else "bounds": [round(seen.lower, 4), round(seen.upper, 4)],
        "confidence": round(1 - delta, 6), "withdrawn_after": seen.withdrawn_after,
        "good_until": format_time(seen.good_until) if seen.good_until else None,
    }  # fmt: skip


def _noticing(alpha: float, delta: float, share: float, a_day: float) -> list[dict[str, Any]]:
    """When a larger share of mistakes would be noticed; nothing where nothing is released or audited."""
    if not (0 < share < 1 and a_day > 0):
        return []
    found = []
    for error in [round(times * alpha, 6) for times in NOTICED if times * alpha < 0.9]:
        one = noticing(error, alpha, delta, share, a_day)
        found.append({"error": error, "audits": one.audits, "releases": one.releases, "days": one.days})
    return found


def _accuracy(connection: Connection, live: Live, key: Key, seen: watching.Seen, since: Micros) -> dict[str, Any]:
    """Of what was released since then: the share that ought to be right by its scores, and what audits found."""
    real = None
    if seen.cases:
        low, high = clopper_pearson(seen.cases - seen.wrong, seen.cases)
        real = _told(Interval(1 - seen.wrong / seen.cases, low, high), seen.cases)
    if not isinstance(live.bundle, LoadedBundle) or live.bundle.measured.feeling is None:
        return {"expected": None, "real": real}
    table = live.bundle.measured.feeling.table
    rows = released_rows(connection, str(live.model.digest), key[1], since, MOST_WEIGHED)
    scores = [msgspec.json.decode(row.stored)["details"].get("confidence", 0.0) for row in rows]
    if not scores or not len(table):
        return {"expected": None, "real": real}
    inside = table.group == key[1] if key[1] != "all" else np.ones(len(table), dtype=np.bool_)
    expected = expected_accuracy(np.array(scores), table.score[inside], table.wrong[inside])
    told = _told(expected.accuracy, expected.n)
    return {"expected": told and {**told, "assumes": expected.assumes}, "real": real}


def _since_good(connection: Connection, digest: str, key: Key, since: Micros) -> dict[str, Any]:
    n, _ = count_released(connection, digest, since).get(key[1], (0, since))
    return {"since": format_time(since), "n": n}


def _quality(connection: Connection, live: Live) -> dict[str, Any]:
    """The share of the live bundle's answers that people found wrong: weighted by the chance of review, and plainly."""
    v = verdicts.c
    given = (v.final, v.undone_at.is_(None), v.model_answer.is_not(None), v.answer != CANNOT_TELL,
             v.chance_of_review > 0, v.digest == live.model.digest)  # fmt: skip
    wanted = select(v.answer, v.model_answer, v.chance_of_review).where(*given)
    rows = connection.execute(wanted.order_by(v.decided_at.desc()).limit(MOST_WEIGHED)).all()
    found = reviewed_share(
        np.array([row.answer != row.model_answer for row in rows], dtype=np.bool_),
        np.array([row.chance_of_review for row in rows], dtype=np.float64),
    )
    return {
        "n": found.n, "effective": round(found.effective, 1), "wrong": _told(found.weighted, found.n),
        "wrong_unweighted": _told(found.naive, found.n),
    }  # fmt: skip


def _inputs(connection: Connection, live: Live) -> list[dict[str, Any]]:
    if live.model.digest is None:
        return []
    shifted = store.latest_shifts(connection, live.model.digest)
    looks = shifts.latest_looks(connection, live.model.digest)
    return [
        {
            "kind": kind, "looked_at": format_time(looks[kind]["at"]) if kind in looks else None,
            "look": {name: value for name, value in looks.get(kind, {}).items() if name != "at"} or None,
            "shifted": (kind, "all") in shifted and shifted[kind, "all"].what == "shifted",
            "why": shifted[kind, "all"].why if (kind, "all") in shifted else None,
        }
        for kind in shifts.KINDS
    ]  # fmt: skip


def released(connection: Connection, digest: str, key: Key, limit: int, after: str) -> dict[str, Any]:
    """What went out unread under a withdrawn promise since all was well for the last time, oldest first."""
    since = store.good_until(connection, digest).get(key)
    if since is None:
        return {"since": None, "released": [], "next_after": None}
    at, _, id = after.partition("_")
    last = (int(at), id) if at.isdigit() and id else (-1, "")
    rows = released_rows(connection, digest, key[1], since, limit, last)
    listed = [
        {
            "conclusion_id": row.conclusion_id, "feedback_id": row.subject, "customer_id": row.customer_id,
            "released_at": format_time(row.concluded_at), "answer": insights.restored(row).answer,
            "superseded_at": None if row.superseded_at is None else format_time(row.superseded_at),
        }
        for row in rows
    ]  # fmt: skip
    more = f"{rows[-1].concluded_at}_{rows[-1].conclusion_id}" if len(rows) == limit else None
    return {"since": format_time(since), "released": listed, "next_after": more}


def _told(found: Interval, n: int) -> dict[str, Any] | None:
    if not n or math.isnan(found.mean):
        return None
    return {"share": round(found.mean, 4), "interval": [round(found.low, 4), round(found.high, 4)], "n": n}
