"""The two SQLite databases: the append-only event log (log.db) and everything else (service.db); engine and migrations.

Knows how to open, migrate and run a transaction. Tables are declared in each noun's store, on `metadata`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypedDict

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.exc import OperationalError

metadata = MetaData()
"""Tables of service.db."""

log_metadata = MetaData()
"""Tables of log.db."""

UNFINISHED = "restore.partial"
"""Folder inside the data folder while a backup is being restored; a service does not start beside it."""

BUSY_SECONDS = 5.0
POOL_CONNECTIONS = 8
ROWS_PER_STATEMENT = 100
WAL_PAGES = 16_000
"""Pages of 4 KiB in the write-ahead file before they are moved to the database: ids come in no order, so each batch
touches pages all over an index, and those that many batches touch are moved once."""
CACHE_KIB = 65_536
"""Most memory of a connection for pages: an index that does not fit is read again and again."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_migrating = threading.Lock()


class Declared(TypedDict):
    """What a table says of itself, as keyword arguments of `Table`."""

    info: dict[Any, Any]


@dataclass(frozen=True, slots=True)
class Who:
    """One person, by all that rows can be found by: `customers` are ids without their kind, the surviving one and
    those joined to it; `ids` are with it; `feedback` and `events` are the ids of what they said and did."""

    customers: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


Find: TypeAlias = Callable[[Connection, Table, Who], ColumnElement[bool]]
"""Which rows of a table are a person's, as a condition; the connection reads the table's database."""

Part: TypeAlias = Literal["customers", "ids", "feedback", "events"]
USUAL: Mapping[str, Part] = {
    "customer_id": "customers", "id": "ids", "own_id": "ids", "owner": "ids", "feedback_id": "feedback",
    "subject": "feedback",
}  # fmt: skip
"""What columns of these names hold, wherever a table says nothing else."""


def rows_where(**columns: Part) -> Find:
    """A person's rows are those where any of these columns holds one of these ids of theirs."""

    def find(_: Connection, table: Table, who: Who) -> ColumnElement[bool]:
        return or_(*(one_of(table.c[name], getattr(who, part)) for name, part in columns.items()))

    return find


def nobodys_own(_: Connection, __: Table, ___: Who) -> ColumnElement[bool]:
    """For a table that counts what many did: no row is one person's; what they added is taken off by who erases."""
    return false()


def one_of(column: ColumnElement[Any], values: Sequence[str | int]) -> ColumnElement[bool]:
    """Whether the column holds one of these values, however many they are."""
    return column.in_(select(func.json_each(json.dumps(list(values))).table_valued("value").c.value))


def holds(exported: str, erased: str, rows: Find | None = None, json_columns: Sequence[str] = ()) -> Declared:
    """What a table declares that holds something of a customer: how that is exported and erased, and what finds it.

    Without `rows`, by the columns of USUAL that the table has. `json_columns` are exported as what they mean.
    """
    return {"info": {"exported": exported, "erased": erased, "rows": rows, "json_columns": tuple(json_columns)}}


def finder_of(table: Table) -> Find | None:
    """What finds a person's rows in this table; None where it declares that it holds nothing. Raises KeyError for a
    table that declares nothing, or not how."""
    if "holds_nothing" in table.info:
        return None
    usual = {name: part for name, part in USUAL.items() if name in table.c}
    if not (found := table.info["rows"]) and not usual:
        raise KeyError(f"{table.name} declares that it holds something, but not how that is found")
    return found or rows_where(**usual)


def holds_nothing(because: str) -> Declared:
    """What a table declares that holds nothing of any customer."""
    return {"info": {"holds_nothing": because}}


class Turns:
    """A lock that is handed on in the order in which it was asked for.

    SQLite lets writers who wait ask again now and then, and whoever asks at the right moment is next: some of many wait
    for seconds. This orders the threads of one process before they ask.
    """

    def __init__(self) -> None:
        self._guard, self._waiting, self._taken = threading.Lock(), deque[threading.Event](), False

    def take(self, seconds: float) -> bool:
        """Wait for one's turn; False where it did not come in time."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(seconds):
            return True
        with self._guard:
            if mine.is_set():  # handed on just now
                return True
            self._waiting.remove(mine)
            return False

    def hand_on(self) -> None:
        """Let the next one have it."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


@dataclass(frozen=True)
class Database:
    """One SQLite file. Any number of readers; one writer at a time, who waits for the other for some seconds."""

    engine: Engine
    name: Literal["log", "service"]
    busy_seconds: float = BUSY_SECONDS
    turns: Turns = field(default_factory=Turns, compare=False, repr=False)

    @classmethod
    def open(cls, folder: Path, name: Literal["log", "service"], busy_seconds: float = BUSY_SECONDS) -> Self:
        """Open `<name>.db` in the folder, which is made if missing, and bring it to the newest schema."""
        folder.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            f"sqlite+pysqlite:///{folder / f'{name}.db'}",
            connect_args={"timeout": busy_seconds},
            pool_size=POOL_CONNECTIONS,
            max_overflow=64,
            pool_use_lifo=True,  # the connection whose cache is warm
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        opened = cls(engine, name, busy_seconds)
        opened._migrate()
        return opened

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent look at one moment of the database."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start: what it reads stays true until it commits.

        Writers of this process come in the order in which they asked. Raises OperationalError where none lets go.
        """
        if not self.turns.take(self.busy_seconds):
            raise OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))
        try:
            with self.engine.connect().execution_options(journey_write=True) as connection, connection.begin():
                yield connection
        finally:
            self.turns.hand_on()

    def close(self) -> None:
        self.engine.dispose()

    def _migrate(self) -> None:
        """All revisions in one transaction, on our own connection: there is no alembic.ini and no env.py.

        Alembic takes longer to load than most of the rest, and mostly there is nothing to do.
        """
        with self.read() as connection:
            if _revision(connection) == newest_revision(self.name):
                return
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext

        script = _script(self.name)

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
    return tuple(reversed([revision.revision for revision in _script(name).walk_revisions()]))


def newest_revision(name: Literal["log", "service"]) -> str:
    """The schema of this program, by the names of its migrations: `v0014_jobs.py` makes it "0014"."""
    return max(path.stem[1:5] for path in (_MIGRATIONS / name / "versions").glob("v*.py"))


def _revision(connection: Connection) -> str | None:
    if connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").first() is None:
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _script(name: Literal["log", "service"]) -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(_MIGRATIONS / name))


def _prepare(connection: Any, _: object) -> None:
    """Transactions are begun by `_begin`, not by the driver; a commit is on the disk before it returns, and what is
    deleted is overwritten."""
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
        f"wal_autocheckpoint = {WAL_PAGES}",
        f"cache_size = -{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("journey_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
