"""Both databases: durable settings, and migrations that end in exactly the declared tables."""

import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData
from sqlalchemy.exc import OperationalError

import service.__main__
from service.database import Database, Turns, known_revisions, log_metadata, metadata, newest_revision

TABLES_ARE_DECLARED_BY = service.__main__


@pytest.mark.parametrize(("name", "declared"), [("log", log_metadata), ("service", metadata)])
def test_migrations_lead_to_the_declared_tables(tmp_path: Path, name: str, declared: MetaData) -> None:
    database = Database.open(tmp_path, "log" if name == "log" else "service")
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), declared) == []
    database.close()


def test_the_names_of_migrations_tell_the_newest_schema() -> None:
    for name in ("log", "service"):
        assert newest_revision(name) == known_revisions(name)[-1]


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        Database.open(tmp_path, "service").close()


def test_a_commit_is_on_the_disk_before_it_returns(tmp_path: Path) -> None:
    database = Database.open(tmp_path, "log")
    with database.read() as connection:
        read = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in
                ("journal_mode", "synchronous", "foreign_keys")}  # fmt: skip
    database.close()
    assert read == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path, "log")

    def fail() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE half (x)")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE name = 'half'").scalar() == 0
    database.close()


def test_writers_of_one_process_come_in_the_order_in_which_they_asked() -> None:
    turns, came = Turns(), list[int]()
    assert turns.take(1)

    def ask(number: int) -> None:
        assert turns.take(10)
        came.append(number)
        turns.hand_on()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(turns._waiting) <= number:
            time.sleep(0.001)
    turns.hand_on()
    for thread in threads:
        thread.join(10)
    assert came == list(range(20))


def test_who_did_not_get_a_turn_in_time_is_told_so_and_holds_up_nobody(tmp_path: Path) -> None:
    database = Database.open(tmp_path, "log", busy_seconds=0.05)
    with database.write(), pytest.raises(OperationalError, match="locked"), database.write():
        pass
    with database.write():
        pass
    database.close()


def test_a_turn_is_handed_on_where_a_transaction_fails(tmp_path: Path) -> None:
    database = Database.open(tmp_path, "log", busy_seconds=0.05)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), database.write():
            _ = 1 / 0
    database.close()
