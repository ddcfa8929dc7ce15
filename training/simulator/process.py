"""Drawing journeys: many customers at once, each jumping from one moment of its hidden chain to the next.

Time here is in days of *activity*: people act less at night, and `clock` stretches activity onto the clock of a day.
The stretch repeats daily, so a whole number of days is as long in both, and knowing it changes no odds. This file draws
what happened; it names no ids and writes no files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.simulator.company import Company, Floats, Ints

# How busy each hour of the day (UTC) is; only the proportions matter.
_BUSY = np.array([2.0, 1, 1, 1, 1, 2, 5, 9, 12, 14, 15, 14, 13, 13, 14, 15, 16, 18, 20, 21, 20, 16, 10, 5])
_ACTIVITY = np.concatenate([[0.0], np.cumsum(_BUSY) / _BUSY.sum()])
_HOURS = np.arange(25) / 24


@dataclass(frozen=True, slots=True)
class Drawn:
    """The journeys of some customers as flat columns, in order of customer and then time. R touchpoints in all."""

    customer: Ints  # (R,) 0 .. customers-1
    days: Floats  # (R,) days of activity since the calendar began
    mark: Ints  # (R,) index into Company.marks
    offsets: Ints  # (customers + 1,) where each customer's touchpoints begin and end; nobody has none


def clock(days: Floats) -> Floats:
    """Days of activity -> days on the clock.

    >>> clock(np.array([3.0, 3.5, 4.0])).round(2)
    array([3.  , 3.66, 4.  ])
    """
    whole = np.floor(days)
    return whole + np.interp(days - whole, _ACTIVITY, _HOURS)


def draw(company: Company, customers: int, days: float, rng: np.random.Generator) -> Drawn:
    """Draw what `customers` do from their first touchpoint, at a random moment, to the end of a calendar of `days`.

    The competing exponential clocks of each state (Gillespie 1977, doi:10.1021/j100540a008) are drawn for all customers
    still inside the calendar together, one jump a round.
    """
    marks = len(company.marks)
    speed = company.rates.sum(axis=1) + company.drift.sum(axis=1)
    what_next = _Dial(np.hstack([company.rates, company.drift]))
    first = _Dial(company.rates)
    after = {mark: _Dial(jump) for mark, jump in company.jumps.items()}

    who = np.arange(customers)
    now = rng.random(customers) * days
    state = _Dial(company.start[None]).turn(np.zeros(customers, dtype=np.int64), rng)
    event = first.turn(state, rng)
    seen: list[tuple[Ints, Floats, Ints]] = []
    while len(who):
        marked = event < marks
        seen.append((who[marked], now[marked], event[marked]))
        state = np.where(marked, state, event - marks)
        for mark, dial in after.items():
            hit = np.flatnonzero(event == mark)
            if len(hit):
                state[hit] = dial.turn(state[hit], rng)
        now = now + rng.exponential(size=len(who)) / speed[state]
        inside = now < days
        who, now, state = who[inside], now[inside], state[inside]
        event = what_next.turn(state, rng)
    return _in_order(seen, customers)


def _in_order(seen: list[tuple[Ints, Floats, Ints]], customers: int) -> Drawn:
    customer, days, mark = (np.concatenate([part[k] for part in seen]) for k in range(3))
    order = np.argsort(customer, kind="stable")  # rounds are already in order of time
    offsets = np.concatenate([[0], np.cumsum(np.bincount(customer, minlength=customers))]).astype(np.int64)
    return Drawn(customer[order], days[order], mark[order], offsets)


class _Dial:
    """Draws one column for each given row of a table of weights, all rows in one search."""

    def __init__(self, weights: NDArray[np.float64]) -> None:
        shares = np.cumsum(weights, axis=1)
        shares = shares / shares[:, -1:]  # exactly one from the last weight above zero on: none after it is drawn
        self._width = weights.shape[1]
        self._edges = (shares + np.arange(len(weights))[:, None]).ravel()

    def turn(self, rows: Ints, rng: np.random.Generator) -> Ints:
        where = np.searchsorted(self._edges, rows + rng.random(len(rows)), side="right")
        return np.asarray(np.minimum(where - rows * self._width, self._width - 1))  # rounding may reach the next row
