"""Exact binomial bounds agree with scipy and keep their promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.confidence.binomial import beta_cdf, binomial_cdf, clopper_pearson, upper_bound

counts = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.8, 0.95, 0.999]))
def test_clopper_pearson_agrees_with_scipy(case: tuple[int, int], confidence: float) -> None:
    k, n = case
    if n == 0:
        assert clopper_pearson(k, n, confidence) == (0.0, 1.0)
        return
    exact = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(counts, st.floats(0.001, 0.999))
def test_the_binomial_tail_agrees_with_scipy(case: tuple[int, int], p: float) -> None:
    assert binomial_cdf(*case, p) == pytest.approx(float(stats.binom.cdf(*case, p)), abs=1e-10)


@given(st.floats(0.0, 1.0), st.floats(0.5, 1e5), st.floats(0.5, 1e5))
def test_the_incomplete_beta_function_agrees_with_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(float(stats.beta.cdf(x, a, b)), abs=1e-8)


@given(counts)
def test_the_one_sided_bound_is_tighter_than_the_two_sided_one(case: tuple[int, int]) -> None:
    assert case[0] / max(case[1], 1) <= upper_bound(*case, 0.95) <= clopper_pearson(*case, 0.95)[1]


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5])
def test_the_interval_holds_the_truth_at_least_as_often_as_it_says(p: float) -> None:
    draws = np.random.default_rng(0).binomial(80, p, size=4000)
    held = [low <= p <= high for low, high in (clopper_pearson(int(k), 80) for k in draws)]
    assert np.mean(held) >= 0.95 - 0.01


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 5, 0.9), (6, 5, 0.9), (1, 5, 1.0)])
def test_impossible_counts_and_levels_are_refused(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="give"):
        clopper_pearson(k, n, confidence)
