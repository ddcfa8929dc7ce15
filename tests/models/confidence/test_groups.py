"""Cases of one customer are alike: they count for what they are worth, in the interval and in the ECE's band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.confidence.band import binomial_band, design_effect
from models.confidence.binomial import predicted_share
from models.confidence.metrics import ece, ece_band, ece_band_of_groups


def test_cases_that_repeat_a_customers_outcome_are_worth_one() -> None:
    rng = np.random.default_rng(0)
    chance, who = rng.beta(2, 6, 1000), np.repeat(np.arange(1000), 8)
    happened = np.repeat(rng.random(1000) < chance, 8)
    repeated = np.repeat(chance, 8)
    assert design_effect(repeated, happened, who) == pytest.approx(8, rel=0.1)
    once = binomial_band(chance, happened[::8], groups=np.arange(1000))
    eight_times = binomial_band(repeated, happened, groups=who)
    asked = np.array([0.1, 0.3, 0.5])
    widths = [np.subtract(*band.interval(asked)[::-1]) for band in (once, eight_times)]
    assert widths[1] == pytest.approx(widths[0], rel=0.35)


def test_independent_cases_are_worth_themselves() -> None:
    rng = np.random.default_rng(1)
    chance = rng.beta(2, 6, 4000)
    effect = design_effect(chance, rng.random(4000) < chance, np.repeat(np.arange(1000), 4))
    assert effect == pytest.approx(1, abs=0.12)


@given(st.floats(0, 1), st.floats(0, 800))
def test_the_interval_of_new_cases_lies_in_zero_to_one_and_holds_what_was_seen(share: float, n: float) -> None:
    low, high = predicted_share(share, n)
    assert 0 <= low <= high <= 1
    assert low - 1 / max(1, round(n)) <= share <= high + 1 / max(1, round(n))


def test_the_share_of_new_cases_lies_inside_as_often_as_promised() -> None:
    rng = np.random.default_rng(2)
    for chance in (0.004, 0.05, 0.4):
        known, new = rng.binomial(300, chance, 3000), rng.binomial(300, chance, 3000)
        bounds = np.array([predicted_share(k / 300, 300.0) for k in known.tolist()])
        inside = (bounds[:, 0] <= new / 300) & (new / 300 <= bounds[:, 1])
        assert 0.93 <= inside.mean() <= 0.995


def test_a_calibrated_model_lies_in_the_band_of_groups_and_out_of_that_of_cases() -> None:
    rng = np.random.default_rng(3)
    inside = {"cases": 0, "groups": 0}
    for _ in range(20):
        chance = np.repeat(rng.beta(2, 6, 400), 10)
        happened = np.repeat(rng.random(400) < chance[::10], 10)
        who, found = np.repeat(np.arange(400), 10), ece(chance, happened)
        inside["cases"] += found <= ece_band(chance, 15, 100, rng).high
        inside["groups"] += found <= ece_band_of_groups(chance, happened, who, 15, 100, rng).high
    assert inside["groups"] >= 17
    assert inside["cases"] <= 5
