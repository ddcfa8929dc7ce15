"""What is learned from and what is measured on, apart: slices of time, the latest to test on; and folds of customers.

Knows moments and sizes only; which examples lie in a slice is `training/examples.py`'s part. A text is never on both
sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.text import content_hash
from models.journey.event import DAY, SECOND, Micros
from models.journey.journeys import Ints, Journeys

Floats = NDArray[np.float64]

TRAIN, CALIBRATION, TEST = "train", "calibration", "test"
SHARES = (0.70, 0.15, 0.15)
"""Train, calibration, test: of texts; of touchpoints the last alone is kept apart."""
LANDMARK_SHARES = (0.6, 0.2, 0.2)


class LogTooShort(ValueError):
    """The log ends before three horizons fit into it, so no outcome could be learned, measured and tested apart."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Moments from `since` (included) to `until` (excluded), microseconds."""

    since: Micros
    until: Micros


@dataclass(frozen=True, slots=True)
class Slices:
    """Three slices in order of time."""

    train: Slice
    calibration: Slice
    test: Slice


def latest_touchpoints(journeys: Journeys) -> Slice:
    """The slice that holds the latest 15 % of all touchpoints, to measure on.

    >>> from models.journey.assembly import journeys_of
    >>> j = journeys_of({"c": [("web.visit", moment) for moment in range(100)]})
    >>> latest_touchpoints(j)
    Slice(since=85, until=100)
    """
    moments = np.sort(journeys.occurred_at)
    return Slice(int(moments[int(len(moments) * (1 - SHARES[2]))]), int(moments[-1]) + 1)


def for_landmarks(journeys: Journeys, horizon_seconds: int) -> Slices:
    """Slices of moments to ask from, each followed by a whole horizon, so that no outcome reaches into the next slice.

    With S the length of the log and H the horizon, R = S - 3 H is shared 60:20:20 and each share is followed by H.
    Raises LogTooShort where R is not above 0.
    """
    start, end = int(journeys.occurred_at.min()), int(journeys.occurred_at.max())
    horizon = horizon_seconds * SECOND
    free = end - start - 3 * horizon
    if free <= 0:
        days = (end - start) // DAY
        raise LogTooShort(f"the log spans {days} days; three horizons of {horizon // DAY} days do not fit into it")
    train_end = start + int(free * LANDMARK_SHARES[0])
    calibration_end = train_end + int(free * LANDMARK_SHARES[1])
    return Slices(
        Slice(start, train_end),
        Slice(train_end + horizon, calibration_end + horizon),
        Slice(calibration_end + 2 * horizon, end - horizon),
    )


def of_texts(frame: pd.DataFrame, seed: int) -> NDArray[np.str_]:
    """(n,) train, calibration or test for each row: by time where `said_at` tells it, else by a hash of the text.

    A text that comes again goes where it came first, so that nothing learned by heart is tested. Two texts are one
    where every model sees them as the same, but for upper case.
    """
    keys = pd.Series([content_hash(text.lower()) for text in frame["text"]], index=frame.index, dtype=object)
    if "said_at" in frame and frame["said_at"].notna().all() and frame["said_at"].nunique() > 1:
        first = frame["said_at"].groupby(keys).transform("min")
        rank = first.rank(method="max", pct=True).to_numpy(dtype=np.float64)
    else:
        rank = np.array([int(content_hash(f"{seed}:{key}")[:13], 16) / 16**13 for key in keys])
    bounds = [SHARES[0], SHARES[0] + SHARES[1]]
    names = np.array([TRAIN, CALIBRATION, TEST])
    chosen: NDArray[np.str_] = names[np.searchsorted(bounds, rank, side="left")]
    return chosen


def in_folds(groups: Ints, sizes: Floats, folds: int, rng: np.random.Generator) -> Ints:
    """(C,) a fold for each customer: groups stay whole, in random order, and folds hold about as much of `sizes` (C,).

    >>> in_folds(np.array([5, 5, 9, 7]), np.array([1.0, 1.0, 2.0, 4.0]), 2, np.random.default_rng(0)).tolist()
    [1, 1, 1, 0]
    """
    _, group = np.unique(groups, return_inverse=True)
    size = np.bincount(group, weights=sizes)
    drawn = rng.permutation(len(size))
    fold, held = np.zeros(len(size), dtype=np.int64), np.zeros(folds)
    for each in drawn[np.argsort(-size[drawn], kind="stable")]:
        fold[each] = int(np.argmin(held))
        held[fold[each]] += size[each]
    return fold[group]
