"""Why a touchpoint is expected next, on journeys whose rule is known: what moved the answer is what the rule names."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY
from models.journey.journeys import Journeys
from models.nets.next_touchpoint import NetShape
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.why import Floats, WhyNext, why_next
from training.next_touchpoint import NextTouchpointConfig, fit_next_touchpoint

SETTINGS = NextTouchpointConfig(
    shape=NetShape(length=8, width=24, gap_components=2, dropout=0.0), epochs=20, learning_rate=1e-2, batch_windows=16
)


def as_they_are(chance: Floats) -> Floats:
    return chance


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> NextTouchpointPredictor:
    """A quote leads to a call two touchpoints later; without one comes another visit."""
    rng, journeys = np.random.default_rng(0), {}
    for i in range(300):
        names = []
        for _ in range(4):
            quote = rng.random() < 0.5
            names += ["web.quote" if quote else "web.visit", "mail.open", "phone.call" if quote else "shop.visit"]
        journeys[str(i)] = [(name, number * DAY + i) for number, name in enumerate(names)]
    learned = journeys_of(journeys)
    folder = tmp_path_factory.mktemp("why")
    fit_next_touchpoint(
        learned, Vocabulary.of(learned), 20 * DAY, 60, SETTINGS, 0, folder, lambda line: None, ahead=False
    )
    return NextTouchpointPredictor.load(folder)


def asked(predictor: NextTouchpointPredictor, *names: str) -> WhyNext:
    journey = journeys_of({"c": [(name, number * DAY) for number, name in enumerate(names)]})
    return why_next(predictor, as_they_are, journey, np.array([len(names) * DAY]))


def test_the_touchpoints_that_the_rule_names_moved_the_answer_most(predictor: NextTouchpointPredictor) -> None:
    why = asked(predictor, "web.visit", "mail.open", "shop.visit", "web.quote", "mail.open")
    assert why.answer == "phone.call"
    effect = {(one.touchpoint, one.occurred_at): one.effect for one in why.because}
    rule = {("web.quote", 3 * DAY), ("mail.open", 4 * DAY)}  # without the mail it is the mail that comes next
    assert set(list(effect)[:2]) == rule
    assert min(effect[one] for one in rule) > 0.3 > 3 * max(abs(effect[one]) for one in set(effect) - rule)


def test_an_effect_is_what_the_predictor_says_without_the_touchpoint(predictor: NextTouchpointPredictor) -> None:
    steps = [("web.quote", 0), ("mail.open", DAY)]
    whole, without = journeys_of({"c": steps}), journeys_of({"c": steps[1:]})
    call = predictor.vocabulary.touchpoints.index("phone.call")

    def chance(journey: Journeys) -> float:
        return float(predictor.predict(journey, np.array([2 * DAY])).distribution[0, call])

    effects = {one.touchpoint: one.effect for one in asked(predictor, "web.quote", "mail.open").because}
    assert effects["web.quote"] == pytest.approx(chance(whole) - chance(without), abs=1e-6)


def test_the_pattern_is_the_longest_end_that_was_frequent_and_its_count_is_exact(
    predictor: NextTouchpointPredictor,
) -> None:
    why = asked(predictor, "web.quote", "mail.open")
    assert why.pattern is not None
    assert why.pattern.touchpoints == ("web.quote", "mail.open")
    assert why.pattern.seen == why.pattern.then_the_answer > 500
    counted = dict(why.counted)
    assert set(counted) == {"phone.call", "shop.visit"}
    assert sum(counted.values()) == 300 * 4


def test_a_touchpoint_that_nobody_knows_makes_no_pattern(predictor: NextTouchpointPredictor) -> None:
    why = asked(predictor, "web.quote", "fax.sent")
    assert (why.pattern, why.counted) == (None, ())
    assert why.to_dict()["pattern"] is None


def test_only_one_journey_with_touchpoints_can_be_explained(predictor: NextTouchpointPredictor) -> None:
    for journeys in (journeys_of({"a": []}), journeys_of({"a": [("web.visit", 0)], "b": [("web.visit", 0)]})):
        with pytest.raises(ValueError, match="one journey"):
            why_next(predictor, as_they_are, journeys, np.zeros(len(journeys), dtype=np.int64))


def test_it_is_told_as_json_with_times_and_rounded_effects(predictor: NextTouchpointPredictor) -> None:
    told = asked(predictor, "web.quote", "mail.open").to_dict()
    assert told["because"][0]["occurred_at"].endswith("Z")
    assert told["pattern"]["seen"] >= told["pattern"]["then_the_answer"]
    assert told["counted"][0]["times"] >= told["counted"][-1]["times"]
