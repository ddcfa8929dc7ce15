"""`python -m service score`: the same rows as insights, and the same bytes when it was cut off."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.commands import score
from service.jobs.scoring import score as scored
from tests.service.fakes import House, load_fake, track

AS_OF = "2026-11-21T12:00:00Z"


@pytest.fixture
def asked(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house with many customers, which commands find, and whose bundle they can load."""
    monkeypatch.setattr("service.jobs.scoring.PART", 128)
    for first in range(0, 150, 50):
        house.batch(*(track("Test Drive Booked", f"c{first + n:04d}") for n in range(50)))
    house.worker.run_until_idle()
    monkeypatch.setenv("JOURNEY_DATA_DIR", str(house.settings.data_dir))
    monkeypatch.setenv("JOURNEY_MLRUNS_DIR", str(house.settings.mlruns_dir))
    monkeypatch.setattr("service.logs.configure", lambda level: None)  # it would write to a file that the runner closes
    monkeypatch.setattr(score, "load_bundle", lambda folder, threads, remembered: load_fake(folder, threads))
    return house


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["score", *arguments])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_all_customers_are_scored_into_the_file_named(asked: House, tmp_path: Path) -> None:
    done = run("--out", str(tmp_path / "all.csv"), "--json")

    assert done.exit_code == 0, done.output
    found = rows(tmp_path / "all.csv")
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == len(found) == 150
    assert found[0]["customer_id"] == "c0000"
    assert found[0]["next_touchpoint.answer"] == "dealer.test_drive"
    assert sorted(path.name for path in tmp_path.glob("*all*")) == ["all.csv"]


def test_a_score_that_was_cut_off_goes_on_to_the_same_bytes(
    asked: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    assert run("--out", str(whole), "--as-of", AS_OF).exit_code == 0
    calls = 0

    def once(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return scored(*given)

    monkeypatch.setattr(score, "score", once)
    assert run("--out", str(cut), "--as-of", AS_OF).exit_code != 0
    assert not cut.exists()
    other = run("--out", str(cut))
    assert (other.exit_code, "Something else was begun" in other.output) == (2, True)
    assert run("--out", str(cut), "--as-of", AS_OF).exit_code == 0
    assert calls == 3
    assert cut.read_bytes() == whole.read_bytes()


def test_customers_of_a_file_and_journeys_of_a_file_are_scored(asked: House, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("c0003\nnobody\nc0001\n")
    assert run("--out", str(tmp_path / "some.csv"), "--customers", str(tmp_path / "ids")).exit_code == 0
    assert [row["customer_id"] for row in rows(tmp_path / "some.csv")] == ["c0001", "c0003"]
    (tmp_path / "journeys").write_text('{"events": [{"event": "A", "timestamp": "2026-01-05T10:00:00Z"}]}\n{}\n')
    assert run("--out", str(tmp_path / "sent.csv"), "--journeys", str(tmp_path / "journeys")).exit_code == 0
    assert [row["journey.touchpoints"] for row in rows(tmp_path / "sent.csv")] == ["1", "0"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "x.txt"], "names no format"),
        (["--out", "x.csv", "--customers", "a", "--journeys", "b"], "More than one"),
        (["--out", "x.csv", "--as-of", "2030-01-01T00:00:00Z"], "future"),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_line(asked: House, more: list[str], said: str) -> None:
    done = run(*more)
    assert (done.exit_code, said in done.output) == (2, True), done.output
