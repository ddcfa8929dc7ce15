"""Journeys as columns: taking, looking from a moment, recoding; empty journeys everywhere."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.journey.assembly import Step, columns, journeys_of, with_customers
from models.journey.touchpoint import Touchpoint
from tests.models.journey.logs import same_journeys

POINT = st.tuples(st.sampled_from(("web.visit", "dealer.visit", "email.sent")), st.integers(0, 60))
MANY = st.dictionaries(st.sampled_from(tuple("abcde")), st.lists(POINT, max_size=5))


def late(customer: str, occurred_at: int, known_at: int) -> Step:
    point = Touchpoint("web", "visit", "convenience")
    return Step(customer, occurred_at, known_at, f"{customer}{occurred_at}", point)


def test_what_is_seen_has_both_times_at_or_before_the_moment() -> None:
    journeys = columns([late("c", 10, 10), late("c", 20, 99), late("c", 30, 30), late("d", 5, 31)])
    seen = journeys.seen_at(np.array([30, 30]))
    assert seen.occurred_at.tolist() == [10, 30]
    assert seen.lengths.tolist() == [2, 0]
    assert seen.customers == ("c", "d")


def test_a_moment_before_1970_sees_what_was_then() -> None:
    journeys = columns([late("c", -50, -50)])
    assert journeys.seen_at(np.array([-40])).lengths.tolist() == [1]


@given(MANY, st.data())
def test_a_row_taken_is_that_customer_alone_however_often_it_is_taken(
    points: dict[str, list[tuple[str, int]]], data: st.DataObject
) -> None:
    journeys = journeys_of(points)
    rows = data.draw(st.lists(st.integers(0, len(journeys) - 1), max_size=6) if len(journeys) else st.just([]))
    taken = journeys.take(np.array(rows, dtype=np.int64))
    assert taken.customers == tuple(journeys.customers[row] for row in rows)
    for place, row in enumerate(rows):
        start, end = journeys.starts[row], journeys.starts[row + 1]
        first, last = taken.starts[place], taken.starts[place + 1]
        assert taken.occurred_at[first:last].tolist() == journeys.occurred_at[start:end].tolist()
        assert taken.code[first:last].tolist() == journeys.code[start:end].tolist()


@given(MANY, st.integers(0, 60))
def test_looking_twice_from_one_moment_is_looking_once(points: dict[str, list[tuple[str, int]]], moment: int) -> None:
    journeys = journeys_of(points)
    as_of = np.full(len(journeys), moment, dtype=np.int64)
    once = journeys.seen_at(as_of)
    assert same_journeys(once, once.seen_at(as_of))


@given(MANY)
def test_columns_fit_together(points: dict[str, list[tuple[str, int]]]) -> None:
    journeys = journeys_of(points)
    assert journeys.starts[0] == 0
    assert journeys.starts[-1] == len(journeys.code)
    assert len(journeys.owner) == len(journeys.code)
    assert [name.partition(".")[0] for name in journeys.names] == list(journeys.channels)
    assert (np.diff(journeys.occurred_at)[np.diff(journeys.owner) == 0] >= 0).all()


def test_recoding_gives_minus_one_for_names_that_the_other_lacks() -> None:
    journeys = journeys_of({"c": [("web.visit", 1), ("dealer.visit", 2)]})
    assert journeys.recoded(("dealer.visit", "x.y")).tolist() == [-1, 0]
    assert journeys_of({"c": []}).recoded(("web.visit",)).tolist() == []


def test_customers_without_touchpoints_get_empty_journeys_in_the_order_asked() -> None:
    journeys = with_customers(journeys_of({"b": [("web.visit", 1)], "a": [("web.visit", 2)]}), ["x", "b", "y", "a"])
    assert journeys.customers == ("x", "b", "y", "a")
    assert journeys.lengths.tolist() == [0, 1, 0, 1]
    assert journeys.occurred_at.tolist() == [1, 2]
    assert with_customers(journeys, []).lengths.tolist() == []


def test_the_first_touchpoints_of_a_journey_are_its_history() -> None:
    journeys = journeys_of({"a": [("web.visit", 1), ("dealer.visit", 2)], "b": []})
    assert journeys.first(np.array([0, 1, 0]), np.array([1, 3, 9])).occurred_at.tolist() == [1, 1, 2]
