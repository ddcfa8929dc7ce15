"""Scoring: insights of many customers, or of journeys that were sent along, as a file; in parts that can be cut off
anywhere.

    FOLDER/order.json         what to score, as of when, by which bundle
    FOLDER/given.ndjson       the ids of the customers, or the journeys, one a line in their order
    FOLDER/parts/000012.arrow insights of lines 12 * part to 13 * part as a table; appears whole or not at all
    FOLDER/result.parquet     all parts in their order: insights/columns.py has the schema

The order fixes moment and bundle, so whoever goes on after a kill comes to the same bytes. Nobody is in it who objects
to being profiled. Knows neither jobs nor HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from models.journey.event import Micros
from service.customers import store as customers
from service.errors import Problem
from service.insights import columns
from service.insights.asked import JourneyIn, PredictionsIn, read
from service.insights.predictions import Predictions
from service.insights.reading import concluded_at
from service.insights.shape import answer_of
from service.live.bundles import Live
from service.state import State

PART = 512
"""Customers or journeys of a part: some tens of milliseconds without new words, while the worker does nothing else."""
PARTS_AT_ONCE = 8
"""Parts that make a row group of the result."""

Format = Literal["parquet", "csv"]
Given = Literal["customers", "journeys"]


@dataclass(frozen=True, slots=True)
class Order:
    """What to score. `version` and `digest` name the bundle; digest None: there was none. `part`: lines of a part."""

    given: Given
    as_of: Micros
    format: Format
    version: int
    digest: str | None
    part: int = field(default_factory=lambda: PART)


@dataclass(frozen=True)
class Scoring:
    """A folder in which something is scored."""

    folder: Path

    @classmethod
    def begin(cls, folder: Path, order: Order, lines: Iterable[bytes]) -> Scoring:
        """Take down what is to be scored; `lines` are ids or journeys as JSON."""
        made = cls(folder)
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        with written(folder / "given.ndjson") as file:
            file.writelines(line + b"\n" for line in lines)
        with written(folder / "order.json") as file:
            file.write(msgspec.json.encode(order))
        return made

    @property
    def is_begun(self) -> bool:
        return (self.folder / "order.json").exists()

    @property
    def order(self) -> Order:
        return msgspec.json.decode((self.folder / "order.json").read_bytes(), type=Order)

    @property
    def result(self) -> Path:
        return self.folder / f"result.{self.order.format}"

    def parts(self) -> Iterator[tuple[int, list[bytes]]]:
        """Each part that is not there yet: its number and its lines."""
        with (self.folder / "given.ndjson").open("rb") as file:
            number, size = 0, self.order.part
            while lines := list(islice(file, size)):
                if not self.part(number).exists():
                    yield number, lines
                number += 1

    def total(self) -> int:
        """Lines in all."""
        with (self.folder / "given.ndjson").open("rb") as file:
            return sum(1 for _ in file)

    def part(self, number: int) -> Path:
        return self.folder / "parts" / f"{number:06d}.arrow"

    def keep(self, number: int, found: pa.Table) -> None:
        """Put down a part, on the disk before it has its name."""
        with written(self.part(number)) as file, pa.ipc.new_file(file, found.schema) as parts:
            parts.write_table(found)

    def groups(self) -> Iterator[pa.Table]:
        """The rows of all parts, some parts at a time; parts in which there is nobody are left out."""
        tables = (table for path in sorted((self.folder / "parts").glob("*.arrow")) if (table := _read(path)).num_rows)
        while some := list(islice(tables, PARTS_AT_ONCE)):
            yield pa.concat_tables(some).combine_chunks()

    def clean(self) -> None:
        """What only the way to the result needed goes: of a finished job only the result is kept."""
        for path in (*(self.folder / "parts").glob("*"), self.folder / "given.ndjson"):
            path.unlink(missing_ok=True)


class written:  # noqa: N801 - reads as what it does
    """`with written(path) as file`: the file appears whole, and on the disk, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(f".{path.name}.partial")

    def __enter__(self) -> BinaryIO:
        self._file = self._partial.open("wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)


def _read(path: Path) -> pa.Table:
    with pa.ipc.open_file(path.read_bytes()) as parts:
        return parts.read_all()


def score(state: State, live: Live, order: Order, number: int, lines: Sequence[bytes]) -> pa.Table:
    """The insights of the lines of part `number` as a table; nobody's who is unknown or objects. Raises Problem for a
    wrong journey."""
    if order.given == "customers":
        ids = [str(msgspec.json.decode(line)) for line in lines]
        return columns.table_of(concluded_at(state, live, ids, order.as_of))
    journeys = [read(line, JourneyIn) for line in lines]
    given = PredictionsIn([
        one if one.customer_id else msgspec.structs.replace(one, customer_id=f"journey-{place}")
        for place, one in enumerate(journeys, number * order.part)
    ])  # fmt: skip
    (found,) = Predictions(state).predict_at(live, given, order.as_of)
    if isinstance(found, Problem):
        raise found
    told = [answer_of(one, None) for one in found]
    return columns.table(columns.definitions_of(told[0]), told)


def all_customers(state: State, batch: int = 5_000) -> Iterator[str]:
    """The ids of everybody who is known, in order."""
    last = ""
    while True:
        with state.service.read() as connection:
            found = customers.ids_after(connection, last, batch)
        if not found:
            return
        yield from found
        last = found[-1]


def as_lines(values: Iterable[Any]) -> Iterator[bytes]:
    """Each as a line of JSON."""
    return map(msgspec.json.encode, values)


class Combining:
    """Puts the parts of a scoring together, a group of rows a step. Cut off, it begins anew: the parts are there."""

    def __init__(self, scoring: Scoring) -> None:
        self._order, self._groups = scoring.order, scoring.groups()
        first = next(scoring.groups(), None)
        shape = columns.schema([]) if first is None else first.schema
        self._written = written(scoring.result)
        self._file = self._written.__enter__()
        self.rows = 0
        if self._order.format == "csv":
            self._file.write(columns.csv_of(pa.table({name: [name] for name in shape.names})).encode())
        else:
            self._parquet = pa.parquet.ParquetWriter(self._file, shape, compression="zstd")

    def step(self) -> bool:
        """The next group; False when all are there, and the result with them."""
        group = next(self._groups, None)
        if group is None:
            self.close()
            return False
        if self._order.format == "csv":
            self._file.write(columns.csv_of(group).encode())
        else:
            self._parquet.write_table(group)
        self.rows += group.num_rows
        return True

    def close(self, error: BaseException | None = None) -> None:
        if self._order.format == "parquet":
            self._parquet.close()
        self._written.__exit__(None if error is None else type(error))
