"""Words and behaviour that say different things are never released unread, whichever comes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contradiction import CODE, WINDOW, contradiction, with_behaviour
from models.insight import Conclusion, Decision, flags
from models.journey.event import DAY

SAID = 100 * DAY
NAMES = st.sampled_from(
    ["web.visit", "web.purchase", "shop.return", "refund.paid", "email.unsubscribe", "web.order_cancel"]
)
SEEN = st.lists(st.tuples(NAMES, st.integers(0, 200).map(lambda day: day * DAY)), max_size=8).map(
    lambda seen: sorted(seen, key=lambda one: one[1])
)


def feeling(answer: str, decision: Decision = Decision.AUTO, *codes: str) -> Conclusion:
    return Conclusion("feeling", decision, flags(codes), answer, {"confidence": 0.97})


@pytest.mark.parametrize(("days", "told"), [(-14, "14 days before"), (0, "on the same day"), (1, "1 day later")])
def test_praise_and_a_return_go_to_a_person(days: int, told: str) -> None:
    found = with_behaviour(feeling("positive"), SAID, [("shop.return", SAID + days * DAY)])
    assert found.decision is Decision.REVIEW
    assert found.flags[0].code == CODE
    assert found.flags[0].text == f"Praise, and shop.return {told}."
    assert found.to_dict()["answer"] is None


def test_a_complaint_and_another_purchase_go_to_a_person() -> None:
    seen = [("web.purchase", SAID - 30 * DAY), ("dealer.purchase", SAID + 13 * DAY)]
    assert with_behaviour(feeling("negative"), SAID, seen).decision is Decision.REVIEW
    assert with_behaviour(feeling("negative"), SAID, seen[1:]).decision is Decision.AUTO, "a first purchase is none"
    assert with_behaviour(feeling("negative"), SAID, seen[:1]).decision is Decision.AUTO, "it came before"


@given(st.sampled_from(["positive", "negative", "neutral", "mixed"]), SEEN)
def test_what_is_far_away_contradicts_nothing(answer: str, seen: list[tuple[str, int]]) -> None:
    far = [one for one in seen if abs(one[1] - SAID) > WINDOW]
    assert contradiction(answer, SAID, far) is None


@given(st.sampled_from(["positive", "negative", "neutral", "mixed"]), SEEN)
def test_looking_again_changes_nothing(answer: str, seen: list[tuple[str, int]]) -> None:
    once = with_behaviour(feeling(answer), SAID, seen)
    assert with_behaviour(once, SAID, seen) == once
    assert (once.decision is Decision.REVIEW) == (contradiction(answer, SAID, seen) is not None)


@pytest.mark.parametrize("answer", ["neutral", "mixed"])
def test_who_takes_no_side_contradicts_nobody(answer: str) -> None:
    assert contradiction(answer, SAID, [("shop.return", SAID), ("web.purchase", SAID + 1)]) is None


def test_what_a_person_answered_and_what_nobody_knows_stays() -> None:
    returned = [("shop.return", SAID)]
    by_person = feeling("positive", Decision.REVIEW).answered_by_person("positive", {})
    unknown = Conclusion("feeling", Decision.ABSTAIN, flags(["other_language"]))
    assert with_behaviour(by_person, SAID, returned) == by_person
    assert with_behaviour(unknown, SAID, returned) == unknown


def test_what_waits_already_gets_the_flag_too() -> None:
    found = with_behaviour(feeling("positive", Decision.REVIEW, "low_margin"), SAID, [("refund.paid", SAID)])
    assert {flag.code for flag in found.flags} == {"low_margin", CODE}
