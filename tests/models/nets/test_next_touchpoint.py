"""Several nets answer as one: the mean of what each says, of what comes next and of when."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.vocabulary import Vocabulary
from models.nets.next_touchpoint import Ensemble, NetShape, NextTouchpointNet
from models.predictors.gap import GapMixture

VOCABULARY = Vocabulary(("dealer.visit", "web.visit", "workshop.visit"), ("sale", "convenience", "post_sale"))
SHAPE = NetShape(length=8, width=16, layers=1, heads=2, gap_components=3)
SECONDS = np.array([60.0, 3600.0, 86_400.0])


@pytest.fixture(scope="module")
def nets() -> list[NextTouchpointNet]:
    torch.manual_seed(3)
    made = [NextTouchpointNet(VOCABULARY, SHAPE).eval() for _ in range(3)]
    for net in made:
        torch.nn.init.normal_(net.next_head.weight)
        torch.nn.init.normal_(net.gap_head.weight)
    return made


@pytest.fixture(scope="module")
def journeys() -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor([[2, 3, 4, 0], [4, 2, 0, 0], [3, 0, 0, 0]]), torch.rand(3, 4) * 10, torch.tensor([3, 2, 1])


def chances(logits: Tensor) -> NDArray[np.float64]:
    return logits.softmax(-1).detach().double().numpy()


def survival(gap: Tensor) -> NDArray[np.float64]:
    return np.exp(GapMixture.of(gap.detach().numpy()).log_survival(SECONDS))


def test_an_ensemble_gives_the_mean_distribution(
    nets: list[NextTouchpointNet], journeys: tuple[Tensor, Tensor, Tensor]
) -> None:
    together, _ = Ensemble(nets).last(*journeys)
    apart = [chances(net.last(*journeys)[0]) for net in nets]
    np.testing.assert_allclose(chances(together), np.mean(apart, axis=0), atol=1e-6)


def test_an_ensemble_gives_the_mean_chance_that_nothing_has_come_yet(
    nets: list[NextTouchpointNet], journeys: tuple[Tensor, Tensor, Tensor]
) -> None:
    _, together = Ensemble(nets).last(*journeys)
    apart = [survival(net.last(*journeys)[1]) for net in nets]
    np.testing.assert_allclose(survival(together), np.mean(apart, axis=0), atol=1e-5)


def test_an_ensemble_says_at_every_touchpoint_what_it_says_at_the_last(
    nets: list[NextTouchpointNet], journeys: tuple[Tensor, Tensor, Tensor]
) -> None:
    tokens, gaps, lengths = journeys
    everywhere, _ = Ensemble(nets)(tokens, gaps)
    last, _ = Ensemble(nets).last(tokens, gaps, lengths)
    np.testing.assert_allclose(chances(everywhere[torch.arange(3), lengths - 1]), chances(last), atol=1e-6)
