"""Calibrate: learn, on what no model was fitted on, how far each answer can be trusted.

Measures with models/confidence; knows no policy. What it returns goes into the bundle as `measured.json`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.conclude import ReadFeedback, read_feedback
from models.confidence.band import binomial_band, drift
from models.confidence.calibration import Temperature, choose_calibrator
from models.confidence.conformal import SplitConformal
from models.confidence.risk import CalibrationTable
from models.measured import COVERAGES, MeasuredFeeling, MeasuredNextTouchpoint, MeasuredPurchase
from models.predictors.feedback import FeedbackPredictor, FeelingPrediction
from models.predictors.purchase import PurchasePredictor
from training.errors import TooLittleData
from training.evaluate import AskedLandmarks, bins_inside
from training.feedback_labels import polarity_codes as polarity_codes
from training.next_touchpoint import OutOfFold

HELD_FROM = 0.7
"""A promise counts as kept where this share of ten bins lies inside its interval: observed shares have noise too."""
LEAST_CASES = 20
"""Below this nothing can be calibrated and the question stays `not_trained`."""


def calibrate_next_touchpoint(said: OutOfFold) -> MeasuredNextTouchpoint:
    """One temperature, then sets for each coverage on offer (LAC: the smallest sets on average).

    From what was said of customers held out, recent cases counting most: cross-conformal prediction with fading weights
    (Vovk 2015, "Cross-conformal predictors"; Barber et al. 2023, "Conformal prediction beyond exchangeability").
    """
    if len(said.label) < LEAST_CASES:
        raise TooLittleData(f"{len(said.label)} touchpoints were held out to calibrate by; {LEAST_CASES} are needed")
    temperature = Temperature.fit(said.chance, said.label, said.weight)
    chance = temperature.apply(said.chance)
    sets = {
        share: SplitConformal.conformalize(chance, said.label, alpha=round(1 - share, 6), weight=said.weight)
        for share in COVERAGES
    }
    return MeasuredNextTouchpoint(temperature, sets, len(said.label))


def calibrate_purchase(
    predictor: PurchasePredictor, asked: AskedLandmarks, rng: np.random.Generator
) -> MeasuredPurchase:
    """The calibration that cross-validates best over customers (none, sigmoid, beta, isotonic), then the band."""
    positives = int(asked.happened.sum())
    if positives < LEAST_CASES or len(asked.happened) - positives < LEAST_CASES:
        raise TooLittleData(
            f"the calibration slice has {positives} outcomes of {len(asked.happened)}; "
            f"{LEAST_CASES} that happened and {LEAST_CASES} that did not are needed"
        )
    raw = predictor.predict(asked.seen, asked.as_of)
    chosen = choose_calibrator(raw, asked.happened, rng, groups=asked.customer.astype(str)).calibrator
    customers = len(np.unique(asked.customer))
    band = binomial_band(chosen.apply(raw), asked.happened)
    return MeasuredPurchase(chosen, band, drift(raw, asked.happened, customers))


def brought_up_to_date(
    predictor: PurchasePredictor,
    measured: MeasuredPurchase,
    earlier: AskedLandmarks,
    latest: AskedLandmarks,
    rng: np.random.Generator,
) -> MeasuredPurchase:
    """What is shipped after the test: calibrated on the latest slice too, and wide enough for what that slice showed.

    Where probabilities drifted from the calibration slice to the latest one, only the latest teaches and the interval
    is moved apart by that drift, since the next step in time may do as much; else both slices teach. `held` says
    whether the latest shares would have lain inside the intervals so widened. Figures are reported for `measured`,
    which never saw the latest slice.
    """
    said = measured.calibrator.apply(predictor.predict(latest.seen, latest.as_of))
    moved = max(measured.drift, drift(said, latest.happened, len(np.unique(latest.customer))))
    widened = replace(measured, drift=moved)
    held = bins_inside(said, *widened.interval(said), latest.happened) >= HELD_FROM
    slices = [latest] if moved > measured.drift else [earlier, latest]
    raw = np.concatenate([predictor.predict(one.seen, one.as_of) for one in slices])
    happened = np.concatenate([one.happened for one in slices])
    customer = np.concatenate([one.customer for one in slices])
    if min(int(happened.sum()), int((1 - happened).sum())) < LEAST_CASES:
        return replace(widened, held=held)
    chosen = choose_calibrator(raw, happened, rng, groups=customer.astype(str)).calibrator
    return MeasuredPurchase(chosen, binomial_band(chosen.apply(raw), happened), moved, held)


def calibrate_feeling(predictor: FeedbackPredictor, frame: pd.DataFrame) -> MeasuredFeeling:
    """One temperature, then the table of score and mistake of every text that no flag would send to a person.

    The stars are not shown to the flags here: where they are the label, a flag made of them would hide mistakes.
    """
    if len(frame) < LEAST_CASES:
        raise TooLittleData(f"{len(frame)} labelled texts fall into the calibration part; {LEAST_CASES} are needed")
    label = polarity_codes(frame)
    prediction = predictor.predict(list(frame["text"]))
    temperature = Temperature.fit(prediction.polarity, label)
    found = read(prediction, temperature, frame, predictor.language)
    unread = unflagged(found)
    wrong = found.polarity.argmax(axis=1) != label
    return MeasuredFeeling(
        temperature, CalibrationTable.of(found.score[unread], wrong[unread], channels(frame)[unread])
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
