"""Which version is meant, rolling back to it, and what the commands tell of the ledger: no model is trained here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from models.bundle import BundleError, write_manifest
from models.journey.event import DAY, format_time, parse_time
from models.ledger import bundle_folder, current, history, live_at
from training.__main__ import app
from training.promote import roll_back
from training.publish import go_live, store
from training.versions import VersionError, entry_named, moment_named, stored_named

FIRST = parse_time("2026-11-01T12:00:00Z")


def bundle(root: Path, seed: int, created_at: str = "2026-01-01T00:00:00Z") -> str:
    """A stored bundle that holds nothing."""
    folder = root / f"new{seed}"
    folder.mkdir(parents=True)
    (folder / "measured.json").write_text("{}")
    write_manifest(folder, {"seed": seed}, {}, created_at=created_at)
    return store(root, folder)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three bundles that went live a day apart; MLflow is out of reach, which no command minds."""
    (tmp_path / "text.db").write_text("no database, whatever its name says" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/text.db")
    for number in range(3):
        digest = bundle(tmp_path / "mlruns", number, f"2026-01-0{number + 1}T00:00:00Z")
        go_live(tmp_path / "mlruns", digest, FIRST + number * DAY, "ada", f"reason {number}")
    return tmp_path / "mlruns"


def test_a_version_is_meant_by_number_day_moment_or_digest(root: Path) -> None:
    second = history(root)[1]
    for wanted in ("2", "2026-11-02", "2026-11-02T12:00:00Z", "2026-11-03T11:59:59Z", second.digest[:8]):
        assert entry_named(root, wanted) == second, wanted


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("9", "version 9 was never live; there are 1 to 3"),
        ("2026-10-31", "nothing was live at 2026-10-31T23:59:59.999999Z; version 1 went live 2026-11-01T12:00:00Z"),
        ("abcdef", "is the beginning of no bundle that was ever live"),
        ("yesterday", "'yesterday' is no ISO 8601 time .* or give a number, a day"),
    ],
)
def test_what_was_never_live_is_told_with_what_was(root: Path, wanted: str, said: str) -> None:
    with pytest.raises(VersionError, match=said):
        entry_named(root, wanted)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8, unique=True), st.integers(0, 10**12))
def test_what_was_live_at_any_moment_is_the_last_that_went_live_by_then(
    tmp_path_factory: pytest.TempPathFactory, moments: list[int], asked: int
) -> None:
    root = tmp_path_factory.mktemp("ledger")
    (root / "live").mkdir()
    for number, moment in enumerate(sorted(moments), 1):
        entry = {"digest": f"d{number}", "live_since": format_time(moment), "by": "ada", "why": "better"}
        (root / "live" / f"{number:06d}.json").write_text(json.dumps(entry))
    found = live_at(root, asked)
    before = [moment for moment in sorted(moments) if moment <= asked]
    assert (found.live_since if found else None) == (before[-1] if before else None)


def test_a_rollback_is_one_more_entry_with_its_reason(root: Path) -> None:
    before = [path.read_bytes() for path in sorted((root / "live").iterdir())]
    entry = roll_back(root, "2026-11-01", FIRST + 9 * DAY, "eve", "answers went wrong")
    assert (entry.version, entry.digest, entry.by) == (4, history(root)[0].digest, "eve")
    assert entry.why == "back to version 1: answers went wrong"
    assert [path.read_bytes() for path in sorted((root / "live").iterdir())][:3] == before
    assert current(root) == entry


def test_a_rollback_to_what_is_live_or_to_a_damaged_bundle_is_refused(root: Path) -> None:
    with pytest.raises(VersionError, match="version 3 is the bundle that is live"):
        roll_back(root, "3", FIRST, "eve", "why not")
    first, second = (one.digest for one in history(root)[:2])
    (bundle_folder(root, first) / "measured.json").write_text("[]")
    with pytest.raises(BundleError, match=r"measured\.json is damaged"):
        roll_back(root, "1", FIRST, "eve", "back")
    shutil.rmtree(bundle_folder(root, second))
    with pytest.raises(BundleError, match="no manifest"):
        roll_back(root, "2", FIRST, "eve", "back")
    assert len(history(root)) == 3


def test_a_publisher_that_was_killed_leaves_nothing_once_somebody_publishes(root: Path) -> None:
    gone, mine = root / "live" / ".999999999-1.partial", root / "live" / f".{os.getpid()}-0.partial"
    for path in (gone, mine):
        path.write_text("half")
    roll_back(root, "1", FIRST + 5 * DAY, "eve", "back")
    assert not gone.exists()
    assert mine.exists()


def test_a_stored_bundle_is_meant_by_its_digest_or_as_the_latest(root: Path) -> None:
    latest = history(root)[2].digest
    assert stored_named(root, "latest").digest == latest == stored_named(root, latest[:6]).digest
    with pytest.raises(VersionError, match="no stored bundle begins with '00'"):
        stored_named(root, "00")
    with pytest.raises(VersionError, match="holds no bundle; train one"):
        stored_named(root / "elsewhere", "latest")


def test_a_day_is_its_last_moment() -> None:
    assert moment_named("2026-11-01") == moment_named("2026-11-02T00:00:00Z") - 1


# -- commands ----------------------------------------------------------------------------------------------------------


def _call(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def test_history_tells_every_entry_and_whether_its_bundle_is_whole(root: Path) -> None:
    shutil.rmtree(bundle_folder(root, history(root)[1].digest))
    told = json.loads(_call("history", "--out", str(root), "--json"))
    assert [(one["version"], one["by"], one["why"], one["whole"], one["forced"]) for one in told["live"]] == [
        (1, "ada", "reason 0", True, False),
        (2, "ada", "reason 1", False, False),
        (3, "ada", "reason 2", True, False),
    ]
    assert told["refused"] == []
    table = _call("history", "--out", str(root))
    assert "reason 1 [damaged or missing]" in table
    assert "2026-11-03T12:00:00Z" in table
    on = json.loads(_call("history", "--out", str(root), "--on", "2026-11-02", "--json"))
    assert [one["version"] for one in on["live"]] == [2]


def test_history_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert _call("history", "--out", str(tmp_path)) == "nothing was ever live\n"
    assert "nothing was ever live" in _call("history", "--out", str(tmp_path), "--on", "2026-11-02", code=2)


def test_rollback_tells_what_is_live_and_that_the_mirror_is_out_of_reach(root: Path) -> None:
    done = CliRunner().invoke(app, ["rollback", "--to", "1", "--why", "wrong answers", "--out", str(root), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["version"], told["why"]) == (4, "back to version 1: wrong answers")
    assert "MLflow's mirror of the ledger was left as it was" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rollback --to 3 --why again", "version 3 is the bundle that is live"),
        ("rollback --to 2 --why ", "--why needs a reason"),
        ("rollback --to soon --why x", "'soon' is no ISO 8601 time"),
        ("promote latest --data . --force", "--force needs a reason"),
        ("promote 00 --data .", "no stored bundle begins with '00'"),
        ("promote latest --data .", "holds no events.parquet"),
        ("promote latest --data . --set gate.worse_nat=1", "did you mean gate.worse_nats"),
        ("promote latest --data . --set gate.size_mb=big", "'big'; allowed: a number"),
        ("promote latest --data . --set gate.size_mb=-1", "size_mb -1.0; allowed: 0 to inf"),
    ],
)
def test_what_cannot_be_done_is_one_line(root: Path, words: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert said in _call(*words.split(" "), "--out", str(root), code=2)
    assert len(history(root)) == 3
