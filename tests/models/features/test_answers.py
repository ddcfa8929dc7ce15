"""Contacts, answers and visits: who answers what, counted the same alone and in a batch, and never from the future."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.features.answers import ANSWER_WINDOW, VISIT_WINDOW, Answers, answers
from models.journey.assembly import SESSION_GAP, Step, columns, journeys_of, with_customers
from models.journey.event import DAY, SECOND, Micros
from models.journey.journeys import Journeys
from models.journey.touchpoint import Touchpoint

HOUR = 3600 * SECOND
Point = tuple[str, Micros]
"""A touchpoint as `channel.action` with `!` before it where the company reached out, and its moment."""


def journey(*points: Point, customer: str = "c") -> list[Step]:
    found = []
    for number, (name, at) in enumerate(points):
        channel, _, action = name.removeprefix("!").partition(".")
        touchpoint = Touchpoint(channel, action or "x", "sale", contact=name.startswith("!"))
        found.append(Step(customer, at, at, f"{number:04d}", touchpoint))
    return found


def counted(*points: Point, as_of: Micros = 1000 * DAY) -> dict[str, tuple[int, int, int]]:
    """Contacts, answers and visits by channel."""
    moments = np.array([as_of])
    return rows(answers(columns(journey(*points)).seen_at(moments), moments))[0]


def rows(found: Answers) -> list[dict[str, tuple[int, int, int]]]:
    told = []
    for row in range(len(found.stage)):
        three = zip(found.contacts[row].tolist(), found.answered[row].tolist(), found.visits[row].tolist(), strict=True)
        told.append({name: one for name, one in zip(found.channels, three, strict=True) if any(one)})
    return told


def test_what_is_done_on_the_channel_within_a_week_answers_the_latest_contact_there() -> None:
    assert counted(("!email", 0), ("!email", DAY), ("email", 2 * DAY)) == {"email": (2, 1, 0)}
    assert counted(("!email", 0), ("email", ANSWER_WINDOW)) == {"email": (1, 1, 0)}
    assert counted(("!email", 0), ("email", ANSWER_WINDOW + 1)) == {"email": (1, 0, 1)}


def test_two_touchpoints_answer_a_contact_once_and_a_contact_in_between_is_no_answer() -> None:
    assert counted(("!email", 0), ("email", DAY), ("email", 2 * DAY)) == {"email": (1, 1, 0)}
    assert counted(("!email", 0), ("!call", DAY), ("email", 2 * DAY)) == {"call": (1, 0, 0), "email": (1, 1, 0)}


def test_a_visit_that_begins_within_an_hour_answers_the_latest_contact_wherever_it_was_made() -> None:
    assert counted(("!email", 0), ("!call", 0), ("web", VISIT_WINDOW)) == {"call": (1, 1, 0), "email": (1, 0, 0)}
    assert counted(("!call", 0), ("web", VISIT_WINDOW + 1)) == {"call": (1, 0, 0), "web": (0, 0, 1)}


def test_who_is_in_the_middle_of_a_visit_does_not_answer_by_going_on() -> None:
    at = 5 * 60 * SECOND
    assert counted(("web", 0), ("!call", at), ("web", 2 * at)) == {"call": (1, 0, 0), "web": (0, 0, 1)}
    assert counted(("web", 0), ("!email", at), ("email", 2 * at)) == {"email": (1, 1, 0), "web": (0, 0, 1)}


def test_refusing_is_no_answer_and_goods_and_money_are_no_conversation() -> None:
    assert counted(("!email", 0), ("email.unsubscribe", HOUR), ("email.spam", HOUR)) == {"email": (1, 0, 0)}
    assert counted(("!delivery.shipped", 0), ("delivery.delivered", DAY), ("refund.paid", DAY)) == {}


def test_touchpoints_of_one_visit_count_once() -> None:
    points = [("web", 0), ("web", SESSION_GAP), ("app", SESSION_GAP), ("web", 2 * SESSION_GAP), ("web", DAY)]
    assert counted(*points) == {"web": (0, 0, 2), "app": (0, 0, 1)}


def test_only_the_latest_contact_of_a_channel_can_still_wait_for_its_answer() -> None:
    points = [("!email", 0), ("!email", DAY), ("!call", DAY)]
    assert counted(*points, as_of=2 * DAY) == {"email": (1, 0, 0)}
    assert counted(*points, as_of=DAY + ANSWER_WINDOW + 1) == {"email": (2, 0, 0), "call": (1, 0, 0)}
    assert counted(*points, ("call", 2 * DAY), as_of=2 * DAY) == {"email": (1, 0, 0), "call": (1, 1, 0)}


def test_nobody_and_an_empty_journey_count_nothing() -> None:
    empty = with_customers(journeys_of({}), ["a", "b"])
    assert rows(answers(empty, np.zeros(2, dtype=np.int64))) == [{}, {}]
    some = with_customers(columns(journey(("!email", 0), customer="b")), ["a", "b", "d"])
    found = answers(some, np.full(3, 100 * DAY))
    assert rows(found) == [{}, {"email": (1, 0, 0)}, {}]
    assert found.stage == ("", "", "")


def test_the_stage_is_that_of_most_touchpoints_of_their_own() -> None:
    def step(at: int, stage: str, contact: bool = False) -> Step:
        return Step("c", at, at, str(at), Touchpoint("web", stage, stage, contact=contact))

    log = [step(1, "convenience"), step(2, "sale"), step(3, "sale"), *(step(n, "post_sale", True) for n in range(4, 9))]
    assert answers(columns(log), np.array([100])).stage == ("sale",)


points_drawn = st.lists(
    st.tuples(
        st.sampled_from(["!email", "email", "!call", "call", "web", "email.bounce", "!mail"]),
        st.integers(0, 40).map(lambda n: n * 20 * 60 * SECOND) | st.integers(0, 20).map(lambda n: n * DAY),
    ),
    max_size=12,
)


def by_hand(steps: Sequence[Step], as_of: Micros) -> dict[str, tuple[int, int, int]]:
    """The definition, touchpoint by touchpoint."""
    ordered = sorted(steps, key=lambda one: (one.occurred_at, one.message_id))
    answered: set[int] = set()
    visits: set[tuple[int, str]] = set()
    last_own, visit = None, 0
    for number, one in enumerate(ordered):
        point = one.touchpoint
        if point.contact or point.action == "bounce":
            continue
        begins = last_own is None or one.occurred_at - last_own > SESSION_GAP
        last_own, visit = one.occurred_at, visit + begins
        before = [i for i in range(number) if ordered[i].touchpoint.contact]
        here = [i for i in before if ordered[i].touchpoint.channel == point.channel][-1:]
        here = [i for i in here if one.occurred_at - ordered[i].occurred_at <= ANSWER_WINDOW]
        anywhere = [i for i in before[-1:] if begins and one.occurred_at - ordered[i].occurred_at <= VISIT_WINDOW]
        if here or anywhere:
            answered.add((here or anywhere)[0])
        else:
            visits.add((visit, point.channel))
    told = {}
    for channel in {one.touchpoint.channel for one in ordered}:
        contacts = [i for i, o in enumerate(ordered) if o.touchpoint.contact and o.touchpoint.channel == channel]
        waits = [i for i in contacts[-1:] if i not in answered and as_of - ordered[i].occurred_at <= ANSWER_WINDOW]
        counts = len(contacts) - len(waits), len(answered & set(contacts)), sum(name == channel for _, name in visits)
        if any(counts):
            told[channel] = counts
    return told


@given(st.lists(points_drawn, min_size=1, max_size=4), st.integers(0, 25))
def test_columns_count_what_the_definition_says_alone_and_in_a_batch(drawn: list[list[Point]], day: int) -> None:
    each = [journey(*points, customer=f"c{n}") for n, points in enumerate(drawn)]
    everybody = with_customers(columns([step for steps in each for step in steps]), [f"c{n}" for n in range(len(each))])
    as_of = np.full(len(each), day * DAY)
    together = rows(answers(everybody.seen_at(as_of), as_of))
    seen = [[step for step in steps if step.occurred_at <= day * DAY] for steps in each]
    assert together == [by_hand(steps, day * DAY) for steps in seen]
    for number in range(len(each)):
        alone: Journeys = everybody.take(np.array([number])).seen_at(as_of[:1])
        assert rows(answers(alone, as_of[:1]))[0] == together[number]
