"""The log's writer: one commit for all who wait, a failing job alone, a bounded queue, nothing accepted is dropped."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from service.database import Database
from service.errors import Unavailable
from service.writer import Writer


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(tmp_path, "log")) as database:
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE kept (n INTEGER PRIMARY KEY)")
        yield database


def kept(log: Database) -> list[int]:
    with log.read() as connection:
        return list(connection.exec_driver_sql("SELECT n FROM kept ORDER BY n").scalars())


def keep(n: int) -> Any:
    def job(connection: Connection) -> int:
        connection.exec_driver_sql("INSERT INTO kept VALUES (?)", (n,))
        return n

    return job


class Gate:
    """A job that holds the writer until it is opened, so that others wait behind it."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(30)


def test_a_result_is_told_after_it_is_committed(log: Database) -> None:
    with closing(Writer(log, 9)) as writer:
        assert writer.submit(keep(1)).result() == 1
        assert kept(log) == [1]


def test_all_who_wait_share_one_commit(log: Database) -> None:
    commits = list[object]()
    event.listen(log.engine, "commit", commits.append)
    gate = Gate()
    with closing(Writer(log, 99)) as writer:
        first = writer.submit(gate)
        gate.entered.wait()
        others = [writer.submit(keep(n)) for n in range(50)]
        gate.opened.set()
        assert [one.result() for one in others] == list(range(50))
        assert first.done()
    assert len(commits) == 2


def test_a_job_that_fails_leaves_nothing_and_fails_alone(log: Database) -> None:
    def half(connection: Connection) -> None:
        keep(7)(connection)
        raise KeyError("in the middle")

    gate = Gate()
    with closing(Writer(log, 9)) as writer:
        writer.submit(gate)
        gate.entered.wait()
        before, failing, after = writer.submit(keep(1)), writer.submit(half), writer.submit(keep(2))
        gate.opened.set()
        assert (before.result(), after.result()) == (1, 2)
        with pytest.raises(KeyError):
            failing.result()
    assert kept(log) == [1, 2]


def test_more_than_may_wait_are_told_to_come_back(log: Database) -> None:
    gate = Gate()
    with closing(Writer(log, 2)) as writer:
        writer.submit(gate)
        gate.entered.wait()
        waiting = [writer.submit(keep(n)) for n in range(2)]
        with pytest.raises(Unavailable) as refused:
            writer.submit(keep(2))
        gate.opened.set()
        assert [one.result() for one in waiting] == [0, 1]
    assert refused.value.headers["Retry-After"]
    assert kept(log) == [0, 1]


def test_closing_finishes_what_was_accepted_and_accepts_no_more(log: Database) -> None:
    gate = Gate()
    writer = Writer(log, 99)
    writer.submit(gate)
    gate.entered.wait()
    waiting = [writer.submit(keep(n)) for n in range(20)]
    closing_thread = threading.Thread(target=writer.close)
    closing_thread.start()
    gate.opened.set()
    closing_thread.join()

    assert all(one.done() for one in waiting)
    assert kept(log) == list(range(20))
    with pytest.raises(Unavailable):
        writer.submit(keep(99))


def test_one_who_gave_up_while_waiting_is_passed_over(log: Database) -> None:
    gate = Gate()
    with closing(Writer(log, 9)) as writer:
        writer.submit(gate)
        gate.entered.wait()
        gone, there = writer.submit(keep(1)), writer.submit(keep(2))
        assert gone.cancel()
        gate.opened.set()
        assert there.result() == 2
    assert kept(log) == [2]


def test_many_threads_lose_nothing(log: Database) -> None:
    with closing(Writer(log, 9_999)) as writer:

        def send(start: int) -> None:
            for n in range(start, start + 100):
                assert writer.submit(keep(n)).result() == n

        threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 800, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert kept(log) == list(range(800))


def test_a_full_disk_fails_those_who_wait_and_passes(log: Database) -> None:
    """SQLite's own limit of pages answers like a full disk."""

    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql("CREATE TABLE more AS SELECT randomblob(100000)")

    def free(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")

    gate = Gate()
    with closing(Writer(log, 9)) as writer:
        assert writer.submit(keep(1)).result() == 1
        writer.submit(gate)
        gate.entered.wait()
        full = writer.submit(fill)
        gate.opened.set()
        with pytest.raises(Unavailable) as told:
            full.result()
        writer.submit(free).result()
        assert writer.submit(keep(3)).result() == 3
    assert told.value.headers["Retry-After"] == "1"
    assert kept(log) == [1, 3]


def test_a_lock_that_another_holds_too_long_fails_those_who_wait_and_passes(log: Database, tmp_path: Path) -> None:
    impatient = Database.open(tmp_path, "log", busy_seconds=0.02)
    with closing(impatient), closing(Writer(impatient, 9)) as writer:
        with log.write():
            refused = [writer.submit(keep(n)) for n in (1, 2)]
            for one in refused:
                with pytest.raises(Unavailable):
                    one.result()
        assert writer.submit(keep(3)).result() == 3
    assert kept(log) == [3]
