"""Sequences: the last touchpoints as tokens and gaps, seen from a moment."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from numpy.typing import NDArray

from models.features.sequence import encode_sequences
from models.features.vocabulary import FIRST_TOUCHPOINT, PADDING, UNKNOWN, Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import SECOND, Event
from models.journey.journeys import Ints, Journeys
from tests.models.features.laws import AS_OF, alone_is_as_in_a_batch, later_events_change_nothing, log_and_later
from tests.models.journey.logs import LOGS


def encoded(seen: Journeys, as_of: Ints, vocabulary: Vocabulary) -> NDArray[np.generic]:
    """Everything that a net would see of each customer, in one row."""
    rows = encode_sequences(seen, as_of, vocabulary, 5)
    return np.column_stack([rows.tokens, rows.log_gaps, rows.lengths, rows.silence_seconds])


@given(log_and_later())
def test_later_events_change_no_sequence(case: tuple[list[Event], int, list[Event]]) -> None:
    assert later_events_change_nothing(case, encoded)


@given(LOGS, AS_OF)
def test_a_sequence_alone_is_bit_equal_to_the_same_in_a_batch(log: list[Event], as_of: int) -> None:
    assert alone_is_as_in_a_batch(log, as_of, encoded)


def test_only_the_last_touchpoints_are_kept_with_the_gap_before_each() -> None:
    seen = journeys_of({"c": [("web.visit", at * SECOND) for at in (0, 10, 30, 70)], "empty": []})
    rows = encode_sequences(seen, np.array([100, 100]) * SECOND, Vocabulary.of(seen), 2)
    assert rows.tokens.tolist() == [[FIRST_TOUCHPOINT] * 2, [PADDING] * 2]
    assert np.allclose(rows.log_gaps, [[np.log1p(20), np.log1p(40)], [0, 0]])
    assert rows.lengths.tolist() == [2, 0]
    assert rows.silence_seconds.tolist() == [30.0, 0.0]


def test_touchpoints_that_training_never_saw_keep_their_place() -> None:
    seen = journeys_of({"c": [("web.visit", 0), ("new.thing", 1)]})
    rows = encode_sequences(seen, np.array([1]), Vocabulary(("web.visit",), ("convenience",)), 3)
    assert rows.tokens.tolist() == [[FIRST_TOUCHPOINT, UNKNOWN, PADDING]]


def test_nobody_gives_no_rows() -> None:
    rows = encode_sequences(journeys_of({}), np.array([], dtype=np.int64), Vocabulary((), ()), 4)
    assert rows.tokens.shape == rows.log_gaps.shape == (0, 4)
