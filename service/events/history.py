"""History in: files of recorded events into the log, with the times at which they became known kept where possible.

For the first days of a service, and for systems that keep their own record. Live events come through routes.py. What
files and rows are is told in importing/.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from models.journey.event import Event, Micros, format_time
from service.clock import Clock
from service.database import Database
from service.errors import Invalid, Problem, Unavailable
from service.events import store
from service.events.importing import record
from service.events.importing.mapping import Columns
from service.events.importing.order import Seen, look, merged, streamed
from service.events.importing.plan import plan_of
from service.events.importing.refusals import Refusals, refusals_to
from service.events.importing.rows import Rows
from service.events.importing.source import Source
from service.events.revisions import revised
from service.events.tombstones import CODE as ERASED
from service.events.tombstones import sift
from service.events.words import before_log
from service.masking import masking_of
from service.settings import Settings
from service.state import catalogue_of
from service.writer import is_storage_trouble

BATCH = 5_000
"""Events of one transaction: an import that is stopped has whole batches in the log, and goes on after them."""

RULES = 1
"""Counts the changes of what importing/ makes of a row: an import that an older version began is then read anew."""

Tell = Callable[[str, int, int], None]
"""Hears what is being done, how many rows of it are done, and of how many (0: not known yet)."""


class RowsRefused(Problem):
    """A strict import found rows to refuse, or an import nothing but such rows."""

    status, code, title = 422, "rows_refused", "Rows refused"


@dataclass(frozen=True, slots=True)
class File:
    """A file and what its columns mean."""

    path: Path
    mapping: Columns

    @property
    def source(self) -> Source:
        return Source(self.path, self.mapping.delimiter, self.mapping.encoding)


def files_of(named: Sequence[str], usual: str | Path, pairs: Mapping[str, str]) -> list[File]:
    """FILE, or MAPPING=FILE; `usual` is the mapping of the others, with `pairs` over it. Raises Invalid.

    A mapping is named as a preset or by its path.
    """
    if not named:
        raise Invalid("No FILE is named.", "Name one or more.", field="FILE")
    found = []
    for one in named:
        own, equals, path = one.partition("=")
        if equals and not Path(one).exists():
            found.append(File(Path(path), _mapping(own)))
        else:
            found.append(File(Path(one), _mapping(usual).mapped(pairs)))
    return found


def _mapping(named: str | Path) -> Columns:
    if isinstance(named, Path) or named.endswith((".yaml", ".yml")):
        return Columns.load(Path(named))
    return Columns.preset(named)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the rows: read = new + repeated + refused."""

    read: int
    new: int
    repeated: int
    refused: int
    reasons: Mapping[str, int]
    first_refused: Sequence[str]
    in_order: bool
    resumed_after: int
    """Events that an earlier run had done already."""
    finished_before: Micros | None
    """When the same import was finished before; nothing is added then."""
    dry_run: bool = False

    def sentence(self) -> str:
        if self.dry_run:
            return f"{self.read:,} rows read, {self.refused:,} would be refused; nothing was imported"
        said = f"{self.read:,} rows read: {self.new:,} new, {self.repeated:,} known already, {self.refused:,} refused"
        if self.finished_before is not None:
            return f"{said}; these files were imported on {format_time(self.finished_before)} already"
        return said if not self.resumed_after else f"{said}; went on after {self.resumed_after:,} events"

    def to_dict(self) -> dict[str, Any]:
        before = self.finished_before
        return {
            "read": self.read, "new": self.new, "repeated": self.repeated, "refused": self.refused,
            "reasons": dict(self.reasons), "in_order": self.in_order, "dry_run": self.dry_run,
            "resumed_after": self.resumed_after, "finished_before": None if before is None else format_time(before),
        }  # fmt: skip


@dataclass(frozen=True)
class History:
    """Some files that are imported as one, in the order of receipt over all of them."""

    files: Sequence[File]
    settings: Settings
    clock: Clock
    tell: Tell = field(default=lambda doing, done, of: None)

    def bring(self, database: Database, refused: Path | None = None, strict: bool = False) -> Imported:
        """Append to the log what is not in it yet; the same files again add nothing.

        The log stays in order of receipt: what was received before the log's newest row counts as received right after
        it, for nobody here could have known it earlier; what claims to come from the future counts as received now.
        Raises EventLogError for files that cannot be read as the mapping says, and RowsRefused where `strict` and some
        row is refused, both before anything is written; RowsRefused also where every row is.
        """
        ready = self._ready(self.clock())
        seen = look(ready, lambda rows: self.tell("rows looked at", rows, 0))
        if strict:
            self._check(seen, refused)
        files = ", ".join(dict.fromkeys(file.path.name for file in self.files))
        begun = record.begin(database, self._id(), files, self.clock())
        with self._reading(begun.started_at, seen, refused) as (events, refusals):
            done, new, erased = self._append(database, begun, self._ordered(events, seen))
            refusals.codes += Counter({ERASED: erased})
        if done == 0 and refusals.codes:
            raise RowsRefused(f"All {seen.rows} rows are refused; the first: {refusals.first[0]}.",
                              "See whether the mapping fits: --dry-run shows it.")  # fmt: skip
        record.finish(database, begun.import_id, self.clock())
        count = refusals.codes.total()
        return Imported(seen.rows, new, seen.rows - count - new, count, refusals.codes, refusals.first, seen.in_order,
                        begun.events_done, begun.finished_at)  # fmt: skip

    def preview(self, refused: Path | None = None, events: int = 5) -> tuple[list[Event], Imported]:
        """The first few events, and what would be refused of all; nothing is written to the log."""
        ready = self._ready(self.clock())
        seen = look(ready, lambda rows: self.tell("rows looked at", rows, 0))
        with self._reading(self.clock(), seen, refused) as (found, refusals):
            first = list(islice(found, events))
            for _ in found:
                pass
        count = refusals.codes.total()
        return first, Imported(seen.rows, 0, 0, count, refusals.codes, refusals.first, seen.in_order, 0, None,
                               dry_run=True)  # fmt: skip

    def _ready(self, now: Micros) -> list[tuple[Source, Rows]]:
        """Every file with the plan for its columns, checked."""
        found = []
        for file in self.files:
            source = file.source
            plan = plan_of(file.path, source.stem, source.columns(), file.mapping)
            found.append((source, Rows(plan, self.settings, now)))
        return found

    def _id(self) -> str:
        """Of all that decides which rows become events: files, in order, mappings and limits.

        Only then may a stopped import go on by counting: another one reads all again, and what is there is known.
        """
        limits = self.settings
        digest = hashlib.sha256(
            f"{RULES} {limits.event_bytes} {limits.text_characters} {limits.future_tolerance_seconds}".encode()
        )
        for file in self.files:
            source = file.source
            for part in (source.sha256(), source.stem, source.ending, file.mapping.text):
                digest.update(b"\0" + part.encode())
        return digest.hexdigest()[:32]

    def _check(self, seen: Seen, refused: Path | None) -> None:
        with self._reading(self.clock(), seen, refused) as (events, refusals):
            for _ in events:
                pass
        if refusals.codes:
            raise RowsRefused(
                f"{refusals.codes.total()} of {seen.rows} rows are refused; the first: {refusals.first[0]}.",
                "Nothing was imported: correct them, or leave --strict out.",
            )

    @contextmanager
    def _reading(self, now: Micros, seen: Seen, refused: Path | None) -> Iterator[tuple[Iterator[Event], Refusals]]:
        """All events in the order of the files, and where the refused rows go meanwhile."""
        ready = self._ready(now)
        with refusals_to(refused, [name for _, rows in ready for name in rows.plan.columns]) as refusals:

            def events() -> Iterator[Event]:
                rows = 0
                for source, reader in ready:
                    refuse = partial(refusals.add, source.path.name)
                    for batch in source.batches():
                        yield from reader.events(batch, refuse)
                        rows += batch.rows
                        self.tell("rows read", rows, seen.rows)

            yield events(), refusals

    def _ordered(self, events: Iterator[Event], seen: Seen) -> Iterator[Event]:
        return streamed(events) if seen.in_order else merged(events, self.settings.data_dir)

    def _append(self, database: Database, begun: record.Import, events: Iterator[Event]) -> tuple[int, int, int]:
        """Append what an earlier run has not; says how many events there are in all, and how many were new now, or of
        somebody who was erased."""
        done, new, erased, started = 0, 0, 0, begun.started_at
        masking = masking_of(self.settings, catalogue_of(self.settings))
        while batch := list(
            islice(events, min(BATCH, begun.events_done - done) if done < begun.events_done else BATCH)
        ):
            if done >= begun.events_done:
                with database.read() as connection:
                    kept = before_log(connection, batch, masking)
                with _going_on_later(), database.write() as connection:
                    allowed = sift(connection, kept).kept
                    erased += len(kept) - len(allowed)
                    added = store.append_recorded(connection, revised(connection, allowed, masking), started)
                    record.advance(connection, begun.import_id, done, len(batch), added)
                new += added
            done += len(batch)
            self.tell("events in the log", done, 0)
        return done, new, erased


@contextmanager
def _going_on_later() -> Iterator[None]:
    """A full disk, or a lock that another holds for too long, stops an import where it is. Raises Unavailable."""
    try:
        yield
    except DBAPIError as error:
        if not is_storage_trouble(error):
            raise
        raise Unavailable(f"The log cannot be written: {error.orig}.",
                          "Give the same command again: it goes on where it was.") from error  # fmt: skip
