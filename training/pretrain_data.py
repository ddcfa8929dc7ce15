"""What the shipped reader of feelings learns from: four public sets and sentences of our own, as one set of labels.

It reads and labels; it fits nothing. Every text may carry several labels, and a weight of 0 for those it lacks. What is
held out is held out by document, by garment or by the words themselves; a text that teaches anywhere measures nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from models.features.text import content_hash
from models.journey.eventlog import Table
from models.predictors.feedback import EMOTIONS, INTENSITY_LIMIT, NUANCES, POLARITIES
from training.situations import all_sentences

LEVELS = np.arange(-INTENSITY_LIMIT, INTENSITY_LIMIT + 1)
"""The nine answers of one reader."""
WIDTHS = {
    "emotions": len(EMOTIONS),
    "readers": len(LEVELS),
    "polarity": len(POLARITIES),
    "nuance": len(NUANCES),
    "stars": 1,
}
STRONG = 0.5
"""Readers whose mean is at least so far from 0 find a text positive or negative."""

_PLEASANT = frozenset(
    [
        "admiration",
        "amusement",
        "approval",
        "caring",
        "desire",
        "excitement",
        "gratitude",
        "joy",
        "love",
        "optimism",
        "pride",
        "relief",
    ]
)
_UNPLEASANT = frozenset(
    [
        "anger",
        "annoyance",
        "disappointment",
        "disapproval",
        "disgust",
        "embarrassment",
        "fear",
        "grief",
        "nervousness",
        "remorse",
        "sadness",
    ]
)
_OF_STARS = {1: "negative", 2: "negative", 3: "mixed", 5: "positive"}  # four stars praise or grumble: not told apart
_FILLINGS = 6


@dataclass(frozen=True, slots=True)
class PretrainTexts:
    """n texts with labels.

    Attributes:
        texts: as they were written.
        source: (n,) the set that each comes from.
        held_out: (n,) bool, True where it only measures.
        labels: head -> (n, width) float32, widths as in `WIDTHS`; `readers` the shares of single ratings -4..4,
            `stars` 1..5, the others probabilities or 0 and 1.
        weights: head -> (n,) float32, 0 where a text has no such label.
    """

    texts: list[str]
    source: NDArray[np.str_]
    held_out: NDArray[np.bool_]
    labels: dict[str, NDArray[np.float32]]
    weights: dict[str, NDArray[np.float32]]

    def rows(self, index: NDArray[np.int64]) -> PretrainTexts:
        """Some of the texts."""
        return PretrainTexts(
            [self.texts[row] for row in index], self.source[index], self.held_out[index],
            {name: label[index] for name, label in self.labels.items()},
            {name: weight[index] for name, weight in self.weights.items()},
        )  # fmt: skip

    def fewer(self, most: int, rng: np.random.Generator) -> PretrainTexts:
        """At most so many of the texts to learn from, and all that are held out."""
        learned = np.flatnonzero(~self.held_out)
        kept = rng.permutation(learned)[:most]
        return self.rows(np.sort(np.concatenate([kept, np.flatnonzero(self.held_out)])))


@dataclass(frozen=True, slots=True)
class _Labelled:
    """One text on its way in: head -> (label, weight)."""

    text: str
    source: str
    held_out: bool
    labels: dict[str, tuple[Sequence[float], float]]


def read_pretrain_texts(folder: Path, rng: np.random.Generator) -> PretrainTexts:
    """Read the four sets of `folder` (goemotions/, rated_sentences/, clothing_reviews/, sarcasm/), and our own.

    Raises EventLogError where a file is missing or cannot be read.
    """
    found = [one for one in _all(folder, rng) if one.text.strip()]
    taught = {content_hash(one.text) for one in found if not one.held_out}
    found = [one for one in found if not (one.held_out and content_hash(one.text) in taught)]
    labels = {name: np.zeros((len(found), width), dtype=np.float32) for name, width in WIDTHS.items()}
    weights = {name: np.zeros(len(found), dtype=np.float32) for name in WIDTHS}
    for row, one in enumerate(found):
        for name, (label, weight) in one.labels.items():
            labels[name][row], weights[name][row] = label, weight
    return PretrainTexts(
        [one.text for one in found],
        np.array([one.source for one in found]),
        np.array([one.held_out for one in found]),
        labels,
        weights,
    )


def _all(folder: Path, rng: np.random.Generator) -> Iterator[_Labelled]:
    for part in ("train", "validation"):
        for row in Table(folder / "goemotions" / f"{part}.jsonl").rows():
            yield _Labelled(str(row["text"]), "goemotions", part == "validation", of_emotions(row["emotions"]))
    for name in ("movies", "news", "tweets"):
        for row in Table(folder / "rated_sentences" / f"{name}.jsonl").rows():
            text = str(row["text"])
            key = str(row["id"]).split("_")[0] if name == "news" else text
            yield _Labelled(text, name, held(f"{name} {key}", 0.1), of_ratings(np.array(row["ratings"], dtype=float)))
    yield from _clothing(folder / "clothing_reviews" / "train.csv", rng)
    for row in Table(folder / "sarcasm" / "train.csv").rows():
        yield from _sarcasm(row)
    for one in all_sentences(_FILLINGS, rng):
        yield _Labelled(one.text, "own", False, {
            "polarity": (_one_hot(one.polarity, POLARITIES), 1.0),
            "nuance": (_one_hot(one.nuance, NUANCES), 1.0),
        })  # fmt: skip


def _clothing(file: Path, rng: np.random.Generator) -> Iterator[_Labelled]:
    """Every review of up to three stars and as many of the others, with titles as texts of their own."""
    rows = [row for row in Table(file).rows() if str(row["Review Text"] or "").strip()]
    low = sum(int(row["Rating"]) <= 3 for row in rows)
    kept = rng.random(len(rows)) < low / (len(rows) - low)
    for row, keep in zip(rows, kept, strict=True):
        stars = int(row["Rating"])
        if stars > 3 and not keep:
            continue
        out = held(f"garment {row['Clothing ID']}", 0.1)
        for column, weight in (("Review Text", 0.5), ("Title", 0.3)):
            labels: dict[str, tuple[Sequence[float], float]] = {"stars": ([stars], weight)}
            if stars in _OF_STARS:
                labels["polarity"] = (_one_hot(_OF_STARS[stars], POLARITIES), weight)
            source = "clothing" if column == "Review Text" else "titles"
            yield _Labelled(str(row[column] or ""), source, out, labels)


def _sarcasm(row: dict[str, Any]) -> Iterator[_Labelled]:
    tweet, sarcastic = str(row["tweet"] or ""), str(row["sarcastic"]) == "1"
    out = held(f"sarcasm {tweet}", 0.2)
    nuance = "ironic" if sarcastic else "plain"
    yield _Labelled(tweet, "sarcasm", out, {"nuance": (_one_hot(nuance, NUANCES), 2.0 if sarcastic else 1.0)})
    if sarcastic:
        yield _Labelled(str(row["rephrase"] or ""), "twins", out, {"nuance": (_one_hot("plain", NUANCES), 1.0)})


def of_emotions(names: Sequence[str]) -> dict[str, tuple[Sequence[float], float]]:
    """Labels of a text whose emotions readers named: all 28, and the polarity where they leave no doubt about it.

    Pleasant ones alone are positive, unpleasant ones alone negative, both together mixed, `neutral` alone neutral;
    surprise, curiosity, confusion and realization say nothing of it (the sentiment groups of Demszky et al. 2020).

    >>> of_emotions(["joy", "surprise"])["polarity"], "polarity" in of_emotions(["surprise"])
    (([0.0, 0.0, 1.0, 0.0], 0.5), False)
    """
    given = set(names)
    labels: dict[str, tuple[Sequence[float], float]] = {"emotions": ([float(name in given) for name in EMOTIONS], 1.0)}
    pleasant, unpleasant = bool(given & _PLEASANT), bool(given & _UNPLEASANT)
    polarity = {(True, True): "mixed", (True, False): "positive", (False, True): "negative"}.get((pleasant, unpleasant))
    if polarity is None and given == {"neutral"}:
        polarity = "neutral"
    if polarity is not None:
        labels["polarity"] = (_one_hot(polarity, POLARITIES), 0.5)
    return labels


def of_ratings(ratings: NDArray[np.float64]) -> dict[str, tuple[Sequence[float], float]]:
    """Labels of a text that readers rated on -4..4: the shares of the nine answers, and the polarity of their mean.

    The polarity is the chance that as many other readers' mean would be negative (up to -0.5), positive (from 0.5) or
    neutral; of the neutral part, as much is mixed as both sides are well taken (a fifth each begins, two fifths all).

    >>> of_ratings(np.array([-3.0, -2.0, 2.0, 3.0] * 5))["polarity"][0][3] > 0.5
    True
    """
    shares = np.bincount(np.rint(ratings + INTENSITY_LIMIT).astype(int), minlength=len(LEVELS)) / len(ratings)
    error = max(0.15, float(ratings.std()) / np.sqrt(len(ratings)))
    negative, positive = ndtr((-STRONG - ratings.mean()) / error), ndtr((ratings.mean() - STRONG) / error)
    split = float(np.clip((min(shares[:4].sum(), shares[5:].sum()) - 0.2) / 0.2, 0, 1))
    middle = max(0.0, 1 - negative - positive)
    polarity = [float(negative), float(middle * (1 - split)), float(positive), float(middle * split)]
    return {"readers": (shares.tolist(), 1.0), "polarity": (polarity, 1.0)}


def held(key: str, share: float) -> bool:
    """Whether what is called `key` is held out: the same key always gives the same answer."""
    return int(content_hash(key)[:8], 16) / 2**32 < share


def _one_hot(name: str, allowed: Sequence[str]) -> list[float]:
    return [float(one == name) for one in allowed]
