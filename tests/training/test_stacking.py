"""Stacking in training: each customer is told about by a predictor that never saw them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.predictor import NextTouchpointPrediction
from models.predictors.purchase import PurchasePredictor
from models.predictors.stacking import Following, Said
from models.predictors.why_purchase import effects, why_purchase
from training.crossfit import BoostingConfig
from training.purchase import PurchaseConfig, fit_purchase
from training.stacking import NOT_SEEN, FeelingsOutOfFold, NextOutOfFold, Stack

VOCABULARY = Vocabulary(("shop.purchase", "web.visit"), ("sale", "convenience"))
TARGET = Target("buy", ("shop.purchase",), 30 * 86_400)


@dataclass(frozen=True)
class Says:
    """A predictor of what comes next that knows keen customers (even names), and signs with the chance of nothing."""

    sign: float
    vocabulary: Vocabulary = VOCABULARY

    def predict(self, seen: Journeys, as_of: Ints) -> NextTouchpointPrediction:
        keen = np.array([int(name) % 2 == 0 for name in seen.customers], dtype=np.bool_)
        chance = np.where(keen, 0.6, 0.05)
        nothing = np.full(len(seen), self.sign)
        return NextTouchpointPrediction(np.column_stack([chance, 1 - chance]), nothing, np.zeros((len(seen), 3)))


def asked(fold: list[int]) -> NextOutOfFold:
    apart = tuple(cast(NextTouchpointPredictor, Says(sign)) for sign in (0.1, 0.2))
    return NextOutOfFold(apart, cast(NextTouchpointPredictor, Says(0.3)), np.array(fold, dtype=np.int64))


def test_each_customer_is_told_about_by_the_predictor_of_their_fold() -> None:
    journeys = journeys_of({str(i): [("web.visit", 0)] for i in range(4)})
    rows = np.array([3, 0, 1, 0])
    said = asked([0, 1, 7, NOT_SEEN]).said(journeys.take(rows), np.zeros(4, dtype=np.int64), rows)
    assert said.prediction.none_within_horizon.tolist() == [0.3, 0.1, 0.2, 0.1]


def test_of_customers_whom_every_predictor_saw_nothing_is_learned() -> None:
    stack = Stack(asked([0, 1, 7, NOT_SEEN]))
    assert stack.knows(np.array([0, 1, 2, 3])).tolist() == [True, True, False, True]
    sampled = asked([1, 0]).of_sample(np.array([2, 0]), 4)
    assert sampled.fold.tolist() == [0, NOT_SEEN, 1, NOT_SEEN]


def test_the_latest_words_before_a_moment_are_told(tmp_path: Path) -> None:
    words = FeelingsOutOfFold(np.array([1, 1, 4]), np.array([10, 30, 5]) * DAY, np.eye(4)[[0, 2, 1]])
    words.save(tmp_path)
    told = FeelingsOutOfFold.load(tmp_path).said(np.array([40, 20, 9, 50]) * DAY, np.array([1, 1, 1, 2]))
    assert told.polarity.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert told.days_since.tolist() == [10, 10, 3650, 3650]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[PurchasePredictor, Journeys]:
    """Journeys tell nothing of who buys; what comes next does."""
    rng = np.random.default_rng(0)
    journeys = {}
    for number in range(160):
        buys = np.cumsum(rng.exponential(25.0 if number % 2 == 0 else 500.0, 30))
        looks = np.cumsum(rng.exponential(10.0, 60))
        points = [("web.visit", t) for t in looks] + [("shop.purchase", t) for t in buys]
        journeys[str(number)] = sorted(((n, int(t * DAY)) for n, t in points if t < 300), key=lambda p: p[1])
    log, out = journeys_of(journeys), tmp_path_factory.mktemp("stacked")
    stack = Stack(asked([number % 4 // 2 for number in range(160)]))
    config = PurchaseConfig(per_month=1, boosting=BoostingConfig(most_rounds=40, folds=2))
    fit = fit_purchase(log, TARGET, VOCABULARY, 0, 300 * DAY, config, 5, out, lambda line: None, stack)
    assert fit.sources == ("next_touchpoint",)
    return PurchasePredictor.load(out), log


def said_of(chance: float) -> Said:
    distribution = np.array([[chance, 1 - chance]])
    return Said(Following(NextTouchpointPrediction(distribution, np.array([0.15]), np.zeros((1, 3))), VOCABULARY))


def test_a_likelier_next_target_never_lowers_what_the_trees_say(taught: tuple[PurchasePredictor, Journeys]) -> None:
    predictor, log = taught
    moment = np.array([200 * DAY])
    seen = log.take(np.array([3])).seen_at(moment)
    chances = np.linspace(0.01, 0.99, 40)
    told = [predictor.boosted(predictor.features(seen, moment, said_of(chance)))[0] for chance in chances]
    assert (np.diff(told) >= -1e-9).all()
    assert told[-1] > told[0] + 0.1


def test_the_reasons_add_up_to_the_probability_and_are_told_in_words(
    taught: tuple[PurchasePredictor, Journeys],
) -> None:
    predictor, log = taught
    for customer in range(8):
        moment = np.array([200 * DAY])
        seen = log.take(np.array([customer])).seen_at(moment)
        said = said_of(0.6 if customer % 2 == 0 else 0.05)
        expected, effect = effects(predictor, predictor.features(seen, moment, said)[0])
        assert expected + effect.sum() == pytest.approx(predictor.predict(seen, moment, said)[0], abs=1e-6)
        why = why_purchase(predictor, seen, moment, said).to_dict()
        assert 0 < len(why["because"]) <= 5
        assert all(one["words"] for one in why["because"])
    assert any(one["feature"] == "next:target" for one in why["because"])


def test_an_empty_journey_cannot_be_explained(taught: tuple[PurchasePredictor, Journeys]) -> None:
    with pytest.raises(ValueError, match="one journey with touchpoints"):
        why_purchase(taught[0], journeys_of({"0": []}), np.array([DAY]), said_of(0.1))
