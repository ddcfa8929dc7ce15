"""An event: what a customer did, as it was recorded, in the tracking API's own terms.

Holds the type and the reading and writing of times. Says nothing of channels or stages: that is a touchpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Micros: TypeAlias = int
"""A moment: microseconds since the Unix epoch, UTC. Integers, so that sums and comparisons are exact."""

SECOND: Micros = 1_000_000
DAY: Micros = 86_400 * SECOND

KINDS = ("track", "page", "screen", "identify", "group", "alias")
"""The calls of the tracking API. Only the first three are touchpoints; the others say who somebody is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE = timedelta(microseconds=1)
EARLIEST: Micros = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _ONE
LATEST: Micros = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _ONE
"""The years 1 to 9999: what can be written as a date, and far from the ends of int64, so that differences are safe."""

_ISO_DURATION = re.compile(
    r"P(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?", re.IGNORECASE
)
_LEAP_SECOND = re.compile(r"(?<=\d[T ])(\d\d:\d\d:)60(?!\d)")
_SHORT_DURATION = re.compile(r"([0-9]{1,9})([dhms])", re.IGNORECASE)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Event:
    """One recorded event. `user_id` or `anonymous_id` is present; `previous_id` only on an alias.

    `occurred_at` is when the customer did it, `received_at` when we learned of it; both count for what is seen `as_of`.
    """

    message_id: str
    kind: str
    name: str
    user_id: str | None
    anonymous_id: str | None
    occurred_at: Micros
    received_at: Micros
    properties: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    previous_id: str | None = None


def parse_time(text: str) -> Micros:
    """Read ISO 8601 (with `T` or a space; without a zone it is UTC) as microseconds.

    >>> parse_time("1970-01-01T00:00:01Z"), parse_time("1970-01-01 01:00:00.5+01:00"), parse_time("1970-01-02")
    (1000000, 500000, 86400000000)

    A leap second, which only ends a day in UTC, counts as the second that follows it, as in POSIX time:

    >>> parse_time("2016-12-31T23:59:60Z") == parse_time("2017-01-01T00:00:00Z")
    True

    Raises ValueError naming the text when it is no time, or lies outside the years 1 to 9999 in UTC.
    """
    plain = text.strip()
    earlier = _LEAP_SECOND.sub(r"\g<1>59", plain) if ":60" in plain else plain
    leap = SECOND if earlier != plain else 0
    try:
        moment = datetime.fromisoformat(earlier)
    except ValueError:
        raise no_time(text) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = micros(moment) + leap
    if leap and found % DAY >= SECOND:
        raise no_time(text)
    if not EARLIEST <= found <= LATEST:
        raise ValueError(f"{text[:40]!r} lies outside the years 1 to 9999 in UTC")
    return found


def no_time(text: str) -> ValueError:
    """What to say of a text that is no time."""
    return ValueError(f"{text[:40]!r} is no ISO 8601 time such as 2026-11-21T10:15:00Z")


def micros(moment: datetime) -> Micros:
    """An aware datetime as microseconds, exactly (no floating point in between)."""
    return (moment - _EPOCH) // _ONE


def format_time(moment: Micros) -> str:
    """Write microseconds as ISO 8601 with Z; fractions only where there are any.

    >>> format_time(1000000), format_time(1500000)
    ('1970-01-01T00:00:01Z', '1970-01-01T00:00:01.500000Z')
    """
    return (_EPOCH + timedelta(microseconds=int(moment))).isoformat().replace("+00:00", "Z")


def format_duration(seconds: float) -> str:
    """Write seconds as an ISO 8601 duration in its two largest units, as a person would say it.

    >>> [format_duration(s) for s in (0, 59, 72_000, 183_600, 777_600)]
    ['PT0S', 'PT59S', 'PT20H', 'P2DT3H', 'P9D']
    """
    left = max(0, round(seconds))
    if left >= 86_400:
        days, hours = left // 86_400, left % 86_400 // 3_600
        return f"P{days}DT{hours}H" if hours else f"P{days}D"
    if left >= 3_600:
        hours, minutes = left // 3_600, left % 3_600 // 60
        return f"PT{hours}H{minutes}M" if minutes else f"PT{hours}H"
    minutes, left = divmod(left, 60)
    return f"PT{minutes}M{left}S" if minutes and left else f"PT{minutes}M" if minutes else f"PT{left}S"


def parse_duration(text: str) -> int:
    """Read `30d`, `12h`, `45m`, `20s` or ISO 8601 in days and less (`P30D`, `PT12H`, `P2DT3H`) as seconds.

    >>> parse_duration("30d"), parse_duration("P90D"), parse_duration("PT12H"), parse_duration("P2DT3H")
    (2592000, 7776000, 43200, 183600)

    Months and years have no fixed length and are refused. Raises ValueError naming the text.
    """
    plain = text.strip()
    if short := _SHORT_DURATION.fullmatch(plain):
        seconds = int(short[1]) * _SECONDS[short[2].lower()]
    elif iso := _ISO_DURATION.fullmatch(plain):
        seconds = sum(int(n or 0) * unit for n, unit in zip(iso.groups(), _SECONDS.values(), strict=True))
    else:
        seconds = 0
    if seconds == 0:
        raise ValueError(f"{text[:40]!r} is no duration above 0 such as 30d, 12h, P30D or PT12H")
    return seconds
