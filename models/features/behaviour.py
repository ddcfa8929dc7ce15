"""Behaviour: a journey as a row of numbers, seen from one moment; what purchase likelihood is learned from.

Each feature has a unit, a formula and a reason, in `features_of`. Features of one customer are bit-equal alone and in a
batch: sums run over integers within the customer. Knows no model and no target.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.features.vocabulary import Vocabulary
from models.journey.assembly import gaps, sessions
from models.journey.event import DAY, SECOND, Micros
from models.journey.journeys import Ints, Journeys
from models.journey.touchpoint import STAGES

HOUR: Micros = 3600 * SECOND
NEVER_DAYS = 3650.0
"""Stands for "never happened" in features that count days since something: ten years."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of the feature matrix: its name, its unit, how it is computed and why."""

    name: str
    unit: str
    formula: str
    reason: str


_GENERAL = (
    Feature("touchpoints", "count", "touchpoints seen so far", "how much is known of this customer"),
    Feature("days_since_last", "days", "as_of - last touchpoint", "recency: interest fades"),
    Feature("days_since_first", "days", "as_of - first touchpoint", "how long the journey has lasted"),
    Feature("touchpoints_7d", "count", "touchpoints in the last 7 days", "tempo now"),
    Feature("touchpoints_30d", "count", "touchpoints in the last 30 days", "tempo lately"),
    Feature("touchpoints_90d", "count", "touchpoints in the last 90 days", "tempo in the season"),
    Feature("tempo_change", "ratio", "(1 + touchpoints_7d) / (1 + touchpoints_30d * 7 / 30)", "speeding up or slowing"),
    Feature("own_rhythm_days", "days", "mean gap between touchpoints", "what is usual for this customer"),
    Feature("silence_in_rhythms", "ratio", "days_since_last / own_rhythm_days", "silent against their own rhythm"),
    Feature("sessions", "count", "sessions (half an hour of silence ends one)", "how often they came back"),
    Feature("session_depth", "count", "touchpoints / sessions", "how deep a visit goes"),
    Feature("last_session_depth", "count", "touchpoints of the latest session", "how deep the latest visit went"),
    Feature("last_gap_in_rhythms", "ratio", "latest gap / own_rhythm_days", "came back sooner or later than usual"),
    Feature("channels", "count", "distinct channels", "breadth of the relationship"),
    Feature("channel_entropy", "nats", "-sum of p log p over the channels' shares p", "at home on one, or everywhere"),
    Feature("handoffs", "count", "changes of channel from one touchpoint to the next", "moving between channels"),
    Feature("stage_reached", "number", "furthest: 1 convenience, 2 sale, 3 post-sale, 0 none", "how far they got"),
    Feature("weekend_share", "share", "touchpoints on Saturday or Sunday (UTC) / touchpoints", "when they have time"),
    Feature("office_share", "share", "touchpoints Monday to Friday 8 to 18 h (UTC) / touchpoints", "at work or not"),
    Feature("contacts_30d", "count", "times the company reached out in the last 30 days", "campaign pressure"),
    Feature("contacts_answered", "count", "contacts whose next touchpoint was the customer's own", "who reacts"),
    Feature("days_since_contact", "days", "as_of - last time the company reached out", "how fresh the campaign is"),
    Feature("amount", "currency", "money of all touchpoints", "value so far"),
    Feature("amount_90d", "currency", "money of the last 90 days", "value lately"),
    Feature("amount_last", "currency", "money of the last touchpoint that had any", "size of the last step"),
    Feature("paid_touchpoints", "count", "touchpoints with money", "frequency of value"),
    Feature("days_since_paid", "days", "as_of - last touchpoint with money", "recency of value"),
)  # fmt: skip


@lru_cache(maxsize=32)
def features_of(vocabulary: Vocabulary) -> tuple[Feature, ...]:
    """Every column in order: the general ones, then by stage, by channel and by touchpoint of this vocabulary."""
    stage = tuple(
        Feature(f"stage:{s}", "count", f"touchpoints in stage {s}", "how far the journey has come") for s in STAGES
    )
    channel = tuple(
        Feature(f"channel:{c}", "count", f"touchpoints on {c}", "where this customer is met")
        for c in vocabulary.channels
    )
    since = tuple(
        Feature(f"days_since:{t}", "days", f"as_of - last {t}", "what happened, and how fresh it is")
        for t in vocabulary.touchpoints
    )
    count = tuple(
        Feature(f"count:{t}", "count", f"times {t} was seen", "how often it happened") for t in vocabulary.touchpoints
    )
    return _GENERAL + stage + channel + since + count


def behaviour(seen: Journeys, as_of: Ints, vocabulary: Vocabulary) -> NDArray[np.float32]:
    """(C, F) the features of `features_of(vocabulary)`, from journeys already cut by `seen_at(as_of)`.

    >>> from models.journey.assembly import journeys_of
    >>> j = journeys_of({"c": [("web.visit", 0), ("dealer.visit", 2 * DAY)]})
    >>> behaviour(j, np.array([3 * DAY]), Vocabulary.of(j))[0, :3]
    array([2., 1., 3.], dtype=float32)
    """
    table = np.empty((len(seen), len(features_of(vocabulary))), dtype=np.float32)
    general = _general(seen, as_of)
    for place, column in enumerate(general):
        table[:, place] = column
    place = len(general)
    for part in _counts(seen, as_of, vocabulary):
        table[:, place : place + part.shape[1]] = part
        place += part.shape[1]
    return table


def _general(seen: Journeys, as_of: Ints) -> list[NDArray[np.float64] | Ints]:
    """The columns of `_GENERAL`, each (C,)."""
    n, age = seen.lengths, np.repeat(as_of, seen.lengths) - seen.occurred_at
    some = np.maximum(n, 1)
    week, month, season = (_sum(seen, age < days * DAY) for days in (7, 30, 90))
    since_last = _last_of(seen, age, 0) / DAY * (n > 0) + NEVER_DAYS * (n == 0)
    since_first = _first_of(seen, age, 0) / DAY
    between = gaps(seen)
    rhythm = np.divide(_sum(seen, between) / DAY, n - 1, out=np.full(len(seen), NEVER_DAYS), where=n > 1)
    usual = np.maximum(rhythm, 1 / 24)
    visit = sessions(seen)
    visits = _last_of(seen, visit + 1, 0)
    latest_visit = _sum(seen, visit + 1 == np.repeat(visits, n))
    weekend, office = _time_of_week(seen.occurred_at)
    return [
        n, since_last, since_first, week, month, season,
        (1 + week) / (1 + month * 7 / 30), rhythm, since_last / usual,
        visits, n / np.maximum(visits, 1), latest_visit, _last_of(seen, between, 0) / DAY / usual,
        *_channel_mix(seen), _stage_reached(seen), _sum(seen, weekend) / some, _sum(seen, office) / some,
        *_contacts(seen, age), *_money(seen, age),
    ]  # fmt: skip


def _channel_mix(seen: Journeys) -> tuple[Ints, NDArray[np.float64], Ints]:
    """Distinct channels, the entropy of their shares in nats, and hand-offs, each (C,)."""
    code = _channel_codes(seen)
    counts = _table(seen.owner, code, len(seen), int(code.max(initial=0)) + 1)
    n = np.maximum(seen.lengths, 1)
    # Nats of each count as whole millionths, so that the sum does not depend on how a batch is laid out.
    nats = np.rint(counts * np.log(np.maximum(counts, 1)) * 1e6).astype(np.int64).sum(axis=1) / 1e6
    entropy = np.maximum(np.log(n) - nats / n, 0.0)
    return np.count_nonzero(counts, axis=1), np.where(entropy < 1e-6, 0.0, entropy), _handoffs(seen, code)


def _stage_reached(seen: Journeys) -> Ints:
    stage = np.array([STAGES.index(one) + 1 for one in seen.stages] or [0], dtype=np.int64)[seen.code]
    reached = np.zeros(len(seen), dtype=np.int64)
    some = seen.lengths > 0
    if some.any():
        reached[some] = np.maximum.reduceat(stage, seen.starts[:-1][some])
    return reached


def _time_of_week(moments: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each moment lies on a weekend, and in office hours, UTC. Day 0 of the epoch was a Thursday."""
    day, within = np.divmod(moments, DAY)
    weekend = (day + 3) % 7 >= 5
    hour = within // HOUR
    return weekend, ~weekend & (hour >= 8) & (hour < 18)


def _contacts(seen: Journeys, age: Ints) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Contacts of 30 days, contacts answered, and days since the last, each (C,)."""
    own_next = np.zeros(len(age), dtype=np.bool_)
    own_next[:-1] = ~seen.contact[1:]
    own_next[seen.starts[1:][seen.lengths > 0] - 1] = False  # what comes next is somebody else's
    last = _last_by(seen.owner, np.flatnonzero(seen.contact), len(seen))
    since = np.where(last >= 0, _at(age, last) / DAY, NEVER_DAYS)
    return _sum(seen, seen.contact & (age < 30 * DAY)), _sum(seen, seen.contact & own_next), since


def _money(seen: Journeys, age: Ints) -> tuple[NDArray[np.float64] | Ints, ...]:
    """Amount, amount of 90 days, the last amount, touchpoints with money and days since the last of them, each (C,)."""
    paid = seen.amount_minor != 0
    last = _last_by(seen.owner, np.flatnonzero(paid), len(seen))
    some = last >= 0
    return (
        _sum(seen, seen.amount_minor) / 100,
        _sum(seen, np.where(age < 90 * DAY, seen.amount_minor, 0)) / 100,
        np.where(some, _at(seen.amount_minor, last) / 100, 0.0),
        _sum(seen, paid),
        np.where(some, _at(age, last) / DAY, NEVER_DAYS),
    )


def _counts(seen: Journeys, as_of: Ints, vocabulary: Vocabulary) -> list[NDArray[np.float64] | Ints]:
    """The columns by stage, by channel, of days since and of times, each (C, so many)."""
    owner, customers = seen.owner, len(seen)
    code = seen.recoded(vocabulary.touchpoints)
    known = np.flatnonzero(code >= 0)
    names = vocabulary.touchpoints
    stage_of = np.array([STAGES.index(s) for s in seen.stages] or [0], dtype=np.int64)
    channel_of = {c: i for i, c in enumerate(vocabulary.channels)}
    channels = np.array([channel_of.get(c, -1) for c in seen.channels] or [-1], dtype=np.int64)
    on_channel = channels[seen.code]
    kept = np.flatnonzero(on_channel >= 0)
    count = _table(owner[known], code[known], customers, len(names))
    last = np.full((customers, len(names)), -1, dtype=np.int64)
    last[owner[known], code[known]] = known  # rows are in order of time, so the last write is the latest
    age = np.where(last >= 0, as_of[:, None] - _at(seen.occurred_at, last), 0) / DAY
    return [
        _table(owner, stage_of[seen.code], customers, len(STAGES)),
        _table(owner[kept], on_channel[kept], customers, len(channel_of)),
        np.where(last >= 0, age, NEVER_DAYS),
        count,
    ]


def _table(rows: Ints, columns: Ints, n_rows: int, n_columns: int) -> Ints:
    flat: Ints = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return flat[: n_rows * n_columns].reshape(n_rows, n_columns)


def _sum(seen: Journeys, values: NDArray[np.int64] | NDArray[np.bool_]) -> Ints:
    """(C,) exact integer sums within each customer, 0 for an empty journey."""
    total = np.zeros(len(seen), dtype=np.int64)
    some = seen.lengths > 0
    if some.any():
        total[some] = np.add.reduceat(values.astype(np.int64), seen.starts[:-1][some])
    return total


def _first_of(seen: Journeys, values: Ints, otherwise: int) -> Ints:
    return np.where(seen.lengths > 0, _at(values, np.where(seen.lengths > 0, seen.starts[:-1], -1)), otherwise)


def _last_of(seen: Journeys, values: Ints, otherwise: int) -> Ints:
    return np.where(seen.lengths > 0, _at(values, np.where(seen.lengths > 0, seen.starts[1:] - 1, -1)), otherwise)


def _at(values: Ints, index: Ints) -> Ints:
    """values[index], and 0 where the index is -1."""
    padded: Ints = np.append(values, 0)
    found: Ints = padded[index]
    return found


def _last_by(owner: Ints, rows: Ints, customers: int) -> Ints:
    last = np.full(customers, -1, dtype=np.int64)
    last[owner[rows]] = rows
    return last


def _channel_codes(seen: Journeys) -> Ints:
    codes = {channel: i for i, channel in enumerate(sorted(set(seen.channels)))}
    return np.array([codes[c] for c in seen.channels] or [0], dtype=np.int64)[seen.code]


def _handoffs(seen: Journeys, channel_code: Ints) -> Ints:
    changed = np.diff(channel_code, prepend=channel_code[:1]) != 0
    some = seen.lengths > 0
    changed[seen.starts[:-1][some]] = False
    return _sum(seen, changed)
