"""Past words that are most like these: by the words they share, rare ones counting more. Pure; what is past is given.

A cosine of TF-IDF weights (Salton & Buckley 1988, "Term-weighting approaches in automatic text retrieval"), computed
anew each time: nothing of a customer's words is kept beside where they are stored, so nothing outlives their erasure.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

LEAST = 0.2
"""Similarity below which words have little more than everyday ones in common."""
MOST = 3
_WORD = re.compile(r"\w+")


def most_like(text: str, past: Sequence[str]) -> list[tuple[int, float]]:
    """Which of the past texts are most like this one, the most alike first: their numbers and similarities, LEAST to 1.

    >>> past = ["The brakes failed again", "Lovely staff", "My brakes failed on the road"]
    >>> [(number, round(alike, 2)) for number, alike in most_like("Brakes failed!", past)]
    [(0, 0.52), (2, 0.37)]
    """
    texts = [Counter(_words(one)) for one in past]
    asked = Counter(_words(text))
    seen = Counter(word for one in (asked, *texts) for word in one)
    weights = {word: math.log(1 + (1 + len(texts)) / times) for word, times in seen.items()}
    of_asked = _weighted(asked, weights)
    found = [(number, _cosine(of_asked, _weighted(one, weights))) for number, one in enumerate(texts) if asked & one]
    return sorted((one for one in found if one[1] >= LEAST), key=lambda one: (-one[1], one[0]))[:MOST]


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _weighted(words: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    return {word: (1 + math.log(times)) * weights[word] for word, times in words.items()}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    shared = sum(weight * other[word] for word, weight in one.items() if word in other)
    return shared / math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
