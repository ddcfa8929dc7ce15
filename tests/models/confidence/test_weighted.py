"""Reviewed answers weighted by their chance of review tell of all answers; before any review, scores tell a little."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.confidence.weighted import expected_accuracy, reviewed_share, weighted_mean

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
seeds = st.integers(0, 2**32 - 1)


def day(rng: np.random.Generator, n: int = 8000) -> tuple[Flags, Floats, Flags]:
    """Whether each answer is wrong, its chance of review, and whether it was reviewed: the doubtful are all read."""
    score = rng.random(n)
    wrong = rng.random(n) < 0.5 * (1 - score)
    chance = np.where(score < 0.2, 1.0, 0.05)
    return wrong, chance, rng.random(n) < chance


def test_the_weighted_share_is_right_where_the_naive_one_tells_of_the_doubtful() -> None:
    rng = np.random.default_rng(1)
    inside, naive_inside, days = 0, 0, 120
    for _ in range(days):
        wrong, chance, read = day(rng)
        told = reviewed_share(wrong[read], chance[read])
        inside += told.weighted.low <= 0.25 <= told.weighted.high
        naive_inside += told.naive.low <= 0.25 <= told.naive.high
    assert inside / days > 0.92
    assert naive_inside == 0


def test_weights_make_up_for_what_was_not_read_on_average() -> None:
    rng = np.random.default_rng(2)
    totals = []
    for _ in range(100):
        wrong, chance, read = day(rng, 2000)
        totals.append(reviewed_share(wrong[read], chance[read]).total - wrong.sum())
    assert abs(np.mean(totals)) < 3 * np.std(totals) / 10


@given(seeds, st.integers(1, 200), st.floats(0.05, 1.0))
def test_with_one_chance_for_all_weighted_and_naive_are_the_same(seed: int, n: int, chance: float) -> None:
    holds = np.random.default_rng(seed).random(n) < 0.3
    told = reviewed_share(holds, np.full(n, chance))
    assert told.weighted.mean == pytest.approx(told.naive.mean)
    assert told.weighted.low == pytest.approx(told.naive.low, abs=1e-6)
    assert told.weighted.high == pytest.approx(told.naive.high, abs=1e-6)
    assert told.effective == pytest.approx(n)


@given(seeds, st.integers(0, 100))
def test_an_interval_holds_its_share_and_stays_within_bounds(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    told = reviewed_share(rng.random(n) < 0.2, rng.uniform(0.01, 1.0, n))
    assert 0.0 <= told.weighted.low <= told.weighted.high <= 1.0
    assert told.effective <= n + 1e-9
    if n:
        assert told.weighted.low <= told.weighted.mean <= told.weighted.high
    else:
        assert math.isnan(told.weighted.mean)


def test_no_mistake_among_few_does_not_show_that_there_is_none() -> None:
    told = reviewed_share(np.zeros(20, dtype=np.bool_), np.repeat([1.0, 0.02], [10, 10]))
    assert told.weighted.mean == 0.0
    assert told.weighted.high > 0.2  # ten answers stand for 500


def test_a_weighted_mean_of_numbers_holds_the_true_mean() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(200):
        seconds = rng.gamma(2.0, 30.0, 2000)
        chance = np.clip(seconds / 200.0, 0.05, 1.0)  # what takes long is read more often
        read = rng.random(2000) < chance
        told = weighted_mean(seconds[read], chance[read])
        inside += told.low <= 60.0 <= told.high
    assert inside / 200 > 0.9


def test_the_accuracy_expected_of_another_mix_of_scores_comes_true() -> None:
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(150):
        old = rng.random(1500)
        wrong = rng.random(1500) < 0.6 * (1 - old) ** 2
        new = rng.beta(1.0, 2.0, 800)  # more doubtful ones than before
        came_true = float((rng.random(800) >= 0.6 * (1 - new) ** 2).mean())
        told = expected_accuracy(new, old, wrong)
        inside += told.accuracy.low <= came_true <= told.accuracy.high
    assert inside / 150 > 0.9


def test_scores_never_seen_before_are_counted_and_said() -> None:
    told = expected_accuracy(np.array([0.5, 2.0]), np.linspace(0, 1, 100), np.zeros(100, dtype=np.bool_))
    assert told.unlike == 0.5
    assert "only the mix of scores" in told.assumes


def test_without_old_labels_nothing_is_expected() -> None:
    told = expected_accuracy(np.array([0.5]), np.array([]), np.array([], dtype=np.bool_))
    assert math.isnan(told.accuracy.mean)
    assert (told.accuracy.low, told.accuracy.high) == (0.0, 1.0)


@pytest.mark.parametrize("chance", [0.0, 1.2, -0.5])
def test_an_impossible_chance_of_review_is_refused(chance: float) -> None:
    with pytest.raises(ValueError, match="chance"):
        reviewed_share(np.array([True]), np.array([chance]))


def test_a_single_number_has_no_interval() -> None:
    with pytest.raises(ValueError, match="value has 1 answers"):
        weighted_mean(np.array([1.0]), np.array([0.5]))
