"""The two SQLite databases: the append-only event log (log.db) and everything else (service.db); engine and migrations.

Knows how to open, migrate and run a transaction. Tables are declared in each noun's store, on `metadata`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event

metadata = MetaData()
"""Tables of service.db."""

log_metadata = MetaData()
"""Tables of log.db."""

UNFINISHED = "restore.partial"
"""Folder inside the data folder while a backup is being restored; a service does not start beside it."""

BUSY_SECONDS = 5.0
POOL_CONNECTIONS = 8
ROWS_PER_STATEMENT = 100
WAL_PAGES = 8_000
"""Pages of 4 KiB in the write-ahead file before they are moved to the database: ids come in no order, so each batch
touches pages all over an index, and those that many batches touch are moved once."""
CACHE_KIB = 32_768
"""Most memory of a connection for pages: an index that does not fit is read again and again."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_migrating = threading.Lock()


class Declared(TypedDict):
    """What a table says of itself, as keyword arguments of `Table`."""

    info: dict[Any, Any]


def holds(exported: str, erased: str) -> Declared:
    """What a table declares that holds something of a customer: how that is exported, and how it is erased."""
    return {"info": {"exported": exported, "erased": erased}}


def holds_nothing(because: str) -> Declared:
    """What a table declares that holds nothing of any customer."""
    return {"info": {"holds_nothing": because}}


@dataclass(frozen=True)
class Database:
    """One SQLite file. Any number of readers; one writer at a time, who waits for the other for some seconds."""

    engine: Engine
    name: Literal["log", "service"]

    @classmethod
    def open(cls, folder: Path, name: Literal["log", "service"], busy_seconds: float = BUSY_SECONDS) -> Self:
        """Open `<name>.db` in the folder, which is made if missing, and bring it to the newest schema."""
        folder.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            f"sqlite+pysqlite:///{folder / f'{name}.db'}",
            connect_args={"timeout": busy_seconds},
            pool_size=POOL_CONNECTIONS,
            max_overflow=64,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        opened = cls(engine, name)
        opened._migrate()
        return opened

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent look at one moment of the database."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start: what it reads stays true until it commits."""
        with self.engine.connect().execution_options(journey_write=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    def _migrate(self) -> None:
        """All revisions in one transaction, on our own connection: there is no alembic.ini and no env.py."""
        script = ScriptDirectory(str(_MIGRATIONS / self.name))

        def to_head(revision: Any, _: object) -> Any:
            return script._upgrade_revs("head", revision)

        with _migrating, self.write() as connection, EnvironmentContext(Config(), script, fn=to_head) as alembic:
            alembic.configure(connection=connection)
            alembic.run_migrations()


def insert_new(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows that are not there yet, values in the order of the columns; says how many were new.

    A number that SQLite gives is left out. By the driver, and many rows a statement: with each statement it gives the
    interpreter's lock away, and has to wait for it where another thread computes.
    """
    new = 0
    for first in range(0, len(rows), ROWS_PER_STATEMENT):
        some = rows[first : first + ROWS_PER_STATEMENT]
        new += connection.exec_driver_sql(_insert_sql(table, len(some)), tuple(chain.from_iterable(some))).rowcount
    return new


@cache
def _insert_sql(table: Table, rows: int) -> str:
    columns = [column.name for column in table.columns if column is not table.autoincrement_column]
    one = f"({', '.join('?' * len(columns))})"
    return (f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([one] * rows)} "  # noqa: S608 - own names
            "ON CONFLICT DO NOTHING")  # fmt: skip


def known_revisions(name: Literal["log", "service"]) -> tuple[str, ...]:
    """Every schema that this program can bring to the newest one, oldest first."""
    script = ScriptDirectory(str(_MIGRATIONS / name))
    return tuple(reversed([revision.revision for revision in script.walk_revisions()]))


def _prepare(connection: Any, _: object) -> None:
    """Transactions are begun by `_begin`, not by the driver; a commit is on the disk before it returns."""
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"wal_autocheckpoint = {WAL_PAGES}",
        f"cache_size = -{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("journey_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
