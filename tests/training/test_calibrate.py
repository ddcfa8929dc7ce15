"""Calibration on a later slice: what is measured, and what is too little to measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from models.confidence.band import shifted
from models.confidence.calibration import softmax
from models.confidence.conformal import SplitConformal
from models.journey.assembly import journeys_of
from models.journey.journeys import Ints
from models.measured import COVERAGES, MeasuredPurchase
from models.predictors.feedback import POLARITIES, FeedbackPredictor, FeelingPrediction
from training.calibrate import (
    brought_up_to_date,
    calibrate_feeling,
    calibrate_next_touchpoint,
    calibrate_purchase,
    channels,
    polarity_codes,
)
from training.errors import TooLittleData
from training.mixing import OutOfFold
from training.purchase import HeldOut

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reads:
    """A feedback predictor that finds the polarity named by a text's first word, as sure as it is told to be."""

    sure: float = 0.9
    language: str = "en"

    def predict(self, texts: list[str]) -> FeelingPrediction:
        polarity = np.full((len(texts), 4), (1 - self.sure) / 3)
        for row, text in enumerate(texts):
            polarity[row, POLARITIES.index(text.split()[0])] = self.sure
        return FeelingPrediction(
            polarity, None, None, None, None, np.zeros(len(texts), dtype=np.bool_), np.full(len(texts), 9)
        )


def _held_out(chance: Floats, happened: NDArray[np.int8], lengths: Ints | None = None) -> HeldOut:
    """One moment a customer, of whom ten touchpoints are known unless their number is given."""
    return HeldOut(chance, happened, np.arange(len(chance)), np.full(len(chance), 10) if lengths is None else lengths)


def _said(chance: Floats, label: Ints, weight: Floats | None = None, base: Floats | None = None) -> OutOfFold:
    """One case a customer, all after the same touchpoint; of the base rate nothing is known unless it is given."""
    n, kinds = chance.shape
    rate = np.full(kinds, 1 / kinds) if base is None else base
    each = np.ones(n) if weight is None else weight
    luck = np.random.default_rng(9).random(size=(n,))
    return OutOfFold(chance, label, each, np.arange(n), np.full(n, "web.visit"), luck, rate[label], rate)


def test_an_overconfident_net_is_cooled_and_sets_cover_as_promised() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(4), 2000)
    label = np.array([rng.choice(4, p=row) for row in honest])
    boastful = honest**3 / (honest**3).sum(axis=1, keepdims=True)
    measured = calibrate_next_touchpoint(_said(boastful, label))
    assert measured.scaling.temperature == pytest.approx(3, rel=0.15)
    assert (tuple(measured.sets), measured.n) == (COVERAGES, 2000)
    sizes = []
    for coverage in COVERAGES:
        luck = np.random.default_rng(1).random(2000)
        inside = measured.set_for(coverage).predict_set(measured.scaling.apply(boastful), luck=luck)
        assert inside[np.arange(2000), label].mean() >= coverage
        sizes.append(inside.sum())
    assert sizes == sorted(sizes)


def test_too_few_touchpoints_measure_nothing() -> None:
    few = _said(np.full((19, 2), 0.5), np.zeros(19, dtype=np.int64))
    with pytest.raises(TooLittleData, match="19 touchpoints were held out to calibrate by; 20 are needed"):
        calibrate_next_touchpoint(few)


def test_what_is_recent_decides_how_sure_the_net_may_be() -> None:
    rng = np.random.default_rng(0)
    said = np.tile([[0.8, 0.2]], (4000, 1))
    old, new = rng.random(2000) < 0.8, rng.random(2000) < 0.6  # the first is right less often than it used to be
    label = np.where(np.concatenate([old, new]), 0, 1)
    weight = np.repeat([0.01, 1.0], 2000)
    measured = calibrate_next_touchpoint(_said(said, label, weight))
    assert measured.scaling.apply(said[:1])[0, 0] == pytest.approx(0.6, abs=0.03)


def test_a_model_that_tells_noise_apart_is_not_believed_and_the_base_rate_is_given() -> None:
    rng = np.random.default_rng(2)
    rate = np.array([0.5, 0.3, 0.15, 0.05])
    label = rng.choice(4, 3000, p=rate)
    fancied = rng.dirichlet(20 * rate, 3000)
    measured = calibrate_next_touchpoint(_said(fancied, label, base=rate))
    assert measured.base_rate == tuple(rate)
    seen = journeys_of({f"c{i}": [("web.visit", 1)] for i in range(3000)})
    told = measured.chance(fancied, seen.lengths)
    np.testing.assert_array_equal(told, np.tile(rate, (3000, 1)))
    inside = measured.sets_of(told, seen, 0.9)
    assert inside[np.arange(3000), label].mean() == pytest.approx(0.9, abs=0.015)
    assert inside.sum(axis=1).mean() < 3  # ties broken by luck: without it every set would hold three
    np.testing.assert_array_equal(inside, measured.sets_of(told, seen, 0.9))


def test_a_model_that_knows_more_is_believed() -> None:
    rng = np.random.default_rng(3)
    honest = rng.dirichlet(np.ones(4), 500)
    label = np.array([rng.choice(4, p=row) for row in honest])
    assert calibrate_next_touchpoint(_said(honest, label)).base_rate is None


def test_sets_cover_after_each_touchpoint_and_stay_near_the_shortest() -> None:
    rng = np.random.default_rng(4)
    easy = softmax(rng.normal(0, 1.2, (8000, 6)))
    label = np.array([rng.choice(6, p=row) for row in easy])
    last = np.where(rng.random(8000) < 0.3, "chat.message", "web.visit")
    label = np.where((last == "chat.message") & (rng.random(8000) < 0.08), rng.integers(0, 6, 8000), label)
    said = replace(_said(easy[:4000], label[:4000]), last=last[:4000])
    measured = calibrate_next_touchpoint(said)
    new, truth, after = measured.scaling.apply(easy[4000:]), label[4000:], last[4000:]
    luck = rng.random(4000)
    inside = measured.set_for(0.9).predict_set(new, after, luck)
    for name in ("chat.message", "web.visit"):
        assert inside[after == name, truth[after == name]].mean() == pytest.approx(0.9, abs=0.025)
    scores = measured.scaling.apply(said.chance)
    plain = SplitConformal.conformalize(scores, said.label, luck=said.luck).predict_set(new, luck=luck)
    assert inside.sum() == pytest.approx(plain.sum(), rel=0.05)


def test_a_probability_gets_a_calibrator_and_a_band_around_it() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(2000)
    happened = (rng.random(2000) < chance).astype(np.int8)
    measured = calibrate_purchase(_held_out(chance, happened), rng)
    assert measured.n == 2000
    low, high = measured.band.interval(np.array([0.5]))
    assert low[0] < 0.5 < high[0]


def _later(base_rate_moved: float) -> tuple[MeasuredPurchase, MeasuredPurchase]:
    """Measured on one slice and brought up to date on the next, where all odds moved by so many logits."""
    rng = np.random.default_rng(1)
    chance = rng.beta(2, 8, 4000)
    earlier = _held_out(chance, (rng.random(4000) < chance).astype(np.int8))
    latest = _held_out(chance, (rng.random(4000) < shifted(chance, base_rate_moved)).astype(np.int8))
    measured = calibrate_purchase(earlier, rng)
    return measured, brought_up_to_date(measured, earlier, latest, rng)


def test_where_nothing_moved_both_slices_teach_and_the_promise_holds() -> None:
    measured, shipped = _later(0.0)
    assert (shipped.n, shipped.held) == (8000, True)
    assert shipped.drift == pytest.approx(measured.drift, abs=0.05)


def test_after_a_drift_the_latest_slice_teaches_and_the_interval_is_wide_enough_for_another() -> None:
    measured, shipped = _later(-0.6)
    assert (shipped.n, shipped.held) == (4000, True)
    assert shipped.drift == pytest.approx(0.6, abs=0.15)
    asked = np.array([0.2])
    (low, high), (low_before, high_before) = shipped.interval(asked), measured.interval(asked)
    assert high[0] - low[0] > high_before[0] - low_before[0]


def test_a_thin_history_is_never_surer_than_a_long_one_and_unknown_ones_are_wide() -> None:
    rng = np.random.default_rng(2)
    chance = rng.beta(2, 8, 4000)
    happened = (rng.random(4000) < chance).astype(np.int8)
    some_thin = calibrate_purchase(_held_out(chance, happened, np.where(np.arange(4000) < 600, 1, 10)), rng)
    none_thin = calibrate_purchase(_held_out(chance, happened), rng)
    asked = np.array([0.05, 0.2, 0.4])
    for measured, widest in ((some_thin, 0.6), (none_thin, 1.0)):
        thin, longer = (np.subtract(*measured.interval(asked, np.full(3, n))[::-1]) for n in (1, 10))
        assert (thin > longer).all()
        assert (thin <= widest).all()
    assert np.subtract(*none_thin.interval(asked, np.full(3, 1))[::-1]) == pytest.approx(np.ones(3))


@pytest.mark.parametrize("positives", [0, 19, 181, 200])
def test_one_outcome_alone_measures_nothing(positives: int) -> None:
    happened = (np.arange(200) < positives).astype(np.int8)
    with pytest.raises(TooLittleData, match=f"{positives} outcomes of 200; 20 that happened and 20 that did not"):
        calibrate_purchase(_held_out(np.full(200, 0.5), happened), np.random.default_rng(0))


def test_the_table_of_feelings_holds_only_what_no_flag_sends_to_a_person() -> None:
    said = ["positive words about the car and the people", "negative words about the car and the people"]
    frame = pd.DataFrame({
        "text": [*said * 30, *["positive"] * 10],
        "polarity": ["positive", "negative"] * 30 + ["negative"] * 10,
        "channel": ["survey", "email"] * 30 + [None] * 10,
    })  # fmt: skip
    measured = calibrate_feeling(cast(FeedbackPredictor, Reads()), frame)
    assert len(measured.table) == 60  # the ten of one word are too short to tell
    assert not measured.table.wrong.any()
    assert set(measured.table.group) == {"survey", "email"}


def test_no_feeling_is_told_as_certain_however_right_the_labelled_ones_were() -> None:
    frame = pd.DataFrame({"text": ["positive words about the car and the people"] * 96, "polarity": ["positive"] * 96})
    measured = calibrate_feeling(cast(FeedbackPredictor, Reads()), frame)
    assert measured.table.score.max() <= 0.97  # 97 of 100: all 96 right, and four answers to choose from
    assert measured.temperature.apply(np.array([[1.0, 0.0, 0.0, 0.0]])).max() == pytest.approx(0.97)


def test_stars_that_are_the_label_raise_no_flag_that_would_hide_mistakes() -> None:
    text = "positive words about the car and the people"
    frame = pd.DataFrame({"text": [text] * 40, "rating": [1.0] * 40})
    measured = calibrate_feeling(cast(FeedbackPredictor, Reads()), frame)
    assert (len(measured.table), int(measured.table.wrong.sum())) == (40, 40)


def test_too_few_texts_measure_nothing() -> None:
    frame = pd.DataFrame({"text": ["positive"] * 19, "polarity": ["positive"] * 19})
    with pytest.raises(TooLittleData, match="19 labelled texts"):
        calibrate_feeling(cast(FeedbackPredictor, Reads()), frame)


def test_labels_and_channels_are_read_for_every_row() -> None:
    frame = pd.DataFrame(
        {"text": "a", "polarity": ["neutral", None, None], "rating": [5, 4.4, 1], "channel": ["x", None, "y"]}
    )
    assert [POLARITIES[code] for code in polarity_codes(frame)] == ["neutral", "positive", "negative"]
    assert channels(frame).tolist() == ["x", "unknown", "y"]
    assert channels(frame.drop(columns="channel")).tolist() == ["unknown"] * 3
