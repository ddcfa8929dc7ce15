"""Calibrate: learn, on what no model was fitted on, how far each answer can be trusted.

Measures with models/confidence; knows no policy. What it returns goes into the bundle as `measured.json`.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.conclude import ReadFeedback, read_feedback
from models.confidence.band import binomial_band, drift
from models.confidence.calibration import Temperature, choose_calibrator
from models.confidence.conformal import SplitConformal
from models.confidence.metrics import SMALLEST_PROBABILITY
from models.confidence.risk import CalibrationTable
from models.confidence.scaling import choose_scaling, clustered_interval
from models.measured import (
    COVERAGES,
    THIN_TOUCHPOINTS,
    Floats,
    MeasuredFeeling,
    MeasuredNextTouchpoint,
    MeasuredPurchase,
)
from models.predictors.feedback import FeedbackPredictor, FeelingPrediction
from models.predictors.purchase import PurchasePredictor
from training.errors import TooLittleData
from training.evaluate import AskedLandmarks, bins_inside
from training.feedback_labels import polarity_codes as polarity_codes
from training.mixing import OutOfFold
from training.purchase import HeldOut
from training.stacking import Stack

HELD_FROM = 0.7
"""A promise counts as kept where this share of ten bins lies inside its interval: observed shares have noise too."""
LONGER = 1.03
"""Sets that cover each group as promised may be so much longer than those that cover all as promised."""
LEAST_CASES = 20
"""Below this nothing can be calibrated and the question stays `not_trained`."""


def calibrate_next_touchpoint(said: OutOfFold) -> MeasuredNextTouchpoint:
    """The scaling, then sets for each coverage on offer by the last touchpoint (LAC: the smallest sets on average).

    From what was said of customers held out, recent cases counting most: cross-conformal prediction with fading weights
    (Vovk 2015, "Cross-conformal predictors"; Barber et al. 2023, "Conformal prediction beyond exchangeability"). Where
    these customers do not show that the model beats the base rate, sets are those of the base rate.
    """
    if len(said.label) < LEAST_CASES:
        raise TooLittleData(f"{len(said.label)} touchpoints were held out to calibrate by; {LEAST_CASES} are needed")
    scaling = choose_scaling(said.chance, said.label, said.weight, said.customer)
    chance = scaling.apply(said.chance)
    ours = -np.log(np.maximum(chance[np.arange(len(chance)), said.label], SMALLEST_PROBABILITY))
    gain = clustered_interval(ours + np.log(said.base_chance), said.weight, said.customer)
    base = None if gain.high < 0 else tuple(said.base_rate.tolist())
    if base is not None:
        chance = np.tile(said.base_rate, (len(chance), 1))
    sets = {share: _sets(chance, said, round(1 - share, 6)) for share in COVERAGES}
    return MeasuredNextTouchpoint(scaling, sets, len(said.label), base)


def _sets(chance: Floats, said: OutOfFold, alpha: float) -> SplitConformal:
    """Thresholds by the last touchpoint; one for all where those would cost more than `LONGER` in length."""
    alike, apart = (
        SplitConformal.conformalize(
            chance, said.label, group, alpha, luck=said.luck, weight=said.weight, customer=said.customer
        )
        for group in (None, said.last)
    )
    longest = LONGER * np.average(alike.predict_set(chance, luck=said.luck).sum(axis=1), weights=said.weight)
    length = np.average(apart.predict_set(chance, said.last, said.luck).sum(axis=1), weights=said.weight)
    return apart if length <= longest else alike


def ask_purchase(predictor: PurchasePredictor, asked: AskedLandmarks, stack: Stack) -> HeldOut:
    """What a predictor says of these moments, told by `stack` what others say of customers they did not learn from."""
    raw = predictor.predict(asked.seen, asked.as_of, stack.said(asked.seen, asked.as_of, asked.customer))
    return HeldOut(raw, asked.happened, asked.customer, asked.seen.lengths)


def calibrate_purchase(said: HeldOut, rng: np.random.Generator) -> MeasuredPurchase:
    """The calibration that cross-validates best over customers (none, sigmoid, beta, isotonic), then the band."""
    positives = int(said.happened.sum())
    if positives < LEAST_CASES or len(said.happened) - positives < LEAST_CASES:
        raise TooLittleData(
            f"the calibration slice has {positives} outcomes of {len(said.happened)}; "
            f"{LEAST_CASES} that happened and {LEAST_CASES} that did not are needed"
        )
    moved = drift(said.raw, said.happened, len(np.unique(said.customer)))
    return replace(_calibrated(said, rng), drift=moved)


def brought_up_to_date(
    measured: MeasuredPurchase, earlier: HeldOut, latest: HeldOut, rng: np.random.Generator
) -> MeasuredPurchase:
    """What is shipped after the test: calibrated on the latest slice too, and wide enough for what that slice showed.

    Where probabilities drifted from the calibration slice to the latest one, only the latest teaches and the interval
    is moved apart by that drift, since the next step in time may do as much; else both slices teach. `held` says
    whether the latest shares would have lain inside the intervals so widened. Figures are reported for `measured`,
    which never saw the latest slice.
    """
    chance = measured.calibrator.apply(latest.raw)
    moved = max(measured.drift, drift(chance, latest.happened, len(np.unique(latest.customer))))
    widened = replace(measured, drift=moved)
    held = bins_inside(chance, *widened.interval(chance, latest.lengths), latest.happened) >= HELD_FROM
    slices = [latest] if moved > measured.drift else [earlier, latest]
    both = HeldOut(*(np.concatenate([getattr(one, name.name) for one in slices]) for name in fields(HeldOut)))
    if min(int(both.happened.sum()), int((1 - both.happened).sum())) < LEAST_CASES:
        return replace(widened, held=held)
    return replace(_calibrated(both, rng), drift=moved, held=held)


def _calibrated(said: HeldOut, rng: np.random.Generator) -> MeasuredPurchase:
    """The calibration that cases support, a customer's counting for what they are worth, and the bands."""
    chosen = choose_calibrator(said.raw, said.happened, rng, groups=said.customer.astype(str)).calibrator
    chance, few = chosen.apply(said.raw), said.lengths <= THIN_TOUCHPOINTS
    return MeasuredPurchase(
        chosen,
        binomial_band(chance, said.happened, groups=said.customer),
        thin=binomial_band(chance[few], said.happened[few], groups=said.customer[few]),
    )


def calibrate_feeling(predictor: FeedbackPredictor, frame: pd.DataFrame) -> MeasuredFeeling:
    """One temperature, no surer than its labels allow; then the table of score and mistake of every text that no flag
    would send to a person.

    Texts that a flag or a person chose to have read prove nothing about the others and are left out. The stars are not
    shown to the flags here: where they are the label, a flag made of them would hide mistakes.
    """
    if len(frame) < LEAST_CASES:
        raise TooLittleData(f"{len(frame)} labelled texts fall into the calibration part; {LEAST_CASES} are needed")
    label = polarity_codes(frame)
    prediction = predictor.predict(list(frame["text"]))
    temperature = replace(Temperature.fit(prediction.polarity, label), labels=len(frame))
    found = read(prediction, temperature, frame, predictor.language)
    unread = unflagged(found)
    wrong = found.polarity.argmax(axis=1) != label
    at_random = None if "chosen" not in frame else ~frame["chosen"].to_numpy(dtype=np.bool_)[unread]
    return MeasuredFeeling(
        temperature, CalibrationTable.of(found.score[unread], wrong[unread], channels(frame)[unread], at_random)
    )


def read(prediction: FeelingPrediction, temperature: Temperature, frame: pd.DataFrame, language: str) -> ReadFeedback:
    """Read texts as serving would, without their stars."""
    calibrated = temperature.apply(prediction.polarity)
    return read_feedback(prediction, calibrated, list(frame["text"]), [None] * len(frame), language)


def unflagged(found: ReadFeedback) -> NDArray[np.bool_]:
    """(n,) texts that no flag keeps from being released."""
    return np.array([not codes for codes in found.codes], dtype=np.bool_)


def channels(frame: pd.DataFrame) -> NDArray[np.str_]:
    """(n,) the channel of each text; "unknown" where the file does not say."""
    given = frame["channel"] if "channel" in frame else pd.Series("unknown", index=frame.index)
    return given.fillna("unknown").astype(str).to_numpy(dtype=np.str_)
