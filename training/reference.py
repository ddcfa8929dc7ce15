"""Keep what inputs looked like when promises were measured: some embeddings and features beside a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from models.predictors.feedback import FeedbackPredictor
from models.predictors.purchase import PurchasePredictor
from models.reference import MOST_CASES, Sample
from training.evaluate import AskedLandmarks
from training.stacking import Stack


def keep_words(predictor: FeedbackPredictor, frame: pd.DataFrame, folder: Path, seed: int) -> None:
    """Embed some of these texts and write them beside the predictor; nothing where its graph tells no embeddings."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(frame), min(MOST_CASES, len(frame)), replace=False)
    vectors = predictor.embed([str(text) for text in frame["text"].to_numpy()[np.sort(rows)]])
    if vectors is not None:
        Sample.of(vectors, (), rng).save(folder)


def keep_features(predictor: PurchasePredictor, asked: AskedLandmarks, stack: Stack, folder: Path, seed: int) -> None:
    """Write the features of one moment of each of some customers beside the predictor."""
    _, first = np.unique(asked.customer, return_index=True)
    said = stack.said(asked.seen, asked.as_of, asked.customer)
    features = predictor.features(asked.seen, asked.as_of, said)
    Sample.of(features[first], predictor.feature_names, np.random.default_rng(seed)).save(folder)
