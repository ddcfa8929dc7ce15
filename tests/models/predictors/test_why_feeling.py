"""The words behind a feeling add up to it, whatever the model, and name the words that a model minds."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.predictors.why_feeling import MOST_PARTS, ORDERS, parts_of, why_feeling


def hashed(texts: Sequence[str]) -> np.ndarray:
    """A score without rhyme or reason."""
    return np.array([(sum(map(ord, text)) * 2654435761 % 1000) / 1000 for text in texts])


@given(st.text(max_size=200), st.integers(0, 9))
def test_base_and_weights_add_up_to_the_score(text: str, seed: int) -> None:
    found = why_feeling(text, hashed, np.random.default_rng(seed))
    assert found.base + sum(one.weight for one in found.parts) == pytest.approx(found.score)
    assert found.score == hashed([text])[0] or not found.parts
    told = found.to_dict()
    assert told["base"] + sum(one["weight"] for one in told["words"]) == pytest.approx(told["score"], abs=1e-9)


@given(st.text(max_size=500))
def test_parts_are_in_order_and_never_overlap(text: str) -> None:
    spans = parts_of(text)
    assert len(spans) <= MOST_PARTS
    assert all(start < end for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_two_words_that_only_work_together_share_what_they_do() -> None:
    def together(texts: Sequence[str]) -> np.ndarray:
        return np.array([float("not" in text and "bad" in text) for text in texts])

    found = why_feeling("not so bad", together, np.random.default_rng(0))
    assert [one.weight for one in found.parts] == pytest.approx([0.5, 0.0, 0.5])


def test_the_model_is_asked_once_and_not_too_much() -> None:
    asked: list[int] = []

    def counting(texts: Sequence[str]) -> np.ndarray:
        asked.append(len(texts))
        return np.zeros(len(texts))

    why_feeling("word " * 5_000, counting, np.random.default_rng(0))
    assert len(asked) == 1
    assert asked[0] <= 2 * ORDERS * MOST_PARTS + 2


def test_a_text_without_words_has_only_a_base() -> None:
    found = why_feeling("  ", lambda texts: np.full(len(texts), 0.4), np.random.default_rng(0))
    assert (found.parts, found.base, found.score) == ((), 0.4, 0.4)
