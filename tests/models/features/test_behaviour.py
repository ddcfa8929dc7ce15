"""Behaviour: numbers seen from a moment, exact, and the same alone as in a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from models.features.behaviour import NEVER_DAYS, behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.assembly import Step, assemble, columns, journeys_of
from models.journey.event import DAY, SECOND, Event
from models.journey.journeys import Journeys
from models.journey.touchpoint import Touchpoint
from tests.models.features.laws import (
    AS_OF,
    CATALOGUE,
    alone_is_as_in_a_batch,
    later_events_change_nothing,
    log_and_later,
)
from tests.models.journey.logs import LOGS

HOUR = 3600 * SECOND


@given(log_and_later())
def test_later_events_change_no_feature(case: tuple[list[Event], int, list[Event]]) -> None:
    assert later_events_change_nothing(case, behaviour)


@given(LOGS, AS_OF)
def test_features_alone_are_bit_equal_to_the_same_in_a_batch(log: list[Event], as_of: int) -> None:
    assert alone_is_as_in_a_batch(log, as_of, behaviour)


@given(LOGS, AS_OF)
def test_features_are_finite_and_as_many_as_their_names(log: list[Event], as_of: int) -> None:
    journeys = assemble(log, CATALOGUE).journeys
    moments = np.full(len(journeys), as_of, dtype=np.int64)
    vocabulary = Vocabulary.of(journeys)
    table = behaviour(journeys.seen_at(moments), moments, vocabulary)
    assert table.shape == (len(journeys), len(features_of(vocabulary)))
    assert table.dtype == np.float32
    assert np.isfinite(table).all()


def test_every_feature_has_a_name_of_its_own_and_says_unit_formula_and_reason() -> None:
    features = features_of(Vocabulary(("a.b", "c.d"), ("sale", "sale")))
    assert len({feature.name for feature in features}) == len(features)
    assert all(feature.unit and feature.formula and feature.reason for feature in features)


def named(journeys: Journeys, as_of: int, row: int = 0) -> dict[str, float]:
    vocabulary = Vocabulary.of(journeys)
    table = behaviour(journeys, np.full(len(journeys), as_of, dtype=np.int64), vocabulary)
    return {feature.name: float(table[row, i]) for i, feature in enumerate(features_of(vocabulary))}


def paid(at: int, name: str, amount_minor: int = 0, contact: bool = False) -> Step:
    channel, _, action = name.partition(".")
    return Step("c", at, at, f"{at:030d}", Touchpoint(channel, action, "sale", amount_minor, contact=contact))


def test_a_worked_journey_has_the_features_that_a_person_would_count() -> None:
    log = [
        paid(0, "web.visit"), paid(0, "email.sent", contact=True), paid(20 * DAY, "shop.purchase", 1999),
        paid(20 * DAY + HOUR, "shop.purchase", 501), paid(26 * DAY, "web.visit"),
    ]  # fmt: skip
    found = named(columns(log), 30 * DAY)
    expected = {
        "touchpoints": 5, "days_since_last": 4, "days_since_first": 30, "touchpoints_7d": 1, "touchpoints_30d": 3,
        "touchpoints_90d": 5, "own_rhythm_days": 6.5, "sessions": 4, "session_depth": 1.25, "channels": 3,
        "handoffs": 3, "contacts_30d": 0, "amount": 25, "amount_last": 5.01, "paid_touchpoints": 2,
        "days_since_paid": 10 - 1 / 24, "stage:sale": 5, "stage:convenience": 0, "channel:shop": 2,
        "count:shop.purchase": 2, "days_since:web.visit": 4, "days_since:email.sent": 30,
        "silence_in_rhythms": 4 / 6.5, "tempo_change": 2 / (1 + 3 * 7 / 30),
        "last_session_depth": 1, "last_gap_in_rhythms": (6 - 1 / 24) / 6.5, "channel_entropy": 1.0549202,
        "stage_reached": 2, "weekend_share": 0, "office_share": 0, "contacts_answered": 1, "days_since_contact": 30,
        "amount_90d": 25,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_the_time_of_the_week_and_whose_answer_it_was_are_told_apart() -> None:
    monday = 4 * DAY  # 1970-01-05
    log = [
        paid(monday + 9 * HOUR, "web.visit"), paid(monday + 18 * HOUR, "web.visit"),
        paid(monday + 5 * DAY + 9 * HOUR, "email.sent", contact=True),
        paid(monday + 6 * DAY + 9 * HOUR, "email.sent", contact=True), paid(monday + 7 * DAY, "web.visit"),
    ]  # fmt: skip
    found = named(columns(log), monday + 8 * DAY)
    assert (found["office_share"], found["weekend_share"]) == pytest.approx((1 / 5, 2 / 5))
    assert (found["contacts_answered"], found["handoffs"]) == (1, 2)


def test_an_empty_journey_has_nothing_and_never() -> None:
    found = named(journeys_of({"c": [("web.visit", 5)], "empty": []}), 10, row=1)
    assert {name for name, value in found.items() if value == NEVER_DAYS} == {
        "days_since_last", "own_rhythm_days", "days_since_paid", "days_since_contact", "days_since:web.visit",
    }  # fmt: skip
    assert set(found.values()) == {0.0, 1.0, NEVER_DAYS}  # tempo and rhythm are 1 where nothing is


def test_nobody_gives_no_rows_and_unknown_names_still_count_in_general() -> None:
    assert behaviour(journeys_of({}), np.array([], dtype=np.int64), Vocabulary((), ())).shape == (0, 30)
    strange = behaviour(journeys_of({"c": [("new.thing", 1)]}), np.array([2]), Vocabulary((), ()))
    assert strange[0, 0] == 1


def test_huge_amounts_add_up_exactly() -> None:
    most = 10**13
    log = [paid(at, "shop.purchase", most - (at == 999)) for at in range(1000)]
    found = named(columns(log), DAY)
    assert found["amount"] == np.float32((1000 * most - 1) / 100)


def test_the_first_and_the_last_year_do_not_overflow() -> None:
    log = [paid(-62_135_596_800_000_000, "web.visit"), paid(253_402_300_799_999_999, "web.visit")]
    found = named(columns(log), 253_402_300_799_999_999)
    assert found["own_rhythm_days"] == found["days_since_first"] == pytest.approx(3_652_059, rel=1e-6)
