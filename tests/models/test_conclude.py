"""From predictions to conclusions: the decision table, the promise behind each, and what is withheld."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.conclude import (
    ReadFeedback,
    conclude_feelings,
    conclude_next_touchpoints,
    conclude_purchases,
    not_trained,
    read_feedback,
    summarise,
)
from models.confidence.band import binomial_band
from models.confidence.calibration import Temperature, Uncalibrated
from models.confidence.conformal import SplitConformal
from models.confidence.risk import CalibrationTable
from models.insight import Conclusion, Decision, ReleasePolicy, flags
from models.journey.assembly import Feedback, journeys_of, with_customers
from models.journey.target import Target
from models.measured import (
    LEAST_CALIBRATION_CASES,
    LEAST_COVERAGE_CASES,
    Measured,
    MeasuredFeeling,
    MeasuredNextTouchpoint,
    MeasuredPurchase,
)
from models.predictors.channel import ChannelPreference
from models.predictors.feedback import EMOTIONS, POLARITIES, FeelingPrediction
from models.predictors.predictor import NextTouchpointPrediction

POLICY = ReleasePolicy()
NAMES = ("dealer.visit", "email.click", "web.visit")
BUY = Target("buy", ("dealer.purchase",), 90 * 86_400)


def codes(conclusion: Conclusion) -> list[str]:
    return [flag.code for flag in conclusion.flags]


# -- next touchpoint ---------------------------------------------------------------------------------------------------


def measured_next(n: int = LEAST_COVERAGE_CASES) -> MeasuredNextTouchpoint:
    held_out = np.tile([[0.7, 0.2, 0.1]], (200, 1))
    sets = {c: SplitConformal.conformalize(held_out, np.repeat([0, 1], [170, 30]), alpha=1 - c) for c in (0.8, 0.9)}
    return MeasuredNextTouchpoint(Temperature(1.0), sets, n)


def next_touchpoints(
    lengths: list[int], n: int = LEAST_COVERAGE_CASES, measured: MeasuredNextTouchpoint | None = None
) -> list[Conclusion]:
    many = len(lengths)
    prediction = NextTouchpointPrediction(
        np.tile([[0.25, 0.05, 0.7]], (many, 1)), np.full(many, 0.08), np.tile([[72_000.0, 183_600, 777_600]], (many, 1))
    )
    seen = journeys_of({f"c{i}": [("web.visit", k) for k in range(length)] for i, length in enumerate(lengths)})
    return conclude_next_touchpoints(prediction, NAMES, seen, 30 * 86_400, measured or measured_next(n), POLICY).rows()


def test_a_next_touchpoint_is_released_with_its_set_and_its_waiting_time() -> None:
    (conclusion,) = next_touchpoints([3])
    shown = json.loads(json.dumps(conclusion.to_dict()))
    assert (shown["decision"], shown["answer"], shown["confidence"]) == ("auto", "web.visit", 0.7)
    assert shown["prediction_set"] == ["web.visit", "dealer.visit"]
    assert [one["probability"] for one in shown["distribution"]] == [0.7, 0.25, 0.05]
    assert shown["expected_in"] == {"p10": "PT20H", "p50": "P2DT3H", "p90": "P9D"}
    assert (shown["none_within_horizon"], shown["horizon"]) == (0.08, "P30D")
    assert shown["promise"] == {"kind": "coverage", "at_least": 0.9, "group": "all", "n": 200, "standing": True}


def test_an_empty_journey_or_too_few_cases_abstain_each_in_its_own_row() -> None:
    known, empty = next_touchpoints([3, 0])
    assert (known.decision, empty.decision) == (Decision.AUTO, Decision.ABSTAIN)
    assert (codes(empty), empty.answer) == (["no_history"], None)
    (few,) = next_touchpoints([3], n=LEAST_COVERAGE_CASES - 1)
    assert (few.decision, codes(few), few.answer) == (Decision.ABSTAIN, ["too_little_data"], None)
    assert few.promise is not None
    assert not few.promise.standing


def test_an_empty_journey_gets_the_base_rate_a_wide_set_and_no_zero() -> None:
    (empty,) = next_touchpoints([0])
    shown = empty.to_dict()
    assert (shown["decision"], shown["answer"]) == ("abstain", None)
    assert {one["touchpoint"]: one["probability"] for one in shown["distribution"]} == {
        "web.visit": 0.7, "dealer.visit": 0.25, "email.click": 0.05
    }  # fmt: skip
    assert shown["prediction_set"] == ["web.visit", "dealer.visit"]  # the likeliest that make up nine tenths


def test_where_the_model_knows_no_more_than_the_base_rate_it_is_given_and_said() -> None:
    held_out = np.tile([[0.6, 0.3, 0.1]], (300, 1))
    luck = np.random.default_rng(0).random(300)
    sets = SplitConformal.conformalize(held_out, np.repeat([0, 1, 2], [180, 90, 30]), luck=luck)
    noise = MeasuredNextTouchpoint(Temperature(2.0), {0.9: sets}, 300, (0.6, 0.3, 0.1))
    told = next_touchpoints([3] * 50, measured=noise)
    assert {one.decision for one in told} == {Decision.ABSTAIN}
    assert codes(told[0]) == ["no_better_than_base_rate"]
    assert [one["probability"] for one in told[0].to_dict()["distribution"]] == [0.6, 0.3, 0.1]
    assert told[0].promise is not None
    assert told[0].promise.standing
    assert [one.details for one in told] == [one.details for one in next_touchpoints([3] * 50, measured=noise)]


def test_the_promise_names_the_touchpoint_whose_sets_were_measured() -> None:
    held_out = np.tile([[0.7, 0.2, 0.1]], (200, 1))
    sets = SplitConformal.conformalize(held_out, np.repeat([0, 1], [170, 30]), np.repeat("web.visit", 200))
    known, empty = next_touchpoints([3, 0], measured=MeasuredNextTouchpoint(Temperature(1.0), {0.9: sets}, 200))
    assert known.promise is not None
    assert empty.promise is not None
    assert (known.promise.group, known.promise.n, empty.promise.group) == ("web.visit", 200, "all")


def test_a_coverage_that_was_not_measured_names_those_that_were() -> None:
    with pytest.raises(ValueError, match=r"coverage 0\.5 was not measured; allowed: 0\.8, 0\.9"):
        measured_next().set_for(0.5)


# -- purchase ----------------------------------------------------------------------------------------------------------

ANGRY = Conclusion("feeling", Decision.REVIEW, flags(["polite_anger"]), "negative")


def purchase(
    raw: float, length: int = 3, n: int = LEAST_CALIBRATION_CASES, feeling: Conclusion | None = None
) -> Conclusion:
    band = binomial_band(np.linspace(0, 1, n), np.arange(n) % 4 == 0)
    measured = MeasuredPurchase(Uncalibrated(), band)
    counts = np.array([length], dtype=np.int64)
    (conclusion,) = conclude_purchases(np.array([raw]), BUY, 0.2, counts, measured, [feeling]).rows()
    return conclusion


def test_a_purchase_is_released_inside_its_interval() -> None:
    conclusion = purchase(0.34)
    shown = conclusion.to_dict()
    low, high = shown["interval"]
    assert (conclusion.decision, shown["answer"]) == (Decision.AUTO, 0.34)
    assert low <= 0.34 <= high
    assert shown["confidence"] == pytest.approx(1 - (high - low), abs=2e-4)
    assert (shown["definition"], shown["horizon"], shown["base_rate"]) == ("buy", "P90D", 0.2)


@pytest.mark.parametrize(
    ("raw", "length", "n", "feeling", "decision", "expected"),
    [
        (0.34, 0, 200, None, Decision.ABSTAIN, ["no_history"]),
        (0.34, 3, 199, None, Decision.ABSTAIN, ["too_little_data"]),
        (0.34, 3, 200, ANGRY, Decision.REVIEW, ["anger_waiting"]),
        (0.20, 3, 200, ANGRY, Decision.AUTO, []),  # no likelier than anybody
        (0.34, 0, 200, ANGRY, Decision.ABSTAIN, ["no_history", "anger_waiting"]),
        (0.34, 3, 200, ANGRY.answered_by_person("negative", {}), Decision.AUTO, []),  # it was read
        (0.34, 3, 200, replace(ANGRY, answer="positive"), Decision.AUTO, []),
        (0.34, 3, 200, replace(ANGRY, decision=Decision.AUTO), Decision.AUTO, []),
    ],
)
def test_the_decision_table_of_purchases(
    raw: float, length: int, n: int, feeling: Conclusion | None, decision: Decision, expected: list[str]
) -> None:
    conclusion = purchase(raw, length, n, feeling)
    assert (conclusion.decision, codes(conclusion)) == (decision, expected)
    shown = conclusion.to_dict()
    if decision is Decision.ABSTAIN:
        assert (shown["answer"], shown["interval"], shown["confidence"]) == (None, [0.0, 1.0], 0.0)
    if conclusion.waiting:
        assert shown["answer"] is None
        assert not {"interval", "confidence"} & set(shown)
        assert conclusion.answer == 0.34


# -- feeling -----------------------------------------------------------------------------------------------------------


def measured_feeling(cases: int = 400, wrong_below: float = 0.5, channel: str = "chat") -> MeasuredFeeling:
    score = np.linspace(0.25, 1, cases)
    return MeasuredFeeling(Temperature(1.0), CalibrationTable.of(score, score < wrong_below, np.full(cases, channel)))


def predicted(polarity: Sequence[Sequence[float]], truncated: bool = False) -> FeelingPrediction:
    n = len(polarity)
    emotions = np.zeros((n, len(EMOTIONS)))
    emotions[:, 2], emotions[:, 3] = 0.9, 0.31
    return FeelingPrediction(
        np.array(polarity, dtype=np.float64), emotions, None, np.full(n, -2.5), np.full(n, 0.5),
        np.full(n, truncated), np.full(n, 9),
    )  # fmt: skip


def feelings(
    polarity: Sequence[float],
    flagged: Sequence[str] = (),
    measured: MeasuredFeeling | None = None,
    channel: str = "chat",
) -> Conclusion:
    prediction = predicted([polarity])
    read = ReadFeedback(prediction.polarity, [list(flagged)], prediction)
    feedback = Feedback("f1", "c1", 0, 0, channel, "text")
    (conclusion,) = conclude_feelings([feedback], read, measured or measured_feeling(), POLICY)
    return conclusion


SURE, UNSURE = (0.97, 0.01, 0.01, 0.01), (0.4, 0.3, 0.2, 0.1)


def test_a_sure_feeling_without_flags_is_released_with_its_promise() -> None:
    shown = json.loads(json.dumps(feelings(SURE).to_dict()))
    assert (shown["decision"], shown["answer"], shown["confidence"]) == ("auto", "negative", 0.97)
    assert (shown["feedback_id"], shown["said_at"], shown["channel"]) == ("f1", "1970-01-01T00:00:00Z", "chat")
    assert [one["polarity"] for one in shown["distribution"]] == list(POLARITIES)
    assert shown["emotions"] == [
        {"emotion": "anger", "probability": 0.9},
        {"emotion": "annoyance", "probability": 0.31},
    ]
    assert shown["intensity"] == {"mean": -2.5, "spread": 0.5}
    promise = {"kind": "selective_risk", "at_most_wrong": 0.05, "confidence": 0.95, "group": "chat", "n": 400}
    assert shown["promise"] == {**promise, "standing": True}


@pytest.mark.parametrize(
    ("polarity", "flagged", "decision", "expected"),
    [
        (UNSURE, [], Decision.REVIEW, ["below_threshold"]),
        (SURE, ["sarcasm_cue"], Decision.REVIEW, ["sarcasm_cue"]),
        (UNSURE, ["low_margin"], Decision.REVIEW, ["low_margin", "below_threshold"]),
        (SURE, ["other_language"], Decision.ABSTAIN, ["other_language"]),
        (SURE, ["other_language", "urgent"], Decision.REVIEW, ["urgent", "other_language"]),
    ],
)
def test_the_decision_table_of_feelings(
    polarity: Sequence[float], flagged: Sequence[str], decision: Decision, expected: list[str]
) -> None:
    conclusion = feelings(polarity, flagged)
    assert (conclusion.decision, codes(conclusion)) == (decision, expected)


def test_without_enough_labels_nothing_is_released_and_the_count_is_told() -> None:
    conclusion = feelings(SURE, measured=measured_feeling(cases=20, wrong_below=0))
    assert (conclusion.decision, codes(conclusion)) == (Decision.REVIEW, ["no_promise"])
    rule = measured_feeling(cases=20, wrong_below=0).rule(POLICY.alpha, POLICY.delta, "chat")
    assert rule.n_more_needed == 39
    assert "39 more without a mistake" in conclusion.to_dict()["flags"][0]["text"]
    assert conclusion.promise is not None
    assert not conclusion.promise.standing


def test_a_channel_without_labels_of_its_own_rests_on_all() -> None:
    promise = feelings(SURE, channel="letters").promise
    assert promise is not None
    assert (promise.group, promise.n) == ("all", 400)


def walk(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(found for inner in value.values() for found in walk(inner))]
    return [found for inner in value for found in walk(inner)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("flagged", [["urgent"], ["polite_anger", "low_margin"], ["truncated"]])
def test_a_waiting_feeling_shows_nothing_of_what_the_model_thinks(flagged: list[str]) -> None:
    conclusion = feelings((0.0123, 0.0345, 0.0411, 0.9121), flagged)
    found = walk(json.loads(json.dumps({**conclusion.to_dict(), "flags": []})))
    assert conclusion.waiting
    assert conclusion.answer == "mixed"
    assert not {0.0123, 0.0345, 0.0411, 0.9121, *POLARITIES, *EMOTIONS} & set(found)
    assert not {"distribution", "emotions", "emotion_set", "emotion_groups", "intensity"} & set(found)
    assert set(conclusion.to_dict(provisional=True)["provisional"]) == {
        "answer", "confidence", "distribution", "emotion_groups", "emotion_set", "emotions", "intensity",
    }  # fmt: skip


def test_an_abstained_feeling_says_nothing_at_all() -> None:
    conclusion = feelings(SURE, ["other_language"])
    assert (conclusion.answer, dict(conclusion.details)) == (None, {})


@pytest.mark.parametrize(
    ("polarity", "rating", "contradicts"),
    [
        ((0.97, 0.01, 0.01, 0.01), 5, True),
        ((0.97, 0.01, 0.01, 0.01), 4, True),
        ((0.01, 0.01, 0.97, 0.01), 2, True),
        ((0.97, 0.01, 0.01, 0.01), 3, False),
        ((0.97, 0.01, 0.01, 0.01), 1, False),
        ((0.01, 0.01, 0.97, 0.01), 5, False),
        ((0.01, 0.97, 0.01, 0.01), 1, False),
        ((0.97, 0.01, 0.01, 0.01), None, False),
    ],
)
def test_stars_that_say_the_opposite_of_the_words_are_flagged(
    polarity: Sequence[float], rating: int | None, contradicts: bool
) -> None:
    prediction = predicted([polarity])
    text = "I have been waiting for my new car since the beginning of the month."
    read = read_feedback(prediction, prediction.polarity, [text], [rating], "en")
    assert ("stars_contradict_words" in read.codes[0]) == contradicts


def test_a_text_that_was_not_read_to_its_end_is_flagged_and_flags_follow_the_calibrated_numbers() -> None:
    raw = predicted([SURE, SURE], truncated=True)
    calibrated = np.array([SURE, (0.3, 0.29, 0.21, 0.2)])
    texts = ["I have been waiting for my new car since the beginning of the month."] * 2
    read = read_feedback(raw, calibrated, texts, [None, None], "en")
    assert ["truncated" in one for one in read.codes] == [True, True]
    assert ["low_margin" in one for one in read.codes] == [False, True]
    assert read.score.tolist() == [0.97, 0.3]


def test_no_feedback_gives_no_conclusions() -> None:
    prediction = predicted([])
    empty = ReadFeedback(np.zeros((0, 4)), [], prediction)
    assert conclude_feelings([], empty, measured_feeling(), POLICY) == []


def test_what_was_not_trained_abstains_with_the_base_rate_where_there_is_one() -> None:
    conclusion = not_trained("next_touchpoint", {}, distribution=[{"touchpoint": "web.visit", "probability": 1.0}])
    assert (conclusion.decision, codes(conclusion), conclusion.answer) == (Decision.ABSTAIN, ["not_trained"], None)
    assert conclusion.to_dict()["distribution"][0]["touchpoint"] == "web.visit"


# -- the journey itself ------------------------------------------------------------------------------------------------


def test_a_journey_is_summarised_with_the_channel_that_the_customer_answers_on() -> None:
    journeys = journeys_of({"a": [("web.visit", 0), ("dealer.visit", 8)]}, stage="sale")
    prefers = ChannelPreference("call", 0.87654321, "responses", None, ({"channel": "call"},))
    (told,), (unknown,) = summarise(journeys, [prefers]), summarise(journeys)
    assert (told.touchpoints, told.first_at, told.last_at, told.stage) == (2, 0, 8, "sale")
    shown = told.to_dict()
    assert (shown["preferred_channel"], shown["channel_preference"]["confidence"]) == ("call", 0.8765)
    assert shown["channel_preference"]["channels"] == [{"channel": "call"}]
    assert (unknown.preferred_channel, unknown.to_dict()["channel_preference"]["reason"]) == (None, "not_trained")


def test_an_empty_journey_is_summarised_as_nothing() -> None:
    empty, known = summarise(with_customers(journeys_of({"b": [("web.visit", 3)]}), ["a", "b"]))
    assert (empty.touchpoints, empty.first_at, empty.stage) == (0, None, None)
    assert (known.touchpoints, known.last_at, known.stage) == (1, 3, "convenience")


def test_what_was_measured_is_written_as_json_and_read_back() -> None:
    band = binomial_band(np.linspace(0, 1, 60), np.arange(60) % 2)
    measured = Measured(measured_next(), {"buy": MeasuredPurchase(Uncalibrated(), band)}, measured_feeling())
    written = json.loads(json.dumps(measured.to_dict()))
    assert Measured.from_dict(written).to_dict() == measured.to_dict()
    assert Measured.from_dict(json.loads(json.dumps(Measured().to_dict()))).to_dict() == Measured().to_dict()
