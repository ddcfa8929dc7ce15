"""A file of rows, Parquet, CSV or JSONL, as batches of columns. Says which file and line cannot be read.

Knows nothing of events: what a column means is eventlog.py's part.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

_SUFFIXES = (".parquet", ".csv", ".jsonl")
BATCH_ROWS = 50_000
_BLOCK_BYTES = 16 * 2**20
"""A row of CSV must fit in a block: enough for texts of several million characters."""

Columns: TypeAlias = dict[str, Any]
"""A batch: {the file's column: an Arrow array or a list}, all of one length."""


class EventLogError(ValueError):
    """A file cannot be read as a log; the message names file, row, column, value and what to do."""


@dataclass(frozen=True)
class Table:
    """A file's rows in batches, whatever its format; what it says is not yet looked at."""

    path: Path

    def columns(self) -> Iterator[Columns]:
        """Batches as columns. Raises EventLogError for a missing, empty, cut or foreign file."""
        ending = self.path.suffix.lower()
        if not self.path.is_file():
            raise EventLogError(f"{self.path}: no such file")
        if ending not in _SUFFIXES:
            raise EventLogError(f"{self.path}: unknown ending {self.path.suffix!r}; allowed: {', '.join(_SUFFIXES)}")
        try:
            yield from {".parquet": self._parquet, ".csv": self._csv, ".jsonl": self._jsonl}[ending]()
        except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
            raise EventLogError(f"{self.path}: cannot be read as {ending[1:]}: {error}") from None

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Batches of plain dictionaries."""
        for batch in self.columns():
            cells = [plain(column) for column in batch.values()]
            yield [dict(zip(batch, row, strict=True)) for row in zip(*cells, strict=True)]

    def rows(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches():
            yield from batch

    def _parquet(self) -> Iterator[Columns]:
        with pa.parquet.ParquetFile(self.path) as file:
            self._check(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield {name: _in_micros(batch.column(name)) for name in batch.schema.names}

    def _csv(self) -> Iterator[Columns]:
        header = self._header()
        self._check(header)
        text = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True,
                                     null_values=[""], quoted_strings_can_be_null=True)  # fmt: skip
        parse, blocks = pa.csv.ParseOptions(newlines_in_values=True), pa.csv.ReadOptions(block_size=_BLOCK_BYTES)
        with pa.csv.open_csv(self.path, read_options=blocks, convert_options=text, parse_options=parse) as reader:
            for block in reader:
                for batch in pa.Table.from_batches([block]).to_batches(BATCH_ROWS):
                    yield {name: batch.column(name) for name in batch.schema.names}

    def _header(self) -> list[str]:
        with self.path.open(encoding="utf-8-sig", newline="") as lines:
            return next(csv.reader(lines), [])

    def _check(self, names: Sequence[str]) -> None:
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise EventLogError(f"{self.path}: column {twice[0]!r} comes twice; give each its own name")

    def _jsonl(self) -> Iterator[Columns]:
        for batch in self._json_rows():
            names = dict.fromkeys(name for row in batch for name in row)
            yield {name: [row.get(name) for row in batch] for name in names}

    def _json_rows(self) -> Iterator[list[dict[str, Any]]]:
        batch: list[dict[str, Any]] = []
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = msgspec.json.decode(line)
                except (msgspec.DecodeError, RecursionError) as error:
                    raise EventLogError(f"{self.path}: line {number} is no JSON: {error}") from None
                if not isinstance(row, dict):
                    raise EventLogError(f"{self.path}: line {number} is no JSON object")
                batch.append(row)
                if len(batch) == BATCH_ROWS:
                    yield batch
                    batch = []
        if batch:
            yield batch


def plain(column: Any) -> list[Any]:
    """The cells of a column as Python's own values."""
    cells: list[Any] = column if isinstance(column, list) else column.to_pylist()
    return cells


def _in_micros(column: Any) -> Any:
    """Moments finer than a microsecond are cut to it; everything else stays as it is."""
    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
