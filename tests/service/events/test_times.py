"""When an event happened: skew, late events, zones, leap seconds, clocks that are set back, and equal times."""

from typing import Any

import pytest
from sqlalchemy import select

from models.journey.event import SECOND, format_time, parse_time
from service.customers.store import journeys_of
from service.events.store import event_of, log
from tests.service.fakes import NOON, House, track


def happened(house: House) -> list[str]:
    with house.state.log.read() as connection:
        rows = connection.execute(select(log).order_by(log.c.seq))
        return [format_time(event_of(row).occurred_at) for row in rows]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        # a clock an hour slow, an hour fast, and right: sent ten seconds after it happened
        ({"originalTimestamp": "2026-11-21T10:59:50Z", "sentAt": "2026-11-21T11:00:00Z"}, "2026-11-21T11:59:50Z"),
        ({"originalTimestamp": "2026-11-21T12:59:50Z", "sentAt": "2026-11-21T13:00:00Z"}, "2026-11-21T11:59:50Z"),
        ({"originalTimestamp": "2026-11-21T11:59:50Z", "sentAt": "2026-11-21T12:00:00Z"}, "2026-11-21T11:59:50Z"),
        # a phone that was off line for a year
        ({"originalTimestamp": "2025-11-21T12:00:00Z", "sentAt": "2026-11-21T12:00:00Z"}, "2025-11-21T12:00:00Z"),
        # its clock was set back between the two: it did not happen after it was sent
        ({"originalTimestamp": "2026-11-21T12:00:00Z", "sentAt": "2026-11-18T12:00:00Z"}, "2026-11-21T12:00:00Z"),
        # what is corrected goes over what the client calls the time
        (
            {
                "originalTimestamp": "2026-11-21T10:00:00Z",
                "sentAt": "2026-11-21T10:00:05Z",
                "timestamp": "2026-11-21T09:00:00Z",
            },
            "2026-11-21T11:59:55Z",
        ),
        # only one of the two, or a sentAt that is no time: nothing to correct by
        ({"timestamp": "2026-11-21T09:00:00Z", "sentAt": "2026-11-21T10:00:00Z"}, "2026-11-21T09:00:00Z"),
        ({"originalTimestamp": "2026-11-21T09:00:00Z"}, "2026-11-21T09:00:00Z"),
        ({"originalTimestamp": "2026-11-21T09:00:00Z", "sentAt": "soon"}, "2026-11-21T09:00:00Z"),
        ({}, "2026-11-21T12:00:00Z"),
        # zones, fractions, no zone at all, a leap second, the first second that can be told
        ({"timestamp": "2026-11-21T14:30:00+05:30"}, "2026-11-21T09:00:00Z"),
        ({"timestamp": "2026-11-20T20:30:00.123456789-12:00"}, "2026-11-21T08:30:00.123456Z"),
        ({"timestamp": "2026-11-21T09:00:00"}, "2026-11-21T09:00:00Z"),
        ({"timestamp": "2016-12-31T23:59:60Z"}, "2017-01-01T00:00:00Z"),
        ({"timestamp": "2017-01-01T05:29:60.500+05:30"}, "2017-01-01T00:00:00.500000Z"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "1970-01-01T00:00:00Z"),
        # a little ahead counts as now
        ({"timestamp": "2026-11-22T11:59:59Z"}, "2026-11-21T12:00:00Z"),
    ],
)
def test_an_event_is_filed_under_the_time_at_which_it_happened(
    house: House, times: dict[str, str], expected: str
) -> None:
    answer = house.batch({"type": "track", "event": "A", "userId": "c1", **times})

    assert answer.json()["refused"] == []
    assert happened(house) == [expected]
    with house.state.log.read() as connection:
        assert connection.execute(select(log.c.received_at)).scalar() == NOON


def test_sent_at_beside_the_batch_counts_for_events_that_have_none_of_their_own(house: House) -> None:
    original = "2026-11-21T10:59:50Z"
    own = track("A", originalTimestamp=original, sentAt="2026-11-21T10:59:55Z", messageId="a")
    house.batch(own, track("B", originalTimestamp=original, messageId="b"), sentAt="2026-11-21T11:00:00Z")

    assert happened(house) == ["2026-11-21T11:59:55Z", "2026-11-21T11:59:50Z"]


@pytest.mark.parametrize("at", ["2016-12-31T23:59:61Z", "2026-11-21T10:30:60Z", "2026-02-29T00:00:00Z", "12:00"])
def test_a_time_that_does_not_exist_is_refused(house: House, at: str) -> None:
    assert house.batch(track("A", at=at)).json()["refused"][0]["code"] == "invalid_time"


def steps(house: House) -> list[str]:
    """The journey of the one customer, in order, as what is concluded sees it."""
    house.worker.run_until_idle()
    with house.state.service.read() as connection:
        journeys = journeys_of(connection, ["c1"])
    return [journeys.names[code].partition(".")[2] for code in journeys.code]


def test_a_late_event_takes_its_place_by_when_it_happened(house: House) -> None:
    house.batch(track("Second", at="2026-11-20T10:00:00Z"))
    house.clock.forward(3600)
    house.batch(track("First", at="2026-11-20T09:00:00Z"))

    assert steps(house) == ["first", "second"]


def test_of_equal_times_what_became_known_first_comes_first_and_then_the_smaller_id(house: House) -> None:
    at = "2026-11-20T10:00:00Z"
    house.batch(track("Late Id", at=at, messageId="z"), track("Early Id", at=at, messageId="a"))
    house.clock.forward(1)
    house.batch(track("Known Later", at=at, messageId="0"))

    assert steps(house) == ["early_id", "late_id", "known_later"]


def test_a_clock_that_is_set_back_loses_nothing_and_keeps_the_order_of_receipt(house: House) -> None:
    house.batch(track("A", at="2026-11-21T11:59:59Z", messageId="a"))
    house.clock.forward(-3600)
    told: Any = house.batch(track("B", at="2026-11-21T10:59:59Z", messageId="b")).json()

    assert told["accepted"] == 1
    with house.state.log.read() as connection:
        first, second = connection.execute(select(log.c.received_at).order_by(log.c.seq)).scalars()
    assert (first, second) == (NOON, NOON + 1)
    assert happened(house)[1] == "2026-11-21T10:59:59Z"


def test_an_event_from_the_future_is_refused_past_the_tolerance_to_the_second(house: House) -> None:
    edge = NOON + house.settings.future_tolerance
    told = house.batch(track("A", at=format_time(edge)), track("B", at=format_time(edge + SECOND))).json()

    assert [(one["index"], one["code"]) for one in told["refused"]] == [(1, "in_the_future")]
    assert parse_time(happened(house)[0]) == NOON
