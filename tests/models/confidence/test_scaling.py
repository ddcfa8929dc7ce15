"""Scaling: the simplest map that held-out customers support, and intervals that know customers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from models.confidence.calibration import Temperature, softmax
from models.confidence.metrics import log_loss
from models.confidence.scaling import VectorScaling, choose_scaling, clustered_interval, scaling_from_dict

Floats = NDArray[np.float64]


def world(rng: np.random.Generator, n: int) -> tuple[Floats, NDArray[np.int64]]:
    logits = rng.normal(0.0, 1.5, size=(n, 4))
    return softmax(logits), (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def test_an_honest_model_is_left_as_it_is() -> None:
    prob, label = world(np.random.default_rng(0), 2000)
    assert choose_scaling(prob, label, np.ones(2000), np.arange(2000)) == Temperature(1.0)


def test_an_overconfident_model_gets_a_temperature() -> None:
    prob, label = world(np.random.default_rng(1), 2000)
    chosen = choose_scaling(softmax(2 * np.log(prob)), label, np.ones(2000), np.arange(2000))
    assert isinstance(chosen, Temperature)
    assert chosen.temperature == pytest.approx(2, rel=0.15)


def test_classes_that_come_less_often_than_said_get_a_shift() -> None:
    prob, label = world(np.random.default_rng(2), 4000)
    shift = np.array([0.8, 0.0, 0.0, -0.8])
    claimed = softmax(np.log(prob) + shift)
    chosen = choose_scaling(claimed, label, np.ones(4000), np.arange(4000))
    assert isinstance(chosen, VectorScaling)
    np.testing.assert_allclose(np.array(chosen.shift) - chosen.shift[1], -shift, atol=0.15)
    assert log_loss(chosen.apply(claimed), label) < log_loss(claimed, label)


def test_what_was_chosen_goes_through_json_unchanged() -> None:
    for one in (Temperature(1.5), VectorScaling(0.9, (0.1, 0.0, -0.1))):
        assert scaling_from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_too_few_cases_or_customers_change_nothing() -> None:
    prob, label = world(np.random.default_rng(3), 400)
    hot = softmax(3 * np.log(prob))
    assert choose_scaling(hot[:49], label[:49], np.ones(49), np.arange(49)) == Temperature(1.0)
    assert choose_scaling(hot, label, np.ones(400), np.arange(400) % 4) == Temperature(1.0)


def test_an_interval_over_customers_is_wider_than_one_over_cases_and_covers() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(200):
        who = np.repeat(np.arange(60), 20)
        values = rng.normal(size=60)[who] + rng.normal(size=1200)
        found = clustered_interval(values, np.ones(1200), who)
        alone = clustered_interval(values, np.ones(1200), np.arange(1200))
        assert found.high - found.low > alone.high - alone.low
        held += found.low <= 0 <= found.high
    assert held >= 180
