"""What a catalogue does to history: the share each rule took, rules that took nothing, and events that none names.

Counts are made here from the log (`scan`) or come from the projector's (catalogues.py). Shows nothing: that is the
route's part, and the command's (catalogue_told.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from models.journey.advice import Shadow, Suggestion, shadowed, suggest
from models.journey.event import Micros, format_time
from models.journey.rule import Rule, Words
from models.journey.touchpoint import Catalogue
from service.database import Database
from service.events import catalogues, store
from service.events.catalogues import Tally
from service.settings import Settings
from service.state import refuse_half_restored

MOST_UNMAPPED = 100
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Taken:
    """One rule, how many events it took, and which share of all that is."""

    rule: Rule
    events: int
    share: float


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An event that only the last rule took, and the rule that is suggested for it. No name: names beyond the most."""

    kind: str
    name: str
    events: int
    first_at: Micros
    last_at: Micros
    suggestion: Suggestion | None


@dataclass(frozen=True)
class Report:
    """Rules in their order; unmapped events, the most frequent first."""

    events: int
    rules: tuple[Taken, ...]
    shadowed: tuple[Shadow, ...]
    unmapped: tuple[Unmapped, ...]

    @property
    def never(self) -> tuple[Rule, ...]:
        """Rules that took nothing; the last one need not take anything."""
        return tuple(one.rule for one in self.rules[:-1] if not one.events)

    def to_dict(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "rules": [_rule(one.rule) | {"events": one.events, "share": round(one.share, 6)} for one in self.rules],
            "never_matched": [rule.number for rule in self.never],
            "shadowed": [
                {"rule": one.rule.number, "line": one.rule.line, "by": list(one.by), "names": list(one.names),
                 "whole": one.whole}
                for one in self.shadowed
            ],
            "unmapped": [_unmapped(one) for one in self.unmapped],
        }  # fmt: skip


def report_of(catalogue: Catalogue, tally: Tally, most: int = MOST_UNMAPPED) -> Report:
    """What the counts say of this catalogue's rules."""
    by_rule = dict.fromkeys(range(1, len(catalogue.rules) + 1), 0)
    for (number, _, _), count in tally.counted.items():
        by_rule[number] += count.events
    events = sum(by_rule.values())
    rules = (Taken(rule, by_rule[rule.number], by_rule[rule.number] / max(events, 1)) for rule in catalogue.rules)
    left = [(key, count) for key, count in tally.counted.items() if key[0] == tally.last]
    left.sort(key=lambda one: (-one[1].events, one[0]))
    unmapped = (
        Unmapped(kind, name, count.events, count.first_at, count.last_at,
                 suggest(catalogue, name, count.properties) if name else None)
        for (_, kind, name), count in left[:most]
    )  # fmt: skip
    return Report(events, tuple(rules), tuple(shadowed(catalogue)), tuple(unmapped))


def look(settings: Settings, catalogue: Catalogue, newest: int, tell: Callable[[int], None]) -> Report:
    """The report on the log of the data folder, which is only read; without a log only what the file itself says."""
    refuse_half_restored(settings)
    if not (settings.data_dir / "log.db").exists():
        return report_of(catalogue, Tally.of(catalogue))
    log = Database.open(settings.data_dir, "log", settings.busy_seconds)
    try:
        return report_of(catalogue, scan(log, catalogue, newest, tell))
    finally:
        log.close()


def scan(log: Database, catalogue: Catalogue, newest: int, tell: Callable[[int], None] = lambda rows: None) -> Tally:
    """Count what each rule takes of the newest rows of the log; `tell` hears how many rows were read."""
    tally, rows_read = Tally.of(catalogue), 0
    with log.read() as connection:
        seq = max(0, store.head(connection) - newest)
    while True:
        with log.read() as connection:
            rows = store.after(connection, seq, BATCH)
        if not rows:
            return tally
        for event in (store.event_of(row) for row in rows if row.stream == "event"):
            point = catalogue.touchpoint(event)
            if point is not None:
                tally.add(event, point)
        seq, rows_read = rows[-1].seq, rows_read + len(rows)
        tell(rows_read)


def in_force(connection: Connection, otherwise: Catalogue) -> tuple[Catalogue, Tally, Micros | None]:
    """The catalogue that the folded history speaks, what it took, and since when; `otherwise` before any was kept."""
    standing = catalogues.standing(connection)
    row = standing.in_force or standing.coming
    catalogue = catalogues.read(row.text) if row is not None else None
    if row is None or catalogue is None:
        return otherwise, Tally.of(otherwise), None
    return catalogue, catalogues.counted(connection, row.number, len(catalogue.rules)), row.since


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.number, "line": rule.line, "kind": sorted(rule.kinds), "event": _words(rule.events),
        "where": {path: _words(words) for path, words in rule.where}, "channel": rule.channel, "action": rule.action,
        "stage": rule.stage, "contact": rule.contact,
    }  # fmt: skip


def _words(words: Words | None) -> list[str]:
    return [] if words is None else sorted(words.exact) + list(words.patterns)


def _unmapped(one: Unmapped) -> Mapping[str, Any]:
    return {
        "kind": one.kind, "name": one.name, "events": one.events,
        "first_received_at": format_time(one.first_at), "last_received_at": format_time(one.last_at),
        "suggested_rule": one.suggestion.rule if one.suggestion else None,
        "why": one.suggestion.why if one.suggestion else None,
    }  # fmt: skip
