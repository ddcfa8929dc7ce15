"""Measure what the shipped reader of feelings was never taught: the held-out parts of its own sets. Nothing is fitted.

The predictor answers as it serves (int8). Emotions are answered twice over, each half of the texts with what the other
half measured of them, so that no threshold meets the text that set it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.confidence import metrics
from models.predictors.emotions import EMOTIONS, MeasuredEmotions
from models.predictors.feedback import NUANCES, FeedbackPredictor, FeelingPrediction
from training.emotion_measure import measure_emotions
from training.measure import figures
from training.measure.feedback import correlation, folded
from training.measure.figures import Figure, Floats
from training.measure.purchase import ranking
from training.pretrain_data import LEVELS, STRONG, PretrainTexts

RATED = ("movies", "news", "tweets")
SPLIT = 0.25
"""On so large a part of the texts, those with the widest spread, readers are taken to split."""


def measure_pretrained(texts: PretrainTexts, predictor: FeedbackPredictor, seed: int) -> dict[str, Any]:
    """Figures of each set's held-out part, with 95 % intervals; keys are the sets."""
    held = texts.rows(np.flatnonzero(texts.held_out))
    said, rng = predictor.predict(held.texts), np.random.default_rng(seed)
    told: dict[str, Any] = {"emotions": _emotions(said, held, rng)}
    for name in (*RATED, "rated"):
        told[name] = _rated(said, held, np.isin(held.source, RATED if name == "rated" else [name]), rng)
    told["clothing"] = _stars(said, held, held.source == "clothing", rng)
    told["sarcasm"] = _sarcasm(said, held, rng)
    return told


def raw_emotions(said: FeelingPrediction, held: PretrainTexts) -> tuple[Floats, NDArray[np.bool_]]:
    """Probabilities and labels of the texts with emotions, each (n, 28)."""
    rows = held.weights["emotions"] > 0
    if said.emotions is None:
        raise figures.MeasureError("the predictor tells no emotions")
    return said.emotions[rows], held.labels["emotions"][rows] > 0


def _emotions(said: FeelingPrediction, held: PretrainTexts, rng: np.random.Generator) -> dict[str, Any]:
    chance, felt = raw_emotions(said, held)
    half = rng.permutation(len(chance)) % 2 == 0
    answered, possible, calibrated = np.zeros_like(felt), np.zeros_like(felt), np.zeros_like(chance)
    for part in (half, ~half):
        measured = MeasuredEmotions.from_dict(measure_emotions(chance[part], felt[part]))
        calibrated[~part] = measured.calibrate(chance[~part])
        answered[~part], possible[~part] = measured.felt(calibrated[~part]), measured.possible(calibrated[~part])
    each = np.arange(len(felt))
    cells = np.repeat(each, len(EMOTIONS))
    return {
        "macro_f1": figures.redrawn(lambda i: float(np.mean(f1(answered[i], felt[i]))), each, rng),
        "f1": {name: round(float(one), 3) for name, one in zip(EMOTIONS, f1(answered, felt), strict=True)},
        "set_holds": figures.mean(possible[felt], np.flatnonzero(felt.ravel()) // len(EMOTIONS), rng),
        "set_size": figures.mean(possible.sum(axis=1), each, rng),
        **figures.ece(calibrated.ravel(), felt.ravel(), cells, rng),
    }


def f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Floats:
    """(K,) F1 of each column."""
    size = said.sum(axis=0) + truth.sum(axis=0)
    return np.asarray(2.0 * (said & truth).sum(axis=0) / np.maximum(size, 1), dtype=np.float64)


def _rated(
    said: FeelingPrediction, held: PretrainTexts, rows: NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, Figure]:
    """r with the readers' mean, rho with their spread, macro-F1 of negative, neutral and positive; how well the spread
    finds the texts on which readers split, and how much better than 1 - the highest probability of polarity does."""
    if said.intensity_mean is None or said.intensity_spread is None:
        raise figures.MeasureError("the predictor tells no intensity")
    shares = held.labels["readers"][rows]
    mean = shares @ LEVELS
    spread = np.sqrt((shares * (LEVELS - mean[:, None]) ** 2).sum(axis=1))
    ours, wide, each = said.intensity_mean[rows], said.intensity_spread[rows], np.arange(int(rows.sum()))
    label = np.where(mean <= -STRONG, 0, np.where(mean >= STRONG, 2, 1)).astype(np.int64)
    answer = folded(said.polarity[rows]).argmax(axis=1)

    split = spread >= np.quantile(spread, 1 - SPLIT)
    doubt = 1.0 - said.polarity[rows].max(axis=1)

    def rho(i: NDArray[np.int64]) -> float:
        return correlation(rankdata(wide[i]), rankdata(spread[i]))

    def over_doubt(i: NDArray[np.int64]) -> float:
        return metrics.auc(wide[i], split[i]) - metrics.auc(doubt[i], split[i])

    return {
        "pearson": figures.redrawn(lambda i: correlation(ours[i], mean[i]), each, rng),
        "spread_spearman": figures.redrawn(rho, each, rng),
        "macro_f1": figures.redrawn(lambda i: metrics.macro_f1(answer[i], label[i]), each, rng),
        "split_auc": figures.redrawn(lambda i: metrics.auc(wide[i], split[i]), each, rng),
        "split_auc_over_doubt": figures.redrawn(over_doubt, each, rng),
    }


def _stars(
    said: FeelingPrediction, held: PretrainTexts, rows: NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, Figure]:
    if said.intensity_mean is None:
        raise figures.MeasureError("the predictor tells no intensity")
    ours, stars = rankdata(said.intensity_mean[rows]), rankdata(held.labels["stars"][rows][:, 0])
    each = np.arange(len(stars))
    return {"spearman": figures.redrawn(lambda i: correlation(ours[i], stars[i]), each, rng)}


def _sarcasm(said: FeelingPrediction, held: PretrainTexts, rng: np.random.Generator) -> dict[str, Any]:
    """Against other people's sincere texts, and each against its own sincere twin."""
    if said.nuance is None:
        raise figures.MeasureError("the predictor tells no nuance")
    ironic = NUANCES.index("ironic")
    told = {}
    for name, sources in (("others", ["sarcasm"]), ("twins", ["sarcasm", "twins"])):
        rows = np.isin(held.source, sources)
        truth = held.labels["nuance"][rows][:, ironic] > 0
        score = said.nuance[rows][:, ironic]
        if name == "twins":
            keep = truth | (held.source[rows] == "twins")
            truth, score = truth[keep], score[keep]
        told[name] = ranking(score, truth, np.arange(len(truth)), rng)
    return told
