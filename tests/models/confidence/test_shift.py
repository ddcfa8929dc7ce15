"""Two samples of one world seldom alarm; a shifted one does, and the feature that moved is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.confidence.binomial import clopper_pearson
from models.confidence.shift import (
    MOST_CASES,
    benjamini_hochberg,
    embedding_shift,
    feature_shift,
    kolmogorov_smirnov,
    level_of_look,
)

seeds = st.integers(0, 2**32 - 1)


def test_embeddings_of_one_world_alarm_as_rarely_as_the_level_says() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(
        embedding_shift(rng.normal(size=(60, 12)), rng.normal(size=(40, 12)), rng, 99).p_value <= 0.05
        for _ in range(200)
    )
    assert clopper_pearson(alarms, 200, 0.99)[0] <= 0.05 <= clopper_pearson(alarms, 200, 0.999)[1]


@pytest.mark.parametrize(
    "change",
    [lambda cases: cases + 0.35, lambda cases: cases * 1.5, lambda cases: np.abs(cases)],
    ids=["mean", "spread", "sign"],
)
def test_a_shift_of_embeddings_is_noticed_whatever_its_kind(change) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(2)
    told = [
        embedding_shift(rng.normal(size=(150, 12)), change(rng.normal(size=(150, 12))), rng, 199) for _ in range(10)
    ]
    assert sum(one.p_value <= 0.01 for one in told) >= 9
    assert all(one.distance > 0 for one in told)


def test_the_distance_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(size=(25, 3)), rng.normal(1.0, 1.0, size=(30, 3))
    every = np.concatenate([before, now])
    squares = np.square(every[:, None] - every[None]).sum(axis=2)
    kernel = np.exp(-squares / np.median(squares[np.triu_indices(55, 1)]))
    np.fill_diagonal(kernel, 0.0)
    expected = kernel[:25, :25].sum() / (25 * 24) + kernel[25:, 25:].sum() / (30 * 29) - 2 * kernel[:25, 25:].mean()
    assert embedding_shift(before, now, rng, 9).distance == pytest.approx(expected)


def test_of_many_embeddings_a_random_part_is_compared() -> None:
    rng = np.random.default_rng(4)
    told = embedding_shift(rng.normal(size=(MOST_CASES + 5, 2)), rng.normal(size=(30, 2)), rng, 9)
    assert (told.n_before, told.n_now) == (MOST_CASES, 30)


@given(seeds, st.integers(30, 400), st.integers(30, 400), st.floats(0.0, 1.0))
def test_the_distance_of_kolmogorov_and_smirnov_is_that_of_scipy(seed: int, m: int, n: int, moved: float) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.normal(size=m), rng.normal(moved, 1.0, n)
    distance, p_value = kolmogorov_smirnov(before, now)
    exact = stats.ks_2samp(before, now, method="exact")
    assert distance == pytest.approx(exact.statistic)
    assert p_value == pytest.approx(exact.pvalue, abs=0.06)


def test_features_of_one_world_seldom_alarm_and_ties_make_that_rarer() -> None:
    rng = np.random.default_rng(5)
    names = [f"f{number}" for number in range(10)]
    alarms = 0
    for _ in range(200):
        before, now = rng.normal(size=(150, 10)), rng.normal(size=(100, 10))
        before[:, 5:], now[:, 5:] = rng.poisson(1.0, (150, 5)), rng.poisson(1.0, (100, 5))
        alarms += any(one.shifted for one in feature_shift(before, now, names))
    assert clopper_pearson(alarms, 200, 0.99)[0] <= 0.05


def test_the_features_that_moved_are_named_first_and_few_others_with_them() -> None:
    rng = np.random.default_rng(6)
    names = [f"f{number}" for number in range(20)]
    moved, false = [], []
    for _ in range(40):
        now = rng.normal(size=(300, 20))
        now[:, :4] += 0.5
        told = feature_shift(rng.normal(size=(300, 20)), now, names, level=0.1)
        found = [one.name for one in told if one.shifted]
        moved.append(len({"f0", "f1", "f2", "f3"} & set(found)) / 4)
        false.append(len(set(found) - {"f0", "f1", "f2", "f3"}) / max(1, len(found)))
    assert np.mean(moved) > 0.9
    assert np.mean(false) < 0.1


def test_what_is_missing_more_often_than_before_is_a_shift() -> None:
    rng = np.random.default_rng(7)
    before, now = rng.normal(size=(300, 1)), rng.normal(size=(300, 1))
    now[:120] = np.nan
    assert feature_shift(before, now, ["age"])[0].shifted


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_what_counts_among_p_values_is_a_prefix_and_grows_with_the_level(p_values: list[float], level: float) -> None:
    values = np.array(p_values)
    kept, more = benjamini_hochberg(values, level), benjamini_hochberg(values, min(0.99, 1.5 * level))
    assert (kept <= more).all()
    if kept.any():
        assert kept[values <= values[kept == 1].max()].all()


def test_all_looks_together_alarm_no_more_often_than_the_level() -> None:
    spent = sum(level_of_look(look, 0.05) for look in range(1, 10_000))
    assert 0.0499 < spent < 0.05


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda rng: embedding_shift(np.zeros((5, 2)), np.zeros((30, 2)), rng), "before has 5 cases"),
        (lambda rng: embedding_shift(np.zeros((30, 2)), np.zeros((30, 3)), rng), "before has 2 columns"),
        (lambda rng: feature_shift(np.zeros((30, 2)), np.zeros((30, 2)), ["one"]), "one column for each of 1 names"),
        (lambda rng: feature_shift(np.zeros((30, 1)), np.zeros((3, 1)), ["one"]), "now has 3 cases"),
        (lambda rng: level_of_look(0), "look is 0"),
    ],
)
def test_bad_input_is_refused_with_its_name(action, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        action(np.random.default_rng(0))
