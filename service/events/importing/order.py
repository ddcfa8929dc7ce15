"""The order of receipt: files that are in it are streamed; others are merged by a sort on the disk.

In order means that no row was received before the one above it, the files one after the other. A merge holds a few
batches in memory, however long the files are: SQLite sorts what does not fit on the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.journey.event import Event, Micros
from models.journey.table import EventLogError
from service.events.importing.rows import Rows
from service.events.importing.source import Source

MOST_AT_ONE_MOMENT = 100_000
"""Rows received at one moment are put in the order of their ids; so many may be held in memory for that."""
SCRATCH = "import-"
"""How the folders begin in which a merge sorts: one that was killed leaves its own behind."""
_INSERT_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What a first look says: how many rows there are, and whether they can be streamed."""

    rows: int
    in_order: bool


def look(files: Sequence[tuple[Source, Rows]], tell: Callable[[int], None]) -> Seen:
    """Read every file to its end, for its times alone. Raises EventLogError where one is cut."""
    order, rows = _Order(), 0
    for source, reader in files:
        before = rows
        for batch in source.batches():
            rows += batch.rows
            tell(rows)
            if order.kept and batch.numbers:
                order.see(np.array(reader.received(batch), dtype=np.int64))
        if rows == before:
            raise EventLogError(f"{source.path}: holds no rows")
    return Seen(rows, order.kept)


@dataclass
class _Order:
    """Whether moments come in order, with few enough at one moment."""

    kept: bool = True
    last: Micros = -(2**62)
    alike: int = 0
    """How many of the last moment have come."""

    def see(self, received: NDArray[np.int64]) -> None:
        if not len(received):
            return
        if received[0] < self.last or (received[1:] < received[:-1]).any():
            self.kept = False
            return
        starts = np.flatnonzero(np.diff(received, prepend=received[0] - 1))
        runs = np.diff(starts, append=len(received))
        runs[0] += self.alike if received[0] == self.last else 0
        self.kept = bool(runs.max() <= MOST_AT_ONE_MOMENT)
        self.last, self.alike = int(received[-1]), int(runs[-1])


def streamed(events: Iterator[Event]) -> Iterator[Event]:
    """Events in the order of receipt; those of one moment by their ids."""
    for _, alike in groupby(events, key=attrgetter("received_at")):
        yield from sorted(alike, key=attrgetter("message_id"))


def merged(events: Iterator[Event], scratch: Path) -> Iterator[Event]:
    """Events in any order, in the order of (received_at, message_id)."""
    with (
        TemporaryDirectory(dir=scratch, prefix=SCRATCH) as folder,
        closing(sqlite3.connect(f"{folder}/run.db")) as run,
    ):
        run.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE run (at, id, event)")
        encode = msgspec.json.Encoder().encode
        rows = ((event.received_at, event.message_id, encode(event)) for event in events)
        while some := list(islice(rows, _INSERT_ROWS)):
            run.executemany("INSERT INTO run VALUES (?, ?, ?)", some)
        run.commit()
        decode = msgspec.json.Decoder(Event).decode
        for (event,) in run.execute("SELECT event FROM run ORDER BY at, id, rowid"):
            yield decode(event)
