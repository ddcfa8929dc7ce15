"""Files of every format as rows with numbers, rows as events, and what is refused of them."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import Event, Micros, format_time, parse_time
from models.journey.table import EventLogError
from service.events.importing.mapping import Columns, Moment
from service.events.importing.plan import plan_of
from service.events.importing.rows import Refused, Rows
from service.events.importing.source import Source
from service.events.importing.times import moments
from service.settings import Settings
from tests.service.fakes import NOON

EVENTS = Columns.preset("events")


def read(path: Path, mapping: Columns = EVENTS, **settings: Any) -> tuple[list[Event], list[Refused]]:
    source, refused = Source(path, mapping.delimiter, mapping.encoding), list[Refused]()
    rows = Rows(plan_of(path, source.stem, source.columns(), mapping), Settings(**settings), NOON)
    return [event for batch in source.batches() for event in rows.events(batch, refused.append)], refused


def of_rows(folder: Path, *rows: Mapping[str, Any], **settings: Any) -> tuple[list[Event], list[Refused]]:
    path = folder / "rows.jsonl"
    usual = {"user_id": "c1", "timestamp": "2024-03-01", "event": "A"}
    path.write_bytes(b"\n".join(msgspec.json.encode({**usual, **row}) for row in rows))
    return read(path, **settings)


ROWS = [
    {"timestamp": "2024-03-01T10:00:00Z", "user_id": "c1", "event": "A", "city": "Köln"},
    {"timestamp": "2024-03-02T10:00:00Z", "user_id": "c2", "event": "B", "city": None},
]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_the_same_rows_in_every_format_are_the_same_events(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    table = pa.Table.from_pylist(ROWS)
    if ending == ".parquet":
        pa.parquet.write_table(table, path)
    else:
        lines = b"\n".join(map(msgspec.json.encode, ROWS))
        if ending.startswith(".csv"):
            lines = b"\xef\xbb\xbf" + "timestamp,user_id,event,city\n2024-03-01T10:00:00Z,c1,A,Köln\n\n".encode()
            lines += b'2024-03-02T10:00:00Z,"c2",B,\n'
        path.write_bytes(gzip.compress(lines) if ending.endswith(".gz") else lines)
    events, refused = read(path)
    assert refused == []
    assert [(e.user_id, e.name, format_time(e.occurred_at), e.properties) for e in events] == [
        ("c1", "A", "2024-03-01T10:00:00Z", {"city": "Köln"}), ("c2", "B", "2024-03-02T10:00:00Z", {})]  # fmt: skip


def test_rows_keep_their_numbers_beside_rows_that_cannot_be_read(tmp_path: Path) -> None:
    broken = (1, 30_000, 30_001, 60_000)
    lines = ("a,b" if number in broken else f"2024-03-01,c{number},A" for number in range(1, 60_001))
    (tmp_path / "rows.csv").write_text("\n".join(["timestamp,user_id,event", *lines]) + "\n")
    events, refused = read(tmp_path / "rows.csv")
    assert [row.number for row in refused] == [1, 30_000, 30_001, 60_000]
    assert [int(event.message_id.split("-")[1]) for event in events] == [
        int(str(event.user_id)[1:]) for event in events]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "code", "told"),
    [
        ({"timestamp": ""}, "invalid_time", "timestamp (occurred_at) is empty"),
        ({"timestamp": "soon"}, "invalid_time", "timestamp (occurred_at): 'soon' is no ISO 8601 time"),
        ({"timestamp": "1969-12-31"}, "invalid_time", "lies before 1970"),
        ({"timestamp": "9999-12-31"}, "in_the_future", "lies more than 86400 seconds ahead of our clock"),
        ({"timestamp": 1e300}, "invalid_time", "years 1 to 9999"),
        ({"receivedAt": "never"}, "invalid_time", "receivedAt (received_at): 'never' is no ISO 8601 time"),
        ({"user_id": None}, "id_missing", "user_id and anonymous_id are both empty"),
        ({"user_id": "x" * 257}, "invalid_value", "user_id must have at most 256 characters and no NUL"),
        ({"user_id": "a\0b"}, "invalid_value", "user_id must have at most 256 characters and no NUL"),
        ({"event": " "}, "event_missing", "the name of what happened"),
        ({"type": "tracked"}, "unknown_type", "type 'tracked'; allowed: track, page"),
        ({"type": "alias"}, "previous_id_missing", "an alias needs previous_id"),
        ({"type": "group"}, "group_id_missing", "a group needs groupId"),
        ({"properties": "no"}, "invalid_value", "properties 'no' is no JSON object"),
        ({"note": "x" * 40_000}, "too_large", "at most 32768 bytes"),
        ({"note": "a\0b"}, "invalid_text", "a text holds the character NUL"),
        ({"note": 2**64}, "invalid_number", "beyond 64 bits"),
        ({"message_id": "m" * 101}, "invalid_value", "message_id must have at most 100 characters"),
        ({"type": "feedback"}, "text_missing", "feedback needs a text"),
        ({"type": "feedback", "text": "x" * 11}, "too_large", "the text has 11 characters; at most 10"),
        ({"type": "feedback", "text": "x", "rating": 9}, "invalid_value", "rating '9'; allowed: 1 to 5"),
    ],
)
def test_a_row_that_is_no_event_is_refused_by_itself(tmp_path: Path, row: dict[str, Any], code: str, told: str) -> None:
    events, (refused,) = of_rows(tmp_path, {"event": "Before"}, row, {"event": "After"}, text_characters=10)
    assert [event.name for event in events] == ["Before", "After"]
    assert (refused.number, refused.code) == (2, code)
    assert told in refused.reason
    assert row.items() <= {"user_id": None, **refused.row}.items() if row != {"user_id": None} else True


def test_a_file_that_is_broken_says_so(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    (tmp_path / "latin.csv").write_bytes("timestamp,user_id,event\n2024-03-01,Jürgen,A\n".encode("latin-1"))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"timestamp": 1}\n' * 99)[:-9])
    (tmp_path / "rows.xlsx").write_text("")
    (tmp_path / "empty.csv").write_text("")
    for name, told in {
        "twice.csv": "column 'a' comes twice", "latin.csv": "another encoding than utf-8 is named in the mapping",
        "cut.jsonl.gz": "cannot be read as jsonl", "rows.xlsx": "unknown ending '.xlsx'; allowed: .csv, .csv.gz",
        "empty.csv": "holds no rows", "missing.csv": "no such file",
    }.items():  # fmt: skip
        with pytest.raises(EventLogError) as error:
            read(tmp_path / name)
        assert told in str(error.value)


def test_made_ids_are_the_same_each_time_and_differ_between_equal_rows(tmp_path: Path) -> None:
    one, _ = of_rows(tmp_path, {}, {}, {"event": "B"})
    two, _ = of_rows(tmp_path, {}, {}, {"event": "B"})
    assert [event.message_id for event in one] == [event.message_id for event in two]
    assert len({event.message_id for event in one}) == 3
    assert one[0].message_id.startswith("rows-000000001-")


@given(st.lists(st.integers(0, NOON).map(lambda at: at // 1_000_000 * 1_000_000), max_size=9), st.booleans())
def test_times_are_read_alike_all_at_once_and_one_by_one(ats: list[Micros], zoned: bool) -> None:
    texts = [format_time(at) if zoned else format_time(at).removesuffix("Z") for at in ats]
    how = Moment(("when",))
    assert moments(pa.array(texts, pa.string()), how) == ats
    assert moments([*texts, "soon"], how)[:-1] == ats


@pytest.mark.parametrize(
    ("how", "cell", "meant"),
    [
        (Moment((), format="milliseconds"), "1700000000123", "2023-11-14T22:13:20.123Z"),
        (Moment((), format="seconds"), 1_700_000_000, "2023-11-14T22:13:20Z"),
        (Moment((), format="%d/%m/%y"), "01/02/24", "2024-02-01"),
        (Moment((), zone="Europe/Berlin"), "2024-10-27T02:30:00", "2024-10-27T00:30:00Z"),
        (Moment((), zone="Europe/Berlin"), "2024-03-31T02:30:00", "2024-03-31T01:30:00Z"),
        (Moment((), zone="America/New_York"), "2024-01-01T00:00:00Z", "2024-01-01"),
    ],
)
def test_times_are_read_as_the_mapping_says(how: Moment, cell: Any, meant: str) -> None:
    assert moments([cell], how) == [parse_time(meant)]


@pytest.mark.parametrize("cell", ["1e999999", "x", "nan", "9" * 5_000])
def test_no_number_is_too_odd_to_be_refused(cell: str) -> None:
    (reason,) = moments([cell], Moment((), format="milliseconds"))
    assert "is no number of milliseconds since 1970" in str(reason)


@given(st.lists(st.dictionaries(st.sampled_from(["timestamp", "user_id", "event", "type", "properties", "x"]),
                                st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=9), st.integers(),
                                          st.floats(allow_nan=False, allow_infinity=False),
                                          st.lists(st.integers(), max_size=2))), min_size=1, max_size=9))  # fmt: skip
def test_every_row_becomes_an_event_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    events, refused = of_rows(tmp_path_factory.mktemp("rows"), *rows)
    assert len(events) + len(refused) == len(rows)
