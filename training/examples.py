"""Examples: what a log of journeys teaches, cut so that nothing is learned that serving could not have known.

Two kinds: next steps (each touchpoint asks what came after it, and when) and landmarks (random moments at which to ask
about a target). Both obey the two times of an event. Draws nothing but the landmarks' moments and fits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.features.vocabulary import FIRST_TOUCHPOINT, PADDING, Vocabulary
from models.journey.assembly import gaps
from models.journey.event import DAY, SECOND, Micros
from models.journey.journeys import Ints, Journeys

Bools = NDArray[np.bool_]

LANDMARK_BLOCK: Micros = 30 * DAY
BEGINNING_OF_TIME: Micros = -(2**62)
"""No lower bound: every target counts."""


@dataclass(frozen=True)
class NextSteps:
    """What each of N touchpoints teaches about the one after it; flat, customer by customer, in order of time.

    starts        (C+1,)        touchpoints of customer c are starts[c]:starts[c+1]
    token         (N,) int64    of the vocabulary
    log_gap       (N,) float32  log1p seconds since the touchpoint before; 0 for the first
    next_token    (N,) int64    what came next, a touchpoint or unknown; padding where nothing came before the end
    next_at       (N,) int64    microseconds: when; the end of observation where nothing came
    wait_seconds  (N,) float64  from this touchpoint to `next_at`
    entry_seconds (N,) float64  from this touchpoint to when it could first be asked about; never after `wait_seconds`
    asks_what     (N,) bool     teaches what comes next
    asks_when     (N,) bool     teaches when; where nothing came, that it takes longer (`censored`)
    weight        (N,) float32  how much its lesson counts, at most 1
    """

    starts: Ints
    token: Ints
    log_gap: NDArray[np.float32]
    next_token: Ints
    next_at: Ints
    wait_seconds: NDArray[np.float64]
    entry_seconds: NDArray[np.float64]
    asks_what: Bools
    asks_when: Bools
    weight: NDArray[np.float32]

    @property
    def censored(self) -> Bools:
        """(N,) nothing came before the end of observation."""
        return np.asarray(self.next_token == PADDING, dtype=np.bool_)

    @property
    def lengths(self) -> Ints:
        """(C,) touchpoints of each customer."""
        return np.diff(self.starts)

    def of_customers(self, taught: Bools) -> NextSteps:
        """The same steps, of which only those of these customers (C,) teach."""
        each = np.repeat(taught, self.lengths)
        return replace(self, asks_what=self.asks_what & each, asks_when=self.asks_when & each)

    def faded(self, half_life_seconds: float, end: Micros) -> NextSteps:
        """The same steps, a lesson counting half as much for each half-life that it lies before `end`."""
        age_seconds = (end - self.next_at) / SECOND
        return replace(self, weight=np.exp2(-age_seconds / half_life_seconds).astype(np.float32))

    def histories(self, rows: Ints, length: int) -> tuple[Ints, Ints]:
        """(S, length) tokens up to and with each of these touchpoints, left-aligned, and their lengths (S,)."""
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        lengths = np.minimum(rows - self.starts[owner] + 1, length)
        column = np.arange(length, dtype=np.int64)
        source = (rows + 1 - lengths)[:, None] + column
        filled = column < lengths[:, None]
        return np.where(filled, self.token[np.where(filled, source, 0)], PADDING), lengths


def next_steps(
    journeys: Journeys, vocabulary: Vocabulary, until: Micros, since: Micros = BEGINNING_OF_TIME
) -> NextSteps:
    """The steps whose outcome fell in [since, until); touchpoints at or after `until` are as if they had not happened.

    A touchpoint teaches only if everything up to it was known when the next one came (or observation ended): what was
    learned late could not have been seen then. It enters late, when it is known (or at `since`): shorter gaps than that
    could not be among these examples, and a loss that ignored it would find all gaps too long (delayed entry).
    """
    before = _before(journeys, until)
    lengths, n = before.lengths, len(before.code)
    last = np.zeros(n, dtype=np.bool_)
    last[before.starts[1:][lengths > 0] - 1] = True
    token = vocabulary.tokens(before)
    next_token = np.where(last, PADDING, np.append(vocabulary.named(token[1:]), PADDING))
    next_at = np.where(last, until, np.append(before.occurred_at[1:], until))
    enters_at = np.maximum(_running_max(before.known_at, before.owner), np.maximum(before.occurred_at, since))
    inside = (enters_at <= next_at) & (next_at >= since)
    return NextSteps(
        starts=before.starts,
        token=token,
        log_gap=np.log1p(gaps(before) / SECOND).astype(np.float32),
        next_token=next_token,
        next_at=next_at,
        wait_seconds=(next_at - before.occurred_at) / SECOND,
        entry_seconds=np.minimum(enters_at - before.occurred_at, next_at - before.occurred_at) / SECOND,
        asks_what=inside & (next_token >= FIRST_TOUCHPOINT),
        asks_when=inside,
        weight=np.ones(n, dtype=np.float32),
    )


@dataclass(frozen=True)
class Windows:
    """Rows of a net's input: W windows of at most L touchpoints, each an index into the steps (-1 where padded).

    A journey longer than L is told in windows that overlap by half; `counts` is true where a touchpoint asks its
    question, so that each asks once, and with at least half a window behind it.
    """

    rows: Ints
    counts: Bools


def windows(lengths: Ints, length: int) -> Windows:
    """Cut journeys of these lengths (C,) into windows of `length`.

    >>> windows(np.array([5]), 4).rows.tolist()
    [[0, 1, 2, 3], [2, 3, 4, -1]]
    >>> windows(np.array([5]), 4).counts.tolist()
    [[True, True, True, True], [False, False, True, False]]
    """
    half = max(1, length // 2)
    number = np.where(lengths > 0, 1 + -(-np.maximum(lengths - length, 0) // half), 0)
    owner = np.repeat(np.arange(len(lengths)), number)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
    starts = np.cumsum(lengths) - lengths
    place = (nth * half)[:, None] + np.arange(length)  # within the journey
    inside = place < lengths[owner][:, None]
    counts = inside & ((nth == 0)[:, None] | (np.arange(length) >= length - half))
    return Windows(np.where(inside, starts[owner][:, None] + place, -1), counts)


def landmarks(
    journeys: Journeys, since: Micros, until: Micros, rng: np.random.Generator, per_month: int = 1
) -> tuple[Ints, Ints]:
    """Random moments at which to ask about a target: (rows, as_of), both (S,), in order of row and time.

    From the first moment at which something of a customer is known, each block of 30 days gives `per_month` moments,
    drawn evenly; those in [since, until) are kept. Nobody's future decides whether or when they are asked.
    """
    if per_month < 1:
        raise ValueError(f"per_month {per_month} must be at least 1")
    known = np.flatnonzero(journeys.lengths > 0)
    if not len(known) or until <= since:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    visible = np.maximum(journeys.occurred_at, journeys.known_at)
    born = np.minimum.reduceat(visible, journeys.starts[:-1][known])
    blocks = np.maximum(0, -((born - until) // LANDMARK_BLOCK))  # those that begin before `until`
    rows = np.repeat(known, blocks * per_month)
    block = np.arange(len(rows)) - np.repeat(np.cumsum(blocks * per_month) - blocks * per_month, blocks * per_month)
    opens = np.repeat(born, blocks * per_month) + (block // per_month) * LANDMARK_BLOCK
    as_of = opens + rng.integers(0, LANDMARK_BLOCK, len(rows))
    kept = np.flatnonzero((as_of >= since) & (as_of < until))
    kept = kept[np.lexsort((as_of[kept], rows[kept]))]
    return rows[kept], as_of[kept]


def _before(journeys: Journeys, until: Micros) -> Journeys:
    """Touchpoints that occurred before `until`, whenever they became known: `next_steps` minds that for each."""
    as_they_occur = replace(journeys, known_at=journeys.occurred_at)
    kept = as_they_occur.seen_at(np.full(len(journeys), until - 1, dtype=np.int64))
    return replace(kept, known_at=journeys.known_at[journeys.occurred_at < until])


def _running_max(values: Ints, owner: Ints) -> Ints:
    """(N,) the largest so far within each owner, owners being in order."""
    ranked, rank = np.unique(values, return_inverse=True)
    height: Ints = np.maximum.accumulate(rank + owner * len(ranked)) - owner * len(ranked)
    return ranked[height]
