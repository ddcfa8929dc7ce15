"""Journeys: many customers' touchpoints as columns; one customer is a batch of one.

Knows the columns and how to look at them from a moment. Does not build them (assembly.py) and computes no features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Journeys:
    """C customers with N touchpoints in all, customer by customer, each in order of time.

    customers     (C,)    ids, as tools know them
    starts        (C+1,)  touchpoints of customer c are starts[c]:starts[c+1]
    occurred_at   (N,)    microseconds: when the customer did it
    known_at      (N,)    microseconds: from when this journey could show it (received, or joined if that came later)
    code          (N,)    index into `names`
    amount_minor  (N,)    money in hundredths
    contact       (N,)    true where the company reached out
    names, stages (K,)    touchpoint names ("dealer.visit") and the stage of each
    """

    customers: tuple[str, ...]
    starts: Ints
    occurred_at: Ints
    known_at: Ints
    code: NDArray[np.int32]
    amount_minor: Ints
    contact: NDArray[np.bool_]
    names: tuple[str, ...]
    stages: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.customers)

    @cached_property
    def lengths(self) -> Ints:
        """(C,) touchpoints of each customer."""
        return np.diff(self.starts)

    @cached_property
    def owner(self) -> Ints:
        """(N,) which customer (row) each touchpoint belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """(K,) the channel of each name."""
        return tuple(name.partition(".")[0] for name in self.names)

    @property
    def last_channels(self) -> tuple[str, ...]:
        """(C,) the channel of each journey's last touchpoint; empty where there is none."""
        channels, ends = self.channels, self.starts[1:] - 1
        return tuple(channels[self.code[end]] if length else "" for end, length in zip(ends, self.lengths, strict=True))

    def take(self, rows: Ints) -> Journeys:
        """The journeys of these rows, in this order; a row may come more than once (one per moment asked)."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(starts[-1], dtype=np.int64) - np.repeat(starts[:-1], lengths)
        return self._pick(
            np.repeat(self.starts[:-1][rows], lengths) + within, starts, tuple(self.customers[r] for r in rows)
        )

    def first(self, rows: Ints, counts: Ints) -> Journeys:
        """The first `counts` (S,) touchpoints of these rows (S,): histories as they stood right after a touchpoint."""
        taken = self.take(rows)
        within = np.arange(taken.starts[-1], dtype=np.int64) - np.repeat(taken.starts[:-1], taken.lengths)
        kept = np.flatnonzero(within < np.repeat(counts, taken.lengths))
        starts = np.concatenate([[0], np.cumsum(np.minimum(counts, taken.lengths))]).astype(np.int64)
        return taken._pick(kept, starts, taken.customers)

    def last(self, count: int) -> Journeys:
        """The last `count` touchpoints of each journey."""
        within = np.arange(len(self.code), dtype=np.int64) - np.repeat(self.starts[:-1], self.lengths)
        kept = np.flatnonzero(within >= np.repeat(self.lengths - count, self.lengths))
        starts = np.concatenate([[0], np.cumsum(np.minimum(count, self.lengths))]).astype(np.int64)
        return self._pick(kept, starts, self.customers)

    def each_without_one(self, most: int) -> Journeys:
        """One customer's journey, and again as often as it has touchpoints (`most` at most): row i lacks the i-th from
        the end, row 0 none.

        >>> from models.journey.assembly import journeys_of
        >>> j = journeys_of({"c1": [("web.visit", 10), ("dealer.visit", 20), ("web.visit", 30)]})
        >>> without = j.each_without_one(2)
        >>> [without.occurred_at[a:b].tolist() for a, b in zip(without.starts[:-1], without.starts[1:])]
        [[10, 20, 30], [10, 20], [10, 30]]
        """
        if len(self) != 1:
            raise ValueError(f"there are {len(self)} customers; take one of them first")
        length = int(self.lengths[0])
        times = min(length, most)
        copies = self.take(np.zeros(times + 1, dtype=np.int64))
        left_out = (np.arange(times) + 2) * length - 1 - np.arange(times)
        kept = np.delete(np.arange(len(copies.code), dtype=np.int64), left_out)
        starts = np.cumsum([0, length, *[max(0, length - 1)] * times], dtype=np.int64)
        return copies._pick(kept, starts, copies.customers)

    def seen_at(self, as_of: Ints) -> Journeys:
        """What could be seen at `as_of` (C,): both occurred and known at or before it. Later events change nothing.

        >>> from models.journey.assembly import journeys_of
        >>> j = journeys_of({"c1": [("web.visit", 10), ("dealer.visit", 20)]})
        >>> j.seen_at(np.array([15])).lengths
        array([1])
        """
        moment = np.repeat(as_of, self.lengths)
        seen = (self.occurred_at <= moment) & (self.known_at <= moment)
        counts = np.concatenate([[0], np.cumsum(seen, dtype=np.int64)])
        return self._pick(np.flatnonzero(seen), counts[self.starts], self.customers)

    def recoded(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        """(N,) codes in somebody else's order of names; -1 where that list lacks the name."""
        where = {name: i for i, name in enumerate(names)}
        table = np.array([where.get(name, -1) for name in self.names] or [-1], dtype=np.int64)
        return table[self.code] if len(self.code) else np.empty(0, dtype=np.int64)

    def _pick(self, index: Ints, starts: Ints, customers: tuple[str, ...]) -> Journeys:
        return replace(
            self,
            customers=customers,
            starts=starts,
            occurred_at=self.occurred_at[index],
            known_at=self.known_at[index],
            code=self.code[index],
            amount_minor=self.amount_minor[index],
            contact=self.contact[index],
        )
