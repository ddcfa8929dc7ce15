"""The gap mixture: coherent with itself, and finite after any silence."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.predictors.gap import LONGEST_SECONDS, GapMixture, log_normal_survival

LEVELS = np.array([0.1, 0.5, 0.9])
FINITE = st.floats(-6, 6)


def mixtures() -> st.SearchStrategy[GapMixture]:
    return st.lists(FINITE, min_size=10, max_size=10).map(
        lambda v: GapMixture.of(np.array([[*v[:4], 4 + v[4], 9 + v[5], 12 + v[6], *v[7:]]]))
    )


@given(st.floats(-8, 5))
def test_log_survival_agrees_with_the_error_function(z: float) -> None:
    exact = math.log(0.5 * math.erfc(z / math.sqrt(2)))
    assert abs(log_normal_survival(np.array([z]))[0] - exact) < 1e-6


@settings(max_examples=60)
@given(mixtures(), st.floats(0, 1e10), st.floats(60, 1e7))
def test_quantiles_and_none_within_the_horizon_never_contradict(
    gap: GapMixture, silence: float, horizon: float
) -> None:
    said = np.array([silence])
    none = gap.none_within(said, horizon)[0]
    times = gap.quantiles(said, LEVELS)[0]
    assert 0 <= none <= 1
    assert np.isfinite(times).all()
    assert (np.diff(times) >= 0).all()
    for level, time in zip(LEVELS, times, strict=True):
        if time < horizon * (1 - 1e-6):
            assert none <= 1 - level + 1e-5
        if time > horizon * (1 + 1e-6):
            assert none >= 1 - level - 1e-5


def test_decades_of_silence_give_capped_answers() -> None:
    narrow = GapMixture.of(np.array([[0.0, -2000.0, math.log1p(3600.0), -3.0]]))
    silence = np.array([100 * 365 * 86_400.0])
    assert 0 <= narrow.none_within(silence, 86_400)[0] <= 1
    assert (narrow.quantiles(silence, LEVELS) <= LONGEST_SECONDS * (1 + 1e-9)).all()


def test_those_who_never_come_are_told_the_cap() -> None:
    never = GapMixture.of(np.array([[0.0, 50.0, 8.0, 0.0]]))
    assert never.none_within(np.array([0.0]), 86_400)[0] > 0.999
    assert np.allclose(never.quantiles(np.array([0.0]), LEVELS), LONGEST_SECONDS)
