"""Purchase likelihood on made-up shops whose odds are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.confidence.metrics import auc, binary_log_loss
from models.features.behaviour import behaviour
from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.predictors.predictor import PredictorError
from models.predictors.purchase import PurchasePredictor
from training.crossfit import BoostingConfig
from training.errors import TooLittleData
from training.purchase import Landmarks, PurchaseConfig, fit_logistic, fit_purchase, purchase_examples, recent_share

TARGET = Target("buy", ("shop.purchase",), 30 * 86_400)
UNTIL = 400 * DAY
SMALL = PurchaseConfig(per_month=1, boosting=BoostingConfig(most_rounds=40, folds=3))


def shop(customers: int, seed: int) -> Journeys:
    """Half of the customers look once a month, half every three days and then buy about every 20 days."""
    rng = np.random.default_rng(seed)
    journeys = {}
    for number in range(customers):
        keen = number % 2 == 0
        looks = np.cumsum(rng.exponential(3.0 if keen else 30.0, 400))
        buys = np.cumsum(rng.exponential(20.0 if keen else 600.0, 40))
        points = [("web.visit", t) for t in looks] + [("shop.purchase", t) for t in buys]
        journeys[f"{seed}-{number}"] = sorted(((n, int(t * DAY)) for n, t in points if t < 400), key=lambda p: p[1])
    return journeys_of(journeys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    journeys, out = shop(200, 1), tmp_path_factory.mktemp("purchase")
    fit_purchase(journeys, TARGET, Vocabulary.of(journeys), 0, UNTIL, SMALL, 5, out, lambda line: None)
    return out


def test_it_beats_the_base_rate_and_nears_the_truth(folder: Path) -> None:
    predictor, journeys = PurchasePredictor.load(folder), shop(200, 2)
    asked = purchase_examples(journeys, TARGET, predictor.vocabulary, 60 * DAY, UNTIL, np.random.default_rng(0))
    seen = journeys.take(asked.rows).seen_at(asked.as_of)
    said = predictor.predict(seen, asked.as_of)
    keen = asked.rows % 2 == 0
    truth = np.where(keen, 1 - np.exp(-30 / 20), 1 - np.exp(-30 / 600))
    ours, best = (binary_log_loss(p, asked.happened) for p in (said, truth))
    assert ours < binary_log_loss(np.full(len(said), predictor.base_rate), asked.happened) - 0.1
    assert ours < best + 0.06
    assert auc(said, asked.happened) > 0.8
    logistic = fit_logistic(journeys, TARGET, predictor.vocabulary, 0, UNTIL, 5, SMALL)
    assert logistic(seen, asked.as_of).shape == said.shape


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 399), st.integers(0, 99))
def test_one_alone_is_answered_as_in_a_batch_and_later_events_change_nothing(folder: Path, day: int, seed: int) -> None:
    predictor, journeys = PurchasePredictor.load(folder), shop(4, seed)
    as_of = np.full(4, day * DAY)
    together = predictor.predict(journeys.seen_at(as_of), as_of)
    for row in range(4):
        one = journeys.take(np.array([row]))
        kept = int((one.occurred_at <= day * DAY).sum())
        cut = one.first(np.array([0]), np.array([kept]))
        assert predictor.predict(cut, as_of[:1])[0] == pytest.approx(together[row], abs=1e-6)


def test_an_empty_journey_gets_the_base_rate_and_nobody_is_no_error(folder: Path) -> None:
    predictor = PurchasePredictor.load(folder)
    assert predictor.predict(journeys_of({"new": []}), np.array([0]))[0] == predictor.base_rate
    assert len(predictor.predict(journeys_of({}), np.empty(0, dtype=np.int64))) == 0


def test_what_was_learned_is_told(folder: Path) -> None:
    predictor = PurchasePredictor.load(folder)
    assert predictor.target == TARGET
    assert predictor.base_rate == pytest.approx(predictor.positives / predictor.n)
    assert predictor.minimum_positives == 50


def test_the_same_seed_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    journeys = shop(200, 1)
    fit_purchase(journeys, TARGET, Vocabulary.of(journeys), 0, UNTIL, SMALL, 5, tmp_path, lambda line: None)
    for file in sorted(folder.iterdir()):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_features_answered_are_those_taught(folder: Path) -> None:
    predictor, journeys = PurchasePredictor.load(folder), shop(3, 7)
    as_of = np.full(3, 100 * DAY)
    seen = journeys.seen_at(as_of)
    score = predictor.score(behaviour(seen, as_of, predictor.vocabulary))
    assert (score == predictor.predict(seen, as_of)).all()


@pytest.mark.parametrize(
    ("days", "reason"), [([0], "followed 0 of"), (list(range(0, 400, 5)), "followed all but 0"), (None, "no journey")]
)
def test_a_target_that_never_or_always_happens_is_too_little(
    days: list[int] | None, reason: str, tmp_path: Path
) -> None:
    name = "web.visit" if days == [0] else "shop.purchase"
    journeys = journeys_of({str(i): [(name, d * DAY) for d in days or [390]] for i in range(20)})
    with pytest.raises(TooLittleData, match=reason):
        fit_purchase(journeys, TARGET, Vocabulary.of(journeys), 0, UNTIL, SMALL, 0, tmp_path / "x", print)
    assert not (tmp_path / "x").exists()


def test_features_of_another_version_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    about = tmp_path / "purchase.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "features": ["touchpoints"]}))
    with pytest.raises(PredictorError, match="other features"):
        PurchasePredictor.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("leaves", 1), ("learning_rate", 0.0), ("feature_share", 0), ("folds", 1)]
)
def test_a_wrong_setting_of_the_boosting_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        BoostingConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("per_month", 0), ("trials", -1), ("stack", ("oracle",))])
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        PurchaseConfig(**{field: value})  # type: ignore[arg-type]


def test_where_the_times_change_the_latest_moments_teach_and_where_they_do_not_all_do() -> None:
    rng = np.random.default_rng(0)
    as_of = np.sort(rng.integers(0, 1000 * DAY, 8000))
    x = rng.normal(size=(8000, 2)).astype(np.float32)
    other_times = x[:, 0] * np.where(as_of < 500 * DAY, -2, 2)  # the sign turns half way

    def share(log_odds: np.ndarray) -> float:
        happened = (rng.random(8000) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
        examples = Landmarks(np.arange(8000), as_of, x, happened, np.full(8000, 9))
        return recent_share(examples, TARGET, SMALL)

    assert share(other_times) < 1
    assert share(2 * x[:, 0]) == 1
