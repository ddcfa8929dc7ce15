"""Watching probabilities told with an interval: seldom wrong about what holds, quick about what does not."""

from __future__ import annotations

import numpy as np
import pytest

from models.confidence.intervals import watch


def streams(rng: np.random.Generator, true: float, low: float, high: float, cases: int, n: int) -> list[int | None]:
    ends = np.full(cases, low), np.full(cases, high)
    return [watch(rng.random(cases) < true, *ends, 0.05).withdrawn_at for _ in range(n)]


@pytest.mark.parametrize("true", [0.2, 0.3, 0.4])
def test_a_promise_that_holds_is_seldom_withdrawn(true: float) -> None:
    found = streams(np.random.default_rng(3), true, 0.2, 0.4, 2_000, 300)
    assert sum(one is not None for one in found) <= 25  # 5 % of 300 and noise


@pytest.mark.parametrize("true", [0.08, 0.6])
def test_a_promise_that_does_not_hold_is_withdrawn_either_way(true: float) -> None:
    found = streams(np.random.default_rng(4), true, 0.2, 0.4, 600, 50)
    assert all(one is not None for one in found)
    assert np.median([one for one in found if one is not None]) < 120


def test_the_last_good_case_is_before_the_withdrawal() -> None:
    came = np.concatenate([np.tile([1, 0, 0, 0], 25), np.ones(60)]).astype(bool)
    found = watch(came, np.full(160, 0.2), np.full(160, 0.3), 0.05)
    assert found.withdrawn_at is not None
    assert 90 <= found.last_good < found.withdrawn_at


def test_nothing_checked_refutes_nothing() -> None:
    found = watch(np.array([], dtype=bool), np.array([]), np.array([]), 0.05)
    assert (found.cases, found.withdrawn_at, found.last_good) == (0, None, 0)


def test_each_case_is_held_to_its_own_interval() -> None:
    rng = np.random.default_rng(5)
    told = rng.uniform(0.05, 0.9, 3_000)
    came = rng.random(3_000) < told
    assert watch(came, told - 0.04, np.minimum(told + 0.04, 1), 0.05).withdrawn_at is None
    assert watch(came, told[::-1] - 0.04, np.minimum(told[::-1] + 0.04, 1), 0.05).withdrawn_at is not None
