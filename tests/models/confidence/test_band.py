"""The interval of a probability holds the share that is observed among alike cases."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.confidence.band import ProbabilityBand, binomial_band, drift, shifted

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(0, 150), st.integers(1, 60))
def test_an_interval_holds_its_probability_and_depends_on_nothing_else_asked(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    band = binomial_band(np.round(rng.random(n), 2), rng.random(n) < 0.3, m)
    asked = rng.random(8)
    low, high = band.interval(asked)
    assert ((low >= 0) & (low <= asked) & (asked <= high) & (high <= 1)).all()
    alone = [band.interval(asked[i : i + 1]) for i in range(8)]
    np.testing.assert_array_equal(np.concatenate([one[0] for one in alone]), low)
    np.testing.assert_array_equal(np.concatenate([one[1] for one in alone]), high)


@given(seeds)
def test_the_order_of_cases_does_not_matter_and_json_keeps_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = np.round(rng.random(120), 1), rng.random(120) < 0.4
    order, asked = rng.permutation(120), rng.random(20)
    low, high = binomial_band(scores, labels).interval(asked)
    shuffled = binomial_band(scores[order], labels[order])
    again = ProbabilityBand.from_dict(json.loads(json.dumps(shuffled.to_dict())))
    np.testing.assert_allclose(np.stack(again.interval(asked)), np.stack([low, high]), atol=1e-12)


@given(seeds)
def test_the_window_is_made_of_the_nearest_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random(60)
    band = binomial_band(scores, rng.random(60) < 0.5, 9)
    for asked in (0.0, float(rng.random()), 1.0):
        first, after = band._window(np.array([asked]))
        nearest = np.sort(scores[np.argsort(np.abs(scores - asked))[:9]])
        np.testing.assert_array_equal(band.scores[first[0] : after[0]], nearest)


@pytest.mark.parametrize("bend", [1.0, 1.5])
def test_the_observed_share_lies_inside_as_often_as_promised(bend: float) -> None:
    rng = np.random.default_rng(11)
    asked = np.array([0.01, 0.05, 0.2, 0.5, 0.8])
    held = np.zeros(len(asked))
    for _ in range(300):
        scores = rng.beta(0.6, 6.0, 1500)  # most customers rarely buy; few scores near 0.8
        band = binomial_band(scores, rng.random(1500) < scores**bend)
        low, high = band.interval(asked)
        held += (low <= asked**bend) & (asked**bend <= high)
    assert (held / 300 >= 0.93).all()


def test_more_cases_make_a_narrower_interval() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for n in (200, 20_000):
        scores = rng.random(n)
        low, high = binomial_band(scores, rng.random(n) < scores).interval(np.array([0.5]))
        widths.append(float(high[0] - low[0]))
    assert widths[1] < 0.5 * widths[0]


def test_without_cases_nothing_is_excluded() -> None:
    low, high = binomial_band(np.empty(0), np.empty(0, dtype=bool)).interval(np.array([0.3]))
    assert (low[0], high[0]) == (0.0, 1.0)


def test_no_neighbour_is_refused() -> None:
    with pytest.raises(ValueError, match="neighbours is 0"):
        binomial_band(np.array([0.5]), np.array([1]), 0)


def test_no_drift_is_seen_where_probabilities_keep_their_word() -> None:
    rng = np.random.default_rng(5)
    probability = rng.beta(1, 8, 4000)
    found = [drift(probability, rng.random(4000) < probability, 4000) for _ in range(40)]
    assert np.mean(np.array(found) > 0) <= 0.15


def test_a_changed_base_rate_is_seen_as_drift_of_its_size() -> None:
    rng = np.random.default_rng(6)
    probability = rng.beta(2, 8, 20_000)
    happened = rng.random(20_000) < shifted(probability, -0.5)
    assert drift(probability, happened, 20_000) == pytest.approx(0.5, abs=0.12)


def test_few_customers_behind_many_cases_make_drift_harder_to_prove() -> None:
    probability = np.full(1000, 0.2)
    happened = np.repeat([1, 0], [150, 850])
    assert drift(probability, happened, 30) < drift(probability, happened, 1000)
