"""BG/NBD: the classic model of repeat buying, as a baseline where a target repeats. Fits by maximum likelihood.

While a customer is active they buy at a rate of their own (gamma over customers), and after each purchase they leave
for good with a chance of their own (beta over customers). It sees the days of the target alone, no other touchpoint.
Fader, Hardie & Lee 2005, "Counting your customers the easy way", doi:10.1287/mksc.1040.0098.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

from models.journey.event import DAY, Micros
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target

Floats = NDArray[np.float64]

LEAST_REPEATERS = 50
LEAST_REPEATING = 0.1
"""A target repeats where at least so many customers, and this share of those who had it, had it on several days."""


@dataclass(frozen=True)
class Transactions:
    """Days of the target as the model sees them, each (C,): `repeats` after the first day, days from the first to the
    last (`recency`) and to the moment of asking (`age`); an age below 0 is nobody who had it.
    """

    repeats: Floats
    recency: Floats
    age: Floats

    @classmethod
    def of(cls, seen: Journeys, as_of: Ints, target: Target) -> Transactions:
        """Several of one day (UTC) count once."""
        wanted = np.array([target.matches(name) for name in seen.names] or [False])[seen.code]
        day, owner = (seen.occurred_at // DAY)[wanted], seen.owner[wanted]
        first, last = np.full(len(seen), -1, dtype=np.int64), np.full(len(seen), -1, dtype=np.int64)
        last[owner] = day  # in order of time, so the last write is the latest
        first[owner[::-1]] = day[::-1]
        new_day = np.append(True, (np.diff(day) != 0) | (np.diff(owner) != 0))[: len(day)]
        days = np.bincount(owner[new_day], minlength=len(seen)).astype(np.float64)
        had = days > 0
        age = np.where(had, as_of / DAY - first, -1.0)
        return cls(np.maximum(days - 1, 0.0), np.where(had, last - first, 0).astype(np.float64), age)

    @property
    def had(self) -> NDArray[np.bool_]:
        return self.age >= 0


@dataclass(frozen=True)
class BgNbd:
    """Rates are gamma(r, alpha) a day, chances to leave beta(a, b); `first_rate` a day of those yet without the target.

    >>> someone = Transactions(np.array([0.0, 9.0]), np.array([0.0, 90.0]), np.array([100.0, 100.0]))
    >>> BgNbd(0.25, 4.5, 0.8, 2.4, 0.01).chance(someone, 30).round(2).tolist()
    [0.06, 0.76]
    """

    r: float
    alpha: float
    a: float
    b: float
    first_rate: float

    @classmethod
    def fit(cls, seen: Journeys, as_of: Ints, target: Target) -> BgNbd:
        """Maximum likelihood over the customers who had the target; the rate of the first time from all."""
        known = Transactions.of(seen, as_of, target)
        had = known.had
        rows = np.stack([known.repeats[had], known.recency[had], known.age[had]], axis=1)
        some, weight = np.unique(rows, axis=0, return_counts=True)

        def cost(logs: Floats) -> float:
            return -float(np.average(_log_likelihood(np.exp(logs), *some.T), weights=weight))

        start = np.log([1.0, max(1.0, float(np.median(known.age[had]))), 1.0, 1.0])
        found = minimize(cost, start, method="L-BFGS-B", bounds=[(-9.0, 12.0)] * 4)
        born = seen.occurred_at[np.minimum(seen.starts[:-1], max(len(seen.occurred_at) - 1, 0))]
        lived = np.where(seen.lengths > 0, as_of - born, 0) / DAY
        waited = np.where(had, np.maximum(lived - known.age, 0.0), lived).sum()
        r, alpha, a, b = np.exp(found.x).tolist()
        return cls(r, alpha, a, b, float(had.sum() / max(waited, 1.0)))

    def chance(self, known: Transactions, days: float) -> Floats:
        """(C,) chance of the target within so many days: still active, and then before its own rate lets it wait."""
        x, recency, age = known.repeats, known.recency, np.maximum(known.age, 0.0)
        faded = ((self.alpha + age) / (self.alpha + recency)) ** (self.r + x)
        gone = np.where(x > 0, self.a / (self.b + np.maximum(x, 1) - 1) * faded, 0.0)
        soon = 1 - ((self.alpha + age) / (self.alpha + age + days)) ** (self.r + x)
        first = 1 - np.exp(-self.first_rate * days)
        return np.asarray(np.where(known.had, soon / (1 + gone), first), dtype=np.float64)


def repeats(known: Transactions) -> bool:
    """Whether enough customers had the target again for a model of repeating."""
    again, had = int((known.repeats > 0).sum()), int(known.had.sum())
    return again >= LEAST_REPEATERS and again >= LEAST_REPEATING * had


def repeat_buying(journeys: Journeys, target: Target, until: Micros, seen: Journeys, as_of: Ints) -> dict[str, Floats]:
    """{"bg_nbd": (C,)}: what it says of `seen` at `as_of` (C,), taught by what was seen before `until`.

    Empty where the target does not repeat.
    """
    moment = np.full(len(journeys), until - 1, dtype=np.int64)
    past = journeys.seen_at(moment)
    if not repeats(Transactions.of(past, moment, target)):
        return {}
    fitted = BgNbd.fit(past, moment, target)
    return {"bg_nbd": fitted.chance(Transactions.of(seen, as_of, target), target.horizon_seconds / 86_400)}


def _log_likelihood(parameters: Floats, x: Floats, recency: Floats, age: Floats) -> Floats:
    """Equation (6) of the paper, in logs, for each customer."""
    r, alpha, a, b = parameters
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    active = -(r + x) * np.log(alpha + age)
    gone = np.where(x > 0, np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + recency), -np.inf)
    return np.asarray(common + np.logaddexp(active, gone), dtype=np.float64)
