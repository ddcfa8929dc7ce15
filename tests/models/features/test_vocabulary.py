"""The vocabulary: codes fixed at training; what it never saw is unknown, never an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.vocabulary import FIRST_TOUCHPOINT, UNKNOWN, Vocabulary
from models.journey.assembly import journeys_of

JOURNEYS = journeys_of({"b": [("web.visit", 1), ("dealer.visit", 2)], "a": [("web.visit", 3)], "empty": []})


def test_a_vocabulary_holds_each_touchpoint_that_occurs_in_alphabetical_order() -> None:
    vocabulary = Vocabulary.of(JOURNEYS)
    assert vocabulary.touchpoints == ("dealer.visit", "web.visit")
    assert vocabulary.size == FIRST_TOUCHPOINT + 2 + len(vocabulary.channels)
    assert vocabulary.channels == ("dealer", "web")
    only = JOURNEYS.take(np.array([1]))
    assert Vocabulary.of(only).touchpoints == ("web.visit",)


def test_a_name_that_training_never_saw_is_its_channel_and_else_unknown() -> None:
    tokens = Vocabulary(("web.visit",), ("convenience",)).tokens(JOURNEYS)
    assert tokens.tolist() == [FIRST_TOUCHPOINT, UNKNOWN, FIRST_TOUCHPOINT]
    by_channel = Vocabulary(("dealer.call", "web.visit"), ("sale", "convenience"))
    dealer = int(by_channel.fallback[FIRST_TOUCHPOINT])
    assert by_channel.tokens(JOURNEYS).tolist() == [FIRST_TOUCHPOINT + 1, dealer, FIRST_TOUCHPOINT + 1]
    assert by_channel.named(by_channel.tokens(JOURNEYS)).tolist() == [
        FIRST_TOUCHPOINT + 1,
        UNKNOWN,
        FIRST_TOUCHPOINT + 1,
    ]


@given(st.sets(st.sampled_from(["a.x", "a.y", "b.x", "c.z"]), min_size=1))
def test_every_token_falls_back_to_the_token_of_its_channel_and_a_channel_to_itself(names: set[str]) -> None:
    vocabulary = Vocabulary(tuple(sorted(names)), ("sale",) * len(names))
    fallback = vocabulary.fallback
    assert len(fallback) == vocabulary.size
    assert (fallback[fallback] == fallback).all()
    unseen = journeys_of({"c": [(f"{name.partition('.')[0]}.new", i) for i, name in enumerate(vocabulary.touchpoints)]})
    assert vocabulary.tokens(unseen).tolist() == fallback[FIRST_TOUCHPOINT : FIRST_TOUCHPOINT + len(names)].tolist()


def test_a_vocabulary_of_nothing_knows_nothing() -> None:
    nothing = Vocabulary.of(journeys_of({}))
    assert (nothing.size, nothing.channels) == (FIRST_TOUCHPOINT, ())
    assert set(nothing.tokens(JOURNEYS).tolist()) == {UNKNOWN}
    assert nothing.tokens(journeys_of({"c": []})).tolist() == []


def test_a_vocabulary_is_written_and_read() -> None:
    vocabulary = Vocabulary.of(JOURNEYS)
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary


@pytest.mark.parametrize("touchpoints", [("a.b",), ("a.b", "a.b", "c.d")])
def test_a_vocabulary_that_does_not_fit_together_is_refused(touchpoints: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="each touchpoint once, and one stage for each"):
        Vocabulary(touchpoints, ("sale", "sale", "sale"))
