"""What a log teaches: two times, windows, and landmarks that leak nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY, SECOND
from models.journey.target import Target
from training.examples import LANDMARK_BLOCK, landmarks, next_steps, windows
from training.purchase import purchase_examples

ABC = journeys_of({"c": [("web.a", 0), ("web.b", 10 * SECOND), ("web.c", 30 * SECOND)]})


def test_each_touchpoint_teaches_the_one_after_it_and_the_last_is_censored() -> None:
    steps = next_steps(ABC, Vocabulary.of(ABC), 100 * SECOND)
    assert steps.next_token.tolist() == [3, 4, 0]
    assert steps.wait_seconds.tolist() == [10, 20, 70]
    assert steps.asks_what.tolist() == [True, True, False]
    assert steps.censored.tolist() == [False, False, True]


def test_what_happened_at_or_after_until_is_not_a_target_and_censors_the_touchpoint_before() -> None:
    steps = next_steps(ABC, Vocabulary.of(ABC), 30 * SECOND)
    assert steps.next_token.tolist() == [3, 0]
    assert steps.wait_seconds.tolist() == [10, 20]


def test_a_touchpoint_learned_of_after_the_next_one_came_teaches_nothing() -> None:
    late = replace(ABC, known_at=np.array([0, 31 * SECOND, 30 * SECOND]))
    steps = next_steps(late, Vocabulary.of(ABC), 100 * SECOND)
    assert steps.asks_what.tolist() == [True, False, False]
    assert steps.asks_when.tolist() == [True, False, True]


def test_a_touchpoint_known_late_enters_late() -> None:
    late = replace(ABC, known_at=np.array([4 * SECOND, 10 * SECOND, 30 * SECOND]))
    assert next_steps(late, Vocabulary.of(ABC), 100 * SECOND).entry_seconds.tolist() == [4, 0, 0]


def test_a_later_slice_asks_only_what_fell_into_it() -> None:
    steps = next_steps(ABC, Vocabulary.of(ABC), 100 * SECOND, since=20 * SECOND)
    assert steps.asks_what.tolist() == [False, True, False]
    assert steps.entry_seconds[1] == 10


def test_histories_hold_the_last_touchpoints_of_the_same_customer() -> None:
    journeys = journeys_of({"a": [("web.a", 0), ("web.b", 1), ("web.c", 2)], "b": [("web.c", 0)]})
    tokens, lengths = next_steps(journeys, Vocabulary.of(journeys), 10).histories(np.array([0, 2, 3]), 2)
    assert tokens.tolist() == [[2, 0], [3, 4], [4, 0]]
    assert lengths.tolist() == [1, 2, 1]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 9))
def test_windows_ask_of_every_touchpoint_exactly_once(lengths: list[int], length: int) -> None:
    cut = windows(np.array(lengths), length)
    assert sorted(cut.rows[cut.counts].tolist()) == list(range(sum(lengths)))


@settings(max_examples=50)
@given(st.integers(0, 400), st.integers(0, 500), st.integers(1, 3), st.integers(0, 99))
def test_landmarks_lie_in_their_slice_and_after_the_first_known_moment(
    since: int, until: int, per_month: int, seed: int
) -> None:
    journeys = replace(
        journeys_of({"a": [("web.a", 50 * DAY)], "b": [("web.a", 0), ("web.a", 90 * DAY)], "c": []}),
        known_at=np.array([60 * DAY, 0, 90 * DAY]),
    )
    rows, as_of = landmarks(journeys, since * DAY, until * DAY, np.random.default_rng(seed), per_month)
    born = np.array([60 * DAY, 0])
    assert ((as_of >= since * DAY) & (as_of < until * DAY) & (as_of >= born[rows])).all()
    block = (as_of - born[rows]) // LANDMARK_BLOCK
    _, times = np.unique(rows * 1000 + block, return_counts=True)
    assert (times <= per_month).all()


def test_every_month_of_a_whole_life_gives_a_landmark() -> None:
    journeys = journeys_of({"a": [("web.a", 0)]})
    _, as_of = landmarks(journeys, 0, 300 * DAY, np.random.default_rng(1))
    assert len(as_of) == 10


def test_no_example_has_a_horizon_that_ends_after_the_slice() -> None:
    journeys = journeys_of({"a": [("shop.purchase", day * DAY) for day in range(0, 200, 7)]})
    target = Target("again", ("shop.purchase",), 30 * 86_400)
    examples = purchase_examples(
        journeys, target, Vocabulary.of(journeys), 0, 180 * DAY, np.random.default_rng(0), per_month=5
    )
    assert len(examples.as_of) > 10
    assert (examples.as_of + 30 * DAY <= 180 * DAY).all()
    assert set(examples.happened.tolist()) == {1}
