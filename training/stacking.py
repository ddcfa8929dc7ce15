"""What other predictors say of the customers whom purchase likelihood learns from, always out of fold.

A predictor that learned from a customer says more of them than it could of a new one; so each customer is told about by
one that never saw them. Fits no predictor; the columns that come of it are `models/predictors/stacking.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.journey.event import DAY
from models.journey.journeys import Ints, Journeys
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.predictor import NextTouchpointPrediction
from models.predictors.stacking import FEELING, NEXT_TOUCHPOINT, Feelings, Following, Said

Floats = NDArray[np.float64]
FOLD_FILE, FEELINGS_FILE = "fold.safetensors", "feelings.safetensors"
NOT_SEEN = -1
"""The fold of a customer from whom no predictor learned: the one that is served may be asked."""


@dataclass(frozen=True)
class NextOutOfFold:
    """Next-touchpoint predictors, the i-th of which did not learn from customers of fold i (C,); `served` from none of
    those NOT_SEEN. Of customers of other folds nobody can be asked.
    """

    apart: tuple[NextTouchpointPredictor, ...]
    served: NextTouchpointPredictor
    fold: Ints

    @classmethod
    def load(cls, folder: Path, served: NextTouchpointPredictor) -> NextOutOfFold:
        """What `fit_next_touchpoint` has kept in this folder."""
        parts = sorted((one for one in folder.iterdir() if one.is_dir()), key=lambda one: int(one.name))
        fold = load_file(folder / FOLD_FILE)["fold"]
        return cls(tuple(NextTouchpointPredictor.load(one) for one in parts), served, fold)

    def of_sample(self, rows: Ints, customers: int) -> NextOutOfFold:
        """The same where only `rows` of so many customers were learned from, in this order."""
        fold = np.full(customers, NOT_SEEN, dtype=np.int64)
        fold[rows] = self.fold
        return replace(self, fold=fold)

    def knows(self, rows: Ints) -> NDArray[np.bool_]:
        return self.fold[rows] < len(self.apart)

    def said(self, seen: Journeys, as_of: Ints, rows: Ints) -> Following:
        """What each of these journeys (S,) is told by a predictor that did not learn from its customer."""
        vocabulary, fold = self.served.vocabulary, self.fold[rows]
        found = NextTouchpointPrediction(
            np.empty((len(rows), len(vocabulary.touchpoints))), np.empty(len(rows)), np.empty((len(rows), 3))
        )
        for number in np.unique(fold):
            asked = np.flatnonzero(fold == number)
            predictor = self.served if number == NOT_SEEN else self.apart[number]
            said = predictor.predict(seen.take(asked), as_of[asked])
            found.distribution[asked] = said.distribution
            found.none_within_horizon[asked] = said.none_within_horizon
            found.expected_in_seconds[asked] = said.expected_in_seconds
        return Following(found, vocabulary)


@dataclass(frozen=True)
class FeelingsOutOfFold:
    """Words in order of customer (row) and time, and the polarity (n, 4) that a model which never saw them read."""

    row: Ints
    said_at: Ints
    polarity: Floats

    @classmethod
    def load(cls, folder: Path) -> FeelingsOutOfFold:
        return cls(**load_file(folder / FEELINGS_FILE))

    def save(self, folder: Path) -> None:
        columns = {"row": self.row, "said_at": self.said_at, "polarity": self.polarity}
        save_file({name: np.ascontiguousarray(column) for name, column in columns.items()}, folder / FEELINGS_FILE)

    def said(self, as_of: Ints, rows: Ints) -> Feelings:
        """The latest words of each customer (S,) at each moment (S,)."""
        found = Feelings.none(len(rows))
        if not len(self.row):
            return found
        first, end = np.searchsorted(self.row, rows), np.searchsorted(self.row, rows, side="right")
        for place in np.flatnonzero(end > first):
            last = (
                first[place] + np.searchsorted(self.said_at[first[place] : end[place]], as_of[place], side="right") - 1
            )
            if last >= first[place]:
                found.polarity[place] = self.polarity[last]
                found.days_since[place] = (as_of[place] - self.said_at[last]) / DAY
        return found


@dataclass(frozen=True)
class Stack:
    """Whom purchase likelihood may ask while it learns; `sources` are those asked."""

    following: NextOutOfFold | None = None
    feelings: FeelingsOutOfFold | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        asked = ((NEXT_TOUCHPOINT, self.following), (FEELING, self.feelings))
        return tuple(name for name, whom in asked if whom is not None)

    def knows(self, rows: Ints) -> NDArray[np.bool_]:
        """(S,) those customers about whom everybody asked can speak."""
        return np.ones(len(rows), dtype=np.bool_) if self.following is None else self.following.knows(rows)

    def said(self, seen: Journeys, as_of: Ints, rows: Ints) -> Said:
        """What is said of these journeys (S,) of these customers (S,)."""
        return Said(
            self.following.said(seen, as_of, rows) if self.following else None,
            self.feelings.said(as_of, rows) if self.feelings else None,
        )


NOBODY = Stack()
