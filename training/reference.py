"""Keep what inputs looked like when promises were measured: some embeddings and features beside a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from models.journey.journeys import Journeys
from models.predictors.feedback import FeedbackPredictor
from models.predictors.purchase import PurchasePredictor
from models.reference import MOST_CASES, Sample
from training.stacking import Stack


def keep_words(predictor: FeedbackPredictor, frame: pd.DataFrame, folder: Path, seed: int) -> None:
    """Embed some of these texts and write them beside the predictor; nothing where its graph tells no embeddings."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(frame), min(MOST_CASES, len(frame)), replace=False)
    vectors = predictor.embed([str(text) for text in frame["text"].to_numpy()[np.sort(rows)]])
    if vectors is not None:
        Sample.of(vectors, (), rng).save(folder)


def keep_features(predictor: PurchasePredictor, journeys: Journeys, stack: Stack, folder: Path, seed: int) -> None:
    """Write the features of some customers at the end of the log beside the predictor.

    That is how the service asks, of everybody and now; moments whose outcome is known all lie a horizon earlier.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(stack.knows(np.arange(len(journeys))))
    rows = np.sort(rng.choice(known, min(MOST_CASES, len(known)), replace=False))
    as_of = np.full(len(rows), journeys.occurred_at.max())
    seen = journeys.take(rows).seen_at(as_of)
    features = predictor.features(seen, as_of, stack.said(seen, as_of, rows))
    Sample.of(features, predictor.feature_names, rng).save(folder)
