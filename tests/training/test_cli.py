"""`python -m training`: one clear line for wrong input, results on stdout, and the promised exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training import __main__ as commands
from training.__main__ import app

LOG = "user_id,event,timestamp\na,Product Viewed,2026-01-01\nb,Order Completed,2026-01-02\n"
TEXTS = "text,rating\ngood,5\nbad,1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a log, texts, and files that are neither."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "texts.csv").write_text(TEXTS)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "lines.jsonl").write_text("{}\n[/bold]\n")
    (tmp_path / "rules.yaml").write_text("rules: 7\n")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("", "nothing to learn from: give --events, --feedback or both"),
        ("--events nowhere.csv", "nowhere.csv: no such file"),
        ("--events empty.csv", "empty.csv"),
        ("--events damaged.parquet", "damaged.parquet: cannot be read as parquet"),
        ("--events lines.jsonl", "lines.jsonl"),
        ("--events log.txt", "log.txt: no such file"),
        ("--events texts.csv", "texts.csv: no column for occurred_at"),
        ("--events log.csv --map user_id=who", "no column 'who'"),
        ("--events log.csv --map user=event", "cannot map to 'user'"),
        ("--events log.csv --map user_id", "--map 'user_id' must look like ours=theirs"),
        ("--feedback nowhere.parquet", "nowhere.parquet: no such file"),
        ("--feedback damaged.parquet", "damaged.parquet: cannot be read"),
        ("--feedback log.csv", "log.csv: no column for text"),
        ("--feedback texts.csv --map-feedback text=[/x]", "no column '[/x]'; it has text, rating"),
        ("--feedback texts.csv --verdicts nowhere.csv", "nowhere.csv: no such file"),
        ("--feedback texts.csv --verdicts log.csv", "no column 'feedback_id'"),
        ("--events log.csv --verdicts log.csv", "--verdicts needs --feedback"),
        ("--events log.csv --catalogue rules.yaml", "rules.yaml"),
        ("--events log.csv --catalogue nowhere.yaml", "nowhere.yaml"),
        ("--events log.csv --target soon", "target 'soon' must look like"),
        ("--events log.csv --target a=b.c:1d --target a=b.d:1d", "two targets are called 'a'"),
        ("--events log.csv --horizon soon", "horizon: 'soon' is no duration"),
        ("--events log.csv --horizon 99999999d", "horizon_seconds"),
        ("--from-service nowhere", "nowhere holds no events.parquet"),
        ("--from-service . --events log.csv", "--from-service names all files at once"),
        ("--events log.csv --out texts.csv", "texts.csv: cannot be made a folder"),
    ],
)
def test_wrong_input_is_one_clear_line_and_writes_nothing(options: str, complaint: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = CliRunner().invoke(app, ["train", "--out", "runs", *options.split()])
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert complaint in errors[0]
    assert done.stderr.splitlines()[-1] == errors[0]
    assert sorted(folder.rglob("*")) == before


def test_a_company_is_made_up_and_described(folder: Path) -> None:
    done = CliRunner().invoke(app, ["simulate", "--customers", "5", "--out", "company", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["customers"] == 5
    assert (folder / "company" / "events.parquet").is_file()
    refused = CliRunner().invoke(app, ["simulate", "--customers", "5", "--out", "log.csv"])
    assert refused.exit_code == 2
    assert "log.csv is a file" in refused.stderr


def test_a_run_tells_its_report_on_stdout_and_nothing_of_its_libraries(folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "training", "train", "--events", "log.csv", "--feedback", "texts.csv", "--json"],
        capture_output=True, text=True, check=False, env=environment | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert (report["published"], report["version"], report["why"]) == (False, None, "nothing could be trained")
    assert report["figures"]["feeling"]["status"] == "not_trained"
    for noise in ("INFO", "alembic", "Warning", "Traceback", "mlflow."):
        assert noise not in done.stderr
    assert sorted(path.name for path in (folder / "mlruns").iterdir()) == ["artifacts", "tracking.db", "versions"]
    assert Path(report["folder"]).name == report["digest"]

    again = CliRunner().invoke(app, ["train", "--events", "log.csv", "--feedback", "texts.csv", "--no-publish"])
    assert again.exit_code == 0, again.stderr
    assert "next touchpoint not trained: only one kind" in again.stdout
    assert f"bundle {report['digest'][:12]} not published: nothing could be trained" in again.stdout


def test_a_serving_install_is_told_what_training_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(commands, "app", lacking)
    with pytest.raises(SystemExit, match=r"torch is not installed; .*journey-insight\[train\]"):
        commands.main()
