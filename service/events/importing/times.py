"""A column of times as microseconds: all at once where Arrow can read them, else one by one, with a reason for each
that cannot be read."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute

from models.journey.event import EARLIEST, LATEST, SECOND, Micros, micros
from models.journey.table import plain
from service.events.importing.mapping import Moment

Read: TypeAlias = Micros | str | None
"""A moment; None for an empty cell; a reason where it cannot be read."""

_MOST = 10**15
"""Milliseconds of thirty thousand years: what is beyond is no time, and not worth calculating with."""
_UNIT = {"seconds": SECOND, "milliseconds": 1_000}


def moments(cells: Any, how: Moment) -> list[Read]:
    """A column, an Arrow array or a list, as moments.

    A local time that came twice when a clock was set back is the first of the two; one that was skipped is read as if
    the clock had not been set.

    >>> moments(["1970-01-01T01:00:00", "", "soon"], Moment(("when",), zone="Europe/Berlin"))
    [0, None, "'soon' is no ISO 8601 time such as 2026-11-21T10:15:00Z"]
    """
    found = _at_once(cells, how) if how.format == "iso" else None
    if found is not None:
        return found
    zone = ZoneInfo(how.zone)
    try:
        return [_one(cell, how, zone) for cell in plain(cells)]
    except (ValueError, OverflowError) as error:  # Arrow cannot give Python a moment beyond the year 9999
        return [str(error)] * len(cells)


def _at_once(cells: Any, how: Moment) -> list[Read] | None:
    for naive in (True, False):
        try:
            array = cells if isinstance(cells, pa.Array) else pa.array(cells)
            kind = array.type
            if not (pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind)):
                return None
            if pa.types.is_timestamp(kind) and naive != (kind.tz is None):
                continue
            moment = array.cast(pa.timestamp("us", tz=None if naive else "UTC"))
            if naive and how.zone != "UTC":
                moment = pa.compute.assume_timezone(moment, how.zone)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            continue
        found = moment.cast(pa.int64())
        ends = pa.compute.min_max(found)
        if ends["min"].as_py() is None or EARLIEST <= ends["min"].as_py() <= ends["max"].as_py() <= LATEST:
            read: list[Read] = found.to_pylist()
            return read
    return None


def _one(cell: Any, how: Moment, zone: ZoneInfo) -> Read:
    if cell is None or cell == "":
        return None
    try:
        found = _moment(cell, how, zone)
    except (ValueError, OverflowError, ArithmeticError) as error:
        return str(error)
    return found if EARLIEST <= found <= LATEST else f"{str(cell)[:40]!r} lies outside the years 1 to 9999"


def _moment(cell: Any, how: Moment, zone: ZoneInfo) -> Micros:
    if isinstance(cell, datetime):
        return _in_zone(cell, zone)
    if isinstance(cell, date):
        return _in_zone(datetime(cell.year, cell.month, cell.day), zone)  # noqa: DTZ001 - the zone comes next
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return round(cell * _UNIT.get(how.format, SECOND))
    text = str(cell).strip()
    if how.format in _UNIT:
        return _counted(text, how.format)
    if how.format == "iso":
        try:
            return _in_zone(datetime.fromisoformat(text), zone)
        except ValueError:
            raise ValueError(f"{text[:40]!r} is no ISO 8601 time such as 2026-11-21T10:15:00Z") from None
    try:
        return _in_zone(datetime.strptime(text, how.format), zone)  # noqa: DTZ007 - the zone comes next
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not written as {how.format}") from None


def _counted(text: str, unit: str) -> Micros:
    try:
        count = Decimal(text)
        if not abs(count) < _MOST:
            raise ValueError
        return int(count * _UNIT[unit])
    except (ValueError, ArithmeticError):
        raise ValueError(f"{text[:40]!r} is no number of {unit} since 1970") from None


def _in_zone(moment: datetime, zone: ZoneInfo) -> Micros:
    return micros(moment if moment.tzinfo else moment.replace(tzinfo=zone).astimezone(UTC))
