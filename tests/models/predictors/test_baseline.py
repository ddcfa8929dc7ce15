"""Counting models: never zero, honest about the beginning, and the same from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.predictors.baseline import EmpiricalGaps, InterpolatedMarkov, majority, repeat_last
from models.predictors.predictor import PredictorError

RNG = np.random.default_rng(5)


def _random_examples(count: int, touchpoints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = RNG.integers(0, 4, count)
    tokens = np.where(np.arange(3) < lengths[:, None], RNG.integers(2, 2 + touchpoints, (count, 3)), 0)
    return tokens, lengths, RNG.integers(2, 2 + touchpoints, count)


def _fitted(order: int = 3) -> InterpolatedMarkov:
    tokens, lengths, following = _random_examples(300, 5)
    return InterpolatedMarkov.fit(tokens, lengths, following, 5, order)


@given(st.lists(st.integers(1, 6), max_size=8), st.integers(1, 3))
def test_any_history_even_an_unknown_one_gives_a_distribution_without_zeros(history: list[int], order: int) -> None:
    tokens = np.array([[*history, 0]], dtype=np.int64)
    answer = _fitted(3).predict(tokens, np.array([len(history)]), order)
    assert answer.min() > 0
    assert answer.sum() == pytest.approx(1)


def test_one_alone_is_the_same_as_in_a_batch() -> None:
    markov = _fitted()
    tokens, lengths, _ = _random_examples(40, 5)
    together = markov.predict(tokens, lengths)
    alone = np.concatenate([markov.predict(tokens[i : i + 1], lengths[i : i + 1]) for i in range(40)])
    assert (together == alone).all()


def test_a_higher_order_learns_what_a_lower_one_cannot() -> None:
    tokens = np.array([[2, 2], [3, 2]] * 50)
    markov = InterpolatedMarkov.fit(tokens, np.full(100, 2), np.array([2, 3] * 50), 2, 2)
    ask = np.array([[2, 2], [3, 2]])
    assert markov.predict(ask, np.array([2, 2]), order=1).round(2).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert markov.predict(ask, np.array([2, 2]))[:, 0].round(1).tolist() == [1.0, 0.0]


def test_an_empty_history_is_answered_by_what_journeys_begin_with() -> None:
    lengths = np.array([0] * 90 + [1] * 90)
    tokens = np.where(lengths[:, None] > 0, 2, 0)
    markov = InterpolatedMarkov.fit(tokens, lengths, np.array([2] * 90 + [3] * 90), 2, 1)
    assert markov.predict(np.array([[0], [2]]), np.array([0, 1])).argmax(axis=1).tolist() == [0, 1]


def test_a_saved_model_answers_the_same(tmp_path: Path) -> None:
    markov = _fitted()
    markov.save(tmp_path / "markov.safetensors")
    tokens, lengths, _ = _random_examples(20, 5)
    loaded = InterpolatedMarkov.load(tmp_path / "markov.safetensors")
    assert (loaded.predict(tokens, lengths) == markov.predict(tokens, lengths)).all()


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match="missing"):
        InterpolatedMarkov.load(tmp_path / "markov.safetensors")
    (tmp_path / "markov.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(PredictorError, match="holds no Markov model"):
        InterpolatedMarkov.load(tmp_path / "markov.safetensors")


@pytest.mark.parametrize("order", [0, 4])
def test_orders_out_of_range_are_refused(order: int) -> None:
    with pytest.raises(ValueError, match=f"order {order}"):
        _fitted(order)


def test_majority_and_repeat_last_are_distributions() -> None:
    markov = _fitted()
    tokens, lengths, _ = _random_examples(10, 5)
    for answer in (majority(markov, 10), repeat_last(tokens, lengths, markov.base, 0.4)):
        assert answer.shape == (10, 5)
        assert answer.sum(axis=1) == pytest.approx(1)


def test_observed_gaps_are_told_by_the_last_touchpoint() -> None:
    gaps = EmpiricalGaps.fit(np.array([2, 2, 2, 3]), np.array([10.0, 20.0, 30.0, 5.0]), 2)
    found = gaps.quantiles(np.array([[2], [3], [1]]), np.array([1, 1, 1]), np.array([0.5]))
    assert found[:, 0].tolist() == pytest.approx([20, 5, 15])
