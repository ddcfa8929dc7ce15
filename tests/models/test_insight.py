"""Insights: the shape of an answer, what is withheld while it waits, and how a verdict supersedes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.insight import (
    FLAGS,
    Conclusion,
    Decision,
    Flag,
    FlagKind,
    Insight,
    JourneySummary,
    Kind,
    ModelVersion,
    Promise,
    ReleasePolicy,
    decision_by_flags,
    flags,
    probability,
)

CODES = st.lists(st.sampled_from(tuple(FLAGS)), max_size=5)
SECRET = "what the model thinks"
PROMISES = st.none() | st.builds(
    Promise,
    st.sampled_from(("coverage", "calibration", "selective_risk")),
    st.sampled_from(({"at_least": 0.9}, {"within": "interval"}, {"at_most_wrong": 0.05, "confidence": 0.95})),
    st.text(),
    st.integers(0, 10**6),
    st.booleans(),
)
DETAILS = st.dictionaries(
    st.sampled_from(("confidence", "distribution", "emotions", "intensity", "interval", "prediction_set")),
    st.just(SECRET) | st.lists(st.fixed_dictionaries({"polarity": st.just(SECRET), "probability": st.just(0.123456)})),
)
CONCLUSIONS = st.builds(
    Conclusion,
    kind=st.sampled_from(get_args(Kind)),
    decision=st.sampled_from(Decision),
    flags=CODES.map(flags),
    answer=st.sampled_from((SECRET, 0.123456)),
    details=DETAILS,
    about=st.fixed_dictionaries({"channel": st.text(), "horizon": st.just("P30D")}),
    promise=PROMISES,
    decided_by=st.sampled_from(("model", "person")),
)


def walk(value: Any) -> Iterator[Any]:
    """Every key and every plain value of a JSON document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)
    else:
        yield value


@pytest.mark.parametrize(("code", "kind"), FLAGS.items())
def test_every_flag_has_a_sentence_that_people_can_read(code: str, kind: FlagKind) -> None:
    assert code.isidentifier()
    assert code == code.lower()
    assert kind.sentence[0].isupper()
    assert kind.sentence.endswith(".")
    assert code not in kind.sentence
    assert Flag(code).to_dict() == {"code": code, "text": kind.sentence}


@given(CONCLUSIONS)
def test_nothing_of_the_model_s_answer_is_in_a_conclusion_that_waits(conclusion: Conclusion) -> None:
    document = json.loads(json.dumps(conclusion.to_dict()))
    found = list(walk(document))
    if conclusion.waiting:
        assert document["answer"] is None
        assert SECRET not in found
        assert 0.123456 not in found
        asked = set(conclusion.about) | {"answer", "decision", "decided_by", "flags", "promise"}
        assert set(document) == asked
    else:
        assert document["answer"] == conclusion.answer


@given(CONCLUSIONS)
def test_a_provisional_reader_sees_the_withheld_answer_under_its_own_name_only(conclusion: Conclusion) -> None:
    shown = conclusion.to_dict(provisional=True)
    assert ("provisional" in shown) == conclusion.waiting
    if conclusion.waiting:
        assert shown["answer"] is None
        assert shown.pop("provisional") == {"answer": conclusion.answer, **conclusion.details}
    assert shown == conclusion.to_dict()


@given(CONCLUSIONS)
def test_a_conclusion_stored_as_json_and_restored_is_the_same(conclusion: Conclusion) -> None:
    assert Conclusion.restore(json.loads(json.dumps(conclusion.stored()))) == conclusion


@given(CONCLUSIONS)
def test_a_verdict_takes_the_place_of_the_answer_and_the_decision_stays(conclusion: Conclusion) -> None:
    answered = conclusion.answered_by_person("negative", {"confidence": None})
    shown = answered.to_dict(provisional=True)
    assert not answered.waiting
    assert (shown["answer"], shown["decided_by"], shown["decision"]) == ("negative", "person", conclusion.decision)
    assert SECRET not in list(walk(shown))


@given(CODES)
def test_a_flag_over_scores_decides_and_urgent_beats_abstain(codes: list[str]) -> None:
    found = flags(codes)
    severities = {FLAGS[code].severity for code in codes}
    decision = decision_by_flags(found)
    assert (decision is Decision.AUTO) == (not severities)
    if "urgent" in severities:
        assert decision is Decision.REVIEW
        assert FLAGS[found[0].code].severity == "urgent"
    elif "abstain" in severities:
        assert decision is Decision.ABSTAIN
    assert {flag.code for flag in found} == set(codes)
    assert len(found) == len(set(codes))


def test_an_unknown_flag_names_all_that_are_allowed() -> None:
    with pytest.raises(ValueError, match="unknown flag 'angry'; allowed: urgent, mixed_feelings"):
        Flag("angry")


@pytest.mark.parametrize("name", ["alpha", "delta", "coverage"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 5, float("nan")])
def test_a_policy_takes_shares_only(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} .* must lie between 0 and 1"):
        ReleasePolicy(**{name: value})


def test_an_insight_has_the_one_shape_everywhere() -> None:
    waiting = Conclusion(
        "feeling", Decision.REVIEW, flags(["low_margin"]), SECRET, {"confidence": 0.6}, {"channel": "chat"}
    )
    insight = Insight(
        "c1", 0, ModelVersion(7, "b3f1", 1_000_000), JourneySummary(2, 0, 1_000_000, "sale", None),
        Conclusion("next_touchpoint", Decision.AUTO, (), "dealer.visit", {"confidence": 0.7}, {"horizon": "P30D"}),
        (Conclusion("purchase", Decision.AUTO, (), 0.3, {"interval": [0.2, 0.4]}, {"definition": "buy"}),), waiting,
    )  # fmt: skip
    shown = json.loads(json.dumps(insight.to_dict()))
    assert list(shown) == ["customer_id", "as_of", "model", "journey", "next_touchpoint", "purchase", "feeling"]
    assert shown["model"] == {"version": 7, "digest": "b3f1", "live_since": "1970-01-01T00:00:01Z"}
    assert shown["journey"]["first_at"] == shown["as_of"] == "1970-01-01T00:00:00Z"
    assert shown["next_touchpoint"]["answer"] == "dealer.visit"
    assert SECRET not in list(walk(shown))
    assert SECRET in list(walk(insight.to_dict(provisional=True)))


def test_before_anything_is_live_the_version_is_zero_and_times_are_null() -> None:
    assert ModelVersion(0, None, None).to_dict() == {"version": 0, "digest": None, "live_since": None}
    assert JourneySummary(0, None, None, None, None).to_dict()["first_at"] is None


def test_probabilities_leave_the_house_with_four_digits() -> None:
    assert probability(2 / 3) == 0.6667
