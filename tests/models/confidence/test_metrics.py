"""Scores agree with their reference definitions and obey their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from models.confidence import metrics

seeds = st.integers(0, 2**32 - 1)


def simulated(seed: int, n: int = 60, n_classes: int = 4) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Coarse probabilities, so that ties occur, and labels in which every class occurs."""
    rng = np.random.default_rng(seed)
    prob = np.round(rng.dirichlet(np.ones(n_classes), n), 1) + 0.01
    label = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    return prob / prob.sum(axis=1, keepdims=True), label


@given(seeds)
def test_scores_agree_with_scikit_learn(seed: int) -> None:
    prob, label = simulated(seed)
    yes, score, guess = label == 0, prob[:, 0], prob.argmax(axis=1)
    assert metrics.log_loss(prob, label) == pytest.approx(reference.log_loss(label, prob))
    assert metrics.binary_log_loss(score, yes) == pytest.approx(reference.log_loss(yes, score))
    assert metrics.brier(score, yes) == pytest.approx(reference.brier_score_loss(yes, score))
    assert metrics.auc(score, yes) == pytest.approx(reference.roc_auc_score(yes, score))
    assert metrics.average_precision(score, yes) == pytest.approx(reference.average_precision_score(yes, score))
    assert metrics.accuracy(prob, label) == pytest.approx(reference.accuracy_score(label, guess))
    assert metrics.macro_f1(guess, label) == pytest.approx(reference.f1_score(label, guess, average="macro"))
    assert metrics.cohen_kappa(guess, label) == pytest.approx(reference.cohen_kappa_score(guess, label))


@given(seeds)
def test_the_order_of_cases_does_not_matter(seed: int) -> None:
    prob, label = simulated(seed)
    order = np.random.default_rng(seed).permutation(len(label))
    yes, score = label == 0, prob[:, 0]
    for metric in (metrics.auc, metrics.average_precision, metrics.brier, metrics.binary_log_loss, metrics.ece):
        assert metric(score, yes) == pytest.approx(metric(score[order], yes[order]))
    for many in (metrics.log_loss, metrics.accuracy, metrics.brier):
        assert many(prob, label) == pytest.approx(many(prob[order], label[order]))


@given(seeds)
def test_top_k_grows_with_k_to_all(seed: int) -> None:
    prob, label = simulated(seed)
    found = [metrics.top_k(prob, label, k) for k in range(1, 5)]
    assert found == sorted(found)
    assert found[-1] == 1.0


def test_the_binary_brier_is_half_of_the_two_class_brier() -> None:
    prob, label = simulated(1, n_classes=2)
    assert metrics.brier(prob, label) == pytest.approx(2 * metrics.brier(prob[:, 1], label))


@given(seeds)
def test_crps_of_samples_agrees_with_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples, observed = rng.normal(size=(5, 7)), rng.normal(size=5)
    pairs = np.abs(samples[:, :, None] - samples[:, None, :]).mean(axis=(1, 2)) / 2
    expected = np.abs(samples - observed[:, None]).mean(axis=1) - pairs
    np.testing.assert_allclose(metrics.crps_losses(samples, observed), expected, atol=1e-12)


def test_crps_of_many_quantiles_nears_crps_of_samples() -> None:
    rng = np.random.default_rng(3)
    samples, observed = rng.normal(size=(4, 400)), rng.normal(size=4)
    levels = (np.arange(400) + 0.5) / 400
    quantiles = np.sort(samples, axis=1)
    assert metrics.crps_quantiles(quantiles, levels, observed) == pytest.approx(
        metrics.crps(samples, observed), rel=0.01
    )


def test_a_calibrated_model_lies_in_its_own_ece_band_and_an_overconfident_one_above_it() -> None:
    rng = np.random.default_rng(5)
    prob = rng.uniform(0.02, 0.98, 3000)
    correct = rng.random(3000) < prob
    overconfident = np.clip(1.4 * (prob - 0.5) + 0.5, 0.0, 1.0)
    band = metrics.ece_band(prob, 15, 300, rng)
    assert band.low <= metrics.ece(prob, correct) <= band.high
    assert metrics.ece(overconfident, correct) > metrics.ece_band(overconfident, 15, 300, rng).high


def test_ece_of_a_constant_is_its_distance_from_the_share() -> None:
    assert metrics.ece(np.full(10, 0.7), np.arange(10) < 4) == pytest.approx(0.3)


def test_scores_without_a_meaning_are_nan() -> None:
    score = np.array([0.2, 0.4])
    assert math.isnan(metrics.auc(score, np.array([1, 1])))
    assert math.isnan(metrics.average_precision(score, np.array([0, 0])))
    assert math.isnan(metrics.cohen_kappa(np.array([1, 1]), np.array([1, 1])))
    assert math.isnan(metrics.log_loss(np.empty((0, 2)), np.empty(0, dtype=np.int64)))


def test_the_bootstrap_by_customer_is_wider_than_by_case_and_covers_the_truth() -> None:
    rng = np.random.default_rng(7)
    held, wider = 0, 0
    for _ in range(200):
        customer = np.repeat(np.arange(40), 10)
        losses = rng.normal(size=40)[customer] + 0.1 * rng.normal(size=400)
        by_customer = metrics.bootstrap_interval(losses, customer, rng, draws=200)
        by_case = metrics.bootstrap_interval(losses, np.arange(400), rng, draws=200)
        held += by_customer.low <= 0.0 <= by_customer.high
        wider += by_customer.high - by_customer.low > by_case.high - by_case.low
    assert wider == 200
    assert held >= 178  # 95 % nominal; percentile intervals of 40 customers fall a little short


def test_the_bootstrap_repeats_with_the_same_seed() -> None:
    losses, names = np.arange(10.0), np.array(list("aabbccddee"))
    first, second = (metrics.bootstrap_interval(losses, names, np.random.default_rng(1)) for _ in range(2))
    assert first == second


def test_the_paired_bootstrap_sees_a_small_steady_difference_in_noisy_losses() -> None:
    rng = np.random.default_rng(2)
    noise, customer = rng.exponential(size=500), np.repeat(np.arange(100), 5)
    mean, low, high = metrics.paired_bootstrap(noise, noise + 0.01 + 0.01 * rng.normal(size=500), customer, rng)
    assert low < mean < high < 0.0


def test_coverage_counts_the_sets_that_hold_what_happened() -> None:
    sets = np.array([[True, False], [True, True], [False, True]])
    assert metrics.coverage(sets, np.array([1, 0, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.brier(np.array([1.2]), np.array([1])), "prob ranges"),
        (lambda: metrics.brier(np.array([np.nan]), np.array([1])), "prob holds NaN"),
        (lambda: metrics.log_loss(np.array([[0.5, 0.2]]), np.array([0])), "softmax"),
        (lambda: metrics.log_loss(np.array([[0.5, 0.5]]), np.array([2])), "class numbers lie in 0..1"),
        (lambda: metrics.auc(np.array([0.5, 0.1]), np.array([0, 2])), "allowed are 0 and 1"),
        (lambda: metrics.auc(np.array([0.5, 0.1]), np.array([0])), "label has shape"),
        (lambda: metrics.top_k(np.array([[0.5, 0.5]]), np.array([0]), 0), "k is 0"),
        (lambda: metrics.ece(np.array([0.5]), np.array([0]), 0), "bins is 0"),
        (lambda: metrics.cohen_kappa(np.array([0]), np.array([0, 1])), "same length"),
        (
            lambda: metrics.bootstrap_interval(np.ones(2), np.zeros(2, dtype=int), np.random.default_rng(0)),
            "at least 2",
        ),
        (
            lambda: metrics.bootstrap_interval(np.ones(2), np.zeros(3, dtype=int), np.random.default_rng(0)),
            "one group for each",
        ),
        (lambda: metrics.crps(np.ones((2, 3)), np.ones(3)), "observed has 3 cases"),
    ],
)
def test_bad_input_is_refused_with_its_name_and_the_fix(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=words):
        call()
