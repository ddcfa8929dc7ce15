"""BG/NBD: finds the parameters that customers were drawn from, and says what the model's own odds are."""

from __future__ import annotations

import numpy as np
import pytest

from models.journey.assembly import journeys_of
from models.journey.event import DAY, Micros
from models.journey.journeys import Journeys
from models.journey.target import Target
from training.bgnbd import BgNbd, Transactions, repeat_buying, repeats

TARGET = Target("buy", ("shop.purchase",), 30 * 86_400)
TRUE = BgNbd(0.8, 20.0, 0.9, 3.0, 0.0)


def drawn(customers: int, days: int, seed: int) -> Journeys:
    """Everybody buys on day 0, then as the model of TRUE says."""
    rng = np.random.default_rng(seed)
    journeys = {}
    for number in range(customers):
        rate, leaves = rng.gamma(TRUE.r, 1 / TRUE.alpha), rng.beta(TRUE.a, TRUE.b)
        moments = [0.0]
        while rng.random() >= leaves or len(moments) == 1:
            moments.append(moments[-1] + rng.exponential(1 / rate))
            if moments[-1] > days:
                break
        points = [("shop.purchase", int(at * DAY)) for at in moments if at <= days]
        journeys[f"c{number:05d}"] = points
    return journeys_of(journeys)


def at(journeys: Journeys, moment: Micros) -> tuple[Journeys, np.ndarray]:
    as_of = np.full(len(journeys), moment, dtype=np.int64)
    return journeys.seen_at(as_of), as_of


def test_chances_fitted_are_those_that_happen() -> None:
    journeys = drawn(4000, 400, 1)
    seen, as_of = at(journeys, 200 * DAY)
    fitted = BgNbd.fit(seen, as_of, TARGET)
    chance = fitted.chance(Transactions.of(seen, as_of, TARGET), 30)
    happened = TARGET.outcome(journeys, as_of, 400 * DAY)
    assert chance.mean() == pytest.approx(happened.mean(), abs=0.01)
    likely = chance > np.quantile(chance, 0.8)
    assert chance[likely].mean() == pytest.approx(happened[likely].mean(), abs=0.05)


def test_the_longer_a_frequent_buyer_is_silent_the_likelier_they_are_gone() -> None:
    ages = np.array([100.0, 150.0, 300.0])
    chance = TRUE.chance(Transactions(np.full(3, 8.0), np.full(3, 95.0), ages), 30)
    assert (np.diff(chance) < 0).all()


def test_several_of_a_day_count_once_and_who_never_had_it_waits_at_the_first_rate() -> None:
    journeys = journeys_of({
        "twice": [("shop.purchase", DAY), ("shop.purchase", DAY + 5), ("shop.purchase", 4 * DAY)],
        "looked": [("web.visit", DAY)],
        "nobody": [],
    })  # fmt: skip
    known = Transactions.of(*at(journeys, 11 * DAY), TARGET)
    assert (known.repeats.tolist(), known.recency.tolist(), known.age.tolist()) == ([1, 0, 0], [3, 0, 0], [10, -1, -1])
    chance = BgNbd(1.0, 1.0, 1.0, 1.0, 0.1).chance(known, 10)
    assert chance[1:] == pytest.approx([1 - np.exp(-1)] * 2)


def test_a_target_that_does_not_repeat_has_no_such_baseline() -> None:
    once = journeys_of({f"c{i}": [("shop.purchase", i * DAY)] for i in range(200)})
    seen, as_of = at(once, 300 * DAY)
    assert not repeats(Transactions.of(seen, as_of, TARGET))
    assert repeat_buying(once, TARGET, 300 * DAY, seen, as_of) == {}
    again = drawn(300, 200, 2)
    assert repeat_buying(again, TARGET, 100 * DAY, *at(again, 100 * DAY))["bg_nbd"].shape == (300,)
