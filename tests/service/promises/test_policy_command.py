"""`python -m service policy`: the file that comes along, mistakes, and whether a draw was fair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from models.policy import DEFAULT
from service.commands.policy import app
from tests.service.fakes import open_house

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command configures the log for a stream that ends with it."""
    yield
    structlog.reset_defaults()


def test_what_is_shown_is_a_policy_without_a_mistake(tmp_path: Path) -> None:
    shown = run(app, ["show"])
    assert shown.output == DEFAULT.read_text("utf-8")
    (tmp_path / "policy.yaml").write_text(shown.output)
    checked = run(app, ["check", str(tmp_path / "policy.yaml")])
    assert checked.exit_code == 0
    assert "no mistake" in checked.output
    assert "120 cases a day" in checked.output


def test_a_mistake_is_told_with_its_field_value_and_fix(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("audit: {share: 3}")
    checked = run(app, ["check", str(tmp_path / "policy.yaml"), "--json"])
    told = json.loads(checked.output)
    assert checked.exit_code == 1
    assert (told["field"], told["value"], told["fix"]) == ("audit.share", "3", "write a number from 0 to 1")


def test_a_setting_of_before_is_no_silent_change_of_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNEY_ALPHA", "0.01")
    checked = run(app, ["check"])
    assert checked.exit_code == 2
    assert "JOURNEY_POLICY_FILE" in checked.stderr


def test_whoever_has_the_data_can_show_that_a_draw_was_fair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy.yaml").write_text("audit: {share: 1}")
    with open_house(tmp_path, policy_file=tmp_path / "policy.yaml") as house:
        house.say("w1", "All is well.")
        house.worker.run_until_idle()
    monkeypatch.setenv("JOURNEY_DATA_DIR", str(tmp_path / "data"))
    told = json.loads(run(app, ["draw", "w1", "--json"]).stdout)
    assert (told["fair"], told["chance"], told["released"], told["first"]) == (True, 1.0, True, False)
    missing = run(app, ["draw", "w2"])
    assert missing.exit_code == 2
    assert "was not drawn" in missing.stderr
