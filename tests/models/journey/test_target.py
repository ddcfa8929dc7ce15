"""Targets: what happened within the horizon, and what cannot be said yet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.assembly import journeys_of
from models.journey.event import SECOND
from models.journey.target import CENSORED, DID_NOT, HAPPENED, LONGEST_HORIZON_SECONDS, Target

BUY = Target("buy", ("shop.purchase", "dealer.purchase"), 10)


def test_each_customer_is_asked_from_their_own_moment() -> None:
    bought = [("dealer.purchase", 15 * SECOND)]
    journeys = journeys_of({"in time": bought, "too late": bought, "already": bought, "cut": bought, "nothing": []})
    as_of = np.array([10, 4, 15, 25, 10]) * SECOND
    outcome = BUY.outcome(journeys, as_of, 30 * SECOND)
    assert outcome.tolist() == [HAPPENED, DID_NOT, DID_NOT, CENSORED, DID_NOT]
    assert outcome.dtype == np.int8


def test_a_horizon_cut_by_the_end_of_the_data_is_censored_even_where_it_happened() -> None:
    journeys = journeys_of({"quick": [("shop.purchase", 21 * SECOND)]})
    assert BUY.outcome(journeys, np.array([20 * SECOND]), 29 * SECOND).tolist() == [CENSORED]


def test_no_customers_and_unknown_touchpoints_have_outcomes_too() -> None:
    assert BUY.outcome(journeys_of({}), np.array([], dtype=np.int64), 0).tolist() == []
    journeys = journeys_of({"c": [("web.visit", 5 * SECOND)]})
    assert BUY.outcome(journeys, np.array([0]), 99 * SECOND).tolist() == [DID_NOT]


@given(st.lists(st.tuples(st.sampled_from(("shop.purchase", "web.visit")), st.integers(0, 50)), max_size=8))
def test_an_outcome_is_what_a_plain_loop_over_the_journey_finds(points: list[tuple[str, int]]) -> None:
    journeys = journeys_of({"other": [("shop.purchase", 20 * SECOND)], "c": [(n, at * SECOND) for n, at in points]})
    found = BUY.outcome(journeys, np.array([15, 15]) * SECOND, 100 * SECOND)[1]
    assert found == int(any(name == "shop.purchase" and 15 < at <= 25 for name, at in points))


def test_a_target_is_written_and_read() -> None:
    assert Target.from_dict(BUY.to_dict()) == BUY


@pytest.mark.parametrize(
    ("name", "touchpoints", "horizon", "said"),
    [
        ("buy", (), 10, "names no touchpoint"),
        ("buy", ("a.b",), 0, "horizon_seconds 0; allowed"),
        ("buy", ("a.b",), LONGEST_HORIZON_SECONDS + 1, "allowed: 1 to"),
        ("../buy", ("a.b",), 10, r"target name '\.\./buy'"),
        ("", ("a.b",), 10, "target name ''"),
    ],
)
def test_a_wrong_target_is_refused(name: str, touchpoints: tuple[str, ...], horizon: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Target(name, touchpoints, horizon)
