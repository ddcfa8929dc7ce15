"""A public insight as one row of a table, its names flattened with dots: `purchase.car_purchase.answer`.

The one schema of every file of insights, Parquet and CSV. Lists are lists in Parquet and one text in CSV, with blanks
between. Rows come from answers as they are stored (`table`), or from what was concluded of many, which is in columns
already (`table_of`). Reads no database.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from models.concluded import Concluded
from models.decided import Decided, NextTouchpoints, Purchases
from models.insight import JourneySummary, probabilities
from models.journey.event import format_duration, format_time, parse_time

Json: TypeAlias = Mapping[str, Any]

_TEXT, _NUMBER, _WHOLE, _TRUTH = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_MOMENT, _TEXTS = pa.timestamp("us", tz="UTC"), pa.list_(pa.string())
_JOURNEY = {
    "touchpoints": _WHOLE, "first_at": _MOMENT, "last_at": _MOMENT, "stage": _TEXT, "last_channel": _TEXT,
    "preferred_channel": _TEXT, "channel_preference.basis": _TEXT, "channel_preference.confidence": _NUMBER,
}  # fmt: skip
_DECIDED = {"decision": _TEXT, "decided_by": _TEXT, "flags": _TEXTS}
_PROMISED = {"confidence": _NUMBER, "promise.standing": _TRUTH}
_NEXT = {
    **_DECIDED, "answer": _TEXT, "prediction_set": _TEXTS, "none_within_horizon": _NUMBER, "horizon": _TEXT,
    "expected_in.p10": _TEXT, "expected_in.p50": _TEXT, "expected_in.p90": _TEXT, **_PROMISED,
}  # fmt: skip
_PURCHASE = {
    "horizon": _TEXT, **_DECIDED, "answer": _NUMBER, "interval.low": _NUMBER, "interval.high": _NUMBER,
    "base_rate": _NUMBER, **_PROMISED,
}  # fmt: skip
_FEELING = {
    "feedback_id": _TEXT, "said_at": _MOMENT, "channel": _TEXT, **_DECIDED, "answer": _TEXT, "intensity.mean": _NUMBER,
    "intensity.spread": _NUMBER, **_PROMISED,
}  # fmt: skip


def schema(definitions: Sequence[str]) -> pa.Schema:
    """The columns for insights that tell of these targets, in their order.

    >>> schema(["car_purchase"]).field("purchase.car_purchase.answer").type
    DataType(double)
    """
    columns = {"customer_id": _TEXT, "as_of": _MOMENT, "model.version": _WHOLE, "model.digest": _TEXT}
    columns |= _under("journey", _JOURNEY) | _under("next_touchpoint", _NEXT)
    for one in definitions:
        columns |= _under(f"purchase.{one}", _PURCHASE)
    return pa.schema(list((columns | _under("feeling", _FEELING)).items()))


def row(insight: Json) -> dict[str, Any]:
    """Every value of a public insight by the name of its column; moments as they are told, lists as lists.

    >>> told = row({"customer_id": "c1", "purchase": [{"definition": "car", "answer": 0.3, "interval": [0.2, 0.4]}]})
    >>> told["purchase.car.answer"], told["purchase.car.interval.high"]
    (0.3, 0.4)
    """
    flat: dict[str, Any] = {}
    _flatten("", {name: part for name, part in insight.items() if name != "purchase"}, flat)
    for one in insight.get("purchase", ()):
        _flatten(f"purchase.{one['definition']}.", one, flat)
    return flat


def write_parquet(sink: Any, definitions: Sequence[str], batches: Iterable[Sequence[Json]]) -> int:
    """Write public insights, a row group for each batch; says how many."""
    written = 0
    with pa.parquet.ParquetWriter(sink, schema(definitions)) as writer:
        for batch in batches:
            writer.write_table(table(definitions, batch))
            written += len(batch)
    return written


def table(definitions: Sequence[str], insights: Sequence[Json]) -> pa.Table:
    """Public insights as columns of the schema."""
    shape = schema(definitions)
    kinds = dict(zip(shape.names, shape.types, strict=True))
    rows = [_timed(row(one), kinds) for one in insights]
    return pa.Table.from_arrays([pa.array([one.get(field.name) for one in rows], field.type) for field in shape],
                                schema=shape)  # fmt: skip


def table_of(found: Concluded) -> pa.Table:
    """The same table from what was concluded, without a row being made."""
    definitions = [str(one.ways[0].about["definition"]) for one in found.purchases if one.ways]
    model, shape = found.model.to_dict(), schema(definitions)
    columns = {"customer_id": found.customers, "as_of": _of(found.as_of, _MOMENT)}
    columns |= {f"model.{name}": [model[name]] * len(found) for name in ("version", "digest")}
    columns |= _under("journey", _summaries(found.journeys))
    columns |= _under("next_touchpoint", _answers(found.following, _NEXT))
    for name, one in zip(definitions, found.purchases, strict=False):
        columns |= _under(f"purchase.{name}", _answers(one, _PURCHASE))
    columns |= _under("feeling", _answers(found.feelings, _FEELING))
    return pa.table([_typed(columns[field.name], field.type) for field in shape], schema=shape)


def _summaries(given: Sequence[JourneySummary]) -> dict[str, Any]:
    prefers = [one.channel_preference or {} for one in given]
    return {
        "touchpoints": [one.touchpoints for one in given],
        "first_at": [one.first_at for one in given],
        "last_at": [one.last_at for one in given],
        "stage": [one.stage for one in given],
        "last_channel": [one.last_channel for one in given],
        "preferred_channel": [one.preferred_channel for one in given],
        "channel_preference.basis": [one.get("basis") for one in prefers],
        "channel_preference.confidence": [one.get("confidence") for one in prefers],
    }


def _answers(given: Decided, kinds: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """What hangs on how an answer is decided is made once for each way; the numbers are there in columns."""
    ways = [_timed(_flat(one.to_dict()), kinds) for one in given.ways]
    way = _of(given.way, _WHOLE)
    columns = {name: _typed([one.get(name) for one in ways], kind).take(way) for name, kind in kinds.items()}
    return columns | {name: _where(there, value) for name, (there, value) in _numbers(given).items()}


def _numbers(given: Decided) -> dict[str, tuple[NDArray[np.bool_], pa.Array]]:
    """Columns that differ from row to row, each with where it is told."""
    released, shown = given.released, given.shown
    if isinstance(given, Purchases):
        low, high, confidence = given.told()
        told = {"interval.low": low, "interval.high": high, "confidence": confidence}
        numbers = {name: (shown, _of(one, _NUMBER)) for name, one in told.items()}
        return numbers | {"answer": (released, _of(given.answer, _NUMBER))}
    if not isinstance(given, NextTouchpoints):
        return {}
    names, first = pa.array(given.touchpoints, _TEXT), given.order[:, 0]
    inside = np.take_along_axis(given.inside, given.order, axis=1)
    ends = [0, *np.cumsum(inside.sum(axis=1)).tolist()]
    sets = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), names.take(_of(given.order[inside], _WHOLE)))
    highest = np.take_along_axis(given.chance, first[:, None], axis=1)[:, 0]
    expected = zip(("p10", "p50", "p90"), given.expected.T.tolist(), strict=True)
    return {
        "answer": (released, names.take(_of(first, _WHOLE))),
        "prediction_set": (shown, sets),
        "none_within_horizon": (shown, pa.array(probabilities(given.none))),
        "confidence": (shown, pa.array(probabilities(highest))),
        **{f"expected_in.{name}": (shown, pa.array(list(map(format_duration, one)), _TEXT)) for name, one in expected},
    }


def _where(there: NDArray[np.bool_], values: pa.Array) -> pa.Array:
    rows = [row if told else None for row, told in enumerate(there.tolist())]
    return values if there.all() else values.take(pa.array(rows, _WHOLE))


def _typed(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _of(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """A column of 64 bits a value, without a copy."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def csv_of(table: pa.Table) -> str:
    """A table's rows as CSV, without a header."""
    cells = [_cells(table.column(name)) for name in table.schema.names]
    return _csv(list(zip(*cells, strict=True)))


def _cells(column: pa.ChunkedArray) -> list[Any]:
    if column.type == _MOMENT:
        return [None if one is None else format_time(one) for one in column.cast(_WHOLE).to_pylist()]
    return [_text(one) for one in column.to_pylist()]


def csv_lines(definitions: Sequence[str], batches: Iterable[Sequence[Json]]) -> Iterator[str]:
    """The header, then public insights batch by batch, as CSV (RFC 4180, null is empty)."""
    names = schema(definitions).names
    yield _csv([names])
    for batch in batches:
        yield _csv([_text(flat.get(name)) for name in names] for flat in map(row, batch))


def definitions_of(insight: Json) -> list[str]:
    """The targets that an insight tells of."""
    return [one["definition"] for one in insight["purchase"]]


def _under(above: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{above}.{name}": kind for name, kind in columns.items()}


def _flat(given: Json) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    _flatten("", given, flat)
    return flat


def _timed(flat: dict[str, Any], kinds: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """With moments as microseconds."""
    read = {name: parse_time(flat[name]) for name, kind in kinds.items() if kind == _MOMENT and flat.get(name)}
    return flat | read


def _flatten(above: str, given: Json, flat: dict[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, Mapping):
            _flatten(f"{above}{name}.", value, flat)
        elif name == "interval" and value is not None:
            flat[f"{above}interval.low"], flat[f"{above}interval.high"] = value
        elif name == "flags":
            flat[f"{above}flags"] = [one["code"] for one in value]
        else:
            flat[f"{above}{name}"] = value


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    written = StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
