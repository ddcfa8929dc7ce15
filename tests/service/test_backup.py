"""Backup and restore: while the service writes, as a pair that fits, whole or not at all, verified on both ways."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from service import backup as module
from service.backup import MANIFEST, backup, restore
from service.database import UNFINISHED
from service.errors import Conflict, Invalid, NotFound
from tests.service.fakes import NOON, CountingIds, House, open_house, track

ROOT = Path(__file__).parents[2]
ids = CountingIds()
STEADY = [f"steady-{number}" for number in range(20)]


def a_company(house: House) -> None:
    """Customers who have done and said something, concluded."""
    house.batch(*(track("Product Viewed", customer=customer) for customer in STEADY))
    house.say("f1", "I am angry", customer=STEADY[0])
    house.worker.run_until_idle()


def answers(house: House) -> dict[str, object]:
    return {customer: house.insight(customer, "read", "provisional") for customer in STEADY}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".db", ".json")}


def test_a_restored_service_answers_the_same_insights(house: House, tmp_path: Path) -> None:
    a_company(house)
    before = answers(house)
    made = backup(house.settings.data_dir, tmp_path / "copy", NOON, ids)
    house.batch(*(track("Order Completed", customer=customer) for customer in STEADY))
    house.worker.run_until_idle()
    restore(tmp_path / "again" / "data", tmp_path / "copy")

    assert made["made_at"] == "2026-11-21T12:00:00Z"
    assert made["databases"]["log"]["rows"]["log"] == 21
    with open_house(tmp_path / "again") as restored:
        assert answers(restored) == before
        assert restored.worker.run_until_idle().idle


def test_what_is_written_during_the_backup_is_whole_or_not_there(house: House, tmp_path: Path) -> None:
    a_company(house)
    before, stop, sent = answers(house), threading.Event(), count()

    def write() -> None:
        while not stop.is_set():
            number = next(sent)
            house.batch(track("A", customer=f"new-{number}", messageId=f"m{number}"))
            house.worker.run_once()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            backup(house.settings.data_dir, tmp_path / f"copy-{number}", NOON, ids)
    finally:
        stop.set()
        writer.join()
    restore(tmp_path / "again" / "data", tmp_path / "copy-2")

    with open_house(tmp_path / "again") as restored:
        assert answers(restored) == before
        restored.worker.run_until_idle()
        with restored.state.log.read() as log:
            kept = {row[0] for row in log.exec_driver_sql("SELECT user_id FROM log WHERE user_id LIKE 'new-%'")}
        assert kept == {f"new-{number}" for number in range(len(kept))}
        assert all(restored.insight(customer)["journey"]["touchpoints"] == 1 for customer in kept)


def test_events_folded_between_the_two_copies_are_folded_again_after_the_restore(house: House, tmp_path: Path) -> None:
    a_company(house)

    def in_between(done: str) -> None:
        if done == "service":
            house.batch(track("A", customer="late"))
            house.worker.run_until_idle()

    backup(house.settings.data_dir, tmp_path / "copy", NOON, ids, in_between)
    restore(tmp_path / "again" / "data", tmp_path / "copy")

    with open_house(tmp_path / "again") as restored:
        assert restored.client.get("/readyz").json()["events_to_fold"] == 1
        restored.batch(track("B", customer="later still", messageId="m9"))
        restored.worker.run_until_idle()
        for customer in ("late", "later still"):
            assert restored.insight(customer)["journey"]["touchpoints"] == 1


def test_a_pair_whose_log_is_behind_is_refused(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_company(house)
    monkeypatch.setattr(module, "ORDER", ("log", "service"))

    def in_between(done: str) -> None:
        if done == "log":
            house.batch(track("A", customer="late"))
            house.worker.run_until_idle()

    with pytest.raises(Invalid, match="ends with row 21"):
        backup(house.settings.data_dir, tmp_path / "copy", NOON, ids, in_between)
    assert not list(tmp_path.glob("*copy*"))


def test_a_backup_that_is_cut_off_leaves_nothing(house: House, tmp_path: Path) -> None:
    def fail(done: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(house.settings.data_dir, tmp_path / "out" / "copy", NOON, ids, fail)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_backup_overwrites_nothing_and_needs_something_to_copy(house: House, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        backup(house.settings.data_dir, tmp_path / "taken", NOON, ids)
    with pytest.raises(NotFound, match=r"no service\.db"):
        backup(tmp_path / "nowhere", tmp_path / "copy", NOON, ids)


def test_only_its_owner_can_read_a_backup(house: House, tmp_path: Path) -> None:
    backup(house.settings.data_dir, tmp_path / "copy", NOON, ids)
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0


@pytest.fixture
def copy(house: House, tmp_path: Path) -> Path:
    """A backup of a company, whose house goes on."""
    a_company(house)
    backup(house.settings.data_dir, tmp_path / "copy", NOON, ids)
    return tmp_path / "copy"


def test_restore_gives_up_data_only_when_told_to(copy: Path, tmp_path: Path) -> None:
    with open_house(tmp_path / "other") as other:
        other.batch(track("A", customer="of the other"))
        data = other.settings.data_dir
    before = files(data)
    with pytest.raises(Conflict, match="not empty"):
        restore(data, copy)
    assert files(data) == before
    restore(data, copy, replace=True)

    with open_house(tmp_path / "other") as other:
        assert other.insight(STEADY[3])["journey"]["touchpoints"] == 1
        assert other.client.get("/v1/customers/of the other/insight", headers=other.key("read")).status_code == 404


def test_restore_refuses_while_a_service_works_on_the_data(house: House, copy: Path) -> None:
    house.batch(track("A", customer="unharmed"))
    with pytest.raises(Conflict, match="in use"):
        restore(house.settings.data_dir, copy, replace=True)

    house.worker.run_until_idle()
    assert house.insight("unharmed")["journey"]["touchpoints"] == 1
    assert not (house.settings.data_dir / UNFINISHED).exists()


@pytest.mark.parametrize("harm", ["a bit of the log", "no service.db", "no manifest", "another format", "fewer rows"])
def test_a_damaged_backup_is_refused_before_anything_changes(copy: Path, tmp_path: Path, harm: str) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    if harm == "a bit of the log":
        whole = bytearray((copy / "log.db").read_bytes())
        whole[5000] ^= 1
        (copy / "log.db").write_bytes(whole)
    elif harm == "no service.db":
        (copy / "service.db").unlink()
    elif harm == "no manifest":
        (copy / MANIFEST).unlink()
    elif harm == "another format":
        (copy / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    else:
        manifest["databases"]["log"]["rows"]["log"] -= 1
        (copy / MANIFEST).write_text(json.dumps(manifest))
    with open_house(tmp_path / "other") as other:
        other.batch(track("A"))
        data = other.settings.data_dir
    before = files(data)

    with pytest.raises((Invalid, NotFound)):
        restore(data, copy, replace=True)
    assert files(data) == before
    assert not (data / UNFINISHED).exists()


def test_a_backup_of_a_newer_schema_is_refused_by_name(copy: Path, tmp_path: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["databases"]["service"]["schema"] = "9999"
    (copy / MANIFEST).write_text(json.dumps(manifest))

    with pytest.raises(Invalid, match="9999") as refused:
        restore(tmp_path / "data2", copy)
    assert refused.value.code == "backup_newer"


def test_a_damaged_database_can_be_replaced(copy: Path, tmp_path: Path) -> None:
    data = tmp_path / "again" / "data"
    data.mkdir(parents=True)
    (data / "log.db").write_bytes(b"no database at all" * 500)
    (data / "log.db-wal").write_bytes(b"of another file")
    restore(data, copy, replace=True)

    with open_house(tmp_path / "again") as restored:
        assert restored.insight(STEADY[3])["journey"]["touchpoints"] == 1


def test_a_damaged_database_is_not_backed_up(house: House, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "service.db").write_bytes(b"no database at all" * 500)
    (tmp_path / "bad" / "log.db").write_bytes((copy / "log.db").read_bytes())
    with pytest.raises(Invalid, match="cannot be copied"):
        backup(tmp_path / "bad", tmp_path / "out", NOON, ids)


def test_a_restore_that_was_cut_off_lets_no_service_start_until_it_is_run_again(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sync = tmp_path / "again" / "data", module._sync

    def fail(path: Path) -> None:
        if path == data:
            raise OSError("the power went")
        sync(path)

    monkeypatch.setattr(module, "_sync", fail)
    with pytest.raises(OSError, match="power"):
        restore(data, copy)
    with pytest.raises(Conflict, match="cut off in the middle"), open_house(tmp_path / "again"):
        pass
    monkeypatch.setattr(module, "_sync", sync)
    restore(data, copy, replace=True)

    with open_house(tmp_path / "again") as restored:
        assert restored.insight(STEADY[3])["journey"]["touchpoints"] == 1


def test_the_commands_say_what_was_copied_and_refuse_in_one_line(copy: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "JOURNEY_DATA_DIR": str(tmp_path / "fresh"), "JOURNEY_MLRUNS_DIR": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)

    restored = run("restore", str(copy), "--json")
    assert json.loads(restored.stdout)["databases"]["log"]["rows"]["log"] == 21
    refused = run("restore", str(copy))
    assert (refused.returncode, refused.stderr.count("\n"), "--replace" in refused.stderr) == (2, 1, True)
    made = run("backup", str(tmp_path / "second"))
    assert "verified: 21 rows of the log, 20 customers, 0 verdicts" in made.stdout
    assert run("restore", str(tmp_path / "second"), "--replace").returncode == 0


def test_each_file_of_a_backup_is_whole_in_itself(copy: Path) -> None:
    assert sorted(path.name for path in copy.iterdir()) == ["log.db", MANIFEST, "service.db"]
    for name in ("log.db", "service.db"):
        with closing(sqlite3.connect(f"file:{copy / name}?mode=ro&immutable=1", uri=True)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_into_the_data_folder_is_refused(tmp_path: Path) -> None:
    with open_house(tmp_path) as house, pytest.raises(Conflict) as refused:
        backup(house.settings.data_dir, house.settings.data_dir / "backups" / "monday", NOON, CountingIds())
    assert refused.value.code == "folder_in_data"
