"""What every feature must obey, tried on made-up logs: the two times, and one customer alone as in a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.features.vocabulary import Vocabulary
from models.journey.assembly import assemble
from models.journey.event import DAY, Event
from models.journey.journeys import Ints, Journeys
from models.journey.touchpoint import Catalogue
from tests.models.journey.logs import LOGS, events

CATALOGUE = Catalogue.default()
AS_OF = st.integers(0, 220 * DAY)
Encode = Callable[[Journeys, Ints, Vocabulary], NDArray[np.generic]]


@st.composite
def log_and_later(draw: st.DrawFn) -> tuple[list[Event], int, list[Event]]:
    """A log, a moment, and events that come after it by one time or the other; some are repeats of the log's."""
    log, as_of = draw(LOGS), draw(AS_OF)
    after = as_of + draw(st.integers(1, 30 * DAY))
    new = draw(st.lists(events(ids=st.integers(0, 20).map("late{}".format)), max_size=12))
    by_either = [(replace(one, occurred_at=after), replace(one, received_at=after)) for one in new]
    late = [draw(st.sampled_from(pair)) for pair in by_either]
    repeats = [replace(one, received_at=max(after, one.received_at + 1), occurred_at=0) for one in log]
    return log, as_of, late + draw(st.sampled_from(([], repeats)))


def by_customer(log: list[Event], as_of: int, vocabulary: Vocabulary, encode: Encode) -> dict[str, bytes]:
    """Each customer's features at `as_of`, to the bit."""
    journeys = assemble(log, CATALOGUE).journeys
    moments = np.full(len(journeys), as_of, dtype=np.int64)
    rows = encode(journeys.seen_at(moments), moments, vocabulary)
    return {customer: rows[row].tobytes() for row, customer in enumerate(journeys.customers)}


def later_events_change_nothing(case: tuple[list[Event], int, list[Event]], encode: Encode) -> bool:
    """True where every customer that both logs hold is seen alike (a later join may give one to another)."""
    log, as_of, later = case
    vocabulary = Vocabulary.of(assemble(log, CATALOGUE).journeys)
    before = by_customer(log, as_of, vocabulary, encode)
    after = by_customer([*log, *later], as_of, vocabulary, encode)
    return all(after[customer] == before[customer] for customer in before.keys() & after.keys())


def alone_is_as_in_a_batch(log: list[Event], as_of: int, encode: Encode) -> bool:
    """True where each row is bit-equal to that customer's alone."""
    journeys = assemble(log, CATALOGUE).journeys
    vocabulary = Vocabulary.of(journeys)
    moments = np.full(len(journeys), as_of, dtype=np.int64)
    together = encode(journeys.seen_at(moments), moments, vocabulary)
    for row in range(len(journeys)):
        one, moment = journeys.take(np.array([row])), moments[:1]
        if encode(one.seen_at(moment), moment, vocabulary).tobytes() != together[row].tobytes():
            return False
    return True
