"""Draws by a keyed hash: fair, repeatable, and of releasable feelings alone."""

from __future__ import annotations

import numpy as np
import pytest

from models.insight import FLAGS, Conclusion, Decision, decision_by_flags, flags
from models.lottery import UNREAD_REASONS, lot, releasable


def test_lots_are_uniform_whatever_the_key() -> None:
    for key in ("one key", "another"):
        lots = np.sort([lot(key, f"f{number}") for number in range(4_000)])
        assert np.abs(lots - (np.arange(4_000) + 0.5) / 4_000).max() < 0.03


def test_another_key_draws_others() -> None:
    first, second = ({n for n in range(2_000) if lot(key, f"f{n}") < 0.1} for key in ("one key", "another"))
    assert len(first & second) < 50


def test_a_larger_share_draws_all_that_a_smaller_one_drew() -> None:
    lots = {number: lot("a key", f"f{number}") for number in range(1_000)}
    assert {n for n, at in lots.items() if at < 0.02} <= {n for n, at in lots.items() if at < 0.2}


@pytest.mark.parametrize("code", FLAGS)
def test_no_flag_of_any_kind_is_ever_released_unread(code: str) -> None:
    assert decision_by_flags(flags([code])) is not Decision.AUTO


@pytest.mark.parametrize("code", FLAGS)
def test_what_words_themselves_flag_is_no_part_of_the_promise(code: str) -> None:
    told = Conclusion("feeling", decision_by_flags(flags([code])), flags([code]), "positive")
    assert releasable(told) is (code in UNREAD_REASONS)


def test_what_a_person_answered_is_drawn_no_more() -> None:
    told = Conclusion("feeling", Decision.AUTO, (), "positive", decided_by="person")
    assert not releasable(told)
    assert releasable(Conclusion("feeling", Decision.AUTO, (), "positive"))
