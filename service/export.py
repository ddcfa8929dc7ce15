"""`python -m service export`: events, feedback, verdicts, conclusions and forecasts as of a moment, as Parquet files.

Nothing of customers who object to being profiled now is in it, whatever the moment.
The folder appears whole or not at all. Training reads it; nothing of it is read back here.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from models.journey.event import Event, Micros
from models.journey.eventlog import write_events
from service.customers import handed_out
from service.customers.consent import objectors
from service.customers.store import feedback_rows
from service.errors import Conflict
from service.events import projector
from service.events.store import events_until
from service.events.words import as_shown
from service.forecasts.store import forecast_rows
from service.insights.conclude import moment
from service.insights.store import conclusion_rows
from service.promises.store import history
from service.reviews.store import verdict_rows
from service.state import State

_TEXT, _TIME = pa.string(), pa.timestamp("us", tz="UTC")
ROWS_PER_GROUP = 50_000
EVENTS_AT_ONCE = 5_000

FEEDBACK = pa.schema(
    [
        ("feedback_id", _TEXT), ("customer_id", _TEXT), ("said_at", _TIME), ("known_at", _TIME), ("channel", _TEXT),
        ("text", _TEXT), ("rating", pa.int8()), ("language", _TEXT),
    ]
)  # fmt: skip
VERDICTS = pa.schema(
    [
        ("verdict_id", _TEXT), ("feedback_id", _TEXT), ("customer_id", _TEXT), ("said_at", _TIME), ("channel", _TEXT),
        ("text", _TEXT), ("rating", pa.int8()), ("answer", _TEXT), ("emotions", pa.list_(_TEXT)),
        ("intensity", pa.int8()), ("note", _TEXT), ("reviewer", _TEXT), ("claimed_at", _TIME), ("decided_at", _TIME),
        ("conclusion_id", _TEXT), ("model_answer", _TEXT), ("model_confidence", pa.float64()),
        ("model_answer_shown", pa.bool_()), ("guideline_version", _TEXT), ("version", pa.int64()), ("digest", _TEXT),
        ("flags", pa.list_(_TEXT)), ("chance_of_review", pa.float64()), ("given_as", _TEXT),
        ("given_with", _TEXT), ("policy_digest", _TEXT), ("drawn", pa.bool_()),
    ]
)  # fmt: skip
CONCLUSIONS = pa.schema(
    [
        ("conclusion_id", _TEXT), ("customer_id", _TEXT), ("kind", _TEXT), ("subject", _TEXT), ("version", pa.int64()),
        ("digest", _TEXT), ("concluded_at", _TIME), ("decision", _TEXT), ("decided_by", _TEXT), ("stored", _TEXT),
        ("superseded_at", _TIME), ("policy_digest", _TEXT), ("chance_of_review", pa.float64()), ("drawn", pa.bool_()),
    ]
)  # fmt: skip

FORECASTS = pa.schema(
    [
        ("customer_id", _TEXT), ("definition", _TEXT), ("target", _TEXT), ("version", pa.int64()), ("digest", _TEXT),
        ("policy_digest", _TEXT), ("made_at", _TIME), ("due_at", _TIME), ("probability", pa.float64()),
        ("low", pa.float64()), ("high", pa.float64()), ("decision", _TEXT), ("channel", _TEXT), ("stage", _TEXT),
        ("features", pa.map_(_TEXT, pa.float32())), ("happened", pa.bool_()), ("checked_at", _TIME),
    ]
)  # fmt: skip


PROMISES = pa.schema(
    [
        ("kind", _TEXT), ("group", _TEXT), ("digest", _TEXT), ("what", _TEXT), ("at", _TIME), ("by", _TEXT),
        ("why", _TEXT), ("good_until", _TIME),
    ]
)  # fmt: skip


def export(state: State, folder: Path, as_of: Micros | None = None) -> dict[str, int]:
    """Write the folder, as of now if no moment is given; says how many rows each file holds.

    Raises Conflict where the folder exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} exists and is not empty.", "Name a new folder.", code="folder_taken", field="DIR",
                       value=str(folder))  # fmt: skip
    projector.fold_all(state)
    if as_of is None:
        with state.service.read() as connection:
            as_of = moment(connection, state)
    folder.parent.mkdir(parents=True, exist_ok=True)
    export_id = state.ids()
    partial = folder.with_name(f".{folder.name}.{export_id}.partial")
    begun = handed_out.Export(export_id, folder, state.clock(), as_of, {})
    _write_down(state, begun)  # before it holds anything: an erasure meanwhile must know of it
    partial.mkdir()
    try:
        rows = _write_all(state, partial, as_of)
        _write_down(state, replace(begun, digests={path.stem: _sha256(path) for path in partial.iterdir()}))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return rows


def _write_down(state: State, export: handed_out.Export) -> None:
    with state.service.write() as connection:
        handed_out.record(connection, export)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_all(state: State, folder: Path, as_of: Micros) -> dict[str, int]:
    window = state.settings.repeat_window
    with state.service.read() as connection:
        gone = objectors(connection)

    def kept(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        return (row for row in rows if not gone.are(row["customer_id"]))

    said = (
        {**asdict(one.feedback), "language": one.language} for one in feedback_rows(state.service, as_of, window)
    )  # fmt: skip
    return {
        "events": write_events(folder / "events.parquet", (one for one in _events(state, as_of) if not gone.did(one)),
                               state.settings.identity),
        "feedback": _write(folder / "feedback.parquet", FEEDBACK, kept(said)),
        "verdicts": _write(folder / "verdicts.parquet", VERDICTS, kept(_verdicts(state, as_of))),
        "readings": _write(folder / "readings.parquet", VERDICTS, kept(_verdicts(state, as_of, final=False))),
        "conclusions": _write(folder / "conclusions.parquet", CONCLUSIONS, kept(conclusion_rows(state.service, as_of))),
        "promises": _write(folder / "promises.parquet", PROMISES, _promises(state, as_of)),
        "forecasts": _write(folder / "forecasts.parquet", FORECASTS, kept(forecast_rows(state.service, as_of))),
    }  # fmt: skip


def _events(state: State, as_of: Micros) -> Iterator[Event]:
    """With their words as they may be shown."""
    source = events_until(state.log, as_of)
    while some := list(islice(source, EVENTS_AT_ONCE)):
        with state.log.read() as connection:
            yield from as_shown(connection, some, state.masking)


def _verdicts(state: State, as_of: Micros, *, final: bool = True) -> Iterator[Mapping[str, Any]]:
    with state.service.read() as connection:
        yield from verdict_rows(connection, as_of, final=final)


def _promises(state: State, as_of: Micros) -> Iterator[Mapping[str, Any]]:
    """What happened to promises; nothing of any customer."""
    with state.service.read() as connection:
        for one in history(connection):
            if one.at <= as_of:
                told = {name: getattr(one, name) for name in ("kind", "group", "digest", "what", "at", "by", "why")}
                yield {**told, "good_until": one.since}


def _write(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
    """Columns of the schema, in groups of rows, so that memory stays flat."""
    source, written = iter(rows), 0
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(source, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
            written += len(group)
    return written
