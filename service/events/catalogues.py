"""Which catalogue the folded history speaks, which one is coming, and what each of its rules took, in service.db.

Tables and counts. How history comes from one catalogue to the next is told in remap.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Integer, Row, String, Table, Text, delete, insert, select, update
from sqlalchemy import func as sql

from models.journey.event import Event, Micros
from models.journey.touchpoint import Catalogue, CatalogueError, Touchpoint
from service.database import holds, holds_nothing, metadata, nobodys_own

IN_FORCE, MARKING, WRITING = "in_force", "marking", "writing"
MOST_NAMES = 1_000
"""Most event names without a rule that are counted apart; what comes after them is counted together, without a name."""
NAME_CHARACTERS = 200
PROPERTIES_KEPT = 20

catalogues = Table(
    "catalogues",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("digest", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("phase", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    sqlite_autoincrement=True,
    **holds_nothing("rules, as the operator wrote them"),
)
"""At most one is in force and at most one is coming; `seq` is the last row of the log that was marked for it."""

counts = Table(
    "catalogue_counts",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("rule", Integer, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("properties", Text, nullable=False),
    **holds(exported="not: names of events and how often they came",
            erased="what the customer's events counted is taken off, and a name that nobody is left with is deleted",
            rows=nobodys_own),
)  # fmt: skip
"""How many events each rule of a catalogue took; of what only the last rule took each kind and name apart."""


@dataclass
class Count:
    """How many events, received when, and the names of properties that one of them had."""

    events: int = 0
    first_at: Micros = 0
    last_at: Micros = 0
    properties: tuple[str, ...] = ()


@dataclass
class Tally:
    """Counts what each rule of one catalogue takes, in memory."""

    last: int
    """The number of the rule that takes what no other took."""
    counted: dict[tuple[int, str, str], Count] = field(default_factory=dict)

    @classmethod
    def of(cls, catalogue: Catalogue) -> Tally:
        return cls(len(catalogue.rules))

    def add(self, event: Event, point: Touchpoint) -> None:
        """One event, and the touchpoint that it became."""
        unmapped = point.rule == self.last
        key = (point.rule, event.kind, event.name[:NAME_CHARACTERS]) if unmapped else (point.rule, "", "")
        count = self.counted.get(key)
        if count is None:
            if unmapped and len(self.counted) > self.last + MOST_NAMES:
                key = (point.rule, event.kind, "")
            names = sorted(event.properties)[:PROPERTIES_KEPT] if unmapped else ()
            count = self.counted.setdefault(key, Count(0, event.received_at, 0, tuple(names)))
        count.events += 1
        count.first_at = min(count.first_at, event.received_at)
        count.last_at = max(count.last_at, event.received_at)


@dataclass(frozen=True, slots=True)
class Standing:
    """The catalogue that the history speaks, and the one that it is being mapped to; None where there is none."""

    in_force: Row[Any] | None
    coming: Row[Any] | None

    def settled_by(self, digest: str) -> bool:
        return self.coming is None and self.in_force is not None and self.in_force.digest == digest


def standing(connection: Connection) -> Standing:
    rows = connection.execute(select(catalogues)).all()
    in_force = next((row for row in rows if row.phase == IN_FORCE), None)
    return Standing(in_force, next((row for row in rows if row.phase != IN_FORCE), None))


def begin(connection: Connection, catalogue: Catalogue, phase: str, now: Micros) -> int:
    """Keep a catalogue; returns its number."""
    row = {"digest": catalogue.digest, "text": catalogue.text, "phase": phase, "seq": 0, "since": now}
    return int(connection.execute(insert(catalogues).values(row).returning(catalogues.c.number)).scalar_one())


def forget(connection: Connection, number: int) -> None:
    """Delete a catalogue and what was counted for it."""
    connection.execute(delete(catalogues).where(catalogues.c.number == number))
    connection.execute(delete(counts).where(counts.c.number == number))


def move(connection: Connection, number: int, **values: object) -> None:
    """Write the phase or the place that a catalogue has come to."""
    connection.execute(update(catalogues).where(catalogues.c.number == number).values(**values))


@lru_cache(maxsize=4)
def read(text: str) -> Catalogue | None:
    """A catalogue that was kept; None where this program cannot read it any more."""
    try:
        return Catalogue.parse(text)
    except CatalogueError:
        return None


def add_counts(connection: Connection, number: int, tally: Tally) -> None:
    """Add what was counted of a batch to what is kept."""
    rows = [
        (
            number,
            rule,
            kind,
            name,
            count.events,
            count.first_at,
            count.last_at,
            msgspec.json.encode(count.properties).decode(),
        )
        for (rule, kind, name), count in sorted(_capped(connection, number, tally).items())
    ]
    statement = """
        INSERT INTO catalogue_counts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            events = events + excluded.events, first_at = min(first_at, excluded.first_at),
            last_at = max(last_at, excluded.last_at)"""
    if rows:
        connection.exec_driver_sql(statement, rows)


def _capped(connection: Connection, number: int, tally: Tally) -> Mapping[tuple[int, str, str], Count]:
    """New names beyond the most are counted together, so that the table cannot grow without end."""
    named = {key for key in tally.counted if key[0] == tally.last}
    if not named:
        return tally.counted
    wanted = select(counts.c.kind, counts.c.name).where(counts.c.number == number, counts.c.rule == tally.last)
    known = {(tally.last, kind, name) for kind, name in connection.execute(wanted)}
    room = max(0, MOST_NAMES - len(known))
    beyond = set(sorted(named - known)[room:])
    merged = Tally(tally.last)
    for key, count in tally.counted.items():
        into = merged.counted.setdefault((key[0], key[1], "") if key in beyond else key, Count(0, count.first_at))
        into.events += count.events
        into.first_at, into.last_at = min(into.first_at, count.first_at), max(into.last_at, count.last_at)
        into.properties = into.properties or count.properties
    return merged.counted


def uncount(connection: Connection, events: Iterable[Event]) -> None:
    """Take off what these events counted, for they are about to be erased; call it before they leave the log."""
    rows = [row for row in (standing(connection).in_force, standing(connection).coming) if row is not None]
    listed = list(events)
    for row in rows:
        catalogue = read(row.text)
        if catalogue is None:
            continue
        tally = Tally.of(catalogue)
        for event in listed:
            point = catalogue.touchpoint(event)
            if point is not None:
                tally.add(event, point)
        for (rule, kind, name), count in tally.counted.items():
            mine = (counts.c.number == row.number, counts.c.rule == rule, counts.c.kind == kind, counts.c.name == name)
            connection.execute(update(counts).where(*mine).values(events=counts.c.events - count.events))
        connection.execute(delete(counts).where(counts.c.number == row.number, counts.c.events <= 0))


def counted(connection: Connection, number: int, last: int) -> Tally:
    """What is kept of one catalogue, as it would be counted in memory."""
    found = Tally(last)
    for row in connection.execute(select(counts).where(counts.c.number == number)):
        names = tuple(msgspec.json.decode(row.properties))
        found.counted[row.rule, row.kind, row.name] = Count(row.events, row.first_at, row.last_at, names)
    return found


def count_unmapped(connection: Connection) -> int:
    """How many events of the catalogue in force only its last rule took."""
    in_force = standing(connection).in_force
    if in_force is None:
        return 0
    catalogue = read(in_force.text)
    last = len(catalogue.rules) if catalogue else 0
    mine = (counts.c.number == in_force.number, counts.c.rule == last)
    return int(connection.execute(select(sql.coalesce(sql.sum(counts.c.events), 0)).where(*mine)).scalar_one())


def tables() -> Sequence[Table]:
    """What folding the log again makes anew."""
    return counts, catalogues
