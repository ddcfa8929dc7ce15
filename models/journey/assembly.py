"""Assembly: recorded events in, journeys and feedback out. Order, repeats, joins and sessions, decided once.

Reads no file (eventlog.py) and computes no features. Ties in time have a written rank: occurred_at, then known_at,
then message_id; so the order in which events arrive does not matter.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from models.journey.arranging import Rows, arranged
from models.journey.claims import DEFAULT, Rules, bare, own_id
from models.journey.event import SECOND, Event, Micros
from models.journey.identity import Owners, learn_all
from models.journey.journeys import Ints, Journeys
from models.journey.touchpoint import Catalogue, Touchpoint

SESSION_GAP: Micros = 30 * 60 * SECOND
"""Half an hour of silence ends a session, the convention of web analytics."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A touchpoint with words in it."""

    feedback_id: str
    customer_id: str
    said_at: Micros
    known_at: Micros
    channel: str
    text: str
    rating: int | None = None


class Step(Struct, frozen=True, gc=False):
    """One touchpoint with its owner and times: a row of a journey before it becomes columns. Made by the million, and a
    struct is made many times faster than a dataclass."""

    customer_id: str
    occurred_at: Micros
    known_at: Micros
    message_id: str
    touchpoint: Touchpoint


@dataclass(frozen=True)
class Assembled:
    """What a log holds: journeys, the words in it, and how many repeats were dropped."""

    journeys: Journeys
    feedback: tuple[Feedback, ...]
    repeats: int


def assemble(events: Iterable[Event], catalogue: Catalogue, rules: Rules = DEFAULT) -> Assembled:
    """Build journeys from a log; `rules` say who is who. Repeats are dropped by message_id, never by content; the first
    received stays.

    Nothing depends on the order in which events arrive here: of two repeats received at once, the written rank of
    their content decides.
    """
    first: dict[str, Event] = {}
    total = 0
    for event in events:
        total += 1
        kept = first.setdefault(event.message_id, event)
        if kept is not event and _before(event, kept):
            first[event.message_id] = event
    owners = learn_all(first.values(), rules)
    steps = (step for event in first.values() if (step := _step(event, catalogue, owners)) is not None)
    rows = _Gathered()
    feedback = sorted(feedback_in(map(rows.append, steps)), key=attrgetter("said_at", "feedback_id"))
    return Assembled(rows.journeys(), tuple(feedback), total - len(first))


class _Gathered:
    """Touchpoints put down as columns one by one: a fraction of the memory of as many steps."""

    def __init__(self) -> None:
        self._texts: tuple[list[str], list[str], list[str]] = ([], [], [])
        self._numbers = (array("q"), array("q"), array("q"), array("b"))
        self._stages: dict[str, str] = {}

    def append(self, step: Step) -> Step:
        """Take a step in, and hand it back."""
        point = step.touchpoint
        for texts, text in zip(self._texts, (step.customer_id, step.message_id, point.name), strict=True):
            texts.append(text)
        values = (step.occurred_at, step.known_at, point.amount_minor, point.contact)
        for numbers, value in zip(self._numbers, values, strict=True):
            numbers.append(value)
        self._stages[point.name] = point.stage
        return step

    def journeys(self) -> Journeys:
        customer_id, message_id, name = (pa.array(texts, pa.string()) for texts in self._texts)
        occurred_at, known_at, amount = (np.frombuffer(one, dtype=np.int64) for one in self._numbers[:3])
        contact = np.frombuffer(self._numbers[3], dtype=np.bool_)
        return arranged(Rows(customer_id, message_id, name, occurred_at, known_at, amount, contact), self._stages)


def _step(event: Event, catalogue: Catalogue, owners: Owners) -> Step | None:
    touchpoint = catalogue.touchpoint(event)
    if touchpoint is None:
        return None
    customer, joined_at = owners.customer(own_id(event))
    known_at = max(event.received_at, joined_at)
    return Step(bare(customer), event.occurred_at, known_at, event.message_id, touchpoint)


def _before(event: Event, kept: Event) -> bool:
    if event.received_at != kept.received_at:
        return event.received_at < kept.received_at
    return event != kept and _content(event) < _content(kept)


def _content(event: Event) -> str:
    return json.dumps([getattr(event, name) for name in Event.__slots__], sort_keys=True, default=str)


def feedback_in(steps: Iterable[Step]) -> Iterable[Feedback]:
    """The words among these touchpoints; a feedback's id is its event's message_id."""
    for step in steps:
        point = step.touchpoint
        if point.text is not None:
            yield Feedback(
                step.message_id,
                step.customer_id,
                step.occurred_at,
                step.known_at,
                point.channel,
                point.text,
                point.rating,
            )


def columns(steps: Sequence[Step]) -> Journeys:
    """Rows to columns: customers in order of id, touchpoints in order of (occurred_at, known_at, message_id).

    For few rows quicker than `arranged`, and the same.
    """
    ordered = sorted(steps, key=attrgetter("customer_id", "occurred_at", "known_at", "message_id"))
    stages = {step.touchpoint.name: step.touchpoint.stage for step in ordered}
    names = tuple(sorted(stages))
    code = {name: i for i, name in enumerate(names)}
    customers, first_rows = _runs([step.customer_id for step in ordered])
    return Journeys(
        customers=customers,
        starts=np.array([*first_rows, len(ordered)], dtype=np.int64),
        occurred_at=np.array([s.occurred_at for s in ordered], dtype=np.int64),
        known_at=np.array([s.known_at for s in ordered], dtype=np.int64),
        code=np.array([code[s.touchpoint.name] for s in ordered], dtype=np.int32),
        amount_minor=np.array([s.touchpoint.amount_minor for s in ordered], dtype=np.int64),
        contact=np.array([s.touchpoint.contact for s in ordered], dtype=np.bool_),
        names=names,
        stages=tuple(stages[name] for name in names),
    )


def _runs(ids: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    first_rows = [i for i, id in enumerate(ids) if i == 0 or ids[i - 1] != id]
    return tuple(ids[i] for i in first_rows), first_rows


def with_customers(journeys: Journeys, customers: Sequence[str]) -> Journeys:
    """The same journeys for exactly these customers, in this order; one without touchpoints gets an empty journey."""
    row_of = {customer: row for row, customer in enumerate(journeys.customers)}
    rows = np.array([row_of.get(customer, -1) for customer in customers], dtype=np.int64)
    taken = journeys.take(rows[rows >= 0])
    lengths = np.zeros(len(customers), dtype=np.int64)
    lengths[rows >= 0] = taken.lengths
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(taken, customers=tuple(customers), starts=starts)


def sessions(journeys: Journeys, gap: Micros = SESSION_GAP) -> NDArray[np.int64]:
    """(N,) the session of each touchpoint, counted from 0 within its customer; `gap` of silence starts the next.

    >>> sessions(journeys_of({"c": [("web.visit", 0), ("web.visit", SECOND), ("web.visit", 3600 * SECOND)]}))
    array([0, 0, 1])
    """
    if not len(journeys.code):
        return np.empty(0, dtype=np.int64)
    opens = np.diff(journeys.occurred_at, prepend=journeys.occurred_at[:1]) > gap
    first = journeys.starts[:-1][journeys.lengths > 0]
    opens[first] = True
    running = np.cumsum(opens, dtype=np.int64)
    return running - np.repeat(running[first], journeys.lengths[journeys.lengths > 0])


def gaps(journeys: Journeys) -> Ints:
    """(N,) microseconds since the customer's previous touchpoint; 0 for the first."""
    if not len(journeys.code):
        return np.empty(0, dtype=np.int64)
    since = np.diff(journeys.occurred_at, prepend=journeys.occurred_at[:1])
    since[journeys.starts[:-1][journeys.lengths > 0]] = 0
    return since


def journeys_of(steps: Mapping[str, Sequence[tuple[str, Micros]]], stage: str = "convenience") -> Journeys:
    """Journeys from {customer: [(touchpoint name, moment), …]}, known as they occur: for examples and tests.

    >>> journeys_of({"c1": [("web.visit", 10)]}).names
    ('web.visit',)
    """
    rows = []
    for customer, points in steps.items():
        for number, (name, at) in enumerate(points):
            channel, _, action = name.partition(".")
            rows.append(Step(customer, at, at, f"{customer}-{number:06d}", Touchpoint(channel, action, stage)))
    return with_customers(columns(rows), list(steps))
