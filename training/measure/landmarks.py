"""Moments at which to ask about a purchase: those of a file, or a grid of the calendar. Knows no outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.journey.event import SECOND, Micros, micros, parse_time
from models.journey.eventlog import Table
from models.journey.journeys import Ints, Journeys
from training.measure.figures import MeasureError

CUSTOMER = ("customer_id", "user_id")
MOMENT = ("as_of", "timestamp", "occurred_at")


def every(journeys: Journeys, step: Micros, horizon_seconds: int) -> tuple[Ints, Ints]:
    """(rows, as_of): everybody known by then, at every `step` from the start of the log, while a horizon fits.

    >>> from models.journey.assembly import journeys_of
    >>> log = journeys_of({"a": [("w.x", 0), ("w.x", 9 * SECOND)], "b": [("w.x", 3 * SECOND)]})
    >>> rows, as_of = every(log, 2 * SECOND, 4)
    >>> rows.tolist(), (as_of // SECOND).tolist()
    ([0, 0, 1], [2, 4, 4])
    """
    start, end = int(journeys.occurred_at.min()), int(journeys.occurred_at.max())
    grid = np.arange(start + step, end - horizon_seconds * SECOND + 1, step, dtype=np.int64)
    some = np.flatnonzero(journeys.lengths > 0)
    visible = np.maximum(journeys.occurred_at, journeys.known_at)
    born = np.minimum.reduceat(visible, journeys.starts[:-1][some])
    who, when = np.nonzero(born[:, None] <= grid)
    return some[who], grid[when]


def given(path: Path) -> tuple[list[str], Ints]:
    """The customers and moments (microseconds) of a file with a column for each. Raises EventLogError, MeasureError."""
    rows = list(Table(path).rows())
    if not rows:
        raise MeasureError(f"--landmarks {path}: holds no rows")
    customer, moment = (_column(path, rows[0], names) for names in (CUSTOMER, MOMENT))
    moments = [_moment(path, number, row[moment]) for number, row in enumerate(rows, 1)]
    return [str(row[customer]) for row in rows], np.array(moments, dtype=np.int64)


def _column(path: Path, row: dict[str, Any], names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in row), None)
    if found is None:
        raise MeasureError(f"--landmarks {path}: needs a column {' or '.join(names)}; it has {', '.join(row)}")
    return found


def _moment(path: Path, number: int, cell: Any) -> Micros:
    """Numbers are seconds since 1970, as in an event log."""
    try:
        if isinstance(cell, datetime):
            return micros(cell if cell.tzinfo else cell.replace(tzinfo=UTC))
        return round(cell * SECOND) if isinstance(cell, int | float) else parse_time(str(cell))
    except (ValueError, OverflowError) as error:
        raise MeasureError(f"--landmarks {path}: row {number}: {error}") from None
