"""The commands: JSON alone on stdout, a table without --json, one clear line and exit code 2 for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.measure.made_up import write_log, write_table
from training.__main__ import app

RUNNER = CliRunner()


def test_json_is_alone_on_stdout(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.csv", 600, 1, learnable=True)
    both = ["--train", str(table), "--test", str(table)]
    found = RUNNER.invoke(app, ["measure", "purchase", *both, "--target", "bought", "--drop", "paid", "--json"])
    assert found.exit_code == 0
    told = json.loads(found.stdout)
    assert set(told["auc"]) == {"value", "low", "high", "n"}
    assert "600 rows" in found.stderr


def test_without_json_a_table_names_every_figure(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("wrong,released,group\n" + "0,1,chat\n1,0,call\n" * 20, "utf-8")
    found = RUNNER.invoke(app, ["measure", "confidence", "--table", str(path)])
    assert found.exit_code == 0
    assert "risk_by_group.chat.selective_error" in found.stdout
    assert "0.5000" in found.stdout


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["next-touchpoint", "--train", "{log}", "--test", "{log}", "--group", "tablet"], "--group 'tablet'"),
        (["next-touchpoint", "--train", "no.csv", "--test", "{log}"], "no.csv: no such file"),
        (["next-touchpoint", "--train", "{log}", "--test", "{log}", "--horizon", "soon"], "horizon: 'soon'"),
        (["purchase", "--train", "{log}", "--test", "{log}"], "give --target COLUMN"),
        (["purchase", "--train", "{log}", "--test", "{log}", "--target", "x", "--every", "7d"], "event log"),
        (["purchase", "--train", "{log}", "--test", "{log}", "--purchase-event", "x"], "no event of this name"),
        (["feedback", "--test", "{log}", "--text", "event", "--label", "event", "--task", "mood"], "--task 'mood'"),
        (["confidence", "--table", "{log}", "--alpha", "2"], "--alpha 2"),
        (["confidence", "--table", "{log}"], "needed: covered"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, options: list[str], line: str) -> None:
    log = write_log(tmp_path / "log.csv", 4, 1, learnable=True)
    found = RUNNER.invoke(app, ["measure", *(option.replace("{log}", str(log)) for option in options)])
    assert found.exit_code == 2
    assert found.stdout == ""
    last = found.stderr.strip().splitlines()
    assert len(last) == 1
    assert line in last[0].replace("\n", " ")
