"""Times and durations: exact, round, and refused with a clear word where they are none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import EARLIEST, LATEST, format_duration, format_time, micros, parse_duration, parse_time


@given(st.integers(EARLIEST, LATEST))
def test_a_time_written_and_read_is_the_same_to_the_microsecond(moment: int) -> None:
    assert parse_time(format_time(moment)) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_without_a_zone_is_utc(moment: datetime) -> None:
    assert parse_time(moment.replace(tzinfo=None).isoformat(" ")) == micros(moment)


def test_the_first_and_the_last_year_can_be_read() -> None:
    assert parse_time("1970-01-01") == 0
    assert format_time(parse_time("9999-12-31T23:59:59.999999Z")) == "9999-12-31T23:59:59.999999Z"
    assert format_time(EARLIEST) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "2026-02-30", "1e9", "٢٠٢٦", "2026-01-01T00:00:00+99"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no ISO 8601 time such as"):
        parse_time(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_utc_cannot_write_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        parse_time(text)


@given(st.integers(1, 59), st.sampled_from((1, 60, 3600, 86_400)))
def test_a_duration_of_one_unit_written_and_read_is_the_same(count: int, unit: int) -> None:
    seconds = min(count, 23) * unit
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.floats(0, 1e9))
def test_a_written_duration_is_never_longer_than_the_real_one(seconds: float) -> None:
    written = format_duration(seconds)
    assert written == "PT0S" or parse_duration(written) <= round(seconds)


def test_a_duration_below_zero_is_written_as_none() -> None:
    assert format_duration(-5) == "PT0S"


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0d", "-3d", "P", "P3M", "P1Y", "PT", "3 weeks", "²d", "1.5h", "9" * 40]
)
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration above 0 such as 30d"):
        parse_duration(text)


def test_minutes_in_short_are_not_taken_for_months() -> None:
    assert parse_duration("3m") == parse_duration("PT3M") == 180
