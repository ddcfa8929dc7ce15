"""Told probabilities are measured by what happened: honest ones look honest, foolish ones foolish."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.confidence.checked import LEAST_OF_EACH, Checked, calibration_bins, quality
from models.confidence.metrics import auc, auc_interval


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def cases(told: np.ndarray, came: np.ndarray, width: float = 0.05) -> Checked:
    channel = np.where(np.arange(len(told)) % 2, "web", "mail")
    return Checked(told, told - width, told + width, came, np.arange(len(told)).astype(str), {"channel": channel})


def test_honest_probabilities_lie_inside_and_rank(rng: np.random.Generator) -> None:
    told = rng.beta(1, 4, 20_000)
    found = quality(cases(told, rng.random(20_000) < told), rng)
    assert found["bins_inside"] == 1.0
    assert found["ece_in_band"]
    assert found["auc_interval"][0] < found["auc"] < found["auc_interval"][1]
    assert found["lift"]["times"] > 2
    assert found["brier_skill"] > 0.1


def test_twice_what_happens_is_caught(rng: np.random.Generator) -> None:
    told = rng.beta(2, 4, 5_000)
    found = quality(cases(told, rng.random(5_000) < told / 2), rng)
    assert found["bins_inside"] < 0.3
    assert not found["ece_in_band"]


def test_noise_ranks_nothing(rng: np.random.Generator) -> None:
    found = quality(cases(rng.random(2_000), rng.random(2_000) < 0.2), rng)
    low, high = found["auc_interval"]
    assert low < 0.5 < high


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_group_is_measured_only_with_enough_of_each(yes: int, no: int) -> None:
    came = np.repeat([True, False], [yes, no])
    found = quality(cases(np.full(yes + no, 0.5), came), np.random.default_rng(0))
    assert found["measured"] == (min(yes, no) >= LEAST_OF_EACH)
    assert (found["n"], found["happened"]) == (yes + no, yes)
    assert sum(one["n"] for one in found["by"]["channel"].values()) == yes + no


@given(st.integers(1, 200), st.integers(1, 12))
def test_every_case_is_in_one_bin(n: int, bins: int) -> None:
    draw = np.random.default_rng(n)
    found = calibration_bins(cases(draw.random(n), draw.random(n) < 0.5), bins)
    assert sum(one["n"] for one in found) == n
    assert [one["mean_probability"] for one in found] == sorted(one["mean_probability"] for one in found)


def test_cases_of_one_customer_widen_the_interval_of_the_auc(rng: np.random.Generator) -> None:
    told = rng.random(100)
    came = rng.random(100) < told
    alone = auc_interval(told, came, np.arange(100), rng)
    repeated = np.repeat(np.arange(100), 20)
    together = auc_interval(told[repeated], came[repeated], repeated, rng)
    pretending = auc_interval(told[repeated], came[repeated], np.arange(2_000), rng)
    assert together.mean == pytest.approx(auc(told, came))
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.3)
    assert pretending.high - pretending.low < (together.high - together.low) / 2


def test_one_class_alone_has_no_auc(rng: np.random.Generator) -> None:
    assert np.isnan(auc_interval(rng.random(9), np.ones(9, dtype=np.int64), np.arange(9), rng)).all()
