"""Drift: a world that stays as it is raises no alarm, one that moves does, and the command ends with 4."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from models.journey.assembly import assemble
from models.journey.event import DAY, format_time
from models.journey.eventlog import read_events
from models.journey.touchpoint import Catalogue
from models.ledger import LedgerError
from tests.trained import NOW, Trained
from tests.training.variants import variant
from training.__main__ import app
from training.config import TrainConfig
from training.data import TrainingData, load
from training.drift.report import watch
from training.drift.shift import Shift, of_names, of_numbers, told_apart
from training.drift.windows import Windows, moments, of_forecasts, of_verdicts, windows
from training.policies import DriftPolicy
from training.publish import go_live
from training.splits import Slice

pytest_plugins = ["tests.trained"]

POLICY = DriftPolicy(least_cases=40)


def test_false_alarms_stay_a_share_of_what_is_told() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(40):
        same = [of_numbers("inputs", str(n), [rng.normal(size=200), rng.normal(size=150)]) for n in range(20)]
        alarms += any(one.real for one in told_apart(same, 0.05))
    assert alarms <= 6  # of 40 looks at nothing
    moved = of_numbers("inputs", "moved", [rng.normal(size=200), rng.normal(0.8, 1, size=150)])
    told = told_apart([*same, moved], 0.05)
    assert (told[0].name, told[0].real) == ("moved", True)


def test_rare_names_do_not_make_a_shift() -> None:
    before, now = ["a"] * 200 + [f"rare{n}" for n in range(20)], ["a"] * 200 + [f"other{n}" for n in range(20)]
    assert of_names("inputs", "names", [before, now]).p_value > 0.05
    assert of_names("inputs", "names", [before, ["a"] * 100 + ["new"] * 100]).p_value < 1e-6
    assert of_names("inputs", "one", [["a"] * 50, ["a"] * 50]) == Shift(
        "inputs", "one", 0.0, 1.0, 50, 50, "a from 100 % to 100 %"
    )


def test_moments_look_back_equally_far(trained: Trained) -> None:
    assert trained.config.events is not None
    journeys = assemble(read_events(trained.config.events), Catalogue.default()).journeys
    spans = windows(journeys, None, None, POLICY)
    assert spans is not None
    assert spans.now.until - spans.now.since == 28 * DAY
    asked = moments(journeys, spans.now, np.random.default_rng(0))
    oldest = asked.as_of[asked.seen.owner] - asked.seen.occurred_at
    assert oldest.min() >= 0
    assert oldest.max() <= 60 * DAY
    assert len(set(asked.seen.customers)) == len(asked.as_of)


SPANS = Windows(Slice(0, 100 * DAY), Slice(100 * DAY, 200 * DAY))


def test_likelihoods_that_stop_being_true_are_seen() -> None:
    rng = np.random.default_rng(0)
    at = np.repeat([50 * DAY, 150 * DAY], 300)
    happened = rng.random(600) < np.where(at < 100 * DAY, 0.3, 0.7)
    frame = pd.DataFrame({"definition": "car", "customer_id": [str(n) for n in range(600)], "probability": 0.3,
                          "happened": happened, "made_at": [format_time(int(one)) for one in at]})  # fmt: skip
    found = {one.name: one for one in told_apart(list(of_forecasts(frame, SPANS, POLICY)), 0.05)}
    assert found["loss of car"].real
    assert found["car happened"].real
    assert list(of_forecasts(frame.assign(happened=None), SPANS, POLICY)) == []


def test_people_who_overturn_more_are_seen() -> None:
    at = [format_time(day * DAY) for day in [50] * 100 + [150] * 100]
    model = ["positive"] * 200
    people = ["positive"] * 90 + ["negative"] * 10 + ["positive"] * 50 + ["negative"] * 50
    frame = pd.DataFrame({"answer": people, "model_answer": model, "decided_at": at})
    found = {one.name: one for one in told_apart(list(of_verdicts(frame, SPANS, POLICY)), 0.05)}
    assert found["verdicts against the model"].real
    assert found["verdicts"].told == "negative from 10 % to 50 %"


@pytest.fixture(scope="module")
def live(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    root = tmp_path_factory.mktemp("drift") / "mlruns"
    root.mkdir()
    go_live(root, variant(trained.report.folder, root, "champion"), NOW, "ada", "first")
    return TrainConfig(out=root, drift=replace(POLICY, recent_days=90.0))


@pytest.fixture(scope="module")
def data(trained: Trained) -> TrainingData:
    return load(trained.config.events, trained.config.feedback, None, Catalogue.default(), {}, {})


def test_a_steady_world_advises_nothing_but_by_age(live: TrainConfig, data: TrainingData, tmp_path: Path) -> None:
    report = watch(live, data, tmp_path, NOW)
    assert report.reasons == []
    kinds = {one.kind for one in report.shifts}
    assert {"inputs", "predictions", "labels"} <= kinds
    old = watch(replace(live, drift=replace(live.drift, old_days=30.0)), data, tmp_path, NOW)
    assert [reason.split(":")[0] for reason in old.reasons] == ["age"]


def test_a_new_channel_is_advised_upon_and_named(live: TrainConfig, data: TrainingData, tmp_path: Path) -> None:
    assert data.assembled is not None
    journeys = data.assembled.journeys
    late = journeys.occurred_at > journeys.occurred_at.max() - 90 * DAY
    rows = np.flatnonzero(late)[::2]
    code = journeys.code.copy()
    code[rows] = len(journeys.names)
    moved = replace(
        journeys, code=code, names=(*journeys.names, "messenger.message"), stages=(*journeys.stages, "sale")
    )
    report = watch(live, replace(data, assembled=replace(data.assembled, journeys=moved)), tmp_path, NOW)
    assert any("messenger" in reason for reason in report.reasons), report.reasons
    assert report.shifts[0].real


def test_nothing_live_cannot_be_out_of_date(data: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="nothing is live that could have gone out of date"):
        watch(TrainConfig(out=tmp_path), data, tmp_path, NOW)


def test_the_command_ends_with_4_and_writes_a_page(live: TrainConfig, trained: Trained, tmp_path: Path) -> None:
    assert trained.config.events is not None
    (tmp_path / "events.parquet").symlink_to(trained.config.events)
    page = tmp_path / "pages" / "drift.html"
    command = ["check", "--from-service", str(tmp_path), "--out", str(live.out), "--page", str(page)]
    settings = ["--set", "drift.old_days=1", "--set", "drift.least_cases=40"]
    done = CliRunner().invoke(app, [*command, *settings, "--json"])
    assert done.exit_code == 4, done.output
    told = json.loads(done.stdout)
    assert told["advised"]
    assert told["compared"] == len(told["shifts"]) > 10
    assert "Retraining is advised" in page.read_text()
    quiet = CliRunner().invoke(app, [*command, "--set", "drift.least_cases=100000"])
    assert (quiet.exit_code, quiet.stdout) == (0, "0 things compared; retraining is not advised\n")
