"""The language of audiences: data in, yes or no out, exactly as a naive reading of it says, and every mistake named."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import DAY, format_time, parse_time
from service.errors import Invalid
from service.outbox.conditions import FIELDS, MOST_DEPTH, OPERATORS, read, restored

NOON = parse_time("2026-11-21T12:00:00Z")


def insight(**parts: Any) -> dict[str, Any]:
    """A public insight of a customer who is likely to buy and content."""
    told: dict[str, Any] = {
        "customer_id": "c1", "as_of": format_time(NOON), "model": {"version": 7},
        "journey": {"touchpoints": 5, "first_at": format_time(NOON - 30 * DAY), "last_at": format_time(NOON - DAY),
                    "stage": "sale", "last_channel": "email", "preferred_channel": None, "channel_preference": None},
        "next_touchpoint": {"decision": "auto", "decided_by": "model", "flags": [], "answer": "dealer.visit",
                            "confidence": 0.7, "prediction_set": ["dealer.visit", "email.click"],
                            "distribution": [{"touchpoint": "dealer.visit", "probability": 0.7}]},
        "purchase": [{"definition": "car", "decision": "auto", "decided_by": "model", "flags": [], "answer": 0.62}],
        "feeling": {"decision": "auto", "decided_by": "model", "flags": [{"code": "low_margin", "text": "…"}],
                    "answer": "positive", "channel": "chat", "emotions": [{"emotion": "joy", "probability": 0.8}]},
    }  # fmt: skip
    return {**told, **parts}


def compare(field: Any, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def holds(condition: Any, of: Mapping[str, Any] | None = None) -> bool:
    return read(condition).holds(of or insight(), NOON)


@pytest.mark.parametrize(
    ("field", "op", "value", "expected"),
    [
        ("purchase.car.answer", ">", 0.6, True),
        ("purchase.car.answer", ">", 0.62, False),
        ("purchase.car.answer", ">=", 0.62, True),
        ("purchase.boat.answer", ">", 0, False),
        ("feeling.waiting", "=", False, True),
        ("feeling.flags", "has", "low_margin", True),
        ("feeling.flags", "has_not", "urgent", True),
        ("feeling.emotions.joy", ">=", 0.5, True),
        ("feeling.emotions.anger", "<", 1, False),
        ("journey.last_channel", "=", "email", True),
        ("journey.stage", "in", ["sale", "post_sale"], True),
        ("journey.preferred_channel", "=", "email", False),
        ("journey.preferred_channel", "!=", "email", False),
        ("journey.preferred_channel", "known", False, True),
        ("journey.channel_preference.confidence", ">", 0, False),
        ("journey.last_at", "within", "P7D", True),
        ("journey.last_at", "older_than", "PT12H", True),
        ("journey.first_at", "<", "2026-11-01T00:00:00Z", True),
        ("next_touchpoint.answer", "=", "dealer.visit", True),
        ("next_touchpoint.prediction_set", "has", "email.click", True),
        ("next_touchpoint.distribution.dealer.visit", ">", 0.6, True),
        ("model.version", "=", 7, True),
    ],
)
def test_a_comparison_says_what_it_reads_like(field: str, op: str, value: Any, expected: bool) -> None:
    assert holds(compare(field, op, value)) is expected


def test_what_waits_for_a_person_is_null_to_a_condition() -> None:
    waiting = insight(feeling={"decision": "review", "decided_by": "model", "flags": [], "answer": None})
    assert holds(compare("feeling.waiting", "=", True), waiting)
    assert not holds(compare("feeling.answer", "=", "negative"), waiting)
    assert not holds(compare("feeling.answer", "!=", "negative"), waiting)
    assert holds({"not": compare("feeling.answer", "=", "negative")}, waiting)


def test_all_of_nothing_is_everybody_and_any_of_nothing_is_nobody() -> None:
    assert holds({"all": []})
    assert not holds({"any": []})


@pytest.mark.parametrize(
    ("condition", "field", "allowed"),
    [
        (7, "condition", "any"),
        ({}, "condition", "not"),
        ({"all": [], "any": []}, "condition", "all"),
        ({"all": {}}, "condition.all", None),
        ({"any": [compare("feeling.mood", "=", 1)]}, "condition.any.0.field", "feeling.answer"),
        (compare("purchase.*.answer", ">", 0.5), "condition.field", "purchase.*.answer"),
        (compare(["feeling"], "=", 1), "condition.field", "feeling.answer"),
        (compare("feeling.emotions.glee", ">", 0.5), "condition.field", "joy"),
        (compare("feeling.answer", ">", "positive"), "condition.op", "not_in"),
        (compare("feeling.answer", "=", "cross"), "condition.value", "negative"),
        (compare("feeling.answer", "in", []), "condition.value", "negative"),
        (compare("feeling.answer", "in", ["positive", 3]), "condition.value.1", "negative"),
        (compare("feeling.waiting", "=", "yes"), "condition.value", "true"),
        (compare("journey.touchpoints", ">", True), "condition.value", None),
        (compare("journey.touchpoints", ">", float("nan")), "condition.value", None),
        (compare("journey.touchpoints", ">", 10**400), "condition.value", None),
        (compare("journey.last_at", "within", "P1Y"), "condition.value", "a duration such as P7D or PT12H"),
        (compare("journey.last_at", "<", "soon"), "condition.value", "a moment such as 2026-11-21T10:15:00Z"),
        (compare("journey.last_channel", "=", "x" * 201), "condition.value", "a text of up to 200 characters"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(condition: Any, field: str, allowed: str | None) -> None:
    with pytest.raises(Invalid) as found:
        read(condition)
    assert found.value.field == field
    assert allowed is None or allowed in found.value.allowed


def test_a_target_that_no_insight_tells_of_is_named_with_those_that_there_are() -> None:
    with pytest.raises(Invalid) as found:
        read(compare("purchase.boat.answer", ">", 0.5), ["car", "test_drive"])
    assert found.value.allowed == ("car", "test_drive")


def test_depth_and_size_have_an_end() -> None:
    deep: Any = compare("feeling.waiting", "=", True)
    for _ in range(MOST_DEPTH):
        deep = {"not": deep}
    for condition in (deep, {"all": [compare("feeling.waiting", "=", True)] * 101}):
        with pytest.raises(Invalid):
            read(condition)


def test_every_field_can_be_asked_with_every_operator_of_its_kind() -> None:
    values = {"number": 1, "truth": True, "time": "2026-11-01", "text": "x", "texts": "x"}
    for name, field in FIELDS.items():
        for op in OPERATORS[field.kind]:
            value: Any = field.allowed[0] if field.allowed and "emotions" not in name else values[field.kind]
            value = {"in": [value], "not_in": [value], "known": True, "within": "P1D", "older_than": "P1D"}.get(
                op, value
            )
            star = "joy" if "emotions" in name else "email.click"
            read(compare(name.replace("*", star), op, value)).holds(insight(), NOON)


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "in": lambda found, value: found in value, "not_in": lambda found, value: found not in value,
}  # fmt: skip
SEEN: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "journey.touchpoints": lambda one: one["journey"]["touchpoints"],
    "purchase.car.answer": lambda one: one["purchase"][0]["answer"],
    "purchase.boat.answer": lambda one: None,
    "feeling.answer": lambda one: one["feeling"]["answer"],
    "feeling.waiting": lambda one: (one["feeling"]["decision"], one["feeling"]["decided_by"]) == ("review", "model"),
}


def naive(condition: Mapping[str, Any], of: Mapping[str, Any]) -> bool:
    """The same language, said as plainly as it can be."""
    if "all" in condition:
        return all(naive(one, of) for one in condition["all"])
    if "any" in condition:
        return any(naive(one, of) for one in condition["any"])
    if "not" in condition:
        return not naive(condition["not"], of)
    found = SEEN[condition["field"]](of)
    if condition["op"] == "known":
        return bool((found is not None) == condition["value"])
    return found is not None and bool(COMPARED[condition["op"]](found, condition["value"]))


_numbers = st.sampled_from([0, 0.25, 0.5, 1, 3])
_polarities = st.sampled_from(["negative", "neutral", "positive", "mixed"])
_numeric = st.sampled_from(["journey.touchpoints", "purchase.car.answer", "purchase.boat.answer"])
comparisons = st.one_of(
    st.builds(compare, _numeric, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), _numbers),
    st.builds(compare, _numeric, st.sampled_from(["in", "not_in"]), st.lists(_numbers, min_size=1, max_size=3)),
    st.builds(compare, st.just("feeling.answer"), st.sampled_from(["=", "!="]), _polarities),
    st.builds(compare, st.sampled_from(["feeling.answer", "purchase.car.answer"]), st.just("known"), st.booleans()),
    st.builds(compare, st.just("feeling.waiting"), st.just("="), st.booleans()),
)


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Comparisons, and one level more around these."""
    few = st.lists(inner, max_size=3)
    made = (st.fixed_dictionaries({"all": few}), st.fixed_dictionaries({"any": few}))
    return st.one_of(comparisons, *made, st.fixed_dictionaries({"not": inner}))


conditions = nested(nested(nested(comparisons)))
feelings: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"decision": st.sampled_from(["auto", "review", "abstain"]), "decided_by": st.sampled_from(["model", "person"]),
     "answer": st.none() | _polarities, "flags": st.just([])}
)  # fmt: skip
insights = st.builds(
    lambda count, chance, feeling: insight(
        journey={"touchpoints": count}, feeling=feeling, purchase=[{"definition": "car", "answer": chance}]
    ),
    st.integers(0, 3), st.none() | _numbers, feelings,
)  # fmt: skip


@given(conditions, insights)
def test_evaluation_equals_a_naive_reading(condition: dict[str, Any], of: dict[str, Any]) -> None:
    assert read(condition).holds(of, NOON) == naive(condition, of)


def test_a_stored_condition_that_is_not_allowed_any_more_holds_for_nobody() -> None:
    assert restored('{"field":"journey.touchpoints","op":">","value":1}').holds(insight(), NOON)
    assert not restored('{"field":"feeling.mood","op":"=","value":1}').holds(insight(), NOON)
