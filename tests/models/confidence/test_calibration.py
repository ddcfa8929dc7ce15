"""Calibrators keep the ranking, repair what they can express, and survive JSON."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from models.confidence.arrays import Reals
from models.confidence.calibration import (
    CALIBRATORS,
    Beta,
    Calibrator,
    Isotonic,
    Sigmoid,
    Temperature,
    Uncalibrated,
    calibrator_from_dict,
    choose_calibrator,
    softmax,
)
from models.confidence.metrics import binary_log_loss, log_loss

Floats = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def sigmoid(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float64)


def drawn(seed: int, n: int, truth: Callable[[Floats], Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    """Claimed probabilities, and outcomes whose real probability is ``truth`` of the claimed logit."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.0, 1.5, n)
    return sigmoid(logit), rng.random(n) < truth(logit)


@given(seeds, st.sampled_from(list(CALIBRATORS.values())), st.integers(1, 200))
def test_every_calibrator_is_monotone_inside_0_and_1_and_survives_json(
    seed: int, cls: type[Calibrator], n: int
) -> None:
    rng = np.random.default_rng(seed)
    prob, label = np.round(rng.random(n), 2), rng.random(n) < rng.random()
    fitted = cls.fit(prob, label)
    grid = np.linspace(0.0, 1.0, 101)
    out = fitted.apply(grid)
    assert (np.diff(out) >= -1e-12).all()
    assert out.min() >= 0.0
    assert out.max() <= 1.0
    again = calibrator_from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.apply(grid), out)


@given(seeds)
def test_fitting_does_not_depend_on_the_order_of_cases(seed: int) -> None:
    prob, label = drawn(seed, 120, sigmoid)
    order = np.random.default_rng(seed).permutation(120)
    for cls in CALIBRATORS.values():
        one, other = cls.fit(prob, label), cls.fit(prob[order], label[order])
        np.testing.assert_allclose(one.apply(prob), other.apply(prob), atol=1e-6)


@given(seeds)
def test_isotonic_agrees_with_scikit_learn_between_its_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prob = np.round(rng.random(80), 1)
    label = rng.random(80) < prob
    expected = IsotonicRegression().fit(prob, label).predict(prob)
    np.testing.assert_allclose(Isotonic.fit(prob, label).apply(prob), np.clip(expected, 1 / 82, 81 / 82), atol=1e-12)


def test_platt_and_beta_scaling_find_the_weights_that_made_the_labels() -> None:
    prob, label = drawn(1, 40_000, lambda logit: sigmoid(0.5 * logit - 1.0))
    fitted = Sigmoid.fit(prob, label)
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.5, -1.0), abs=0.05)
    beta = Beta.fit(prob, label)
    assert (beta.a, beta.b, beta.c) == pytest.approx((0.5, 0.5, -1.0), abs=0.15)


def test_scores_that_mislead_are_flattened_rather_than_turned_round() -> None:
    prob, label = drawn(2, 5000, lambda logit: sigmoid(-logit))
    for fitted in (Sigmoid.fit(prob, label), Beta.fit(prob, label)):
        assert fitted.apply(np.array([0.1, 0.9])) == pytest.approx(label.mean(), abs=0.01)


def test_cleanly_separated_cases_still_get_finite_weights() -> None:
    fitted = Sigmoid.fit(np.repeat([0.2, 0.8], 30), np.repeat([0, 1], 30))
    assert 0.9 < fitted.apply(np.array([0.8]))[0] < 1.0


@pytest.mark.parametrize("real", [0.5, 1.0, 2.5])
def test_temperature_is_recovered_and_never_hurts_the_cases_it_was_fitted_on(real: float) -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(20_000, 5))
    label = (logits / real + rng.gumbel(size=logits.shape)).argmax(axis=1)
    prob = softmax(logits)
    fitted = Temperature.fit(prob, label)
    assert fitted.temperature == pytest.approx(real, rel=0.08)
    assert log_loss(fitted.apply(prob), label) <= log_loss(prob, label) + 1e-9
    np.testing.assert_allclose(fitted.apply(prob), softmax(logits / fitted.temperature), atol=1e-12)
    assert Temperature.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


def test_temperature_keeps_the_ranking_and_impossible_classes() -> None:
    out = Temperature(7.0).apply(np.array([[0.6, 0.4, 0.0]]))
    assert out[0, 0] > out[0, 1] > out[0, 2] == 0.0
    assert out.sum() == pytest.approx(1.0)


@given(seed=seeds, labels=st.integers(1, 10_000), classes=st.integers(2, 9))
def test_nothing_is_surer_than_its_labels_allow_and_the_ranking_stays(seed: int, labels: int, classes: int) -> None:
    raw = softmax(np.random.default_rng(seed).normal(size=(20, classes)) * 30)
    limited = Temperature(0.5, labels=labels)
    told = limited.apply(raw)
    assert (told <= (labels + 1) / (labels + classes) + 1e-12).all()
    np.testing.assert_allclose(told.sum(axis=1), 1.0)
    np.testing.assert_array_equal(told.argmax(axis=1), raw.argmax(axis=1))
    assert Temperature.from_dict(json.loads(json.dumps(limited.to_dict()))) == limited


def test_temperature_stays_at_one_on_few_cases() -> None:
    assert Temperature.fit(np.full((10, 2), 0.5), np.zeros(10, dtype=int)).temperature == 1.0


def test_a_calibrated_model_is_mostly_left_as_it_is() -> None:
    kept = [
        isinstance(choose_calibrator(*drawn(seed, 600, sigmoid), np.random.default_rng(0)).calibrator, Uncalibrated)
        for seed in range(30)
    ]
    assert np.mean(kept) >= 0.7


def test_an_overconfident_model_is_repaired_by_the_simplest_map_that_can() -> None:
    for seed in range(5):
        prob, label = drawn(seed, 2000, lambda logit: sigmoid(0.4 * logit))
        choice = choose_calibrator(prob, label, np.random.default_rng(0))
        assert choice.calibrator.name == "sigmoid"
        assert choice.log_loss["sigmoid"] < choice.log_loss["none"]
        fresh, truth = drawn(100 + seed, 5000, lambda logit: sigmoid(0.4 * logit))
        assert binary_log_loss(choice.calibrator.apply(fresh), truth) < binary_log_loss(fresh, truth)


def test_a_step_that_no_curve_can_follow_is_left_to_isotonic_only_with_enough_cases() -> None:
    def step(logit: Floats) -> Floats:
        return np.where(logit > 0.5, 0.5, 0.02)

    many = choose_calibrator(*drawn(0, 6000, step), np.random.default_rng(0))
    few = choose_calibrator(*drawn(0, 600, step), np.random.default_rng(0))
    assert many.calibrator.name == "isotonic"
    assert "isotonic" not in few.log_loss


@pytest.mark.parametrize("label", [np.zeros(200), np.ones(200)])
def test_one_class_alone_teaches_nothing(label: Floats) -> None:
    choice = choose_calibrator(np.linspace(0, 1, 200), label.astype(int), np.random.default_rng(0))
    assert choice.calibrator == Uncalibrated()
    assert choice.log_loss == {}


def test_fewer_customers_than_folds_teach_nothing() -> None:
    prob, label = drawn(0, 200, sigmoid)
    groups = np.repeat(["a", "b"], 100)
    assert choose_calibrator(prob, label, np.random.default_rng(0), groups).log_loss == {}


def test_an_unknown_calibrator_is_refused_with_the_allowed_names() -> None:
    with pytest.raises(ValueError, match="allowed calibrators are none, sigmoid, beta, isotonic"):
        calibrator_from_dict({"name": "spline"})


def test_a_single_precision_probability_is_taken() -> None:
    single: Reals = np.array([0.0, 0.5, 1.0], dtype=np.float32)
    assert Sigmoid(1.0, 0.0).apply(single) == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)


def test_no_case_at_all_is_refused_by_isotonic() -> None:
    with pytest.raises(ValueError, match="prob holds no case"):
        Isotonic.fit(np.empty(0), np.empty(0, dtype=int))
