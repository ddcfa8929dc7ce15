"""Two event logs as journeys, in the same words: one to learn from, one to measure on.

A touchpoint must be one event name and the other way round, or what is measured would be another question than the
log's. Where the product's catalogue does not give that, every event is named by itself. Fits nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.journey.assembly import assemble
from models.journey.claims import SPLIT, bare, own_id
from models.journey.event import Event
from models.journey.eventlog import read_events, read_rules
from models.journey.identity import learn_all
from models.journey.journeys import Ints, Journeys
from models.journey.touchpoint import TOUCHPOINT_KINDS, Catalogue
from training.measure.figures import MeasureError

BY_NAME = """
rules:
  - {channel: event, action: "{event}", stage: convenience, text: properties.text, amount: properties.value}
"""
"""Every event is a touchpoint of its own name, whatever channel it came on."""


@dataclass(frozen=True)
class Log:
    """One file: its events as read and its journeys."""

    path: Path
    events: Sequence[Event]
    journeys: Journeys


def read_logs(*paths: Path) -> tuple[Log, ...]:
    """The logs, with touchpoints that are event names one to one. Raises EventLogError and MeasureError."""
    read = [list(read_events(path)) for path in paths]
    catalogue = one_to_one([event for events in read for event in events])
    logs = tuple(
        Log(path, events, assemble(events, catalogue, read_rules(path)).journeys)
        for path, events in zip(paths, read, strict=True)
    )
    for log in logs:
        if not len(log.journeys.code):
            raise MeasureError(f"{log.path}: holds no touchpoint, only calls that say who somebody is")
    return logs


def one_to_one(events: Sequence[Event]) -> Catalogue:
    """The product's catalogue where its touchpoints are these event names one to one, else each by its own name.

    Raises MeasureError where two event names are spelled so alike that they become one touchpoint.
    """
    for catalogue in (Catalogue.default(), Catalogue.parse(BY_NAME)):
        names = words_of(events, catalogue)
        touchpoints = [name for found in names.values() for name in found]
        if len(touchpoints) == len(set(touchpoints)) == len(names):
            return catalogue
    alike = sorted(name for name in names if any(names[name] & names[other] for other in names if other != name))
    raise MeasureError(f"events {alike[0]!r} and {alike[1]!r} become one touchpoint; rename one of them")


def words_of(events: Iterable[Event], catalogue: Catalogue) -> dict[str, set[str]]:
    """{event name in small letters (or the kind of call where it has none): its touchpoints}."""
    names: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.kind in TOUCHPOINT_KINDS:
            touchpoint = catalogue.touchpoint(event)
            if touchpoint is not None:
                names[event.name.lower() or event.kind].add(touchpoint.name)
    return dict(names)


def groups_of(log: Log, column: str) -> Ints:
    """(C,) a number for each customer of the log: those who share a value of the column, or share it with somebody
    who does, have the same one.

    Raises MeasureError for a column that no event fills.
    """
    owners = learn_all(log.events, read_rules(log.path))
    row = {customer: number for number, customer in enumerate(log.journeys.customers)}
    values: dict[str, int] = {}
    pairs = set()
    for event in log.events:
        if event.kind == SPLIT:
            continue
        value = _cell(event, column)
        customer = row.get(bare(owners.customer(own_id(event))[0]))
        if value and customer is not None:
            pairs.add((customer, len(row) + values.setdefault(value, len(values))))
    if not values:
        raise MeasureError(f"--group {column!r}: {log.path} fills no such column")
    size = len(row) + len(values)
    left, right = np.array(sorted(pairs), dtype=np.int64).T
    links = coo_array((np.ones(len(left)), (left, right)), shape=(size, size))
    component = connected_components(links, directed=False)[1]
    return np.asarray(component[: len(row)], dtype=np.int64)


def _cell(event: Event, column: str) -> str:
    if column in ("customer_id", "user_id"):
        return event.user_id or ""
    if column == "anonymous_id":
        return event.anonymous_id or ""
    value = event.properties.get(column, event.context.get(column))
    return "" if value is None else str(value)


def same_time(train: Journeys, test: Journeys) -> bool:
    """Whether the test log begins before half of the other was over: it differs in who, not in when."""
    return int(test.occurred_at.min()) < int(np.quantile(train.occurred_at, 0.5))


def other_customers(train: Journeys, test: Journeys) -> bool:
    """Whether the test log holds others at the same time; then what is calibrated on should differ in the same way."""
    return same_time(train, test) and not set(train.customers) & set(test.customers)
