"""Both databases: durable settings, and migrations that end in exactly the declared tables."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

import service.__main__
from service.database import Database, log_metadata, metadata

TABLES_ARE_DECLARED_BY = service.__main__


@pytest.mark.parametrize(("name", "declared"), [("log", log_metadata), ("service", metadata)])
def test_migrations_lead_to_the_declared_tables(tmp_path: Path, name: str, declared: MetaData) -> None:
    database = Database.open(tmp_path, "log" if name == "log" else "service")
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), declared) == []
    database.close()


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
