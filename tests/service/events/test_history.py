"""Importing history: once, in order, with the times at which it became known, and on from where it was stopped."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy.exc

from models.journey.event import SECOND, Event, Micros, format_time
from models.journey.eventlog import write_events
from models.journey.table import EventLogError
from service.customers import store as customers
from service.database import Database
from service.errors import Conflict, Unavailable
from service.events import history, projector, store
from service.events.history import File, History, Imported, RowsRefused, files_of
from service.events.importing import order, record
from service.events.importing.mapping import Columns
from service.settings import Settings
from tests.service.fakes import NOON, FakeClock, House, track

Rows = list[tuple[Any, ...]]


def event(id: str, received_at: int, **more: str) -> Event:
    return Event(id, "track", "Product Viewed", more.get("user", "c1"), more.get("device"), received_at, received_at)


def bring(house: House, *events: Event) -> Imported:
    path = house.settings.data_dir.parent / "events.parquet"
    write_events(path, events)
    return History(files_of([str(path)], "events", {}), house.settings, house.clock).bring(house.state.log)


def bring_rows(folder: Path, database: Database, *files: Path, preset: str = "events", **more: Any) -> Imported:
    settings = Settings(data_dir=folder)
    return History(files_of([*map(str, files)], preset, {}), settings, FakeClock()).bring(database, **more)


def orders(path: Path, moments: Iterable[Micros], text: str = "", start: int = 0) -> Path:
    """A CSV of one order at each of these moments."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["timestamp", "user_id", "event", "note"])
        for number, at in enumerate(moments, start):
            table.writerow([format_time(at), f"c{number % 7}", "Order Completed", f"{text}{number}"])
    return path


@pytest.fixture
def log(tmp_path: Path) -> Iterable[Database]:
    database = Database.open(tmp_path, "log")
    yield database
    database.close()


def kept(database: Database) -> Rows:
    """Every row of the log, whole."""
    with database.read() as connection:
        return [tuple(row) for row in store.after(connection, 0, 1_000_000)]


def test_imported_events_were_known_when_they_were_received(house: House) -> None:
    done = bring(house, event("m2", NOON - 50 * SECOND), event("m1", NOON - 90 * SECOND))
    assert (done.read, done.new, done.in_order) == (2, 2, False)
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        journeys = customers.journeys_of(connection, ["c1"])
    assert journeys.known_at.tolist() == [NOON - 90 * SECOND, NOON - 50 * SECOND]
    assert house.insight("c1", as_of="2026-11-21T11:59:00Z")["journey"]["touchpoints"] == 1


def test_importing_again_changes_nothing_and_says_so(house: House) -> None:
    events = [event("m1", NOON - 2), event("m2", NOON - 1)]
    assert bring(house, *events).new == 2
    house.clock.forward(60)
    again = bring(house, *events)
    assert (again.new, again.repeated, again.finished_before) == (0, 2, NOON)
    assert "imported on 2026-11-21T12:00:00Z already" in again.sentence()


def test_rows_that_another_file_brought_are_known(house: House) -> None:
    bring(house, event("m1", NOON - 3), event("m2", NOON - 2))
    done = bring(house, event("m1", NOON - 3), event("m2", NOON - 2), event("m3", NOON - 1))
    assert (done.new, done.repeated, done.finished_before) == (1, 2, None)


def test_what_is_imported_after_live_events_was_not_known_before_them(house: House) -> None:
    house.batch(track("A", messageId="live"))
    bring(house, event("late-b", 5, user="c2", device="dev"), event("late-a", 7, device="dev"))
    projector.fold_all(house.state)

    received = [row[9] for row in kept(house.state.log)]
    assert received == sorted(set(received))
    with house.state.service.read() as connection:
        assert customers.resolve(connection, "dev") == "c2"


def test_a_file_in_order_and_the_same_one_shuffled_become_the_same_log(tmp_path: Path) -> None:
    moments = [NOON - 10**9 + number // 3 * SECOND for number in range(300)]
    events = [event(f"m{number:03}", at) for number, at in enumerate(moments)]
    logs = []
    for name, rows in (("ordered", events), ("shuffled", [*events[150:], *events[149::-1]])):
        (tmp_path / name).mkdir()
        write_events(tmp_path / name / "events.parquet", rows)
        database = Database.open(tmp_path / name, "log")
        done = bring_rows(tmp_path, database, tmp_path / name / "events.parquet")
        assert done.in_order == (name == "ordered")
        logs.append(kept(database))
        database.close()
    assert logs[0] == logs[1]
    assert [row[2] for row in logs[0]] == [one.message_id for one in events]


def test_several_files_are_brought_in_the_order_of_receipt_over_all(tmp_path: Path, log: Database) -> None:
    web = orders(tmp_path / "web.csv", [NOON - 9 * SECOND, NOON - 3 * SECOND])
    shop = orders(tmp_path / "shop.csv", [NOON - 5 * SECOND, NOON - 1 * SECOND], start=2)
    done = bring_rows(tmp_path, log, web, shop)
    assert (done.read, done.in_order) == (4, False)
    assert [row[9] for row in kept(log)] == [NOON - seconds * SECOND for seconds in (9, 5, 3, 1)]
    assert not list(tmp_path.glob("import-*"))


def test_more_rows_at_one_moment_than_memory_may_hold_are_merged(
    tmp_path: Path, log: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "MOST_AT_ONE_MOMENT", 4)
    assert bring_rows(tmp_path, log, orders(tmp_path / "four.csv", [NOON - 1] * 4)).in_order
    assert not bring_rows(tmp_path, log, orders(tmp_path / "five.csv", [NOON - 1] * 5)).in_order


def test_under_other_limits_all_is_read_anew_and_only_what_is_new_is_added(tmp_path: Path, log: Database) -> None:
    path = orders(tmp_path / "orders.csv", [NOON - 2, NOON - 1], text="x" * 300)
    path.write_text(path.read_text() + f"{format_time(NOON - 3)},c9,Order Completed,short\n")
    for bytes, new, refused in ((256, 1, 2), (32_768, 2, 0)):
        limits = Settings(data_dir=tmp_path, event_bytes=bytes)
        done = History(files_of([str(path)], "events", {}), limits, FakeClock()).bring(log)
        assert (done.new, done.refused, done.resumed_after) == (new, refused, 0)


def test_ids_are_made_so_that_a_grown_file_brings_only_what_is_new(tmp_path: Path, log: Database) -> None:
    moments = [NOON - 100 * SECOND + number for number in range(20)]
    bring_rows(tmp_path, log, orders(tmp_path / "orders.csv", moments[:12]))
    done = bring_rows(tmp_path, log, orders(tmp_path / "orders.csv", moments))
    assert (done.new, done.repeated) == (8, 12)
    other_words = bring_rows(tmp_path, log, orders(tmp_path / "orders.csv", moments, text="other"))
    assert other_words.new == 20


def test_refused_rows_are_counted_kept_with_reasons_and_can_be_imported_once_corrected(
    tmp_path: Path, log: Database
) -> None:
    (tmp_path / "shop.csv").write_text(
        "order_date,customer_id,total\n2024-03-01,c1,10\nsoon,c2,20\n2024-03-03,,30\n2024-03-04\n2024-03-05,c5,much\n"
    )
    refused = tmp_path / "refused.csv"
    done = bring_rows(tmp_path, log, tmp_path / "shop.csv", preset="shop", refused=refused)
    assert (done.read, done.new, done.refused) == (5, 1, 4)
    assert done.reasons == {"invalid_time": 1, "id_missing": 1, "unreadable_row": 1, "invalid_value": 1}
    assert done.first_refused[0].startswith("shop.csv: row 2: order_date (occurred_at): 'soon' is no ISO 8601 time")

    with refused.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["refused_row"], row["refused_code"]) for row in rows] == [
        ("2", "invalid_time"), ("3", "id_missing"), ("4", "unreadable_row"), ("5", "invalid_value")]  # fmt: skip
    assert (rows[0]["order_date"], rows[0]["customer_id"], rows[0]["total"]) == ("soon", "c2", "20")
    assert rows[2]["refused_text"] == "2024-03-04"

    refused.write_text(refused.read_text().replace("soon", "2024-03-02"))
    again = bring_rows(tmp_path, log, refused, preset="shop")
    assert (again.new, again.refused) == (1, 3)
    assert json.loads(kept(log)[-1][10]) == {"channel": "web", "value": 20}


def test_refused_rows_are_written_as_jsonl_too(tmp_path: Path, log: Database) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"timestamp": 1700000000, "user_id": "c1", "event": "A"}\n{"timestamp": [1]}\n[]\n'
    )
    bring_rows(tmp_path, log, tmp_path / "log.jsonl", refused=tmp_path / "refused.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [(row["refused_row"], row["refused_code"]) for row in rows] == [(2, "invalid_time"), (3, "unreadable_row")]
    assert rows[0]["timestamp"] == [1]


def test_a_strict_import_with_a_refused_row_writes_nothing(tmp_path: Path, log: Database) -> None:
    path = orders(tmp_path / "orders.csv", [NOON - 2, NOON - 1])
    path.write_text(path.read_text() + "soon,c1,Order Completed,x\n")
    with pytest.raises(RowsRefused, match="1 of 3 rows are refused"):
        bring_rows(tmp_path, log, path, strict=True)
    assert kept(log) == []
    assert bring_rows(tmp_path, log, orders(path, [NOON - 2]), strict=True).new == 1


def test_a_file_of_which_every_row_is_refused_is_an_error(tmp_path: Path, log: Database) -> None:
    (tmp_path / "orders.csv").write_text("timestamp,user_id,event\nsoon,c1,A\n")
    with pytest.raises(RowsRefused, match="All 1 rows"):
        bring_rows(tmp_path, log, tmp_path / "orders.csv")


def test_a_missing_column_or_a_cut_file_stops_before_anything_is_written(tmp_path: Path, log: Database) -> None:
    good = orders(tmp_path / "good.csv", [NOON - 2])
    (tmp_path / "bad.csv").write_text("when,user_id,event\n2024-01-01,c1,A\n")
    with pytest.raises(
        EventLogError, match=r"bad.csv: no column for occurred_at.*it has when, user_id, event; name it"
    ):
        bring_rows(tmp_path, log, good, tmp_path / "bad.csv")
    pa.parquet.write_table(pa.table({"timestamp": ["2024-01-01"], "user_id": ["c1"]}), tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-9])
    with pytest.raises(EventLogError, match=r"cut.parquet: cannot be read as parquet"):
        bring_rows(tmp_path, log, good, tmp_path / "cut.parquet")
    with log.read() as connection:
        assert connection.execute(record.imports.select()).all() == []
    assert kept(log) == []


def test_a_look_ahead_shows_the_first_rows_and_writes_nothing(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.csv", [NOON - number for number in range(9, 0, -1)])
    path.write_text(path.read_text() + "soon,c1,Order Completed,x\n")
    settings = Settings(data_dir=tmp_path / "data")
    first, seen = History([File(path, Columns.preset("events"))], settings, FakeClock()).preview()
    assert [one.occurred_at for one in first] == [NOON - 9, NOON - 8, NOON - 7, NOON - 6, NOON - 5]
    assert (seen.read, seen.refused) == (10, 1)
    assert not settings.data_dir.exists()


KILLED = """
import os, sys
from pathlib import Path
from service.database import Database
from service.events import store
from service.events.history import History, files_of
from service.settings import Settings
from tests.service.fakes import FakeClock

where, folder, file = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
append, appended = store.append_recorded, 0

def append_and_die(connection, events, now):
    global appended
    appended += append(connection, events, now)
    if where == "before the commit" and appended > 10_000:
        os.kill(os.getpid(), 9)
    return len(events)

def tell(doing, done, of):
    if where == "after the commit" and doing == "events in the log" and done == 10_000:
        os.kill(os.getpid(), 9)

store.append_recorded = append_and_die
history = History(files_of([file], "events", {}), Settings(data_dir=folder), FakeClock(), tell)
history.bring(Database.open(folder, "log"))
"""


@pytest.mark.parametrize(("where", "shuffled"), [("before the commit", False), ("after the commit", True)])
def test_an_import_that_is_killed_goes_on_to_the_same_log(tmp_path: Path, where: str, shuffled: bool) -> None:
    moments: Sequence[Micros] = [NOON - 10**10 + number * 1_000 for number in range(17_000)]
    path = orders(tmp_path / "orders.csv", reversed(moments) if shuffled else moments)
    folders = [tmp_path / "killed", tmp_path / "whole"]
    killed = subprocess.run([sys.executable, "-c", KILLED, where, str(folders[0]), str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL

    logs, done = [], []
    for folder in folders:
        database = Database.open(folder, "log")
        if folder == folders[0]:
            assert len(kept(database)) == 10_000
        done.append(bring_rows(folder, database, path))
        logs.append(kept(database))
        database.close()
    assert (done[0].resumed_after, done[0].new, done[1].new) == (10_000, 7_000, 17_000)
    assert logs[0] == logs[1]


def test_two_imports_of_the_same_files_at_once_do_not_count_twice(
    tmp_path: Path, log: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = orders(tmp_path / "orders.csv", [NOON - 2, NOON - 1])
    append = store.append_recorded

    def after_the_other(*given: Any) -> int:
        monkeypatch.setattr(store, "append_recorded", append)
        connection = given[0]
        connection.execute(record.imports.update().values(events_done=2))
        return append(*given)

    monkeypatch.setattr(store, "append_recorded", after_the_other)
    with pytest.raises(Conflict, match="Another process imports the same files"):
        bring_rows(tmp_path, log, path)
    assert kept(log) == []


def test_a_full_disk_stops_an_import_where_it_is(
    tmp_path: Path, log: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = orders(tmp_path / "orders.csv", [NOON - 20_000 + number for number in range(6_000)])
    append = store.append_recorded

    def until_full(connection: Any, events: Sequence[Event], now: Micros) -> int:
        if len(events) < history.BATCH:
            raise sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
        return append(connection, events, now)

    monkeypatch.setattr(store, "append_recorded", until_full)
    with pytest.raises(Unavailable, match="disk is full"):
        bring_rows(tmp_path, log, path)
    monkeypatch.setattr(store, "append_recorded", append)
    done = bring_rows(tmp_path, log, path)
    assert (done.resumed_after, done.new, len(kept(log))) == (5_000, 1_000, 6_000)
