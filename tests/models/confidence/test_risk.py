"""A released threshold keeps its promise: mistakes above the accepted share at most as rarely as delta says."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.confidence.binomial import clopper_pearson, upper_bound
from models.confidence.risk import CalibrationTable, ReleaseRule, minimum_cases, release_threshold

Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]
seeds = st.integers(0, 2**32 - 1)

FINE = np.linspace(0.0, 1.0, 20_001)
CURVES: dict[str, Curve] = {
    "falling": lambda score: 0.4 * (1 - score) ** 2,
    "steep": lambda score: 0.9 * np.exp(-6 * score),
    "just too bad everywhere": lambda score: np.full_like(score, 0.0501),
    "bad at the very top": lambda score: np.where(score > 0.9, 0.2, 0.02),
    "bad in the middle": lambda score: np.where((score > 0.4) & (score < 0.6), 0.5, 0.01),
}


def selective_error(curve: Curve, threshold: float) -> float:
    """The true share of mistakes among cases with a uniform score at or above ``threshold``."""
    return float(curve(FINE[threshold <= FINE]).mean())


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("n", [150, 800])
@pytest.mark.parametrize("grid", [None, np.linspace(0.0, 1.0, 41)], ids=["scores", "fixed"])
def test_the_true_share_of_mistakes_exceeds_alpha_at_most_as_often_as_delta(
    name: str, n: int, grid: Floats | None
) -> None:
    alpha, delta, draws = 0.05, 0.1, 400
    rng = np.random.default_rng(21)
    broken = 0
    for _ in range(draws):
        score = rng.random(n)
        rule = release_threshold(score, rng.random(n) < CURVES[name](score), alpha, delta, grid)
        broken += rule.threshold is not None and selective_error(CURVES[name], rule.threshold) > alpha
    assert clopper_pearson(broken, draws, 0.99)[0] <= delta


def test_pure_noise_releases_nothing() -> None:
    rng = np.random.default_rng(22)
    for _ in range(100):
        rule = release_threshold(rng.random(500), rng.random(500) < 0.3, 0.05, 0.05)
        assert rule.threshold is None
        assert not rule.releases(np.ones(3)).any()


def test_a_trustworthy_score_releases_most_of_what_could_be() -> None:
    rng = np.random.default_rng(23)
    shares = []
    for _ in range(40):
        score = rng.random(2000)
        rule = release_threshold(score, rng.random(2000) < 0.4 * (1 - score) ** 2, 0.05, 0.05)
        shares.append(rule.n_released / 2000)
    assert np.mean(shares) > 0.4  # with the curve known, 61 % could be released


@given(seeds, st.integers(0, 300), st.floats(0.02, 0.3), st.floats(0.01, 0.3))
def test_every_rule_states_counts_and_a_bound_that_hold_on_its_labels(
    seed: int, n: int, alpha: float, delta: float
) -> None:
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(n), 2)
    wrong = rng.random(n) < 0.3 * (1 - score)
    rule = release_threshold(score, wrong, alpha, delta)
    order = rng.permutation(n)
    assert rule == release_threshold(score[order], wrong[order], alpha, delta)
    assert rule == ReleaseRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    released = rule.releases(score)
    assert (rule.n_released, rule.n_wrong) == (released.sum(), wrong[released].sum())
    if rule.threshold is None:
        assert rule.n_more_needed > 0
        assert rule.upper_bound == 1.0
    else:
        assert rule.n_released >= minimum_cases(alpha, delta)
        assert rule.upper_bound == upper_bound(rule.n_wrong, rule.n_released, 1 - delta)
        assert rule.upper_bound <= alpha + 1e-9
        assert rule.n_more_needed == 0


@pytest.mark.parametrize(("alpha", "delta", "expected"), [(0.05, 0.05, 59), (0.1, 0.05, 29), (0.05, 0.01, 90)])
def test_without_labels_the_rule_says_how_many_it_takes(alpha: float, delta: float, expected: int) -> None:
    rule = release_threshold(np.empty(0), np.empty(0, dtype=bool), alpha, delta)
    assert rule.n_more_needed == minimum_cases(alpha, delta) == expected


@given(st.integers(0, 58))
def test_labels_without_a_mistake_release_at_the_fifty_ninth_and_not_before(n: int) -> None:
    score = np.linspace(0, 1, n)
    rule = release_threshold(score, np.zeros(n, dtype=bool), 0.05, 0.05)
    assert rule.threshold is None
    assert rule.n_more_needed == 59 - n
    more = np.linspace(0, 1, 59)
    assert release_threshold(more, np.zeros(59, dtype=bool), 0.05, 0.05).threshold == 0.0


def test_on_a_fixed_grid_a_failure_above_bars_everything_below() -> None:
    score = np.linspace(0, 1, 500)
    wrong = (score > 0.8) & (np.arange(500) % 2 == 0)  # half of the top fifth is wrong, nothing else
    assert release_threshold(score, wrong, 0.2, 0.05, np.linspace(0, 1, 50)).threshold is None


def test_a_floor_of_mistakes_below_alpha_is_released_wherever_it_can_be_shown() -> None:
    rng = np.random.default_rng(27)
    shares = []
    for _ in range(100):
        score = rng.random(2000)
        wrong = rng.random(2000) < np.where(score > 0.3, 0.025, 0.4)  # whoever knew the curve would release 75 %
        shares.append(release_threshold(score, wrong, 0.05, 0.05).n_released / 2000)
    assert np.mean(shares) > 0.6
    assert np.mean(np.array(shares) == 0.0) < 0.15


@given(seeds, st.floats(0.0, 0.03))
def test_labels_said_to_be_likely_enough_are_at_least_those_needed_without_a_mistake(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    rule = release_threshold(rng.random(150), rng.random(150) < rate, 0.02, 0.05)
    if rule.threshold is None:
        assert rule.n_more_likely is None or rule.n_more_likely >= rule.n_more_needed > 0
    else:
        assert rule.n_more_likely == 0


def test_where_mistakes_are_too_frequent_no_number_of_labels_is_likely_to_do() -> None:
    rng = np.random.default_rng(28)
    rule = release_threshold(rng.random(500), rng.random(500) < 0.3, 0.05, 0.05)
    assert rule.threshold is None
    assert rule.n_more_needed > 0
    assert rule.n_more_likely is None


def test_a_rule_is_worked_out_once() -> None:
    table = CalibrationTable.of(np.linspace(0, 1, 300), np.zeros(300, dtype=np.bool_))
    assert table.release_rule(0.05, 0.05) is table.release_rule(0.05, 0.05)


def test_tied_scores_are_released_together() -> None:
    score = np.repeat([0.9, 0.5], 100)
    rule = release_threshold(score, np.arange(200) >= 150, 0.05, 0.05)
    assert (rule.threshold, rule.n_released) == (0.9, 100)


def test_accepting_more_risk_never_releases_less() -> None:
    rng = np.random.default_rng(25)
    score = rng.random(1500)
    table = CalibrationTable.of(score, rng.random(1500) < 0.5 * (1 - score))
    released = [table.release_rule(alpha, 0.05).n_released for alpha in (0.02, 0.05, 0.1, 0.2)]
    assert released == sorted(released)
    assert released[-1] > released[0]


def test_a_group_with_enough_labels_answers_for_itself_and_others_are_answered_by_all() -> None:
    rng = np.random.default_rng(26)
    group = np.repeat(["email", "chat", "shop"], [800, 400, 30])
    wrong = np.where(group == "chat", rng.random(1230) < 0.5, rng.random(1230) < 0.005)
    table = CalibrationTable.of(rng.random(1230), wrong, group)
    assert len(table) == 1230
    assert table.release_rule(0.05, 0.05, "email").threshold is not None
    chat = table.release_rule(0.05, 0.05, "chat")
    assert (chat.threshold, chat.group) == (None, "chat")
    shop = table.release_rule(0.05, 0.05, "shop")
    assert shop == table.release_rule(0.05, 0.05)
    assert shop.group == "all"


def test_labels_of_cases_that_were_chosen_are_left_out() -> None:
    table = CalibrationTable.of(np.array([0.1, 0.2, 0.3]), np.array([1, 0, 1]), at_random=np.array([0, 1, 1]))
    assert table.score.tolist() == [0.2, 0.3]
    assert table.wrong.tolist() == [False, True]
    assert len(table.group) == 2


def test_the_table_survives_json() -> None:
    table = CalibrationTable.of(np.array([0.25, 0.5]), np.array([0, 1]), np.array(["a", "b"]))
    again = CalibrationTable.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again.to_dict() == table.to_dict()
    assert CalibrationTable.of(np.array([0.25]), np.array([0])).group.tolist() == ["all"]


@pytest.mark.parametrize(
    ("score", "alpha", "words"),
    [(np.array([np.nan]), 0.05, "score holds NaN"), (np.array([0.5]), 0.0, "alpha is 0.0"), (np.ones(2), 0.1, "wrong")],
)
def test_bad_input_is_refused_with_its_name(score: Floats, alpha: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        release_threshold(score, np.array([0]), alpha, 0.05)
