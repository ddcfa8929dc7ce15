"""What was imported, and how far: one row for each set of files and mappings, in log.db beside the log.

In log.db, because a row of it is committed together with the events that it counts, and SQLite promises that within one
file alone. So an import that is killed goes on exactly where its last transaction ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, select, update
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros
from service.database import Database, holds_nothing, log_metadata
from service.errors import Conflict

imports = Table(
    "imports",
    log_metadata,
    Column("import_id", String, primary_key=True),
    Column("files", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("events_done", Integer, nullable=False),
    Column("events_new", Integer, nullable=False),
    Column("finished_at", BigInteger),
    **holds_nothing("names of files and counts of their events"),
)


@dataclass(frozen=True, slots=True)
class Import:
    """How far an import came. `events_done` counts in the order of receipt, repeats too."""

    import_id: str
    files: str
    started_at: Micros
    events_done: int
    events_new: int
    finished_at: Micros | None


def begin(database: Database, import_id: str, files: str, now: Micros) -> Import:
    """The import as it stands; a new one where nothing of it was done before."""
    with database.write() as connection:
        new = insert(imports).values(
            import_id=import_id, files=files, started_at=now, events_done=0, events_new=0, finished_at=None
        )
        connection.execute(new.on_conflict_do_nothing())
        return Import(*connection.execute(select(imports).where(imports.c.import_id == import_id)).one())


def advance(connection: Connection, import_id: str, before: int, done: int, new: int) -> None:
    """Count a batch in the transaction that appends it. Raises Conflict where another process got there first."""
    here = (imports.c.import_id == import_id, imports.c.events_done == before)
    counted = {"events_done": imports.c.events_done + done, "events_new": imports.c.events_new + new}
    if connection.execute(update(imports).where(*here).values(counted)).rowcount != 1:
        raise Conflict("Another process imports the same files.", "Let it finish.", code="import_running")


def finish(database: Database, import_id: str, now: Micros) -> None:
    with database.write() as connection:
        unfinished = (imports.c.import_id == import_id, imports.c.finished_at.is_(None))
        connection.execute(update(imports).where(*unfinished).values(finished_at=now))
