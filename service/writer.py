"""The one thread that writes to the log: all who wait are committed together, and answered after the commit.

    submit(job) → queue ─┐
    submit(job) → queue ─┼→ BEGIN IMMEDIATE · a savepoint for each job · COMMIT → every future resolved
    submit(job) → queue ─┘

So many small requests cost one wait for the disk, not one each. Knows neither events nor HTTP. Other processes may
write to the same database meanwhile (an import does): they take turns by SQLite's own lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from sqlite3 import OperationalError
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from service.database import Database
from service.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Job(Generic[T]):
    """Something to write, and who waits for it."""

    write: Callable[[Connection], T]
    future: Future[T] = field(default_factory=Future)

    def run(self, connection: Connection) -> Callable[[], None]:
        """Write in a savepoint of its own: a job that fails leaves nothing and fails alone. Returns what to tell after
        the commit. Raises where the storage's trouble ended the whole transaction."""
        savepoint = connection.begin_nested()
        try:
            result = self.write(connection)
            savepoint.commit()
        except Exception as error:
            if not _in_transaction(connection):
                raise
            savepoint.rollback()
            failed = unavailable(error) if is_storage_trouble(error) else error
            return lambda: self.future.set_exception(failed)
        return lambda: self.future.set_result(result)


class Writer:
    """Accepts jobs from any thread, up to `most_waiting` at a time, until it is closed."""

    def __init__(self, database: Database, most_waiting: int) -> None:
        self._database, self._most = database, most_waiting
        self._waiting: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"writer of {database.name}.db")
        self._thread.start()

    def submit(self, job: Callable[[Connection], T]) -> Future[T]:
        """Have `job` write on the log's connection. The future is resolved once it is committed, hence durable; it
        raises what the job raised, or Unavailable where the storage cannot be used: then nothing was stored.

        Raises Unavailable at once where too many wait already, or the writer is closed.
        """
        accepted = _Job(job)
        with self._changed:
            if self._closed:
                raise Unavailable("The service is stopping.")
            if len(self._waiting) >= self._most:
                raise Unavailable(f"{self._most} requests wait to be stored already.")
            self._waiting.append(accepted)
            self._changed.notify()
        return accepted.future

    def close(self) -> None:
        """Finish what was accepted, and accept nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
            self._commit()

    def _commit(self) -> None:
        """One transaction for all who wait once we have the lock; those who come later wait for the next."""
        group: Sequence[_Job[Any]] = ()
        try:
            with self._database.write() as connection:
                group = self._take()
                outcomes = [job.run(connection) for job in group]
        except Exception as error:
            if not is_storage_trouble(error):
                structlog.get_logger().error("unexpected_error", error=type(error).__name__, during="writer")
            for job in group or self._take():
                job.future.set_exception(unavailable(error) if is_storage_trouble(error) else error)
            return
        for tell in outcomes:
            tell()

    def _take(self) -> list[_Job[Any]]:
        """All who wait and have not given up."""
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
        return [job for job in taken if job.future.set_running_or_notify_cancel()]


def is_storage_trouble(error: BaseException) -> bool:
    """A full disk, a lock that another holds for too long, a file that cannot be written: it passes, or is mended."""
    return isinstance(error, DBAPIError) and isinstance(error.orig, OperationalError)


def unavailable(error: BaseException) -> Unavailable:
    """A problem of its own for each who waits."""
    structlog.get_logger().error("storage_unavailable", reason=str(getattr(error, "orig", error)))
    told = Unavailable("The storage cannot be used right now, so nothing was stored.")
    told.__cause__ = error
    return told


def _in_transaction(connection: Connection) -> bool:
    """SQLite itself rolls back on some errors, such as a full disk; its savepoints are gone then."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)
