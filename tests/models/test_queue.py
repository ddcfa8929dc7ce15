"""Which case comes first: laws of the order, of lots and of words that are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import DAY
from models.queue import (
    AHEAD,
    URGENT_AHEAD,
    chance_of_overturning,
    lot_of,
    place_in_queue,
    stake,
    words_key,
)

SHARES = st.floats(0, 1)
MOMENTS = st.integers(0, 4_000 * DAY)
COUNTS = st.lists(st.integers(0, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=4)


@given(MOMENTS, SHARES, SHARES, st.booleans(), SHARES, SHARES, st.booleans())
def test_nothing_that_comes_44_days_later_overtakes(
    since: int, chance: float, worth: float, urgent: bool, other: float, others: float, rushed: bool
) -> None:
    later = since + AHEAD + URGENT_AHEAD
    first = place_in_queue(since, chance, worth, urgent=urgent)
    assert first <= place_in_queue(later, other, others, urgent=rushed)


@given(MOMENTS, st.integers(0, 30 * DAY), SHARES, SHARES, SHARES, SHARES)
def test_urgent_cases_come_before_all_that_wait_up_to_30_days_longer(
    since: int, longer: int, chance: float, worth: float, other: float, others: float
) -> None:
    urgent = place_in_queue(since, chance, worth, urgent=True)
    assert urgent <= place_in_queue(since - longer, other, others, urgent=False)


@given(MOMENTS, SHARES, SHARES, SHARES)
def test_of_cases_that_came_together_the_more_doubtful_and_the_costlier_come_first(
    since: int, less: float, more: float, worth: float
) -> None:
    less, more = sorted((less, more))
    assert place_in_queue(since, more, worth, urgent=False) <= place_in_queue(since, less, worth, urgent=False)
    assert place_in_queue(since, worth, more, urgent=False) <= place_in_queue(since, worth, less, urgent=False)


@given(SHARES, COUNTS)
def test_the_chance_of_overturning_is_a_probability(confidence: float, seen: list[tuple[int, int]]) -> None:
    assert 0 <= chance_of_overturning(confidence, seen) <= 1


def test_what_people_did_outweighs_the_models_doubt_once_there_is_enough_of_it() -> None:
    assert chance_of_overturning(0.9, [(0, 0)]) == chance_of_overturning(0.9)
    assert abs(chance_of_overturning(0.9, [(100_000, 50_000)]) - 0.5) < 0.001
    assert chance_of_overturning(0.9, [(50, 0), (50, 40)]) == chance_of_overturning(0.9, [(50, 40)])
    assert chance_of_overturning(None) == 0.5


@given(st.integers(-100, 10**12), st.integers(0, 10**12))
def test_more_money_is_never_less_at_stake(spent: int, more: int) -> None:
    assert 0.2 <= stake(spent) <= stake(spent + more) <= 1


def test_lots_fall_evenly_and_words_that_only_a_lot_sent_are_always_read_twice() -> None:
    lots = [lot_of(f"f{number}") for number in range(5_000)]
    assert 0.08 < sum(lot < 0.1 for lot in lots) / 5_000 < 0.12
    assert lot_of("f1", blind=True) < 0


@given(st.text("abcDEF äß.", max_size=60))
def test_words_stay_the_same_in_capitals_and_with_more_space(words: str) -> None:
    assert words_key(words) == words_key(f"  {words.upper().lower()}  ".replace(" ", "   "))
    assert (words_key(words) is None) == (not words.strip(". "))


@pytest.mark.parametrize(
    ("one", "other"), [("It works.", "It works?"), ("I am fine :)", "I am fine :("), ("5 stars", "1 stars"), ("a", "b")]
)
def test_words_that_may_be_felt_otherwise_are_not_the_same(one: str, other: str) -> None:
    assert words_key(one) != words_key(other)
