"""Figures: asked as serving would ask, beside baselines, and honest about what there is too little of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY, SECOND
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.predictors.next_touchpoint import NextTouchpointPredictor
from training.evaluate import (
    AskedLandmarks,
    AskedSteps,
    ask_landmarks,
    ask_steps,
    bins_inside,
    difference,
    feeling_figures,
    interval,
    next_touchpoint_figures,
    purchase_figures,
)
from training.splits import Slice

BOUGHT = Target("buy", ("shop.purchase",), 10 * 86_400)
KNOWN = journeys_of({
    "a": [("web.visit", 1 * DAY), ("shop.visit", 3 * DAY), ("shop.purchase", 6 * DAY)],
    "b": [("web.visit", 2 * DAY)],
    "c": [("web.visit", 4 * DAY), ("web.visit", 5 * DAY), ("mail.open", 7 * DAY)],
})  # fmt: skip


@dataclass(frozen=True)
class OfVocabulary:
    """As much of a predictor as asking needs."""

    vocabulary: Vocabulary


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _ask(journeys: Journeys, since: int, until: int) -> AskedSteps:
    vocabulary = Vocabulary.of(KNOWN.take(np.array([0, 1])))  # mail.open is unknown
    return ask_steps(journeys, cast(NextTouchpointPredictor, OfVocabulary(vocabulary)), Slice(since, until), _rng())


def test_steps_show_what_came_before_and_ask_what_came_next() -> None:
    asked = _ask(KNOWN, 4 * DAY, 8 * DAY)
    assert asked.seen.customers == ("a", "c")
    assert asked.seen.lengths.tolist() == [2, 1]
    assert asked.as_of.tolist() == [3 * DAY, 4 * DAY]
    names = ("shop.purchase", "shop.visit", "web.visit")
    assert [names[code] for code in asked.label] == ["shop.purchase", "web.visit"]
    assert asked.customer.tolist() == [0, 2]


def test_a_slice_in_which_nothing_happened_asks_nothing() -> None:
    asked = _ask(KNOWN, 20 * DAY, 30 * DAY)
    assert (len(asked.label), len(asked.as_of), len(asked.seen)) == (0, 0, 0)


def test_what_was_learned_late_is_asked_late_or_not_at_all() -> None:
    late = replace(KNOWN, known_at=KNOWN.occurred_at + np.array([0, 4 * DAY, 0, 0, 0, DAY // 2, 0]))
    asked = _ask(late, 4 * DAY, 8 * DAY)
    assert asked.customer.tolist() == [2]  # a's visit was known only after the purchase that followed it
    assert bool((asked.seen.known_at <= asked.as_of[asked.seen.owner]).all())


def test_moments_whose_horizon_the_log_cuts_are_left_out() -> None:
    points = [("web.visit", day * DAY) for day in range(0, 100, 5)] + [("shop.purchase", 50 * DAY)]
    journeys = journeys_of({"a": sorted(points, key=lambda point: point[1])})
    asked = ask_landmarks(journeys, BOUGHT, Slice(0, 200 * DAY), _rng())
    horizon = BOUGHT.horizon_seconds * SECOND
    assert len(asked.as_of) > 0
    assert asked.as_of.max() + horizon <= 95 * DAY
    expected = [int(at < 50 * DAY <= at + horizon) for at in asked.as_of]
    assert asked.happened.tolist() == expected
    assert bool((asked.seen.occurred_at <= asked.as_of[asked.seen.owner]).all())


def test_one_customer_alone_has_no_interval() -> None:
    losses, one = np.array([0.1, 0.2]), np.array([3, 3])
    assert interval(losses, one, _rng()) == []
    assert difference(losses, losses + 1, one, _rng()) == {"mean": -1.0, "interval": []}


def test_a_model_beside_itself_is_no_better() -> None:
    chance = np.random.default_rng(1).dirichlet(np.ones(3), 60)
    asked = AskedSteps(KNOWN, np.zeros(60, dtype=np.int64), np.arange(60) % 3, np.arange(60) // 2)
    figures = next_touchpoint_figures(chance, chance > 0.1, {"itself": chance}, asked, _rng())
    beside = figures["baselines"]["itself"]
    assert beside["log_loss"] == figures["log_loss"]
    assert beside["ours_minus_theirs"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert figures["n"] == 60
    assert 0 <= figures["accuracy"] <= figures["top_3"] == 1.0


def test_knowing_beats_the_base_rate() -> None:
    happened = (np.arange(200) % 4 == 0).astype(np.int8)
    sure = np.where(happened == 1, 0.9, 0.1)
    asked = AskedLandmarks(KNOWN, np.zeros(200, dtype=np.int64), happened, np.arange(200))
    base = np.full(200, 0.25)
    figures = purchase_figures(sure, (sure - 0.1, sure + 0.1), {"base_rate": base}, asked, _rng())
    assert figures["auc"] == 1.0
    assert figures["positives"] == 50
    assert figures["baselines"]["base_rate"]["ours_minus_theirs"]["interval"][1] < 0
    assert figures["mean_interval_width"] == pytest.approx(0.2)


def test_bins_inside_counts_those_whose_rate_lies_in_the_interval() -> None:
    probability = np.repeat([0.1, 0.9], 50)
    happened = np.repeat([0, 1], 50).astype(np.int8)
    assert bins_inside(probability, np.zeros(100), np.ones(100), happened, bins=2) == 1.0
    assert bins_inside(probability, np.full(100, 0.2), np.ones(100), happened, bins=2) == 0.5


def test_what_is_released_is_counted_with_its_mistakes() -> None:
    polarity = np.tile([0.7, 0.1, 0.1, 0.1], (40, 1))
    label = np.repeat([0, 2], 20)
    even = np.full((40, 4), 0.25)
    figures = feeling_figures(polarity, label, np.arange(40) < 30, {"even": even}, _rng())
    assert (figures["released"], figures["released_wrong"]) == (30, 10)
    assert figures["released_error"] == pytest.approx(1 / 3, abs=1e-4)
    low, high = figures["released_error_interval"]
    assert low < 1 / 3 < high
    none = feeling_figures(polarity, label, np.zeros(40, dtype=np.bool_), {}, _rng())
    assert (none["released"], none["released_error"], none["released_error_interval"]) == (0, None, [])
