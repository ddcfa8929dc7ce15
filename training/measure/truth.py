"""What could be known: the probabilities that a simulated company was made with, joined to the cases that are asked.

Reads `truth.parquet` as `training/simulator/write.py` writes it: a row right after each touchpoint (`touchpoint`),
one at a random moment of each customer (`random`). The join is by customer and moment. Computes no skill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from models.confidence.metrics import SMALLEST_PROBABILITY
from models.journey.journeys import Ints
from training.measure.figures import Floats, MeasureError

PURCHASE = "purchase_within_horizon"
_NEXT = "next:"


@dataclass(frozen=True)
class Known:
    """The cases that the truth speaks of: their `rows` among those asked, and its losses (nats) on what happened."""

    rows: Ints
    losses: Floats


def next_losses(path: Path, customers: Sequence[str], as_of: Ints, came: Sequence[str]) -> Known:
    """The truth right after the touchpoint at `as_of` (n,) of these customers, about the touchpoint that came next.

    Raises MeasureError where the file is none of the simulator's, or speaks of none of these cases.
    """
    table = _read(path, "touchpoint")
    names = {name.removeprefix(_NEXT): name for name in table.column_names if name.startswith(_NEXT)}
    foreign = sorted(set(came) - set(names))
    if foreign:
        raise MeasureError(f"--truth {path}: knows nothing of the touchpoint {foreign[0]!r}; it has {', '.join(names)}")
    rows, at = _joined(path, table, customers, as_of)
    column = {name: number for number, name in enumerate(names)}
    chances = np.stack([table[name].to_numpy() for name in names.values()], axis=1).astype(np.float64)
    given = chances[at, [column[came[row]] for row in rows]]
    return Known(rows, -np.log(np.maximum(given, SMALLEST_PROBABILITY)))


def purchase_chances(path: Path, customers: Sequence[str], as_of: Ints) -> tuple[Ints, Floats]:
    """The rows among those asked that the truth speaks of, and its chance of a purchase within its 90 days."""
    table = _read(path, None)
    rows, at = _joined(path, table, customers, as_of)
    return rows, table[PURCHASE].to_numpy().astype(np.float64)[at]


def random_moments(path: Path) -> tuple[list[str], Ints]:
    """The customers and moments (microseconds) of the truth's random rows: where to ask about a purchase."""
    table = _read(path, "random")
    return table["user_id"].to_pylist(), _micros(table)


def _read(path: Path, moment: str | None) -> pa.Table:
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise MeasureError(f"--truth {path}: cannot be read as Parquet: {error}") from None
    missing = [name for name in ("user_id", "as_of", "moment", PURCHASE) if name not in table.column_names]
    if missing:
        fix = "give the truth.parquet that `python -m training simulate` wrote"
        raise MeasureError(f"--truth {path}: has no column {missing[0]!r}; {fix}")
    return table.filter(pa.compute.equal(table["moment"], moment)) if moment else table


def _joined(path: Path, table: pa.Table, customers: Sequence[str], as_of: Ints) -> tuple[Ints, Ints]:
    where = {
        key: row for row, key in enumerate(zip(table["user_id"].to_pylist(), _micros(table).tolist(), strict=True))
    }
    found = [where.get(key, -1) for key in zip(customers, as_of.tolist(), strict=True)]
    at = np.array(found, dtype=np.int64)
    rows = np.flatnonzero(at >= 0)
    if not len(rows):
        raise MeasureError(f"--truth {path}: has no row for any customer and moment that is asked about")
    return rows, at[rows]


def _micros(table: pa.Table) -> Ints:
    return np.asarray(table["as_of"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64)
