"""A public insight as one row of a table, its names flattened with dots: `purchase.car_purchase.answer`.

The one schema of every file of insights, Parquet and CSV. Lists are lists in Parquet and one text in CSV, with blanks
between. Reads no database.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet

from models.journey.event import parse_time

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
    shape, rows = schema(definitions), [row(one) for one in insights]
    for name in [field.name for field in shape if field.type == _MOMENT]:
        for one in rows:
            if one.get(name) is not None:
                one[name] = parse_time(one[name])
    return pa.Table.from_arrays([pa.array([one.get(field.name) for one in rows], field.type) for field in shape],
                                schema=shape)  # fmt: skip


def csv_lines(definitions: Sequence[str], batches: Iterable[Sequence[Json]]) -> Iterator[str]:
    """The header, then public insights batch by batch, as CSV (RFC 4180, null is empty)."""
    names = schema(definitions).names
    yield _csv([names])
    for batch in batches:
        yield _csv([_text(flat.get(name)) for name in names] for flat in map(row, batch))


def definitions_of(insight: Json) -> list[str]:
    """The targets that an insight tells of."""
    return [one["definition"] for one in insight["purchase"]]


def _under(above: str, columns: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    return {f"{above}.{name}": kind for name, kind in columns.items()}


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
