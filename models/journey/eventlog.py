"""The event log as a file: a table's rows read as a stream of events, and events written as Parquet.

Columns with other names are mapped; columns nobody claims become properties. Resolves no identity, builds no journeys.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from models.journey.claims import DEFAULT, SPLIT, Rules
from models.journey.event import EARLIEST, KINDS, LATEST, SECOND, Event, Micros, micros, parse_time
from models.journey.table import BATCH_ROWS, Columns, EventLogError, Table, plain

__all__ = ["ALIASES", "COLUMNS", "SCHEMA", "EventLogError", "Table", "read_events", "read_rules",
           "write_events"]  # fmt: skip

COLUMNS = (
    "message_id", "type", "event", "user_id", "anonymous_id", "previous_id", "occurred_at", "received_at",
    "properties", "context",
)  # fmt: skip
ALIASES = {
    "customer_id": "user_id", "userId": "user_id", "anonymousId": "anonymous_id", "messageId": "message_id",
    "timestamp": "occurred_at", "receivedAt": "received_at", "value": "properties.value",
}  # fmt: skip
"""What many exports call these columns; `--map` adds to it and wins over it."""

SCHEMA = pa.schema(
    [
        ("message_id", pa.string()), ("type", pa.string()), ("event", pa.string()), ("user_id", pa.string()),
        ("anonymous_id", pa.string()), ("previous_id", pa.string()), ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("received_at", pa.timestamp("us", tz="UTC")), ("properties", pa.string()), ("context", pa.string()),
    ]
)  # fmt: skip
_RULES = b"journey.identity"
_DECODER = msgspec.json.Decoder(dict[str, Any])


def read_events(path: Path, mapping: Mapping[str, str] | None = None) -> Iterator[Event]:
    """Stream a log's events. `mapping` is {our column: the file's column}; "properties.x" is a column of ours too.

    Without `message_id` the row number is the id; without `received_at` an event is known as it occurs; without `type`
    it is a track. An empty cell says nothing. Numbers as times are seconds since 1970. Raises EventLogError naming
    file, row and column.
    """
    plan: _Plan | None = None
    rows = 0
    for batch in Table(path).columns():
        if plan is None:
            plan = _plan(path, list(batch), mapping or {})
        elif not set(batch) <= set(plan.columns):  # only JSONL may come with further columns on the way
            plan = _plan(path, list(dict.fromkeys([*plan.columns, *batch])), mapping or {})
        size = len(next(iter(batch.values()), ()))
        yield from _events(path, rows, size, batch, plan)
        rows += size
    if not rows:
        raise EventLogError(f"{path}: holds no rows")


def read_rules(path: Path) -> Rules:
    """Who is who in this log, as whoever wrote it decided; the usual rules where the file says nothing of it."""
    try:
        said = (pa.parquet.read_schema(path).metadata or {}).get(_RULES) if path.suffix == ".parquet" else None
        return Rules.from_dict(msgspec.json.decode(said)) if said else DEFAULT
    except (pa.ArrowException, OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return DEFAULT  # what is wrong with the file is told where its events are read


def write_events(path: Path, events: Iterable[Event], rules: Rules = DEFAULT) -> int:
    """Write events as Parquet in the canonical columns, with the rules of who is who beside them; returns how many.

    The file appears whole or not at all.
    """
    schema = SCHEMA.with_metadata({_RULES: msgspec.json.encode(rules.to_dict())})
    rows = 0
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        with pa.parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            stream = iter(events)
            while batch := [_row(event) for event in islice(stream, BATCH_ROWS)]:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                rows += len(batch)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return rows


@dataclass(frozen=True)
class _Plan:
    """Which of the file's columns is which of ours: (ours, the file's); a column may be two of ours."""

    columns: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def _plan(path: Path, columns: Sequence[str], mapping: Mapping[str, str]) -> _Plan:
    """The mapping wins over our own names, these over aliases; what nobody claims is a property."""
    for ours, theirs in mapping.items():
        if ours not in COLUMNS and not ours.startswith(("properties.", "context.")):
            allowed = f"{', '.join(COLUMNS)}, properties.*, context.*"
            raise EventLogError(f"cannot map to {ours!r}{_meant(ours, COLUMNS)}; allowed: {allowed}")
        if theirs not in columns:
            raise EventLogError(f"{path}: no column {theirs!r}{_meant(theirs, columns)}; it has {', '.join(columns)}")
    chosen = dict(mapping)
    free = [column for column in columns if column not in mapping.values()]
    for names in (dict(zip(COLUMNS, COLUMNS, strict=True)), ALIASES, {name: f"properties.{name}" for name in free}):
        for column in free:
            if column in names and names[column] not in chosen and column not in chosen.values():
                chosen[names[column]] = column
    for needed, where in (("occurred_at", {"occurred_at"}), ("user_id or anonymous_id", {"user_id", "anonymous_id"})):
        if not where & set(chosen):
            fix = f"name it with --map {needed.split()[0]}=COLUMN"
            raise EventLogError(f"{path}: no column for {needed}; it has {', '.join(columns)}; {fix}")
    return _Plan(tuple(columns), tuple(chosen.items()))


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _events(path: Path, before: int, size: int, batch: Columns, plan: _Plan) -> Iterator[Event]:
    """The events of one batch, whose first row is number `before` + 1 of the file."""
    cells: dict[str, Any] = {ours: batch[theirs] for ours, theirs in plan.pairs if theirs in batch}
    nothing = [None] * size
    occurred = _moments(path, before, "occurred_at", cells.pop("occurred_at", nothing))
    received = _moments(path, before, "received_at", cells.pop("received_at", nothing))
    own = [plain(cells.pop(name, nothing)) for name in COLUMNS if name not in ("occurred_at", "received_at")]
    single = {head: _singles(head, cells) for head in ("properties", "context")}
    stem = path.stem
    for number, row in enumerate(zip(*own, occurred, received, strict=True), before + 1):
        message_id, kind, name, user_id, anonymous_id, previous_id, properties, context, occurred_at, received_at = row
        if occurred_at is None:
            raise EventLogError(f"{path}: row {number}: occurred_at is empty")
        event = Event(
            message_id=_text(message_id) or f"{stem}-{number:09d}",
            kind=_text(kind) or "track",
            name=_text(name) or "",
            user_id=_text(user_id),
            anonymous_id=_text(anonymous_id),
            occurred_at=occurred_at,
            received_at=occurred_at if received_at is None else received_at,
            properties=_mapping(path, number, "properties", properties, single["properties"], number - before - 1),
            context=_mapping(path, number, "context", context, single["context"], number - before - 1),
            previous_id=_text(previous_id),
        )
        _check_event(path, number, event)
        yield event


def _singles(head: str, cells: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """The columns that each hold one property (or one value of the context), by its name."""
    return [(ours[len(head) + 1 :], plain(column)) for ours, column in cells.items() if ours.startswith(head + ".")]


def _check_event(path: Path, number: int, event: Event) -> None:
    if event.kind == SPLIT:
        return
    if event.kind not in KINDS:
        fix = "or keep the column as a property with --map properties.type=type"
        raise EventLogError(f"{path}: row {number}: type {event.kind!r}; allowed: {', '.join(KINDS)}; {fix}")
    if event.user_id is None and event.anonymous_id is None:
        raise EventLogError(
            f"{path}: row {number}: user_id and anonymous_id are both empty; an event needs one of them"
        )


def _text(cell: Any) -> str | None:
    if type(cell) is str:  # the usual case first: this runs for every cell
        return cell or None
    return None if cell is None else str(cell) or None


def _moments(path: Path, before: int, column: str, cells: Any) -> list[Micros | None]:
    """A column of times as microseconds: all at once where Arrow can read them, else one by one to name the row."""
    found = _moments_at_once(cells)
    if found is not None:
        return found
    try:
        ones = plain(cells)
    except (ValueError, OverflowError) as error:
        raise EventLogError(f"{path}: after row {before}: {column}: {error}") from None
    return [_moment(path, number, column, cell) for number, cell in enumerate(ones, before + 1)]


def _moments_at_once(cells: Any) -> list[Micros | None] | None:
    for zone in (None, "UTC"):
        try:
            array = cells if isinstance(cells, pa.Array) else pa.array(cells)
            kind = array.type
            if not (pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind)):
                return None
            micros_of = array.cast(pa.timestamp("us", tz=zone)).cast(pa.int64())
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            continue
        ends = pa.compute.min_max(micros_of)
        if ends["min"].as_py() is None or EARLIEST <= ends["min"].as_py() <= ends["max"].as_py() <= LATEST:
            found: list[Micros | None] = micros_of.to_pylist()
            return found
    return None


def _moment(path: Path, number: int, column: str, cell: Any) -> Micros | None:
    if cell is None or cell == "":
        return None
    try:
        if isinstance(cell, datetime):
            return micros(cell if cell.tzinfo else cell.replace(tzinfo=UTC))
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            moment = round(cell * SECOND)
            if not EARLIEST <= moment <= LATEST:
                raise ValueError(f"{cell!r:.40} seconds since 1970 lie outside the years 1 to 9999")
            return moment
        return parse_time(str(cell))
    except (ValueError, OverflowError) as error:
        raise EventLogError(f"{path}: row {number}: {column}: {error}") from None


def _mapping(
    path: Path, number: int, column: str, cell: Any, single: Sequence[tuple[str, list[Any]]], index: int
) -> dict[str, Any]:
    """A cell of JSON, and the columns that hold one value each; these win, where they say something."""
    found: dict[str, Any] = {}
    if cell is not None and cell != "":
        try:
            found = _DECODER.decode(cell) if isinstance(cell, str) else dict(cell)
        except (ValueError, TypeError, RecursionError):
            raise EventLogError(f"{path}: row {number}: {column} is no JSON object") from None
    for name, cells in single:
        if cells[index] is not None and cells[index] != "":
            found[name] = cells[index]
    return found


def _row(event: Event) -> dict[str, Any]:
    return {
        "message_id": event.message_id, "type": event.kind, "event": event.name, "user_id": event.user_id,
        "anonymous_id": event.anonymous_id, "previous_id": event.previous_id, "occurred_at": event.occurred_at,
        "received_at": event.received_at, "properties": msgspec.json.encode(event.properties).decode(),
        "context": msgspec.json.encode(event.context).decode(),
    }  # fmt: skip
