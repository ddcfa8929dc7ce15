"""How customers' words felt, each read by a model that never saw them: what purchase likelihood may be stacked on.

Two models are fitted, each on the labelled texts of one half; a text that comes again lies in one half with its like.
Calibrates on the same texts out of fold. Serves nothing and measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from models.confidence.calibration import Temperature
from models.features.text import content_hash
from models.predictors.feedback import POLARITIES, FeedbackPredictor
from training.data import labelled
from training.errors import TooLittleData
from training.feedback import FeedbackConfig, fit_feedback
from training.feedback_labels import polarity_codes
from training.loop import Progress
from training.stacking import FeelingsOutOfFold

HALVES = 2


def feelings_out_of_fold(
    frame: pd.DataFrame, customers: Sequence[str], config: FeedbackConfig, seed: int, folder: Path, progress: Progress
) -> FeelingsOutOfFold:
    """Read every text of a known customer and moment. Files of the fits go into `folder`.

    Raises TooLittleData where no text names its customer and moment, and what `fit_feedback` raises.
    """
    if not {"customer_id", "said_at"} <= set(frame.columns):
        raise TooLittleData("no text says whose it is and when it was said; feelings cannot be stacked on")
    row_of = {customer: row for row, customer in enumerate(customers)}
    row = frame["customer_id"].astype(str).map(row_of)
    known = frame[row.notna() & frame["said_at"].notna()].assign(row=row).reset_index(drop=True)
    if known.empty:
        raise TooLittleData("no text is of a customer in the log; feelings cannot be stacked on")
    half = np.array([int(content_hash(text.lower())[:8], 16) % HALVES for text in known["text"]])
    polarity = np.empty((len(known), len(POLARITIES)))
    for number in range(HALVES):
        progress(f"feelings to stack on: half {number + 1} of {HALVES}")
        out = folder / str(number)
        fit_feedback(labelled(known[half != number]), replace(config, seed=seed), out)
        asked = known[half == number]
        polarity[half == number] = FeedbackPredictor.load(out).predict(list(asked["text"])).polarity
    told = labelled(known.assign(place=np.arange(len(known))))
    temperature = Temperature.fit(polarity[told["place"].to_numpy()], polarity_codes(told))
    order = np.lexsort((known["said_at"].to_numpy(dtype=np.int64), known["row"].to_numpy(dtype=np.int64)))
    return FeelingsOutOfFold(
        known["row"].to_numpy(dtype=np.int64)[order],
        known["said_at"].to_numpy(dtype=np.int64)[order],
        temperature.apply(polarity)[order],
    )
