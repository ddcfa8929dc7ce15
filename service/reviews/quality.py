"""How well people review: agreement of independent readings, what they overturn, how far the model's answer sways them,
how long they take, and how old the backlog is. Reads verdicts and the queue; names no customer and no words.

Readers are compared only where they read independently; swayed is asked only of cases whose answer was hidden by lot.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from statistics import median
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, func, select, text

from models.confidence.agreement import (
    alpha_interval,
    difference_interval,
    kappa_interval,
    nominal,
    share_interval,
    squared,
)
from models.confidence.metrics import Interval
from models.journey.event import SECOND, Micros
from models.predictors.feedback import INTENSITY_LIMIT
from models.review import ANSWERS, CANNOT_TELL
from service.insights.store import conclusions
from service.reviews.store import READING, SINGLE, WAITING, verdicts

LEAST = 10
"""Cases below which a figure is not told."""
INTENSITIES = tuple(range(-int(INTENSITY_LIMIT), int(INTENSITY_LIMIT) + 1))

_COLUMNS = ("subject", "reviewer", "answer", "intensity", "model_answer", "model_answer_shown", "flags", "version",
            "claimed_at", "decided_at", "final", "given_as", "given_with", "drawn")  # fmt: skip


def quality(connection: Connection, since: Micros, now: Micros, due: Micros) -> dict[str, Any]:
    """All figures of verdicts that stand and were given since then; `due` is how long a case may wait."""
    wanted = select(*(verdicts.c[name] for name in _COLUMNS))
    found = connection.execute(wanted.where(verdicts.c.undone_at.is_(None), verdicts.c.decided_at >= since)).all()
    final = [row for row in found if row.final]
    return {
        "verdicts": len(final),
        "answered": dict(Counter(row.reviewer for row in found)),
        "agreement": agreement([row for row in found if row.given_as == READING]),
        "overturned": overturned(final),
        "over_reliance": over_reliance(final),
        "seconds": seconds([row for row in found if row.claimed_at is not None and row.given_with is None]),
        "backlog": backlog(connection, now, due),
    }


def agreement(readings: Sequence[Row[Any]]) -> dict[str, Any]:
    """Of cases that two people read, each alone: Krippendorff's alpha over all, Cohen's kappa of each pair of them."""
    rng, cases = np.random.default_rng(0), defaultdict(list)
    for row in sorted(readings, key=lambda one: one.reviewer):
        cases[row.subject].append(row)
    twice = [rows for rows in cases.values() if len(rows) > 1]
    rated = [felt for rows in twice if len(felt := [r.intensity for r in rows if r.intensity is not None]) > 1]
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for rows in twice:
        for one, other in combinations(rows, 2):
            pairs[one.reviewer, other.reviewer].append((one.answer, other.answer))
    polarity = _counted([[row.answer for row in rows] for rows in twice], ANSWERS)
    intensity = _counted(rated, INTENSITIES)
    return {
        "cases": len(twice),
        "polarity": _told(alpha_interval(polarity, nominal(len(ANSWERS)), rng), len(twice)),
        "intensity": _told(alpha_interval(intensity, squared(INTENSITIES), rng), len(rated)),
        "pairs": [
            {"reviewers": list(names), "kappa": _told(kappa_interval(_crossed(said), rng), len(said))}
            for names, said in sorted(pairs.items())
        ],
    }


def overturned(final: Sequence[Row[Any]]) -> dict[str, Any]:
    """How often people named another feeling than the model: in all, and by flag, version and reviewer."""
    judged = [row for row in final if row.answer != CANNOT_TELL and row.model_answer is not None]
    keys: dict[str, Callable[[Row[Any]], Iterable[str]]] = {
        "flag": lambda row: msgspec.json.decode(row.flags),
        "version": lambda row: [str(row.version)],
        "reviewer": lambda row: [row.reviewer],
    }
    by = {}
    for name, names_of in keys.items():
        groups: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in judged:
            for key in names_of(row):
                groups[key].append(row)
        by[name] = {key: _overturned(rows) for key, rows in sorted(groups.items(), key=lambda one: -len(one[1]))}
    return {"all": _overturned(judged), "by": by}


def over_reliance(final: Sequence[Row[Any]]) -> dict[str, Any]:
    """How often people say what the model says, where they saw its answer and where a lot hid it.

    The lot falls apart from the case, so the difference is what seeing the answer did (Cummings 2004 calls its harm
    automation bias). Cases read twice, adjudicated, answered with another or drawn at random are left out.
    """
    alone = [row for row in final if row.given_as == SINGLE and row.given_with is None and not row.drawn]
    counts: Counter[tuple[bool, bool]] = Counter()
    for row in alone:
        if row.model_answer is not None:
            counts[bool(row.model_answer_shown), row.answer == row.model_answer] += 1
    shown, hidden = ((counts[seen, True], counts[seen, True] + counts[seen, False]) for seen in (True, False))
    least = min(shown[1], hidden[1])
    return {
        "shown": _told(share_interval(*shown), shown[1]),
        "hidden": _told(share_interval(*hidden), hidden[1]),
        "difference": _told(difference_interval(shown, hidden), least),
    }


def seconds(timed: Sequence[Row[Any]]) -> dict[str, Any]:
    """Median seconds from taking a case to answering it, of all and of each reviewer."""
    spent: dict[str, list[float]] = defaultdict(list)
    for row in timed:
        spent[row.reviewer].append((row.decided_at - row.claimed_at) / SECOND)
    every = [one for some in spent.values() for one in some]
    return {
        "median": round(median(every), 1) if every else None,
        "by_reviewer": {
            name: {"n": len(some), "median": round(median(some), 1)} for name, some in sorted(spent.items())
        },
    }


def backlog(connection: Connection, now: Micros, due: Micros) -> dict[str, Any]:
    """How many cases wait, and for how long."""
    waits = text(WAITING)
    since = conclusions.c.waiting_since
    n = connection.execute(select(func.count()).select_from(conclusions).where(waits)).scalar_one()
    late = select(func.count()).select_from(conclusions).where(waits, since < now - due)
    ordered = select(since).where(waits).order_by(since)
    oldest = connection.execute(ordered.limit(1)).scalar_one_or_none()
    middle = connection.execute(ordered.limit(1).offset(n // 2)).scalar_one_or_none()
    return {
        "waiting": n,
        "overdue": connection.execute(late).scalar_one(),
        "oldest_seconds": None if oldest is None else (now - oldest) // SECOND,
        "median_seconds": None if middle is None else (now - middle) // SECOND,
    }


def _overturned(rows: Sequence[Row[Any]]) -> dict[str, Any]:
    times = sum(row.answer != row.model_answer for row in rows)
    return _told(share_interval(times, len(rows)), len(rows))


def _counted(named: Sequence[Sequence[Any]], categories: Sequence[Any]) -> NDArray[np.int64]:
    """(U, K) how many readers of each case named each category."""
    rows = [[list(one).count(category) for category in categories] for one in named]
    return np.array(rows, dtype=np.int64).reshape(-1, len(categories))


def _crossed(said: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
    """(K, K) what the one said and the other."""
    table = np.zeros((len(ANSWERS), len(ANSWERS)), dtype=np.int64)
    for one, other in said:
        table[ANSWERS.index(one), ANSWERS.index(other)] += 1
    return table


def _told(found: Interval, n: int) -> dict[str, Any]:
    """A figure as it is told: null below `LEAST` cases, and where it is not defined."""
    if n < LEAST or math.isnan(found.mean):
        return {"n": n, "value": None, "interval": None}
    return {"n": n, "value": round(found.mean, 4), "interval": [round(found.low, 4), round(found.high, 4)]}
