"""Disk full, database locked, clock set back: a clear 503, nothing lost that was acknowledged, and it passes."""

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import OperationalError

from models.features import cues
from service.database import Database
from service.events import projector, store
from service.events.folded import touchpoints
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track


@pytest.fixture
def impatient(tmp_path: Path, blank: Path) -> Iterator[House]:
    """A house that does not wait long for a lock."""
    shutil.copytree(blank, tmp_path / "data")
    with open_house(tmp_path, busy_seconds=0.05) as opened:
        yield opened


@contextmanager
def full(database: Database) -> Iterator[None]:
    """SQLite's own limit of pages stands in for a full disk: the file can grow no more."""

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1").close()

    def free(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823").close()

    event.listen(database.engine, "begin", limit, insert=True)
    try:
        yield
    finally:
        event.remove(database.engine, "begin", limit)
        event.listen(database.engine, "begin", free, insert=True)


@contextmanager
def locked(house: House, name: str) -> Iterator[None]:
    """Somebody else writes, and takes long."""
    with closing(sqlite3.connect(house.settings.data_dir / f"{name}.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def send(house: House, *events: dict[str, Any]) -> Any:
    return house.client.post("/v1/batch", json={"batch": list(events)}, headers=house.key("ingest"))


def logged(house: House) -> list[str]:
    with house.state.log.read() as connection:
        return [row.message_id for row in store.after(connection, 0, 100_000)]


def folded(house: House) -> list[tuple[Any, ...]]:
    with house.state.service.read() as connection:
        return sorted(map(tuple, connection.execute(select(touchpoints))))


def assert_to_be_sent_again(answer: Any) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["code"] == "storage_unavailable"
    assert "OperationalError" not in answer.text


def large(id: str) -> dict[str, Any]:
    return track("Product Viewed", messageId=id, properties={"note": "x" * 20_000})


def test_a_full_disk_is_a_503_and_what_was_acknowledged_before_and_after_is_there(house: House) -> None:
    assert send(house, large("m1")).status_code == 200
    with full(house.state.log):
        assert_to_be_sent_again(send(house, *(large(f"lost{n}") for n in range(20))))
        assert_to_be_sent_again(house.say("f1", "x" * 90_000))
        assert logged(house) == ["m1"]
    assert send(house, large("m2")).status_code == 200
    assert house.say("f1", "x" * 90_000).json() == {"feedback_id": "f1", "repeated": False, "edited": False}
    assert logged(house) == ["m1", "m2", "f1"]


def test_a_disk_too_full_to_fold_stops_the_worker_until_there_is_room_and_then_nothing_is_missing(house: House) -> None:
    house.batch(*(track("Product Viewed", customer=f"c{n}", messageId=f"m{n}") for n in range(500)))
    with full(house.state.service):
        with pytest.raises(OperationalError):
            house.worker.run_once()
        assert folded(house) == []
    house.worker.run_until_idle()
    assert [row[0] for row in folded(house)] == sorted(f"m{n}" for n in range(500))


def test_no_room_for_a_temporary_file_is_a_503_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: str) -> tuple[str, float]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cues, "language", no_room)
    assert house.say("f1", "The car is fine").status_code == 200
    path, headers = "/v1/customers/c1/insight", house.key("read")
    assert_to_be_sent_again(house.client.get(path, headers=headers))
    monkeypatch.undo()
    assert house.client.get(path, headers=headers).status_code == 200


def test_what_tells_languages_apart_is_read_before_the_first_text_asks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in threading.enumerate():
        if one.name == "languages":
            one.join()

    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    assert house.say("f1", "The car is fine").status_code == 200
    assert house.client.get("/v1/customers/c1/insight", headers=house.key("read")).status_code == 200


def test_a_log_that_another_process_holds_is_a_503_and_then_works_again(impatient: House) -> None:
    assert send(impatient, track("A", messageId="m1")).status_code == 200
    with locked(impatient, "log"):
        assert_to_be_sent_again(send(impatient, track("A", messageId="m2")))
        assert_to_be_sent_again(impatient.say("f1", "Fine"))
    assert send(impatient, track("A", messageId="m2")).status_code == 200
    assert logged(impatient) == ["m1", "m2"]


def test_events_come_in_while_another_process_writes_what_is_folded(impatient: House) -> None:
    send(impatient, track("A", messageId="m1"))
    impatient.clock.forward(3600)
    with locked(impatient, "service"):
        assert send(impatient, track("A", messageId="m2")).status_code == 200
        with pytest.raises(OperationalError):
            impatient.worker.run_once()
    impatient.worker.run_until_idle()
    assert [row[0] for row in folded(impatient)] == ["m1", "m2"]


def test_a_clock_that_is_set_back_changes_no_order_and_loses_nothing(house: House) -> None:
    send(house, {"type": "page", "anonymousId": "tablet", "messageId": "m1"})
    send(house, {"type": "identify", "anonymousId": "tablet", "userId": "first", "messageId": "m2"})
    house.worker.run_until_idle()
    house.clock.forward(-86_400)
    answer = send(house, {"type": "identify", "anonymousId": "tablet", "userId": "second", "messageId": "m3"})
    assert answer.json()["accepted"] == 1
    assert house.say("f1", "Fine", customer="first", at="2026-11-19T10:00:00Z").status_code == 200
    house.worker.run_until_idle()

    with house.state.log.read() as connection:
        received = [row.received_at for row in store.after(connection, 0, 10)]
    assert received == sorted(set(received))
    assert house.insight("tablet")["customer_id"] == "first"
    before = folded(house)
    rebuild(house.state)
    assert folded(house) == before


def test_a_worker_takes_over_from_a_dead_one_even_after_the_clock_was_set_back(house: House) -> None:
    house.batch(track("A"))
    assert house.worker.hold_lease()
    house.clock.forward(-86_400)
    second = replace(house.worker, holder="the second")
    assert second.run_once().folded == 1


def test_a_fold_that_is_cut_off_anywhere_goes_on_without_a_repeat(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement of a fold is the last one before the end, in turn."""
    house.batch(
        {"type": "page", "anonymousId": "d", "messageId": "m1"},
        track("Survey Answered", messageId="m2", properties={"text": "fine"}),
        {"type": "identify", "anonymousId": "d", "userId": "c1", "messageId": "m3"},
    )
    for most in range(1, 100):
        left = iter(range(most))

        def dies(*_: Any, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        event.listen(house.state.service.engine, "before_cursor_execute", dies)
        try:
            assert projector.fold(house.state) == 3
            break
        except KeyboardInterrupt:
            pass
        finally:
            event.remove(house.state.service.engine, "before_cursor_execute", dies)
        assert folded(house) == []
    assert 5 < most < 100
    assert [row[0] for row in folded(house)] == ["m1", "m2"]
    assert projector.fold(house.state) == 0
