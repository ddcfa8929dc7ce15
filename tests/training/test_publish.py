"""Publishing: whole or not at all, and never two under one number."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from models.bundle import BundleError, write_manifest
from models.ledger import LedgerError, LiveEntry, current, history
from training.publish import go_live, store

NOW = 1_000_000


def _finished(folder: Path, seed: int = 1, created_at: str = "2026-01-01T00:00:00Z") -> Path:
    folder.mkdir()
    (folder / "measured.json").write_text("{}")
    write_manifest(folder, {"seed": seed}, {}, created_at=created_at)
    return folder


def test_a_bundle_is_moved_to_its_digest(tmp_path: Path) -> None:
    digest = store(tmp_path, _finished(tmp_path / "new"))
    assert sorted(path.name for path in (tmp_path / "versions" / digest).iterdir()) == [
        "manifest.json",
        "measured.json",
    ]
    assert not (tmp_path / "new").exists()
    assert current(tmp_path) is None


def test_the_same_bundle_twice_changes_nothing(tmp_path: Path) -> None:
    digest = store(tmp_path, _finished(tmp_path / "new"))
    before = (tmp_path / "versions" / digest / "manifest.json").read_bytes()
    assert store(tmp_path, _finished(tmp_path / "again", created_at="2027-01-01T00:00:00Z")) == digest
    assert (tmp_path / "versions" / digest / "manifest.json").read_bytes() == before
    assert len(list((tmp_path / "versions").iterdir())) == 1


def test_a_damaged_one_is_replaced_by_training_it_again(tmp_path: Path) -> None:
    digest = store(tmp_path, _finished(tmp_path / "new"))
    (tmp_path / "versions" / digest / "measured.json").write_text("[]")
    assert store(tmp_path, _finished(tmp_path / "again")) == digest
    assert go_live(tmp_path, digest, NOW, "tester", "whole again").version == 1


def test_an_unfinished_bundle_is_not_stored(tmp_path: Path) -> None:
    broken = _finished(tmp_path / "new")
    (broken / "manifest.json").unlink()
    with pytest.raises(BundleError, match="no manifest"):
        store(tmp_path, broken)
    assert not (tmp_path / "versions").exists()


def test_versions_count_up_and_say_who_and_why(tmp_path: Path) -> None:
    first, second = (store(tmp_path, _finished(tmp_path / f"new{seed}", seed)) for seed in (1, 2))
    go_live(tmp_path, first, NOW, "ann", "better")
    go_live(tmp_path, second, NOW + 1, "bob", "better still")
    go_live(tmp_path, first, NOW + 2, "ann", "back")
    assert history(tmp_path) == [
        LiveEntry(1, first, NOW, "ann", "better"),
        LiveEntry(2, second, NOW + 1, "bob", "better still"),
        LiveEntry(3, first, NOW + 2, "ann", "back"),
    ]
    assert sorted(path.name for path in (tmp_path / "live").iterdir()) == ["000001.json", "000002.json", "000003.json"]


def test_a_damaged_or_missing_bundle_never_goes_live(tmp_path: Path) -> None:
    digest = store(tmp_path, _finished(tmp_path / "new"))
    (tmp_path / "versions" / digest / "measured.json").write_text("[]")
    with pytest.raises(BundleError, match=r"measured\.json is damaged"):
        go_live(tmp_path, digest, NOW, "ann", "better")
    with pytest.raises(BundleError, match="no manifest"):
        go_live(tmp_path, "0" * 64, NOW, "ann", "better")
    with pytest.raises(LedgerError, match="is no digest"):
        go_live(tmp_path, "../elsewhere", NOW, "ann", "better")
    assert not (tmp_path / "live").exists()


def test_a_bundle_under_the_name_of_another_never_goes_live(tmp_path: Path) -> None:
    digest = store(tmp_path, _finished(tmp_path / "new"))
    (tmp_path / "versions" / digest).rename(tmp_path / "versions" / ("0" * 64))
    with pytest.raises(BundleError, match="holds the bundle"):
        go_live(tmp_path, "0" * 64, NOW, "ann", "better")


def test_publishers_at_once_get_a_number_each(tmp_path: Path) -> None:
    digest = store(tmp_path, _finished(tmp_path / "new"))
    together, entries = threading.Barrier(8), []

    def publish(who: int) -> None:
        together.wait()
        entries.append(go_live(tmp_path, digest, NOW, f"publisher {who}", "better"))

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.version for entry in entries) == list(range(1, 9))
    assert {(e.version, e.by) for e in history(tmp_path)} == {(e.version, e.by) for e in entries}
    assert not list((tmp_path / "live").glob(".*"))


def test_the_same_bundle_may_be_stored_by_two_at_once(tmp_path: Path) -> None:
    finished = [_finished(tmp_path / f"new{who}") for who in range(6)]
    together, digests = threading.Barrier(6), []

    def keep(folder: Path) -> None:
        together.wait()
        digests.append(store(tmp_path, folder))

    threads = [threading.Thread(target=keep, args=(folder,)) for folder in finished]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 6
    assert len(set(digests)) == 1
    manifest = tmp_path / "versions" / digests[0] / "manifest.json"
    assert json.loads(manifest.read_text())["digest"] == digests[0]
