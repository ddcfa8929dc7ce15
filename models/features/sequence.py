"""A journey as a row of tokens and gaps: what the next-touchpoint net and the Markov baseline see.

Takes journeys as seen from a moment (`Journeys.seen_at`), so nothing later can be in it. The gap to the event being
predicted is never an input: a row holds the gaps *before* each of its touchpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features.vocabulary import PADDING, Vocabulary
from models.journey.assembly import gaps
from models.journey.event import SECOND
from models.journey.journeys import Ints, Journeys


@dataclass(frozen=True)
class Sequences:
    """The last `length` touchpoints of each customer, left-aligned, padded on the right.

    tokens          (C, L) int64    codes of the vocabulary, 0 where padded
    log_gaps        (C, L) float32  log1p of the seconds since the previous touchpoint; 0 for the journey's first
    lengths         (C,)   int64    touchpoints in each row, 0 for an empty journey
    silence_seconds (C,)   float64  from the last touchpoint to as_of; 0 for an empty journey
    """

    tokens: NDArray[np.int64]
    log_gaps: NDArray[np.float32]
    lengths: Ints
    silence_seconds: NDArray[np.float64]


def encode_sequences(seen: Journeys, as_of: Ints, vocabulary: Vocabulary, length: int) -> Sequences:
    """Encode journeys already cut by `seen_at(as_of)`; one customer alone gives the same row as in a batch.

    >>> from models.journey.assembly import journeys_of
    >>> j = journeys_of({"c": [("web.visit", 0), ("dealer.visit", 3 * SECOND)]})
    >>> row = encode_sequences(j, np.array([5 * SECOND]), Vocabulary.of(j), 3)
    >>> row.tokens, row.log_gaps.round(3), row.silence_seconds
    (array([[3, 2, 0]]), array([[0.   , 1.386, 0.   ]], dtype=float32), array([2.]))
    """
    lengths = np.minimum(seen.lengths, length)
    column = np.arange(length, dtype=np.int64)
    filled = column < lengths[:, None]
    source = (seen.starts[1:] - lengths)[:, None] + column
    tokens = np.full((len(seen), length), PADDING, dtype=np.int64)
    log_gaps = np.zeros((len(seen), length), dtype=np.float32)
    tokens[filled] = vocabulary.tokens(seen)[source[filled]]
    log_gaps[filled] = np.log1p(gaps(seen)[source[filled]] / SECOND).astype(np.float32)
    silence = np.zeros(len(seen), dtype=np.float64)
    some = lengths > 0
    silence[some] = (as_of[some] - seen.occurred_at[seen.starts[1:][some] - 1]) / SECOND
    return Sequences(tokens, log_gaps, lengths, silence)
