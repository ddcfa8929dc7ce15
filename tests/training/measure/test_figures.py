"""Figures: intervals over customers, and the band beside an ECE."""

from __future__ import annotations

import numpy as np

from models.confidence import metrics
from training.measure import figures


def test_an_interval_is_wider_where_the_cases_of_a_customer_are_alike() -> None:
    rng = np.random.default_rng(0)
    of_customer = rng.normal(size=40)
    losses, customer = np.repeat(of_customer, 25), np.repeat(np.arange(40), 25)
    by_customer = figures.mean(losses, customer, rng)
    by_case = figures.mean(losses, np.arange(1000), rng)
    assert by_customer["n"] == by_case["n"] == 1000
    assert width(by_customer) > 3 * width(by_case)


def test_a_redrawn_mean_is_the_bootstrapped_mean() -> None:
    rng = np.random.default_rng(1)
    losses, customer = rng.normal(size=600), np.repeat(np.arange(60), 10)
    redrawn = figures.redrawn(lambda index: float(losses[index].mean()), customer, rng, draws=1000)
    told = figures.mean(losses, customer, rng)
    for end in ("value", "low", "high"):
        assert abs((redrawn[end] or 0) - (told[end] or 0)) < 0.02


def test_one_customer_gives_a_value_without_an_interval() -> None:
    told = figures.mean(np.array([1.0, 2.0]), np.zeros(2, dtype=np.int64), np.random.default_rng(0))
    assert told == {"value": 1.5, "low": None, "high": None, "n": 2}
    assert figures.redrawn(lambda index: float("nan"), np.arange(3), np.random.default_rng(0))["value"] is None


def test_a_calibrated_model_is_in_its_band_and_an_overconfident_one_is_not() -> None:
    rng = np.random.default_rng(2)
    chance = rng.uniform(0.05, 0.95, 3000)
    happened = (rng.random(3000) < chance).astype(np.int8)
    honest = figures.ece(chance, happened, np.arange(3000), rng)
    bold = figures.ece(np.clip(chance * 1.6 - 0.3, 0, 1), happened, np.arange(3000), rng)
    assert honest["ece_in_band"] is True
    assert bold["ece_in_band"] is False
    assert honest["ece"]["low"] <= honest["ece"]["value"] <= honest["ece"]["high"]


def test_skill_is_one_for_the_truth_and_nothing_for_the_base_rate() -> None:
    rng = np.random.default_rng(3)
    known = rng.uniform(0, 1, 2000)
    happened = rng.random(2000) < known
    truth = metrics.binary_log_losses(known, happened)
    base = metrics.binary_log_losses(np.full(2000, happened.mean()), happened)
    who = np.arange(2000)
    assert figures.skill(base, truth, truth, who, rng)["value"] == 1.0
    assert figures.skill(base, base, truth, who, rng)["value"] == 0.0


def width(told: figures.Figure) -> float:
    return float(told["high"] or 0) - float(told["low"] or 0)
