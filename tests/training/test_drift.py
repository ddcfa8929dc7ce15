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
from models.ledger import LedgerError, current
from tests.trained import NOW, Trained
from tests.training.variants import variant
from training.__main__ import app
from training.config import TrainConfig
from training.data import TrainingData, load
from training.drift.outcomes import of_forecasts, of_verdicts
from training.drift.report import watch
from training.drift.shift import Shift, of_names, of_numbers, told_apart
from training.drift.windows import Windows, moments, windows
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
LIVE = "digest-of-what-is-live"


def forecasts(told: np.ndarray, came: np.ndarray, due_at: int = 150 * DAY, digest: str = LIVE) -> pd.DataFrame:
    """As the service exports them: each was told long before the recent window, and came due in it."""
    names = [str(n) for n in range(len(told))]
    return pd.DataFrame({"definition": "car", "customer_id": names, "probability": told, "happened": came,
                         "digest": digest, "made_at": format_time(due_at - 90 * DAY),
                         "due_at": format_time(due_at)})  # fmt: skip


def test_likelihoods_that_stop_being_true_are_seen() -> None:
    rng = np.random.default_rng(0)
    frame = forecasts(np.full(300, 0.3), rng.random(300) < 0.6)
    (found,) = told_apart(list(of_forecasts(frame, LIVE, SPANS, POLICY, rng)), 0.05)
    assert (found.kind, found.name, found.against, found.real) == (
        "calibration", "likelihood of car, as served", "told", True
    )  # fmt: skip
    assert 0.3 < found.distance < 0.5  # of those that came, half came beyond what was told
    assert list(of_forecasts(frame.assign(happened=None), LIVE, SPANS, POLICY, rng)) == []


def test_other_customers_of_whom_the_truth_is_told_are_no_drift_of_calibration() -> None:
    rng = np.random.default_rng(0)
    told = rng.uniform(0.5, 0.9, 400)  # all were told 5 % to 20 % in the window before
    (found,) = told_apart(list(of_forecasts(forecasts(told, rng.random(400) < told), LIVE, SPANS, POLICY, rng)), 0.05)
    assert not found.real


def test_what_another_bundle_told_or_what_came_due_earlier_is_not_held_against_the_champion() -> None:
    rng = np.random.default_rng(0)
    told, came = np.full(300, 0.3), np.ones(300, dtype=bool)
    for frame in (forecasts(told, came, digest="one before"), forecasts(told, came, due_at=50 * DAY)):
        assert list(of_forecasts(frame, LIVE, SPANS, POLICY, rng)) == []


def verdicts(before: list[str], now: list[str]) -> pd.DataFrame:
    """A hundred a window, all read as positive by the model; each customer decided upon twice."""
    at = [format_time(day * DAY) for day in [50] * 100 + [150] * 100]
    frame = pd.DataFrame({"answer": before + now, "model_answer": "positive", "decided_at": at, "digest": LIVE,
                          "customer_id": [str(n) for n in range(200)]})  # fmt: skip
    return pd.concat([frame, frame], ignore_index=True)


def test_people_who_overturn_more_are_seen_each_customer_once() -> None:
    rng = np.random.default_rng(0)
    frame = verdicts(["positive"] * 90 + ["negative"] * 10, ["positive"] * 50 + ["negative"] * 50)
    found = {one.name: one for one in told_apart(list(of_verdicts(frame, LIVE, SPANS, POLICY, rng)), 0.05)}
    assert found["verdicts against the model"].real
    assert found["verdicts"].told == "negative from 10 % to 50 %"
    assert (found["verdicts"].before, found["verdicts"].now) == (100, 100)


def test_a_verdict_that_cannot_tell_overturns_nothing_and_one_on_another_bundle_is_not_the_champions() -> None:
    rng = np.random.default_rng(0)
    frame = verdicts(["positive"] * 100, ["positive"] * 60 + ["cannot_tell"] * 40)
    found = {one.name: one for one in told_apart(list(of_verdicts(frame, LIVE, SPANS, POLICY, rng)), 0.05)}
    assert found["verdicts"].real
    assert found["verdicts against the model"].now == 60
    assert not found["verdicts against the model"].real
    names = [one.name for one in of_verdicts(frame.assign(digest="one before"), LIVE, SPANS, POLICY, rng)]
    assert names == ["verdicts"]


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


def served(folder: Path, trained: Trained, digest: str, came: float, negative: float) -> Path:
    """What a service exports: likelihoods of 30 % of which `came` came, and verdicts of which lately so many are
    negative, where the model read a fifth as such.
    """
    rng = np.random.default_rng(0)
    assert trained.config.events is not None
    assert trained.config.feedback is not None
    folder.mkdir()
    (folder / "events.parquet").symlink_to(trained.config.events)
    (folder / "feedback.parquet").symlink_to(trained.config.feedback)
    end = pd.read_parquet(trained.config.events, columns=["occurred_at"])["occurred_at"].max()
    due = end - pd.to_timedelta(rng.uniform(1, 80, 400), unit="D")
    pd.DataFrame({"customer_id": [f"c{n}" for n in range(400)], "definition": "car_purchase", "digest": digest,
                  "made_at": due - pd.Timedelta(days=90), "due_at": due, "probability": rng.uniform(0.2, 0.4, 400),
                  "happened": rng.random(400) < came}).to_parquet(folder / "forecasts.parquet")  # fmt: skip
    read = np.where(rng.random(400) < 0.2, "negative", "positive")
    turned = (np.arange(400) >= 200) & (read == "positive") & (rng.random(400) < (negative - 0.2) / 0.8)
    decided = end - pd.to_timedelta(np.where(np.arange(400) < 200, 135, 45), unit="D")
    pd.DataFrame({"feedback_id": [f"f{n}" for n in range(400)], "customer_id": [f"c{n}" for n in range(400)],
                  "answer": np.where(turned, "negative", read), "model_answer": read, "digest": digest,
                  "decided_at": decided}).to_parquet(folder / "verdicts.parquet")  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("came", "negative", "named"),
    [
        (0.3, 0.2, []),
        (0.6, 0.2, ["calibration: likelihood of car_purchase, as served: told 30."]),
        (0.3, 0.6, ["labels: verdicts: ", "calibration: verdicts against the model: "]),
    ],
)
def test_the_command_names_what_drifted_and_nothing_else(
    live: TrainConfig, trained: Trained, tmp_path: Path, came: float, negative: float, named: list[str]
) -> None:
    entry = current(live.out)
    assert entry is not None
    folder = served(tmp_path / "out", trained, entry.digest, came, negative)
    command = ["check", "--from-service", str(folder), "--out", str(live.out), "--page", str(tmp_path / "drift.html")]
    done = CliRunner().invoke(app, [*command, "--set", "drift.recent_days=90", "--set", "drift.least_cases=40"])
    assert done.exit_code == (4 if named else 0), done.output
    assert done.stdout.count("\n  ") == len(named), done.stdout
    for words in named:
        assert f"  {words}" in done.stdout
    page = (tmp_path / "drift.html").read_text()
    assert "as told" in page  # likelihoods have no window before
    assert ("Retraining is advised" in page) == bool(named)
