"""The log as a file: three formats, one meaning; wrong files are named, and nothing is half written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import EARLIEST, KINDS, LATEST, Event
from models.journey.eventlog import EventLogError, Table, read_events, write_events

JSON = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.builds(
    Event,
    message_id=st.text(min_size=1),
    kind=st.sampled_from(KINDS),
    name=st.text(),
    user_id=st.text(min_size=1),
    anonymous_id=st.none() | st.text(min_size=1),
    occurred_at=st.integers(EARLIEST, LATEST),
    received_at=st.integers(EARLIEST, LATEST),
    properties=st.dictionaries(st.text(), JSON, max_size=3),
    context=st.dictionaries(st.text(), JSON, max_size=2),
    previous_id=st.none() | st.text(min_size=1),
)
CELL = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n"), max_size=12)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": CELL.map(lambda text: f"c{text}"),
            "timestamp": st.sampled_from(
                ("2026-01-02", "2026-01-02 03:04:05", "2026-01-02T03:04:05.5", "2026-01-02T03Z")
            ),
            "event": CELL,
            "channel": CELL,
            "value": st.sampled_from(("", "12.50", "free")),
        }
    ),
    min_size=1,
    max_size=6,
)


def save(folder: Path, ending: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"log.{ending}"
    if ending == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_events_written_and_read_are_the_same(folder: Path, log: list[Event]) -> None:
    path = folder / "round.parquet"
    assert write_events(path, log) == len(log)
    assert list(read_events(path)) == log


@given(ROWS)
def test_the_same_rows_give_equal_events_in_every_format(folder: Path, rows: list[dict[str, Any]]) -> None:
    read = [list(read_events(save(folder, ending, rows))) for ending in ("csv", "jsonl", "parquet")]
    assert read[0] == read[1] == read[2]
    assert len(read[0]) == len(rows)


def one(path: Path, mapping: dict[str, str] | None = None) -> Event:
    (event,) = read_events(path, mapping)
    return event


def test_a_plain_export_needs_no_mapping(tmp_path: Path) -> None:
    row = {"customer_id": "00004", "timestamp": "2021-01-01", "event": "purchase", "value": "29.33", "note": ""}
    event = one(save(tmp_path, "csv", [row]))
    assert event == Event(
        "log-000000001", "track", "purchase", "00004", None, 1609459200000000, 1609459200000000, {"value": "29.33"}
    )


def test_mapped_columns_win_and_one_column_may_be_two_of_ours(tmp_path: Path) -> None:
    row = {"user_id": "shop", "who": "u1", "when": "2021-01-01", "kind": "Visit", "type": "gold", "ip": "::1"}
    mapping = {
        "user_id": "who", "occurred_at": "when", "event": "kind", "properties.channel": "kind",
        "properties.type": "type", "context.ip": "ip",
    }  # fmt: skip
    event = one(save(tmp_path, "csv", [row]), mapping)
    assert (event.user_id, event.name, event.kind) == ("u1", "Visit", "track")
    assert event.properties == {"channel": "Visit", "type": "gold", "user_id": "shop"}
    assert event.context == {"ip": "::1"}


def test_our_own_name_wins_over_an_alias_wherever_it_stands(tmp_path: Path) -> None:
    row = {"customer_id": "crm-7", "timestamp": "2000-01-01", "user_id": "u1", "occurred_at": "2021-01-01"}
    event = one(save(tmp_path, "csv", [row]))
    assert (event.user_id, event.occurred_at) == ("u1", 1609459200000000)
    assert event.properties == {"customer_id": "crm-7", "timestamp": "2000-01-01"}


def test_lines_of_json_may_each_have_their_own_keys(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"anonymousId": "d1", "timestamp": "2021-01-01"},
        {"userId": "u1", "timestamp": "2021-01-01", "colour": "red", "properties": {"a": 1}},
    ]
    first, second = read_events(save(tmp_path, "jsonl", rows))
    assert (first.anonymous_id, first.user_id, first.properties) == ("d1", None, {})
    assert (second.anonymous_id, second.user_id, second.properties) == (None, "u1", {"a": 1, "colour": "red"})


def test_numbers_are_seconds_and_ids_may_be_zero(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"user_id": 0, "occurred_at": 1.000001}, {"user_id": 7, "occurred_at": 2}]
    for ending in ("jsonl", "parquet"):
        events = list(read_events(save(tmp_path, ending, rows)))
        assert [(event.user_id, event.occurred_at) for event in events] == [("0", 1_000_001), ("7", 2_000_000)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_parquet_may_hold_times_of_any_unit_and_zone(tmp_path: Path, unit: str, zone: str | None) -> None:
    times = pa.array([datetime(2021, 1, 1, tzinfo=UTC)]).cast(pa.timestamp(unit, tz="UTC"))
    local = times.cast(pa.timestamp(unit, tz=zone))
    pa.parquet.write_table(pa.table({"user_id": ["u1"], "occurred_at": local}), tmp_path / "log.parquet")
    assert one(tmp_path / "log.parquet").occurred_at == 1609459200000000


def test_a_text_of_a_million_characters_comes_through_csv(tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n}", "occurred_at": "2021-01-01", "text": "ä\n" * 500_000} for n in range(3)]
    assert [len(event.properties["text"]) for event in read_events(save(tmp_path, "csv", rows))] == [1_000_000] * 3


def test_a_csv_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.CSV").write_text("user_id,occurred_at\nu1,2021-01-01\n", "utf-8-sig")
    assert one(tmp_path / "log.CSV").user_id == "u1"


def test_a_mapping_to_no_column_of_ours_names_the_nearest_and_all_allowed(tmp_path: Path) -> None:
    path = save(tmp_path, "csv", [{"who": "u1", "when": "2021-01-01"}])
    with pytest.raises(
        EventLogError, match=r"cannot map to 'user' \(did you mean 'user_id'\?\); allowed: message_id, "
    ):
        list(read_events(path, {"user": "who"}))
    with pytest.raises(EventLogError, match=r"log\.csv: no column 'whom' \(did you mean 'who'\?\); it has who, when"):
        list(read_events(path, {"user_id": "whom"}))
    with pytest.raises(
        EventLogError, match=r"no column for occurred_at; it has who, when; name it with --map occurred"
    ):
        list(read_events(path, {"user_id": "who"}))
    with pytest.raises(EventLogError, match=r"no column for user_id or anonymous_id; .* --map user_id=COLUMN"):
        list(read_events(path, {"occurred_at": "when"}))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"occurred_at": ""}, "row 2: occurred_at is empty"),
        ({"occurred_at": "soon"}, "row 2: occurred_at: 'soon' is no ISO 8601 time"),
        ({"received_at": "0000-01-01"}, "row 2: received_at: '0000-01-01' is no"),
        ({"occurred_at": "0001-01-01T00:00:00+09:00"}, "row 2: occurred_at: .* outside the years"),
        ({"user_id": ""}, "row 2: user_id and anonymous_id are both empty"),
        ({"type": "trakc"}, "row 2: type 'trakc'; allowed: track, page, .* --map properties.type=type"),
        ({"properties": "[1]"}, "row 2: properties is no JSON object"),
        ({"context": "{"}, "row 2: context is no JSON object"),
        ({"properties": '{"a": "\\ud800"}'}, "row 2: properties is no JSON object"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(tmp_path: Path, cells: dict[str, str], said: str) -> None:
    good = {
        "user_id": "u1", "occurred_at": "2021-01-01T00:00:00Z", "received_at": "2021-01-01T00:00:00Z",
        "type": "track", "properties": "", "context": "",
    }  # fmt: skip
    for ending in ("csv", "jsonl", "parquet"):
        with pytest.raises(EventLogError, match=rf"log\.{ending}: {said}"):
            list(read_events(save(tmp_path, ending, [good, {**good, **cells}])))


@pytest.mark.parametrize("seconds", [1e300, -1e15, 10**30, True])
def test_a_number_that_is_no_moment_is_named(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(EventLogError, match="row 1: occurred_at: "):
        list(read_events(save(tmp_path, "jsonl", [{"user_id": "u", "occurred_at": seconds}])))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "no such file"),
        ("log.xlsx", b"PK", r"unknown ending '\.xlsx'; allowed: \.parquet, \.csv, \.jsonl"),
        ("log.csv", b"", "cannot be read as csv"),
        ("log.csv", b"user_id,occurred_at\n", "holds no rows"),
        ("log.csv", b"user_id,occurred_at\nu1,2021-01-01\nu2", "cannot be read as csv"),
        ("log.csv", b"user_id,occurred_at\nu\xff,2021-01-01\n", "cannot be read as csv"),
        ("log.csv", b"user_id,user_id,occurred_at\na,b,2021-01-01\n", "column 'user_id' comes twice"),
        ("log.jsonl", b"", "holds no rows"),
        ("log.jsonl", b'\n{"user_id": "u1", "occ', "line 2 is no JSON"),
        ("log.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("log.jsonl", b"[" * 100_000, "line 1 is no JSON"),
        ("log.parquet", b"", "cannot be read as parquet"),
        ("log.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
    ],
)
def test_a_file_that_is_no_log_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EventLogError, match=f"{name}: .*{said}"):
        list(read_events(tmp_path / name))


def test_a_cut_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_events(path, [Event("m", "track", "", "u", None, 0, 0)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EventLogError, match="cannot be read as parquet"):
        list(read_events(path))


def test_a_log_that_cannot_be_written_to_its_end_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Event]:
        yield Event("m", "track", "", "u", None, 0, 0)
        raise RuntimeError("the source went away")

    with pytest.raises(RuntimeError, match="the source went away"):
        write_events(tmp_path / "log.parquet", broken())
    assert list(tmp_path.iterdir()) == []


def test_a_table_gives_plain_rows_with_moments_as_moments(tmp_path: Path) -> None:
    write_events(tmp_path / "log.parquet", [Event("m", "track", "Hi", "u", None, 0, 0, {"a": 1})])
    (row,) = Table(tmp_path / "log.parquet").rows()
    assert row["occurred_at"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert row["properties"] == '{"a":1}'
