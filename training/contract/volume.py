"""How much there is of what, and how new: against what the champion learned from, and the log's own usual days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from models.journey.event import DAY, Micros, format_time, parse_time
from models.journey.journeys import Journeys
from models.journey.target import Target
from training.contract.finding import MOST_ROWS, Finding, rows_of
from training.contract.schema import touchpoints_frame
from training.data import TrainingData
from training.policies import ContractPolicy

WEEK = 7
EXPECTED = 30.0
"""A rate is judged where so many touchpoints of the target were to be expected."""


def of_volume(data: TrainingData, before: Mapping[str, Any] | None, policy: ContractPolicy) -> Iterator[Finding]:
    """Fewer customers, touchpoints or texts than the champion learned from: an export that lost some of its rows."""
    if before is None:
        return
    journeys = data.assembled.journeys if data.assembled else None
    now = {
        "customers": 0 if journeys is None else len(journeys),
        "touchpoints": 0 if journeys is None else len(journeys.code),
        "texts": 0 if data.feedback is None else len(data.feedback),
    }
    for name, count in now.items():
        had = int(before.get(name, 0))
        if had >= policy.least_cases and count < policy.least_of_before_share * had:
            told = f"{count} {name}, where the champion learned from {had}"
            fix = "Look what the export lost; set contract.least_of_before_share where it is meant to be so."
            yield Finding("volume", "stop", told, fix)
    yield from _of_names({} if journeys is None else journeys_counts(journeys), before, policy)


def _of_names(counts: Mapping[str, int], before: Mapping[str, Any], policy: ContractPolicy) -> Iterator[Finding]:
    """Touchpoints that are gone though the rest is there: a source that is missing, or rules that call it otherwise."""
    had: Mapping[str, int] = before.get("touchpoint_counts") or {}
    gone = sorted(
        (name for name, many in had.items()
         if many >= policy.least_cases and counts.get(name, 0) < policy.least_of_before_share * many),
        key=lambda name: counts.get(name, 0) - had[name],
    )  # fmt: skip
    if gone:
        told = ", ".join(f"{name} {counts.get(name, 0)} after {had[name]}" for name in gone[:MOST_ROWS])
        rows = [{"touchpoint": name, "before": had[name], "now": counts.get(name, 0)} for name in gone[:MOST_ROWS]]
        fix = (
            "Look for a source that is missing and at the catalogue; set contract.least_of_before_share where it is "
            "meant to be so."
        )
        yield Finding(
            "volume", "stop", f"of {len(gone)} touchpoints that the champion knows too few are there: {told}", fix, rows
        )


def journeys_counts(journeys: Journeys) -> dict[str, int]:
    """How often each touchpoint came."""
    counts = np.bincount(journeys.code, minlength=len(journeys.names)).tolist()
    return dict(zip(journeys.names, counts, strict=True))


def of_freshness(
    journeys: Journeys, before: Mapping[str, Any] | None, policy: ContractPolicy, now: Micros
) -> Iterator[Finding]:
    """The newest event: too old, older than what the champion knows, or no newer.

    An older export is no fair judge either: of its latest cases the champion has learned some.
    """
    newest = int(journeys.occurred_at.max())
    age_days = (now - newest) / DAY
    if policy.stale_days and age_days > policy.stale_days:
        told = (
            f"the newest touchpoint is {age_days:.0f} days old ({format_time(newest)}); at most {policy.stale_days:g}"
        )
        yield Finding("freshness", "stop", told, "Export again; set contract.stale_days where it is meant to be so.")
    known = newest_of(before)
    if known is not None and newest <= known:
        behind_days = (known - newest) / DAY
        older = bool(policy.behind_days) and behind_days > policy.behind_days
        told = f"nothing is newer than what the champion learned from ({format_time(known)})"
        told += f"; the newest touchpoint is {behind_days:.0f} days older" if older else ""
        fix = (
            "Export again; set contract.behind_days where it is meant to be so." if older else "Export what came since."
        )
        yield Finding("freshness", "stop" if older else "warn", told, fix)


def of_days(journeys: Journeys, policy: ContractPolicy) -> Iterator[Finding]:
    """Days with far more, and a last week with far less, than is usual."""
    day = journeys.occurred_at // DAY
    first, last = int(day.min()), int(day.max())
    counts = np.bincount(day - first, minlength=last - first + 1)
    usual = float(np.median(counts[counts > 0]))
    bursts = np.flatnonzero((counts > policy.burst_times * usual) & (counts >= policy.least_cases))
    if len(bursts):
        worst = int(bursts[np.argmax(counts[bursts])])
        frame = touchpoints_frame(journeys)[day == first + worst]
        top = frame.groupby(["customer_id", "touchpoint"]).size().reset_index(name="times")
        rows = rows_of(top.sort_values("times", ascending=False), "customer_id", "touchpoint", "times")
        when = format_time((first + worst) * DAY)[:10]
        told = (
            f"{len(bursts)} days hold over {policy.burst_times:g} times the usual {usual:.0f}; {when}: {counts[worst]}"
        )
        yield Finding("volume", "stop", told, "Look for a batch that was sent twice, or is no customers' doing.", rows)
    weeks = len(counts) // WEEK
    if weeks >= 8:
        by_week = counts[len(counts) - weeks * WEEK :].reshape(weeks, WEEK).sum(axis=1)
        before = float(np.median(by_week[:-1]))
        if before >= policy.least_cases and by_week[-1] < policy.silent_share * before:
            told = f"the last seven days hold {by_week[-1]} touchpoints, the median seven {before:.0f}"
            yield Finding("volume", "stop", told, "Look for a source that fell silent.")


def of_targets(
    journeys: Journeys, targets: tuple[Target, ...], since: Micros | None, policy: ContractPolicy
) -> Iterator[Finding]:
    """Targets that happen far more or less often of late: a bug of who writes them, more likely than a new world."""
    end, start = int(journeys.occurred_at.max()), int(journeys.occurred_at.min())
    since = end - 28 * DAY if since is None else max(since, end - 90 * DAY)
    if not start < since < end:
        return
    late = journeys.occurred_at >= since
    for target in targets:
        hit = np.array([target.matches(name) for name in journeys.names], dtype=np.bool_)[journeys.code]
        others = int((~late & ~hit).sum()), int((late & ~hit).sum())
        then, now = int((~late & hit).sum()), int((late & hit).sum())
        if not others[0] or not others[1]:
            continue
        expected = then / others[0] * others[1]
        times = (now + 1.0) / (expected + 1.0)
        usual = 1 / policy.rate_shift_times <= times <= policy.rate_shift_times
        if max(expected, float(now)) >= EXPECTED and not usual:
            rows = rows_of(touchpoints_frame(journeys)[late & hit], "customer_id", "touchpoint", "occurred_at")
            told = f"{target.name} came {now} times since {format_time(since)[:10]}; {expected:.0f} were to be expected"
            fix = (
                "Look whether it is still recorded as before; set contract.rate_shift_times where it is meant to be so."
            )
            yield Finding("label shift", "stop", told, fix, rows)


def newest_of(before: Mapping[str, Any] | None) -> Micros | None:
    """When the champion's data ended; None where nothing is live."""
    return parse_time(before["last_at"]) if before is not None and before.get("last_at") else None
