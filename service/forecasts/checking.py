"""What became of served probabilities: once a horizon has passed, the same function that made the labels says it.

A small piece at a time, by the worker. Figures are computed when nothing more is due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Row

from models.confidence.checked import Checked, quality
from models.journey.event import DAY, SECOND, Micros
from models.journey.target import CENSORED, Target
from service.customers import store as customers
from service.customers.consent import objecting
from service.forecasts import store
from service.state import State

ROWS = 500
"""Forecasts that one step checks."""
MOST_MEASURED = 50_000
"""Figures are over the newest checked forecasts of a target."""
HOUR = 3_600 * SECOND
LOOK_EVERY = 60 * SECOND
"""Between two looks for horizons that have passed."""


@dataclass
class Checker:
    """Does a small piece at a time; who runs it decides when."""

    state: State
    _look_from: Micros = field(default=0, init=False)

    def step(self) -> int:
        """One piece; says how many forecasts it checked or dropped. 0: nothing is due right now."""
        now = self.state.clock()
        if now < self._look_from:
            return 0
        done = check_some(self.state) or drop_old(self.state)
        if not done:
            self._look_from = now + LOOK_EVERY
            if _outdated(self.state):
                measure(self.state)
        return done


def check_some(state: State) -> int:
    """Look what happened to forecasts whose horizon ended long enough ago for late events to have come."""
    now = state.clock()
    with state.service.read() as connection:
        rows = store.due(connection, now - state.settings.forecast_grace_hours * HOUR, ROWS)
        happened, gone = outcomes(connection, rows, now, state.settings.keep_events_days * DAY) if rows else ([], [])
    if rows:
        with state.service.write() as connection:
            store.settle(connection, happened, now)
            store.drop(connection, gone)
    return len(rows)


def outcomes(
    connection: Connection, rows: Sequence[Row[Any]], now: Micros, kept_for: Micros
) -> tuple[list[tuple[Row[Any], int]], list[Row[Any]]]:
    """What happened to whom, and forecasts of people who are known no more or object to being profiled.

    CENSORED where events of the horizon may have been deleted since (`kept_for`; 0: for ever).
    """
    who = {asked: customers.resolve(connection, asked) for asked in {row.customer_id for row in rows}}
    people = sorted({one for one in who.values() if one is not None})
    objectors = objecting(connection, people)
    place = {one: number for number, one in enumerate(one for one in people if one not in objectors)}
    gone = [row for row in rows if who[row.customer_id] not in place]
    journeys = customers.journeys_of(connection, list(place))
    found: list[tuple[Row[Any], int]] = []
    by_target = defaultdict[str, list[Row[Any]]](list)
    for row in rows:
        if who[row.customer_id] in place:
            by_target[row.target].append(row)
    for given, asked in by_target.items():
        target = Target.from_dict(msgspec.json.decode(given))
        mine = np.array([place[str(who[row.customer_id])] for row in asked])
        made_at = np.array([row.made_at for row in asked], dtype=np.int64)
        came = target.outcome(journeys.take(mine), made_at, now)
        lost = made_at < now - kept_for if kept_for else np.zeros(len(asked), dtype=np.bool_)
        found += zip(asked, np.where(lost, CENSORED, came).tolist(), strict=True)
    return found, gone


def drop_old(state: State) -> int:
    """Forget forecasts that are older than they are kept."""
    if not state.settings.keep_forecasts_days:
        return 0
    before = state.clock() - state.settings.keep_forecasts_days * DAY
    with state.service.write() as connection:
        return store.drop_before(connection, before, ROWS)


def measure(state: State) -> None:
    """Compute the figures of every target anew and keep them."""
    now = state.clock()
    with state.service.read() as connection:
        found = {name: figures(store.checked(connection, name, MOST_MEASURED)) for name in store.names(connection)}
    with state.service.write() as connection:
        for name, body in found.items():
            store.put_quality(connection, name, body, now)


def figures(rows: Sequence[Row[Any]]) -> dict[str, Any]:
    """How good these checked forecasts were, by version, channel and stage."""
    checked = Checked(
        np.array([row.probability for row in rows], dtype=np.float64),
        np.array([row.low for row in rows], dtype=np.float64),
        np.array([row.high for row in rows], dtype=np.float64),
        np.array([row.happened == 1 for row in rows], dtype=np.bool_),
        np.array([row.customer_id for row in rows], dtype=np.str_),
        {
            "version": np.array([str(row.version) for row in rows], dtype=np.str_),
            "channel": np.array([row.channel for row in rows], dtype=np.str_),
            "stage": np.array([row.stage or "unknown" for row in rows], dtype=np.str_),
        },
    )
    return quality(checked, np.random.default_rng(len(rows)))


def _outdated(state: State) -> bool:
    """Whether something was checked since the figures were computed."""
    with state.service.read() as connection:
        last, computed = store.last_checked(connection), store.get_quality(connection)
    return last is not None and last > max((at for at, _ in computed.values()), default=-1)
