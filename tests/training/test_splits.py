"""Slices of time: apart, in order, and with room for every horizon."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.assembly import journeys_of
from models.journey.event import DAY, SECOND
from training.splits import CALIBRATION, TEST, TRAIN, LogTooShort, for_landmarks, in_folds, latest_touchpoints, of_texts

MOMENTS = st.lists(st.integers(0, 400 * DAY), min_size=1, max_size=60)
WORDS = st.sampled_from(["good", "Good", " good ", "good  car", "good car", "bad", "never again", "NEVER again", "ok"])


@given(MOMENTS)
def test_the_latest_touchpoints_are_the_last_share_and_reach_the_end(moments: list[int]) -> None:
    journeys = journeys_of({f"c{i}": [("web.visit", at)] for i, at in enumerate(moments)})
    latest = latest_touchpoints(journeys)
    held = [at for at in moments if latest.since <= at < latest.until]
    assert max(moments) in held
    assert len(held) >= 0.15 * len(moments)
    assert sum(at > latest.since for at in moments) <= 0.15 * len(moments) + 1


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50)), min_size=1, max_size=60), st.integers(2, 5),
    st.integers(0, 99),
)  # fmt: skip
def test_folds_keep_groups_whole_and_none_is_much_larger_than_another(
    customers: list[tuple[int, int]], folds: int, seed: int
) -> None:
    groups, sizes = (np.array(column) for column in zip(*customers, strict=True))
    fold = in_folds(groups, sizes.astype(np.float64), folds, np.random.default_rng(seed))
    assert all(len(set(fold[groups == group])) == 1 for group in np.unique(groups))
    held = np.bincount(fold, weights=sizes, minlength=folds)
    largest = max(sizes[groups == group].sum() for group in np.unique(groups))
    assert held.max() - held.min() <= largest


@given(MOMENTS, st.integers(1, 150 * 86_400))
def test_every_horizon_ends_before_the_next_slice_begins(moments: list[int], horizon_seconds: int) -> None:
    journeys = journeys_of({"c": [("web.visit", at) for at in sorted(moments)]})
    horizon, first, last = horizon_seconds * SECOND, min(moments), max(moments)
    try:
        slices = for_landmarks(journeys, horizon_seconds)
    except LogTooShort:
        assert last - first <= 3 * horizon
        return
    ordered = [slices.train, slices.calibration, slices.test]
    assert slices.train.since == first
    assert all(one.since <= one.until for one in ordered)
    assert all(one.until + horizon <= other.since for one, other in pairwise(ordered))
    assert slices.test.until + horizon <= last


def test_a_log_that_is_too_short_says_how_long_it_is() -> None:
    journeys = journeys_of({"c": [("web.visit", 0), ("web.visit", 100 * DAY)]})
    with pytest.raises(LogTooShort, match="spans 100 days; three horizons of 90 days"):
        for_landmarks(journeys, 90 * 86_400)


@given(st.lists(st.tuples(WORDS, st.integers(0, 5)), min_size=1, max_size=40), st.booleans(), st.integers(0, 9))
def test_a_text_is_never_on_both_sides(rows: list[tuple[str, int]], timed: bool, seed: int) -> None:
    frame = pd.DataFrame({"text": [text for text, _ in rows]})
    if timed:
        frame["said_at"] = pd.array([at for _, at in rows], dtype="Int64")
    part = of_texts(frame, seed)
    assert len(part) == len(rows)
    sides: dict[str, set[str]] = {}
    for (text, _), side in zip(rows, part, strict=True):
        sides.setdefault(" ".join(text.lower().split()), set()).add(str(side))
    assert all(len(found) == 1 for found in sides.values())


def test_texts_are_split_by_time_where_it_is_known() -> None:
    rng = np.random.default_rng(0)
    said = rng.permutation(200)
    frame = pd.DataFrame({"text": [f"text {at}" for at in said], "said_at": pd.array(said, dtype="Int64")})
    part = of_texts(frame, 0)
    assert [int((part == name).sum()) for name in (TRAIN, CALIBRATION, TEST)] == [140, 30, 30]
    assert said[part == TRAIN].max() < said[part == CALIBRATION].min()
    assert said[part == CALIBRATION].max() < said[part == TEST].min()


def test_shares_are_of_texts_even_where_most_were_said_on_one_day() -> None:
    said = [0] * 600 + list(range(1, 401))
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(1000)], "said_at": pd.array(said, dtype="Int64")})
    part = of_texts(frame, 0)
    assert [int((part == name).sum()) for name in (TRAIN, CALIBRATION, TEST)] == [700, 150, 150]


def test_without_times_a_text_keeps_its_side_whatever_stands_beside_it() -> None:
    texts = [f"text {i}" for i in range(2000)]
    part = dict(zip(texts, of_texts(pd.DataFrame({"text": texts}), 7), strict=True))
    some = texts[::-3]
    assert [part[text] for text in some] == of_texts(pd.DataFrame({"text": some}), 7).tolist()
    shares = np.array([list(part.values()).count(name) / 2000 for name in (TRAIN, CALIBRATION, TEST)])
    np.testing.assert_allclose(shares, [0.70, 0.15, 0.15], atol=0.04)
    assert of_texts(pd.DataFrame({"text": texts}), 8).tolist() != list(part.values())


def test_no_texts_give_no_parts() -> None:
    assert of_texts(pd.DataFrame({"text": pd.Series([], dtype=str)}), 0).tolist() == []
