"""Rows to journeys, in columns: touchpoints of many customers in any order, put in the order of journeys by numpy.

Customers in order of id; touchpoints in order of (occurred_at, known_at, message_id). Knows no event and no catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.journey.journeys import Ints, Journeys


@dataclass(frozen=True)
class Rows:
    """N touchpoints as columns; texts as Arrow arrays (N,), times in microseconds, money in minor units."""

    customer_id: pa.Array
    message_id: pa.Array
    name: pa.Array
    occurred_at: Ints
    known_at: Ints
    amount_minor: Ints
    contact: NDArray[np.bool_]


def arranged(rows: Rows, stages: Mapping[str, str]) -> Journeys:
    """The journeys of these touchpoints; `stages` is the stage of each name that occurs.

    >>> at = np.array([20, 10], dtype=np.int64)
    >>> texts = pa.array(["c", "c"]), pa.array(["m1", "m2"]), pa.array(["web.visit", "mail.open"])
    >>> found = arranged(Rows(*texts, at, at, np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.bool_)),
    ...                  {"web.visit": "convenience", "mail.open": "convenience"})
    >>> found.customers, [found.names[code] for code in found.code]
    (('c',), ['mail.open', 'web.visit'])
    """
    owner, customers = _numbered(rows.customer_id)
    code, names = _numbered(rows.name)
    order = _ordered(owner, rows)
    lengths = np.bincount(owner, minlength=len(customers))
    return Journeys(
        customers=customers,
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        occurred_at=rows.occurred_at[order],
        known_at=rows.known_at[order],
        code=code[order].astype(np.int32),
        amount_minor=rows.amount_minor[order],
        contact=rows.contact[order],
        names=names,
        stages=tuple(stages[name] for name in names),
    )


def _numbered(texts: pa.Array) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """The number of each text (N,) among those that occur, and these in order."""
    encoded = texts.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)  # by UTF-8, which is the order of Python's texts
    rank = np.empty(len(order), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    numbers = encoded.indices.to_numpy(zero_copy_only=False)
    return rank[numbers], tuple(encoded.dictionary.take(order).to_pylist())


def _ordered(owner: NDArray[np.int32], rows: Rows) -> Ints:
    """By owner and time; only where both are equal does anything else decide, which is seldom."""
    order = _by_owner(owner, rows.occurred_at)
    at, whose = rows.occurred_at[order], owner[order]
    tied = (at[1:] == at[:-1]) & (whose[1:] == whose[:-1])
    if not tied.any():
        return order
    in_tie = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
    some: Any = order[in_tie]
    ids = pc.rank(rows.message_id.take(pa.array(some)), tiebreaker="dense").to_numpy().astype(np.int64)
    order[in_tie] = some[np.lexsort((ids, rows.known_at[some], rows.occurred_at[some], owner[some]))]
    return order


def _by_owner(owner: NDArray[np.int32], at: Ints) -> Ints:
    """The order by owner, then by time. Owner and place in time are one number, and numbers sort much faster than rows;
    a log that came in order is in order of time already."""
    n = len(at)
    in_time = np.arange(n) if n < 2 or bool((at[1:] >= at[:-1]).all()) else np.argsort(at)
    bits = n.bit_length()
    keys = (owner[in_time].astype(np.int64) << bits) | np.arange(n)
    keys.sort()
    keys &= (1 << bits) - 1
    return np.asarray(in_time[keys], dtype=np.int64)
