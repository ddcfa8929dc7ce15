"""Labels of feedback as numbers: what people said about texts, or what their stars weakly say, with a weight each.

It reads a frame and checks it; it fits nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.text import content_hash
from models.predictors.feedback import EMOTIONS, INTENSITY_LIMIT, NUANCES, POLARITIES
from training.errors import TooLittleData

_OF_STARS = {1: "negative", 2: "negative", 3: "mixed", 4: "positive", 5: "positive"}


class NotEnoughLabels(TooLittleData):
    """Too few labelled texts, or labels that are all the same: there is nothing to learn feelings from."""


@dataclass(frozen=True, slots=True)
class FeedbackLabels:
    """n texts that carry a polarity, and what is known of each.

    Attributes:
        texts: as they were written.
        heads: what can be trained, polarity first.
        labels: head -> (n, width) float32: polarity and nuance as probabilities, emotions 0 or 1, intensity (n, 1).
        weights: head -> (n,) float32, 0 where a text has no such label.
        weak: True where every polarity is a reading of stars.
    """

    texts: list[str]
    heads: tuple[str, ...]
    labels: dict[str, NDArray[np.float32]]
    weights: dict[str, NDArray[np.float32]]
    weak: bool

    def sample(self, most: int, rng: np.random.Generator) -> "FeedbackLabels":
        """At most so many of the texts, drawn without replacement and kept in order."""
        if len(self.texts) <= most:
            return self
        rows = np.sort(rng.choice(len(self.texts), most, replace=False))
        labels = {name: label[rows] for name, label in self.labels.items()}
        weights = {name: weight[rows] for name, weight in self.weights.items()}
        return FeedbackLabels([self.texts[row] for row in rows], self.heads, labels, weights, self.weak)

    def split(self, share: float, least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to fit on and rows held back. Equal texts stay on one side; fewer than `least` are not held back."""
        place = np.array([int(content_hash(text)[:8], 16) / 2**32 for text in self.texts])
        held = place < share
        if held.sum() < least or (~held).sum() < least:
            held[:] = False
        return np.flatnonzero(~held), np.flatnonzero(held)


def polarity_codes(frame: pd.DataFrame) -> NDArray[np.int64]:
    """(n,) index into `POLARITIES` of each row: its `polarity`, else what its `rating` weakly says, else -1.

    Stars are weak labels: 1 and 2 negative, 3 mixed, 4 and 5 positive.

    >>> polarity_codes(pd.DataFrame({"polarity": ["neutral", None, None], "rating": [5, 3, None]})).tolist()
    [1, 3, -1]
    """
    codes = _codes(frame, "polarity", POLARITIES)
    rating = _numbers(frame, "rating", 1, 5)
    starred = (codes < 0) & ~np.isnan(rating)
    stars = np.rint(rating[starred]).astype(int)
    codes[starred] = [POLARITIES.index(_OF_STARS[star]) for star in stars]
    return codes


def read_labels(frame: pd.DataFrame, least_texts: int) -> FeedbackLabels:
    """Read the labels of a frame, a text a row.

    Columns: `text` (rows without one are passed over); `polarity` and `nuance` (a name); `emotions` (a list of names,
    empty for none of them, missing for not labelled); `intensity` (-4..4); `rating` (1..5 stars, a weak label of
    polarity and intensity for rows that have none: (rating - 3) * 2); `weight` (0 or more, 1 where missing).

    Raises:
        NotEnoughLabels: fewer than `least_texts` texts with a polarity or a rating, or all of one polarity.
        ValueError: no text column, or a label that is not allowed.
    """
    if "text" not in frame:
        raise ValueError(f"column 'text' is missing; found {list(frame.columns)}: map the column that holds the texts.")
    with_text = np.array([isinstance(text, str) and bool(text.strip()) for text in frame["text"]], dtype=np.bool_)
    frame = frame[with_text]
    codes = polarity_codes(frame)
    frame, codes = frame[codes >= 0], codes[codes >= 0]
    if len(codes) < least_texts:
        raise NotEnoughLabels(
            f"{len(codes)} texts carry a polarity or a rating, at least {least_texts} are needed to learn feelings."
        )
    if len(np.unique(codes)) < 2:
        only = POLARITIES[int(codes[0])]
        raise NotEnoughLabels(f"every text is {only!r}: texts of at least two polarities are needed.")
    labels = {
        "polarity": _one_hot(codes, len(POLARITIES)),
        "emotions": _many_hot(frame, EMOTIONS),
        "nuance": _one_hot(_codes(frame, "nuance", NUANCES), len(NUANCES)),
        "intensity": _intensity(frame)[:, None],
    }
    weight = _numbers(frame, "weight", 0, np.inf)
    weight = np.where(np.isnan(weight), 1.0, weight)
    weights = {name: (weight * ~np.isnan(label[:, 0])).astype(np.float32) for name, label in labels.items()}
    heads = tuple(name for name in labels if _can_be_learned(labels[name], weights[name], least_texts))
    if "polarity" not in heads:
        raise NotEnoughLabels("the weights leave too few texts, or only one polarity: weigh more texts above 0.")
    return FeedbackLabels(
        texts=frame["text"].tolist(),
        heads=heads,
        labels={name: np.nan_to_num(labels[name]).astype(np.float32) for name in heads},
        weights={name: weights[name] for name in heads},
        weak=bool((_codes(frame, "polarity", POLARITIES) < 0).all()),
    )


def _can_be_learned(label: NDArray[np.float64], weight: NDArray[np.float32], least_texts: int) -> bool:
    known = label[weight > 0]
    return len(known) >= least_texts and bool((known != known[0]).any())


def _intensity(frame: pd.DataFrame) -> NDArray[np.float64]:
    given = _numbers(frame, "intensity", -INTENSITY_LIMIT, INTENSITY_LIMIT)
    return np.where(np.isnan(given), (_numbers(frame, "rating", 1, 5) - 3) * 2, given)


def _numbers(frame: pd.DataFrame, name: str, least: float, most: float) -> NDArray[np.float64]:
    """A column as numbers, NaN where it has none or is missing as a whole."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    unread = frame[name][np.isnan(numbers) & frame[name].notna().to_numpy()]
    outside = frame[name][(numbers < least) | (numbers > most)]
    for wrong in (unread, outside):
        if len(wrong):
            raise ValueError(f"{name}: {wrong.iloc[0]!r} is not allowed, a number from {least:g} to {most:g} is.")
    return numbers


def _codes(frame: pd.DataFrame, name: str, allowed: Sequence[str]) -> NDArray[np.int64]:
    """A column of names as indices into `allowed`, -1 where there is none."""
    if name not in frame:
        return np.full(len(frame), -1, dtype=np.int64)
    values = [value if isinstance(value, str) and value else None for value in frame[name]]
    _refuse_unknown({value for value in values if value is not None}, name, allowed)
    index = {value: code for code, value in enumerate(allowed)}
    return np.array([-1 if value is None else index[value] for value in values], dtype=np.int64)


def _one_hot(codes: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """(n, width) of 0 and 1, a row of NaN where the code is -1."""
    rows = np.eye(width)[codes]
    rows[codes < 0] = np.nan
    return rows


def _many_hot(frame: pd.DataFrame, allowed: Sequence[str]) -> NDArray[np.float64]:
    rows = np.full((len(frame), len(allowed)), np.nan)
    given: list[Any] = frame["emotions"].tolist() if "emotions" in frame else []
    for row, names in enumerate(given):
        if isinstance(names, list | tuple | np.ndarray):
            _refuse_unknown(set(names), "emotions", allowed)
            rows[row] = [name in names for name in allowed]
    return rows


def _refuse_unknown(values: set[str], name: str, allowed: Sequence[str]) -> None:
    unknown = sorted(values - set(allowed))
    if unknown:
        raise ValueError(f"{name}: {unknown[0]!r} is not allowed; allowed are {', '.join(allowed)}.")
