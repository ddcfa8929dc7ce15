"""The catalogue told: shares of history, events without a rule with a rule to paste, and a file that is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from models.journey.touchpoint import Catalogue, default_text
from service.events import projector, remap
from tests.service.fakes import House, open_house, track

ROOT = Path(__file__).parents[3]
WRONG = """rules:
  - event: A
    stage: later
    channel: web
    action: a
  - {channel: other, action: "{event}", stage: convenience}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m service catalogue …` in a process of its own: it sets up logging for all of it."""
    environment = {**os.environ, "JOURNEY_DATA_DIR": str(folder / "data"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "service", "catalogue", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)


def test_the_rules_are_told_with_their_shares_and_what_has_none_with_a_suggestion(house: House) -> None:
    house.batch(track("Order Completed"), track("Workshop Visit"), track("Workshop Visit"), track("Email Opened"))
    projector.fold_all(house.state)

    told = house.client.get("/v1/catalogue", headers=house.key("admin")).json()
    assert (told["events"], told["rows_to_remap"], told["shadowed"]) == (4, 0, [])
    assert told["digest"] == Catalogue.default().digest
    shares = {rule["action"]: rule["share"] for rule in told["rules"] if rule["events"]}
    assert shares == {"purchase": 0.25, "open": 0.25, "{event}": 0.5}
    (one,) = told["unmapped"]
    assert (one["kind"], one["name"], one["events"]) == ("track", "Workshop Visit", 2)
    assert one["suggested_rule"] == "- {event: Workshop Visit, channel: workshop, action: visit, stage: post_sale}"


def test_a_pasted_suggestion_maps_history_and_leaves_nothing_unmapped(house: House) -> None:
    house.batch(track("Workshop Visit"))
    projector.fold_all(house.state)
    (one,) = house.client.get("/v1/catalogue", headers=house.key("admin")).json()["unmapped"]
    lines = default_text().rstrip().splitlines()
    text = "\n".join([*lines[:-1], f"  {one['suggested_rule']}", lines[-1]])
    while remap.step(replace(house.state, catalogue=Catalogue.parse(text))):
        pass
    told = house.client.get("/v1/catalogue", headers=house.key("admin")).json()
    assert (told["unmapped"], told["events"]) == ([], 1)


def test_only_an_admin_reads_the_catalogue(house: House) -> None:
    assert house.client.get("/v1/catalogue", headers=house.key("read")).status_code == 403
    assert house.client.get("/v1/catalogue").status_code == 401


def test_before_the_first_event_the_catalogue_is_told_without_shares(house: House) -> None:
    told = house.client.get("/v1/catalogue", headers=house.key("admin")).json()
    assert told["events"] == 0
    assert told["in_force_since"] is None
    assert len(told["rules"]) == len(Catalogue.default().rules)


def test_metrics_count_what_has_no_rule_and_what_waits_to_be_mapped(house: House) -> None:
    house.batch(track("Who Knows"), track("Order Completed"))
    projector.fold_all(house.state)
    metrics = house.client.get("/metrics", headers=house.key("admin")).text
    assert "\njourney_unmapped_events 1.0\n" in metrics
    assert "\njourney_rows_to_remap 0.0\n" in metrics
    changed = replace(house.state, catalogue=Catalogue.parse(default_text().replace("action: open", "action: opened")))
    remap.step(changed)
    remap.step(changed)
    with house.state.service.read() as connection:
        assert remap.rows_left(connection) == 0


def test_the_default_is_shown_to_be_copied_and_is_without_mistake(tmp_path: Path) -> None:
    shown = run(tmp_path, "show").stdout
    assert shown == default_text()
    (tmp_path / "mine.yaml").write_text(shown)
    checked = run(tmp_path, "check", str(tmp_path / "mine.yaml"))
    assert checked.returncode == 0
    assert checked.stdout.endswith(f"mine.yaml: {len(Catalogue.default().rules)} rules, no mistake\n")
    assert not (tmp_path / "data").exists()


def test_a_wrong_file_ends_with_1_and_names_line_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WRONG)
    checked = run(tmp_path, "check", str(tmp_path / "mine.yaml"))
    assert checked.returncode == 1
    assert "mine.yaml: line 3: rule 1: stage 'later'; allowed: convenience, sale, post_sale" in checked.stderr
    checked = run(tmp_path, "check", str(tmp_path / "mine.yaml"), "--json")
    assert checked.returncode == 1
    (mistake,) = json.loads(checked.stdout)["mistakes"]
    assert (mistake["line"], mistake["rule"], mistake["key"]) == (3, 1, "stage")


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    checked = run(tmp_path, "check", str(tmp_path / "none.yaml"))
    assert checked.returncode == 1
    assert "none.yaml: cannot be read" in checked.stderr


def test_the_check_reads_the_log_and_tells_shadowed_rules(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.batch(track("A"), track("A"), track("Product Vieved"), {"type": "page", "userId": "c1"})
    rule = "{event: a, channel: web, action: a, stage: sale}"
    last = '{channel: other, action: "{event}", stage: convenience}'
    (tmp_path / "mine.yaml").write_text(f"rules:\n  - {rule}\n  - {rule}\n  - {last}\n")
    told = run(tmp_path, "check", str(tmp_path / "mine.yaml")).stdout
    assert "2 │ 50.0%" in told
    assert "1 rule took nothing: 2\n" in told
    assert "line 3: rule 2 is taken by rule 1\n" in told
    assert "- {event: Product Vieved, " in told
    newest = run(tmp_path, "check", str(tmp_path / "mine.yaml"), "--newest", "1", "--json").stdout
    assert json.loads(newest)["events"] == 1
