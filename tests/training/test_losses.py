"""Losses agree with what serving computes, and with hand-made likelihoods."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.predictors.gap import GapMixture
from training.losses import cross_entropy, emotion_loss, gap_loss, masked_mean, ordinal_loss, readers_loss

RNG = np.random.default_rng(2)


def test_a_censored_gap_costs_minus_the_log_survival_that_serving_computes() -> None:
    parameters = RNG.normal(size=(20, 10)).astype(np.float32)
    seconds = RNG.uniform(1, 1e4, 20)
    log_gap = torch.from_numpy(np.log1p(seconds).astype(np.float32))
    loss = gap_loss(torch.from_numpy(parameters), log_gap, torch.zeros(20), torch.ones(20, dtype=torch.bool))
    assert np.allclose(-loss.numpy(), GapMixture.of(parameters).log_survival(seconds), atol=1e-4)


def test_late_entry_divides_by_the_chance_of_having_got_that_far() -> None:
    parameters = torch.from_numpy(RNG.normal(size=(20, 10)).astype(np.float32))
    log_gap, censored = torch.full((20,), 6.0), torch.zeros(20, dtype=torch.bool)
    whole = gap_loss(parameters, log_gap, torch.zeros(20), censored)
    late = gap_loss(parameters, log_gap, torch.full((20,), 3.0), censored)
    survived = GapMixture.of(parameters.numpy()).log_survival(np.full(20, np.expm1(3.0)))
    assert np.allclose((late - whole).numpy(), survived, atol=1e-4)


def test_one_normal_costs_what_its_density_says() -> None:
    parameters = torch.tensor([[20.0, -20.0, 3.0, 0.0]])
    loss = gap_loss(parameters, torch.tensor([4.0]), torch.zeros(1), torch.tensor([False]))
    assert abs(float(loss[0]) - 0.5 * (1 + np.log(2 * np.pi))) < 1e-5


def test_only_what_the_mask_shows_counts() -> None:
    logits, target = torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)
    losses = cross_entropy(logits, target)
    assert losses.shape == (2, 3)
    assert float(masked_mean(losses * torch.tensor([1.0, 5.0, 5.0]), torch.tensor([True, False, False]))) > 1.38
    assert float(masked_mean(losses, torch.zeros(2, 3, dtype=torch.bool))) == 0


@pytest.mark.parametrize("kind", ["bce", "focal", "asymmetric"])
def test_a_right_emotion_costs_less_than_a_wrong_one(kind: str) -> None:
    label = torch.tensor([[1.0, 0.0]])
    right, wrong = (emotion_loss(torch.tensor([logits]), label, kind) for logits in ([3.0, -3.0], [-3.0, 3.0]))
    assert float(right) < float(wrong)


def test_an_unknown_loss_of_emotions_is_named() -> None:
    with pytest.raises(ValueError, match="allowed are bce, asymmetric, focal"):
        emotion_loss(torch.zeros(1, 2), torch.zeros(1, 2), "hinge")


def test_readers_loss_is_least_where_the_distribution_is_told() -> None:
    levels, shares = torch.arange(-1.0, 2.0), torch.tensor([[0.2, 0.3, 0.5]])
    told = readers_loss(shares.log(), shares, levels)
    assert float(told) < float(readers_loss(torch.zeros(1, 3), shares, levels))


def test_more_stars_are_likelier_for_a_higher_score() -> None:
    cuts, five = torch.tensor([-2.0, -0.7, 0.3, 1.3]), torch.tensor([5.0])
    low, high = (float(ordinal_loss(torch.tensor([score]), five, cuts)) for score in (-2.0, 3.0))
    assert high < low
    chances = [math.exp(-float(ordinal_loss(torch.tensor([0.4]), torch.tensor([float(k)]), cuts))) for k in range(1, 6)]
    assert sum(chances) == pytest.approx(1, abs=1e-4)
