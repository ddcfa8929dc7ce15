"""The two SQLite databases: the append-only event log (log.db) and everything else (service.db); engine and migrations.

Knows how to open, migrate and run a transaction. Tables are declared in each noun's store, on `metadata`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, event

metadata = MetaData()
"""Tables of service.db."""

log_metadata = MetaData()
"""Tables of log.db."""

UNFINISHED = "restore.partial"
"""Folder inside the data folder while a backup is being restored; a service does not start beside it."""

BUSY_MILLISECONDS = 5_000
POOL_CONNECTIONS = 8
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
    """One SQLite file. Any number of readers; one writer at a time, who waits for the other up to five seconds."""

    engine: Engine
    name: Literal["log", "service"]

    @classmethod
    def open(cls, folder: Path, name: Literal["log", "service"]) -> Self:
        """Open `<name>.db` in the folder, which is made if missing, and bring it to the newest schema."""
        folder.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            f"sqlite+pysqlite:///{folder / f'{name}.db'}",
            connect_args={"timeout": BUSY_MILLISECONDS / 1000},
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


def known_revisions(name: Literal["log", "service"]) -> tuple[str, ...]:
    """Every schema that this program can bring to the newest one, oldest first."""
    script = ScriptDirectory(str(_MIGRATIONS / name))
    return tuple(reversed([revision.revision for revision in script.walk_revisions()]))


def _prepare(connection: Any, _: object) -> None:
    """Transactions are begun by `_begin`, not by the driver; a commit is on the disk before it returns."""
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_MILLISECONDS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("journey_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
