"""Who answers where: contacts, answers and visits of each customer, by channel; defined once for training and serving.

A contact is a touchpoint by which the company reached out, an answer what the customer does because of one; what they
do without being asked is a visit. Counts only: how far counts can be trusted is the predictor's part (channel.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.journey.assembly import SESSION_GAP
from models.journey.event import DAY, SECOND, Micros
from models.journey.journeys import Ints, Journeys

ANSWER_WINDOW: Micros = 7 * DAY
"""What a customer does on the channel of a contact within a week of it answers it."""
VISIT_WINDOW: Micros = 3600 * SECOND
"""A visit on any other channel that begins within an hour of a contact answers it."""
REFUSALS = ("bounce", "spam", "unsubscribe", "uninstall", "failed")
"""Actions by which nobody says that they like to be met here."""
FULFILMENT = ("delivery", "refund")
"""Channels of goods and money: on them nobody is asked for anything, and nobody answers."""


@dataclass(frozen=True)
class Answers:
    """C customers, H channels.

    channels  (H,)    names in alphabetical order
    contacts  (C, H)  contacts that were answered, or that can be answered no more
    answered  (C, H)  contacts that were answered
    visits    (C, H)  visits on this channel that answer nothing; touchpoints of one visit count once
    stage     (C,)    the stage that most of their own touchpoints are of; '' where there are none
    """

    channels: tuple[str, ...]
    contacts: Ints
    answered: Ints
    visits: Ints
    stage: tuple[str, ...]


def answers(seen: Journeys, as_of: Ints) -> Answers:
    """Count journeys already cut by `seen_at(as_of)` (C,); one customer alone gives the same row as in a batch.

    What a customer does answers one contact at most: the latest on its channel within a week; where there is none and
    it begins a visit, the latest on any channel within an hour. The latest contact of a channel is not counted while
    it waits for its answer.

    >>> from models.journey.assembly import columns, Step
    >>> from models.journey.touchpoint import Touchpoint
    >>> sent, opened = Touchpoint("email", "sent", "sale", contact=True), Touchpoint("email", "open", "sale")
    >>> j = columns([Step("c", at * DAY, at * DAY, str(at), what) for at, what in ((0, sent), (9, sent), (10, opened))])
    >>> found = answers(j, np.array([11 * DAY]))
    >>> found.channels, found.contacts, found.answered, found.visits
    (('email',), array([[2]]), array([[1]]), array([[0]]))
    """
    channels = tuple(sorted(set(seen.channels) - set(FULFILMENT)))
    where = {name: i for i, name in enumerate(channels)}
    column_of = np.array([where.get(name, -1) for name in seen.channels] or [-1], dtype=np.int64)
    refuses = np.array([name.partition(".")[2] in REFUSALS for name in seen.names] or [False])
    rows = np.flatnonzero(column_of[seen.code] >= 0) if len(seen.code) else np.empty(0, dtype=np.int64)
    owner, column, at = seen.owner[rows], column_of[seen.code[rows]], seen.occurred_at[rows]
    contact = seen.contact[rows]
    own = ~contact & ~refuses[seen.code[rows]]
    visit = _visits(owner, at, own)
    answers_to, open_ = _attributed(owner, column, at, contact, own, visit, as_of)
    got = np.zeros(len(rows), dtype=np.bool_)
    got[answers_to[answers_to >= 0]] = True
    closed = contact & (got | ~open_)
    alone = np.flatnonzero(own & (answers_to < 0))
    each_visit = alone[np.unique(visit[alone] * max(1, len(channels)) + column[alone], return_index=True)[1]]

    def counted(which: Ints) -> Ints:
        place = owner[which] * len(channels) + column[which]
        return np.bincount(place, minlength=len(seen) * len(channels)).reshape(len(seen), len(channels))

    return Answers(
        channels,
        counted(np.flatnonzero(closed)),
        counted(np.flatnonzero(contact & got)),
        counted(each_visit),
        _stages(seen, owner[own], seen.code[rows[own]]),
    )


def _visits(owner: Ints, at: Ints, own: NDArray[np.bool_]) -> Ints:
    """(N,) the number of the visit of each touchpoint of the customer's own; what is not their own is in none: -1."""
    mine = np.flatnonzero(own)
    opens = np.ones(len(mine), dtype=np.bool_)
    opens[1:] = (np.diff(owner[mine]) != 0) | (np.diff(at[mine]) > SESSION_GAP)
    visit = np.full(len(own), -1, dtype=np.int64)
    visit[mine] = np.cumsum(opens) - 1
    return visit


def _attributed(
    owner: Ints, column: Ints, at: Ints, contact: NDArray[np.bool_], own: NDArray[np.bool_], visit: Ints, as_of: Ints
) -> tuple[Ints, NDArray[np.bool_]]:
    """(N,) which contact each touchpoint answers, -1 for none; and (N,) which contacts may still be answered."""
    found = np.full(len(owner), -1, dtype=np.int64)
    if not len(owner):
        return found, np.zeros(0, dtype=np.bool_)
    order = np.lexsort((column, owner))  # stable: within a customer's channel the order of time stays
    group = _starts((np.diff(owner[order]) != 0) | (np.diff(column[order]) != 0))
    here = _latest(contact[order], group)
    some = np.flatnonzero(own[order] & (here >= 0))
    some = some[at[order[some]] - at[order[here[some]]] <= ANSWER_WINDOW]
    found[order[some]] = order[here[some]]
    anywhere = _latest(contact, _starts(np.diff(owner) != 0))
    opens = _first_of(visit)
    some = np.flatnonzero(opens & (found < 0) & (anywhere >= 0))
    some = some[at[some] - at[anywhere[some]] <= VISIT_WINDOW]
    found[some] = anywhere[some]
    last = np.zeros(len(owner), dtype=np.bool_)
    ends = np.flatnonzero(np.append(np.diff(group) != 0, True))
    ends = ends[here[ends] >= 0]
    last[order[here[ends]]] = True
    return found, last & (as_of[owner] - at <= ANSWER_WINDOW)


def _first_of(visit: Ints) -> NDArray[np.bool_]:
    """(N,) whether a touchpoint is the first of its visit."""
    first = np.zeros(len(visit), dtype=np.bool_)
    first[np.unique(visit, return_index=True)[1]] = True
    return first & (visit >= 0)


def _starts(breaks: NDArray[np.bool_]) -> Ints:
    """(N,) where the run of each row starts, `breaks` (N - 1,) being true where the next row is of another run."""
    return np.maximum.accumulate(np.concatenate([[0], np.where(breaks, np.arange(1, len(breaks) + 1), 0)]))


def _latest(marked: NDArray[np.bool_], starts: Ints) -> Ints:
    """(N,) the latest marked row at or before each row of its run; -1 where there is none."""
    latest = np.maximum.accumulate(np.where(marked, np.arange(len(marked)), -1))
    return np.where(latest >= starts, latest, -1)


def _stages(seen: Journeys, owner: Ints, code: Ints) -> tuple[str, ...]:
    names = tuple(sorted(set(seen.stages)))
    if not names:
        return ("",) * len(seen)
    of_name = np.array([names.index(stage) for stage in seen.stages], dtype=np.int64)
    counts = np.bincount(owner * len(names) + of_name[code], minlength=len(seen) * len(names))
    counts = counts.reshape(len(seen), len(names))
    most, some = counts.argmax(axis=1).tolist(), counts.sum(axis=1).tolist()
    return tuple(names[which] if any_ else "" for which, any_ in zip(most, some, strict=True))
