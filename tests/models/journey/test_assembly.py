"""Assembly: repeats by id, order of arrival without meaning, ties with a rank, two times, sessions."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.journey.assembly import SESSION_GAP, assemble, columns, gaps, journeys_of, sessions
from models.journey.event import SECOND, Event
from models.journey.touchpoint import Catalogue
from tests.models.journey.logs import LOGS, events, same_assembled, same_journeys

CATALOGUE = Catalogue.default()
RANDOM = st.randoms(use_true_random=False)


def visit(
    message_id: str, at: int, user: str | None = "u1", device: str | None = None, name: str = "Dealer Visited"
) -> Event:
    return Event(message_id, "track", name, user, device, at, at)


def test_no_events_give_no_journeys() -> None:
    empty = assemble([], CATALOGUE)
    assert (len(empty.journeys), empty.feedback, empty.repeats) == (0, (), 0)
    assert same_journeys(empty.journeys, columns([]))


def test_repeats_are_dropped_by_id_and_never_by_content() -> None:
    twins = [visit("m1", 5), visit("m2", 5)]
    assembled = assemble([*twins, visit("m1", 5)], CATALOGUE)
    assert assembled.journeys.lengths.tolist() == [2]
    assert assembled.repeats == 1


def test_of_two_repeats_the_first_received_stays() -> None:
    late, early = visit("m", 9, name="Workshop Visited"), visit("m", 4)
    for log in ([late, early], [early, late]):
        assert assemble(log, CATALOGUE).journeys.names == ("dealer.visit",)


@given(LOGS, RANDOM)
def test_the_order_in_which_events_arrive_does_not_matter(log: list[Event], random: Random) -> None:
    assert same_assembled(assemble(log, CATALOGUE), assemble(random.sample(log, len(log)), CATALOGUE))


@given(st.lists(events(ids=st.just("same")), min_size=1, max_size=6), RANDOM)
def test_even_repeats_that_differ_and_were_received_at_once_have_a_rank(log: list[Event], random: Random) -> None:
    log = [replace(one, received_at=7) for one in log]
    assert same_assembled(assemble(log, CATALOGUE), assemble(random.sample(log, len(log)), CATALOGUE))


@given(LOGS, LOGS)
def test_a_log_with_everything_sent_again_later_gives_the_same(log: list[Event], more: list[Event]) -> None:
    again = [replace(one, received_at=one.received_at + SECOND) for one in log]
    once, twice = assemble(log, CATALOGUE), assemble([*log, *again], CATALOGUE)
    assert same_journeys(once.journeys, twice.journeys)
    assert once.feedback == twice.feedback


def test_ties_in_time_are_ordered_by_when_they_were_known_and_then_by_id() -> None:
    log = [visit("b", 5), visit("c", 5, name="Workshop Visited"), replace(visit("a", 5), received_at=9)]
    journeys = assemble(log, CATALOGUE).journeys
    assert [journeys.names[code] for code in journeys.code] == ["dealer.visit", "workshop.visit", "dealer.visit"]
    assert journeys.known_at.tolist() == [5, 5, 9]


def test_what_a_device_did_before_its_owner_was_known_is_known_from_the_join_on() -> None:
    log = [visit("m1", 3, None, "d1"), visit("m2", 8, "u1", "d1"), visit("m3", 9, None, "d1")]
    journeys = assemble(log, CATALOGUE).journeys
    assert journeys.customers == ("u1",)
    assert journeys.occurred_at.tolist() == [3, 8, 9]
    assert journeys.known_at.tolist() == [8, 8, 9]
    assert journeys.seen_at(np.array([7])).lengths.tolist() == [0]


def test_events_before_1970_and_in_9999_are_known_when_they_occur() -> None:
    ends = [-(10**16), 253_402_300_799_999_999]
    journeys = assemble([visit(f"m{at}", at) for at in ends], CATALOGUE).journeys
    assert journeys.known_at.tolist() == journeys.occurred_at.tolist() == ends
    assert gaps(journeys).tolist() == [0, ends[1] - ends[0]]


def test_words_are_feedback_with_the_id_of_their_event() -> None:
    said = Event("m1", "track", "Survey Answered", None, "d1", 3, 4, {"text": "Lovely", "rating": 5})
    feedback = assemble([visit("m2", 6, "u1", "d1"), said], CATALOGUE).feedback
    assert [(f.feedback_id, f.customer_id, f.said_at, f.known_at, f.channel) for f in feedback] == [
        ("m1", "u1", 3, 6, "survey")
    ]
    assert (feedback[0].text, feedback[0].rating) == ("Lovely", 5)


def test_ids_in_any_script_keep_apart() -> None:
    ids = ["\u00e9", "e\u0301", "客户", "c 1", "C 1"]  # the first two look alike, composed and decomposed
    assert len(assemble([visit(id, 1, id) for id in ids], CATALOGUE).journeys) == 5


@given(LOGS)
def test_a_customer_assembled_alone_is_the_same_as_among_others(log: list[Event]) -> None:
    steps_alone = [one for one in log if one.anonymous_id is None and one.kind not in ("alias", "identify")]
    steps_alone = list({one.message_id: one for one in steps_alone}.values())
    together = assemble(steps_alone, CATALOGUE).journeys
    for row, customer in enumerate(together.customers):
        alone = assemble([one for one in steps_alone if one.user_id == customer], CATALOGUE).journeys
        taken = together.take(np.array([row]))
        assert [alone.names[code] for code in alone.code] == [taken.names[code] for code in taken.code]
        assert [alone.stages[code] for code in alone.code] == [taken.stages[code] for code in taken.code]
        assert taken.occurred_at.tolist() == alone.occurred_at.tolist()


def test_exactly_half_an_hour_of_silence_does_not_end_a_session() -> None:
    points = [("web.visit", at) for at in (0, SESSION_GAP, 2 * SESSION_GAP + 1, 2 * SESSION_GAP + 1)]
    journeys = journeys_of({"a": points, "none": [], "b": [("web.visit", 0)]})
    assert sessions(journeys).tolist() == [0, 0, 1, 1, 0]
    assert gaps(journeys).tolist() == [0, SESSION_GAP, SESSION_GAP + 1, 0, 0]


def test_no_touchpoints_have_no_sessions_and_no_gaps() -> None:
    for journeys in (journeys_of({}), journeys_of({"a": [], "b": []})):
        assert sessions(journeys).tolist() == []
        assert gaps(journeys).tolist() == []
