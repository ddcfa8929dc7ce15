"""The ledger: the highest number is in force, and a damaged entry is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.ledger import LedgerError, LiveEntry, bundle_folder, current, history, read_entry


def publish(root: Path, number: int, **changed: object) -> None:
    live = root / "live"
    live.mkdir(exist_ok=True)
    entry = {"digest": f"d{number}", "live_since": "1970-01-01T00:00:05Z", "by": "Ada", "why": "better", **changed}
    (live / f"{number:06d}.json").write_text(json.dumps(entry), "utf-8")


def test_nothing_published_is_nothing_live(tmp_path: Path) -> None:
    assert current(tmp_path) is None
    assert history(tmp_path) == []


def test_the_highest_number_is_in_force_whenever_it_was_written(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        publish(tmp_path, number)
    assert current(tmp_path) == LiveEntry(10, "d10", 5_000_000, "Ada", "better")
    assert [entry.version for entry in history(tmp_path)] == [2, 9, 10]


def test_files_that_are_no_entries_are_passed_over(tmp_path: Path) -> None:
    publish(tmp_path, 3)
    for name in ("README.json", "000004.json.partial", "9.json", "0000010.json", "٠٠٠٠٠٩.json"):
        (tmp_path / "live" / name).write_text("{}")
    entry = current(tmp_path)
    assert entry is not None
    assert entry.version == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ""),
        (b'{"digest": "d", "live_si', ""),
        (b"\xff\xfe", ""),
        (b"[]", ""),
        (b"{}", "it lacks 'digest'"),
        (b'{"digest": "d", "by": "", "why": ""}', "it lacks 'live_since'"),
        (b'{"digest": "d", "live_since": 5, "by": "", "why": ""}', "'5' is no ISO 8601 time"),
    ],
)
def test_a_damaged_entry_is_named_and_never_passed_over(tmp_path: Path, content: bytes, said: str) -> None:
    publish(tmp_path, 6)
    (tmp_path / "live" / "000007.json").write_bytes(content)
    with pytest.raises(LedgerError, match=rf"live/000007\.json cannot be read.*{said}"):
        current(tmp_path)
    assert read_entry(tmp_path, 6).digest == "d6"


def test_an_entry_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"live/000001\.json"):
        read_entry(tmp_path, 1)


def test_a_digest_names_a_folder_of_versions_and_nothing_else(tmp_path: Path) -> None:
    assert bundle_folder(tmp_path, "b3f1") == tmp_path / "versions" / "b3f1"
    for digest in ("", ".", "..", "../x", "/etc", "a\\b", "a\0b"):
        with pytest.raises(LedgerError, match="is no digest"):
            bundle_folder(tmp_path, digest)
