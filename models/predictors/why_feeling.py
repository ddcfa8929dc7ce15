"""The words behind a feeling: how much each moved the score, as offsets into the text, adding up to the score exactly.

Asks the model again with words left out, so it explains whatever answers, as it is served. Fits nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Sequence[str]], Floats]
"""(n,) the probability of the answer that is explained, for n texts."""

MOST_PARTS = 24
"""Longer texts are explained by neighbouring words together, so that the time stays bounded."""
ORDERS = 6
"""Orders in which the words come in; each is also gone through backwards."""
_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Part:
    """text[start:end] and how much it added to the score; below zero: it took away from it."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class WhyFeeling:
    """`base` is the score of a text without words; `base` and all weights add up to `score`."""

    score: float
    base: float
    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, and still adding up: the last digit's difference is given to the base."""
        words = [{"start": one.start, "end": one.end, "weight": round(one.weight, 4)} for one in self.parts]
        score = round(self.score, 4)
        return {"score": score, "base": round(score - sum(one["weight"] for one in words), 4), "words": words}


def why_feeling(text: str, score: Score, rng: np.random.Generator, orders: int = ORDERS) -> WhyFeeling:
    """Shapley values of the words, estimated over random orders and their reverses.

    Each order adds word after word and notes what the score gains, so every order's gains add up exactly, and their
    mean does (Castro, Gómez & Tejada 2009, "Polynomial calculation of the Shapley value based on sampling"; reverses:
    Mitchell et al. 2022, "Sampling permutations for Shapley value estimation"). One batch of at most
    2 x `orders` x MOST_PARTS short texts is scored.

    >>> loud = lambda texts: np.array([0.5 + 0.1 * text.count("good") - 0.2 * text.count("bad") for text in texts])
    >>> found = why_feeling("good, not bad", loud, np.random.default_rng(0))
    >>> [("good, not bad"[one.start : one.end], round(one.weight, 3)) for one in found.parts]
    [('good', 0.1), (',', 0.0), ('not', 0.0), ('bad', -0.2)]
    """
    spans = parts_of(text)
    if not spans:
        alone = float(score([text])[0])
        return WhyFeeling(alone, alone, ())
    walks = [order for _ in range(orders) for order in _both_ways(rng.permutation(len(spans)))]
    masks = np.array([_coming(order) for order in walks], dtype=np.bool_).reshape(-1, len(spans))
    asked = np.concatenate([np.zeros((1, len(spans)), np.bool_), np.ones((1, len(spans)), np.bool_), masks])
    different, which = np.unique(asked, axis=0, return_inverse=True)
    said = np.asarray(score([_with(text, spans, kept) for kept in different]), dtype=np.float64)[which.ravel()]
    base, whole, after = said[0], said[1], said[2:].reshape(len(walks), len(spans))
    weights = np.zeros(len(spans))
    for order, gained in zip(walks, np.diff(after, axis=1, prepend=base), strict=True):
        weights[order] += gained / len(walks)
    return WhyFeeling(
        float(whole),
        float(base),
        tuple(Part(start, end, float(weight)) for (start, end), weight in zip(spans, weights, strict=True)),
    )


def parts_of(text: str) -> list[tuple[int, int]]:
    """The words of a text as (start, end), or runs of neighbouring words where there are very many.

    >>> parts_of("Don't wait!"), len(parts_of("word " * 1000)) <= MOST_PARTS
    ([(0, 5), (6, 10), (10, 11)], True)
    """
    words = [found.span() for found in _WORD.finditer(text)]
    runs = np.array_split(np.arange(len(words)), min(len(words), MOST_PARTS)) if words else []
    return [(words[run[0]][0], words[run[-1]][1]) for run in runs]


def _both_ways(order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return order, order[::-1]


def _coming(order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(P, P) which parts are there after each step of an order."""
    there = np.zeros((len(order), len(order)), dtype=np.bool_)
    for step, part in enumerate(order):
        there[step:, part] = True
    return there


def _with(text: str, spans: Sequence[tuple[int, int]], kept: NDArray[np.bool_]) -> str:
    """The text with these parts only; whole again where all are kept."""
    if kept.all():
        return text
    return " ".join(text[start:end] for (start, end), is_kept in zip(spans, kept, strict=True) if is_kept)
