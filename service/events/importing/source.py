"""A file of rows, CSV, JSONL or Parquet, as batches of columns with the number of each row; gzip is seen by its name.

A row that cannot be read harms no other: it is told beside its batch. Knows nothing of events.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from models.journey.table import EventLogError, plain

ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
BATCH_ROWS = 20_000
_BLOCK_BYTES = 2 * 2**20
"""A row of CSV must fit in a block: far more than an event may hold. Arrow reads up to 32 blocks ahead."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is no row of the file's format; `number` counts the rows of a file from 1."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows as columns, Arrow arrays or lists of one length, and the number of each."""

    numbers: Sequence[int]
    columns: dict[str, Any]
    unreadable: Sequence[Unreadable] = ()

    @property
    def rows(self) -> int:
        return len(self.numbers) + len(self.unreadable)


@dataclass(frozen=True)
class Source:
    """One file. `delimiter` and `encoding` are those of a CSV."""

    path: Path
    delimiter: str = ","
    encoding: str = "utf-8"

    @property
    def ending(self) -> str:
        """Of ENDINGS. Raises EventLogError for a missing or foreign file."""
        if not self.path.is_file():
            raise EventLogError(f"{self.path}: no such file")
        found = [ending for ending in ENDINGS if self.path.name.lower().endswith(ending)]
        if not found:
            raise EventLogError(f"{self.path}: unknown ending {self.path.suffix!r}; allowed: {', '.join(ENDINGS)}")
        return max(found, key=len)

    @property
    def stem(self) -> str:
        return self.path.name[: -len(self.ending)]

    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def columns(self) -> list[str]:
        """The names of all columns; a JSONL is read to its end for them. Raises EventLogError."""
        with self._failing_clearly():
            if self.ending == ".parquet":
                return self._unique(pa.parquet.read_schema(self.path).names)
            if self.ending.startswith(".csv"):
                return self._unique(self._header())
            return self._unique(list(dict.fromkeys(name for batch in self.batches() for name in batch.columns)))

    def batches(self) -> Iterator[Batch]:
        """All rows in order. Raises EventLogError for a file that is cut or of another format."""
        with self._failing_clearly():
            kind = self.ending.split(".")[1]
            yield from {"parquet": self._parquet, "csv": self._csv, "jsonl": self._jsonl}[kind]()

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, EOFError, UnicodeError, LookupError, csv.Error, zlib.error) as error:
            kind = self.ending.split(".")[1]
            fix = "; another encoding than utf-8 is named in the mapping" if "UTF8" in str(error) else ""
            raise EventLogError(f"{self.path}: cannot be read as {kind}: {error}{fix}") from None

    @property
    def _gzipped(self) -> bool:
        return self.ending.endswith(".gz")

    def _open(self) -> gzip.GzipFile | BufferedReader:
        return gzip.open(self.path, "rb") if self._gzipped else self.path.open("rb")

    def _header(self) -> list[str]:
        with self._open() as file:
            first = (line.decode(self.encoding).removeprefix("\ufeff") for line in file)
            return next(csv.reader(first, delimiter=self.delimiter), [])

    def _unique(self, names: Sequence[str]) -> list[str]:
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if not names:
            raise EventLogError(f"{self.path}: holds no rows")
        if twice:
            raise EventLogError(f"{self.path}: column {twice[0]!r} comes twice; give each its own name")
        return list(names)

    def _parquet(self) -> Iterator[Batch]:
        number = 1
        with pa.parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = {name: _in_micros(batch.column(name)) for name in batch.schema.names}
                yield Batch(range(number, number + batch.num_rows), columns)
                number += batch.num_rows

    def _csv(self) -> Iterator[Batch]:
        header, counted = self._header(), _Counted()
        text = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True,
                                     null_values=[""], quoted_strings_can_be_null=True)  # fmt: skip
        parse = pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=counted.skip)
        blocks = pa.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False, encoding=self.encoding)
        with (
            pa.input_stream(self.path, compression="gzip" if self._gzipped else None) as file,
            pa.csv.open_csv(file, read_options=blocks, convert_options=text, parse_options=parse) as reader,
        ):
            for block in reader:
                for batch in pa.Table.from_batches([block]).to_batches(BATCH_ROWS):
                    columns = {name: batch.column(name) for name in batch.schema.names}
                    yield Batch(*counted.count(batch.num_rows, columns))
        if counted.skipped:
            yield Batch((), {}, list(counted.skipped))

    def _jsonl(self) -> Iterator[Batch]:
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        unreadable: list[Unreadable] = []
        with self._open() as lines:
            for number, line in enumerate(lines, 1):
                row = _object(line)
                if row is not None:
                    rows.append(row)
                    numbers.append(number)
                elif line.strip():
                    text = line.decode(errors="backslashreplace").rstrip("\r\n")
                    unreadable.append(Unreadable(number, "the line is no JSON object", text))
                if len(rows) + len(unreadable) == BATCH_ROWS:
                    yield _batch_of(rows, numbers, unreadable)
                    rows, numbers, unreadable = [], [], []
        if rows or unreadable:
            yield _batch_of(rows, numbers, unreadable)


@dataclass
class _Counted:
    """Gives the rows of a CSV their numbers: Arrow leaves those out that it cannot read, and tells which they were."""

    next: int = 1
    skipped: deque[Unreadable] = field(default_factory=deque)

    def skip(self, row: Any) -> str:
        reason = f"the row has {row.actual_columns} cells, the header {row.expected_columns}"
        self.skipped.append(Unreadable(row.number - 1, reason, row.text))
        return "skip"

    def count(self, rows: int, columns: dict[str, Any]) -> tuple[Sequence[int], dict[str, Any], list[Unreadable]]:
        numbers: list[int] = []
        passed: list[Unreadable] = []
        while len(numbers) < rows:
            until = self.skipped[0].number if self.skipped else self.next + rows
            read = min(rows - len(numbers), until - self.next)
            numbers.extend(range(self.next, self.next + read))
            self.next += read
            if self.skipped and self.skipped[0].number == self.next:
                passed.append(self.skipped.popleft())
                self.next += 1
        return numbers, columns, passed


def _batch_of(rows: list[dict[str, Any]], numbers: list[int], unreadable: list[Unreadable]) -> Batch:
    names = dict.fromkeys(name for row in rows for name in row)
    return Batch(numbers, {name: [row.get(name) for row in rows] for name in names}, unreadable)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _in_micros(column: Any) -> Any:
    """Moments finer than a microsecond are cut to it; everything else stays as it is."""
    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)


def cells_of(batch: Batch, name: str) -> list[Any]:
    """A column as Python's own values; nothing but None where the batch has not got it."""
    return plain(batch.columns[name]) if name in batch.columns else [None] * len(batch.numbers)
