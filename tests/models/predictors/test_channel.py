"""The preferred channel: where they answer, not where they are shouted at; how sure, against chance drawn a million
times; and what is said of those who are never reached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.assembly import Step, columns, journeys_of, with_customers
from models.journey.event import DAY, Micros
from models.journey.touchpoint import Touchpoint
from models.predictors.channel import (
    EVERYBODY,
    REASONS,
    ChannelPredictor,
    ChannelPreference,
    Segment,
)
from models.predictors.highest import highest_rate, largest_share
from models.predictors.predictor import PredictorError

EVERYBODYS = Segment(
    500, {"*": (0.8, 3.2), "call": (1.5, 2.5), "email": (0.8, 6.0), "sms": (1.0, 4.0)}, {"app": 0.4, "web": 1.2}
)
PREDICTOR = ChannelPredictor({EVERYBODY: EVERYBODYS})


def told(*points: tuple[str, Micros], as_of: Micros = 1000 * DAY) -> ChannelPreference:
    """`!email` at a moment: the company reached out; `email`: the customer did."""
    steps = [
        Step("c", at, at, f"{n:04d}", Touchpoint(name.removeprefix("!"), "x", "sale", contact=name.startswith("!")))
        for n, (name, at) in enumerate(points)
    ]
    moments = np.array([as_of])
    return PREDICTOR.preferences(with_customers(columns(steps), ["c"]).seen_at(moments), moments)[0]


def test_who_answers_two_of_three_calls_and_none_of_a_hundred_emails_prefers_the_call_centre() -> None:
    emails = [("!email", n * DAY) for n in range(100)]
    calls = [("!call", 200 * DAY), ("call", 201 * DAY), ("!call", 210 * DAY), ("call", 211 * DAY), ("!call", 220 * DAY)]
    prefers = told(*emails, *calls)
    assert (prefers.channel, prefers.basis, prefers.reason) == ("call", "responses", None)
    assert prefers.confidence is not None
    assert 0.8 < prefers.confidence < 0.95  # nobody has tried text messages yet
    assert [(one["channel"], one["contacts"], one["answered"]) for one in prefers.counted] == [
        ("call", 3, 2),
        ("email", 100, 0),
    ]


def test_what_is_not_yet_known_changes_nothing() -> None:
    points = [("!call", 0), ("call", DAY), ("!email", 2 * DAY), ("email", 3 * DAY)]
    later = [("!email", 50 * DAY), ("email", 51 * DAY), ("!call", 60 * DAY)]
    assert told(*points, as_of=40 * DAY) == told(*points, *later, as_of=40 * DAY)


def test_few_answers_are_shrunk_to_what_others_do() -> None:
    once, often = told(("!call", 0), ("call", 1)), told(*(one for n in range(9) for one in twice("call", n * 10 * DAY)))
    assert once.confidence is not None
    assert often.confidence is not None
    assert once.confidence < 0.9 < often.confidence
    assert 0.375 < once.counted[0]["rate"] < often.counted[0]["rate"] < 1


def twice(channel: str, at: Micros) -> list[tuple[str, Micros]]:
    return [(f"!{channel}", at), (channel, at + DAY)]


def test_a_segment_has_odds_of_its_own_where_it_is_known() -> None:
    shy = Segment(80, {"call": (0.2, 9.8)}, {"web": 3.0})
    predictor = ChannelPredictor({EVERYBODY: EVERYBODYS, "post_sale": shy})
    reached = {"call": (2, 1), "email": (2, 1)}
    assert predictor.preference("sale", reached, {}).channel == "call"
    assert predictor.preference("post_sale", reached, {}).channel == "email"
    assert predictor.preference("", reached, {}) == PREDICTOR.preference("", reached, {})


def test_a_channel_that_training_never_saw_has_the_odds_of_any_channel() -> None:
    prefers = PREDICTOR.preference("sale", {"pigeon": (6, 5), "email": (9, 1)}, {})
    assert prefers.channel == "pigeon"
    assert prefers.counted[0]["rate"] == pytest.approx((0.8 + 5) / (4 + 6), abs=1e-4)


def test_who_is_never_reached_is_told_where_they_come_by_themselves() -> None:
    prefers = told(("web", 0), ("web", DAY), ("web", 2 * DAY), ("app", 3 * DAY))
    assert (prefers.channel, prefers.basis) == ("web", "own_visits")
    assert prefers.confidence is not None
    assert 0.5 < prefers.confidence < 1
    assert prefers.counted == ({"channel": "web", "visits": 3}, {"channel": "app", "visits": 1})


def test_with_a_single_channel_to_answer_on_nothing_is_compared() -> None:
    predictor = ChannelPredictor({EVERYBODY: Segment(500, {"email": (1.0, 3.0), "*": (1.0, 3.0)}, {"web": 1.0})})
    assert predictor.preference("sale", {"email": (9, 9)}, {}).channel is None
    assert predictor.preference("sale", {"email": (9, 9)}, {"web": 1}).basis == "own_visits"


def test_absence_is_told_with_its_reason() -> None:
    nothing, silent = told(), told(("!email", 0), ("!call", DAY))
    assert (nothing.channel, nothing.confidence, nothing.basis, nothing.reason) == (None, None, None, "nothing_known")
    assert (silent.channel, silent.reason) == (None, "never_answered")
    assert {"nothing_known", "never_answered", "not_trained"} == set(REASONS)
    assert silent.to_dict() == {"basis": None, "confidence": None, "reason": "never_answered", "channels": []}


@given(st.lists(st.tuples(st.floats(0.02, 60), st.floats(0.02, 60)), min_size=2, max_size=6))
def test_chances_of_being_the_highest_rate_add_up_to_one(shapes: list[tuple[float, float]]) -> None:
    assert sum(highest_rate(tuple(shapes), tuple(range(len(shapes))))) == pytest.approx(1, abs=2e-4)


@given(st.lists(st.floats(0.02, 400), min_size=2, max_size=8))
def test_chances_of_being_the_largest_share_add_up_to_one(weights: list[float]) -> None:
    assert sum(largest_share(tuple(weights), i) for i in range(len(weights))) == pytest.approx(1, abs=2e-4)


def test_chances_are_those_of_a_million_draws() -> None:
    rng = np.random.default_rng(0)
    shapes = ((0.05, 3.0), (2.3, 97.0), (2.5, 1.6), (4.0, 8.0), (300.0, 400.0))
    drawn = np.stack([rng.beta(a, b, 1_000_000) for a, b in shapes]).argmax(axis=0)
    shares = np.bincount(drawn, minlength=len(shapes)) / 1e6
    assert highest_rate(shapes, (0, 1, 2, 3, 4)) == pytest.approx(shares, abs=2e-3)
    weights = (0.05, 0.4, 3.0, 7.0, 6.5)
    drawn = np.stack([rng.gamma(one, size=1_000_000) for one in weights]).argmax(axis=0)
    shares = np.bincount(drawn, minlength=len(weights)) / 1e6
    assert [largest_share(weights, i) for i in range(5)] == pytest.approx(shares, abs=2e-3)


def test_one_customer_is_told_the_same_alone_and_in_a_batch() -> None:
    journeys = journeys_of({"a": [("web.visit", 0)], "b": [("app.open", 5), ("app.open", DAY)], "c": []})
    as_of = np.full(3, 9 * DAY)
    together = PREDICTOR.preferences(journeys, as_of)
    alone = [PREDICTOR.preferences(journeys.take(np.array([row])), as_of[:1])[0] for row in range(3)]
    assert together == alone


def test_what_is_saved_is_loaded_and_damage_is_named(tmp_path: Path) -> None:
    PREDICTOR.save(tmp_path)
    assert ChannelPredictor.load(tmp_path) == PREDICTOR
    file = tmp_path / "channel.json"
    whole = json.loads(file.read_text())
    for broken in ({**whole, "format_version": 9}, {"format_version": 1}, {**whole, "segments": {"sale": {}}}):
        file.write_text(json.dumps(broken))
        with pytest.raises(PredictorError, match=r"channel\.json"):
            ChannelPredictor.load(tmp_path)
    file.unlink()
    with pytest.raises(PredictorError, match="missing"):
        ChannelPredictor.load(tmp_path)
