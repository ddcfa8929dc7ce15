"""The whole run: what the data supports is trained, the rest says why, and nothing is ever half-published."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from models.bundle import check_manifest, load_bundle
from models.insight import ReleasePolicy
from models.journey.assembly import Feedback
from models.journey.event import parse_time
from models.ledger import current, history
from tests.trained import NOW, SEEN_AGAIN, Trained, tiny_config
from training.config import ConfigError, TrainConfig
from training.console import Quiet
from training.contract.finding import ContractError
from training.gate.baselines import gate
from training.pipeline import Report, run
from training.simulator import pure_noise
from training.tracking import TrackingError, open_run

pytest_plugins = ["tests.trained"]

DAY_SECONDS = 86_400


@pytest.fixture
def shared_store(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs keep their diary where the shared run does, as a user's MLFLOW_TRACKING_URI would have them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained.store)
    return trained.store


def _run(config: TrainConfig, now: int = NOW) -> Report:
    return run(config, clock=lambda: now, by="tester", reporter=Quiet())


def _log(path: Path, rows: Sequence[tuple[str, str, float]]) -> Path:
    """A log of (customer, event, day)."""
    lines = [
        json.dumps({"user_id": who, "event": what, "timestamp": DAY_SECONDS * (15_000 + day)})
        for who, what, day in rows
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _nothing_left(out: Path) -> bool:
    """No bundle, no entry, and no building site."""
    return not any(path.name in ("versions", "live") or path.name.startswith(".") for path in out.iterdir())


# -- what a run leaves behind ------------------------------------------------------------------------------------------


def test_every_question_is_trained_or_says_why_not(trained: Trained) -> None:
    figures = trained.report.figures
    assert figures["next_touchpoint"]["status"] == "trained"
    assert figures["purchase"]["web_visit"]["status"] == "trained"
    assert figures["feeling"]["status"] == "trained"
    refused = figures["purchase"]["car_purchase"]
    assert refused["status"] == "not_trained"
    assert "20 that happened" in refused["reason"]
    assert json.loads(json.dumps(trained.report.to_dict(), allow_nan=False))["digest"] == trained.report.digest


def test_a_bundle_that_loses_to_a_baseline_is_stored_but_not_live(trained: Trained) -> None:
    report, out = trained.report, trained.config.out
    assert report.version is None
    assert "feeling loses to tfidf" in report.why
    assert report.folder == out / "versions" / report.digest
    assert load_bundle(report.folder).digest == report.digest
    assert current(out) is None
    assert not list(out.glob(".*"))


def test_a_bundle_says_what_it_was_learned_from(trained: Trained) -> None:
    manifest = check_manifest(trained.report.folder)
    learned = manifest["learned_from"]
    assert manifest["created_at"] == "2026-11-21T12:00:00Z"
    assert sorted(learned["data"]) == ["events", "feedback"]
    assert learned["touchpoints"] == sum(learned["touchpoint_counts"].values()) > 1000
    assert parse_time(learned["first_at"]) < parse_time(learned["last_at"])
    assert [one["name"] for one in learned["targets"]] == ["car_purchase", "web_visit"]
    assert manifest["figures"] == trained.report.figures


def test_the_diary_holds_settings_digests_figures_and_pictures(trained: Trained) -> None:
    client = MlflowClient(trained.store)
    diary = client.get_run(trained.report.run_id)
    assert diary.info.status == "FINISHED"
    assert diary.data.params["feeling.epochs"] == "1"
    assert diary.data.params["targets.0.name"] == "car_purchase"
    assert diary.data.params["events"] == str(trained.config.events)
    tags = diary.data.tags
    assert tags["data.events.sha256"] == check_manifest(trained.report.folder)["learned_from"]["data"]["events"]
    assert (tags["bundle"], tags["published"], tags["why"]) == (trained.report.digest, "False", trained.report.why)
    assert diary.data.metrics["feeling.log_loss"] == trained.report.figures["feeling"]["log_loss"]
    assert (tags["mlflow.user"], diary.data.params["seed"]) == ("tester", str(trained.config.seed))
    assert (tags["code.version"], len(tags["code.sha256"])) == (version("journey-insight"), 64)
    kept = trained.config.out / "artifacts" / trained.report.run_id / "artifacts"
    environment = json.loads((kept / "environment.json").read_text())
    assert {f"{name}=={version(name)}" for name in ("numpy", "torch", "scikit-learn")} <= set(environment["packages"])
    assert json.loads((kept / "config.json").read_text()) == trained.config.to_dict()
    assert json.loads((kept / "figures.json").read_text()) == trained.report.figures
    pictures = {path.name for path in (kept / "plots").iterdir()}
    assert pictures == {
        f"{name}{part}.png"
        for name in ("next_touchpoint", "purchase_web_visit", "feeling")
        for part in ("", "_baselines")
    }


def test_the_same_data_and_seed_give_the_same_bundle(
    company: Path, small_encoder: str, shared_store: str, trained: Trained, tmp_path: Path
) -> None:
    again = replace(trained.config, out=tmp_path, publish=False)
    report = _run(again, now=NOW + 1)
    assert report.digest == trained.report.digest
    assert not (tmp_path / "tracking.db").exists()
    kept = [(one / "manifest.json").read_text() for one in (trained.report.folder, report.folder)]
    assert kept[0] != kept[1]  # the time of creation


def test_events_alone_teach_what_events_can_and_go_live(company: Path, shared_store: str, tmp_path: Path) -> None:
    report = _run(tiny_config(tmp_path, events=company / "events.parquet", targets=()))
    assert report.figures["feeling"] == {"status": "not_trained", "reason": "no feedback file was given"}
    assert report.version == 1
    assert [(entry.digest, entry.by, entry.live_since) for entry in history(tmp_path)] == [
        (report.digest, "tester", NOW)
    ]
    bundle = load_bundle(report.folder)
    assert (bundle.feedback, bundle.purchase) == (None, {})
    said = bundle.conclude_feedback([Feedback("f", "c", 1, 1, "survey", "good")], ReleasePolicy())
    assert said[0].flags[0].code == "not_trained"


def test_feedback_alone_teaches_feeling(company: Path, small_encoder: str, shared_store: str, tmp_path: Path) -> None:
    report = _run(replace(tiny_config(tmp_path, small_encoder, feedback=company / "feedback.parquet"), publish=False))
    assert report.figures["feeling"]["status"] == "trained"
    assert report.figures["next_touchpoint"]["reason"] == "no events file was given"
    assert {one["reason"] for one in report.figures["purchase"].values()} == {"no events file was given"}
    learned = check_manifest(report.folder)["learned_from"]
    assert (learned["customers"], learned["touchpoint_counts"], learned["first_at"]) == (0, {}, None)
    assert load_bundle(report.folder).next_touchpoint is None


def test_pure_noise_is_not_published_or_differs_from_nothing_by_nearly_nothing(
    shared_store: str, tmp_path: Path
) -> None:
    pure_noise(300, 5, tmp_path / "noise")
    config = tiny_config(tmp_path / "out", events=tmp_path / "noise" / "events.parquet", targets=(SEEN_AGAIN,))
    report = _run(config)
    assert report.figures["next_touchpoint"]["status"] == "trained"
    base = report.figures["next_touchpoint"]["baselines"]["majority"]
    assert report.version is None or base["ours_minus_theirs"]["mean"] > -0.01
    purchase = report.figures["purchase"]["web_visit"]
    if purchase["status"] == "trained" and report.version is not None:
        assert purchase["baselines"]["base_rate"]["ours_minus_theirs"]["mean"] > -0.01


# -- too little data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "Product Viewed", 1)], "only one kind"),
        ([("a", "Product Viewed", day) for day in range(900)], "only one kind"),
        ([(f"c{i}", "Product Viewed", i) for i in range(900)], "only one kind"),
        ([("a", ("Product Viewed", "Order Completed")[day % 2], day) for day in range(9)], "at least 20 are needed"),
    ],
    ids=["one event", "one customer", "one touchpoint each", "too few"],
)
def test_too_little_is_said_and_stored_as_not_trained(
    rows: list[tuple[str, str, float]], reason: str, shared_store: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = _run(tiny_config(out, events=_log(tmp_path / "log.jsonl", rows)))
    assert reason in report.figures["next_touchpoint"]["reason"]
    assert {one["status"] for one in report.figures["purchase"].values()} == {"not_trained"}
    assert (report.version, report.why) == (None, "nothing could be trained")
    kept = {path.name for path in report.folder.iterdir()} - {"channel"}  # by what channel people come can be counted
    assert kept == {"manifest.json", "measured.json"}
    bundle = load_bundle(report.folder)
    assert bundle.next_touchpoint is None
    assert [path.name for path in out.iterdir()] == ["versions"]


def test_one_customer_of_many_years_teaches_no_likelihood(shared_store: str, tmp_path: Path) -> None:
    rows = [("a", "Page Viewed" if day % 400 < 150 else "Email Opened", float(day)) for day in range(-6000, 0, 5)]
    config = tiny_config(tmp_path / "out", events=_log(tmp_path / "log.jsonl", rows), targets=(SEEN_AGAIN,))
    config = replace(config, next_touchpoint=replace(config.next_touchpoint, minimum_examples=10_000))
    report = _run(config)
    assert report.figures["purchase"]["web_visit"]["reason"].startswith("1 customers were seen before the calibration")
    assert report.version is None


def test_a_log_of_names_alone_holds_no_touchpoint(shared_store: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"user_id": "a", "type": "identify", "timestamp": "2026-01-01"}\n')
    report = _run(tiny_config(tmp_path / "out", events=path))
    assert report.figures["next_touchpoint"]["reason"] == "the log holds no touchpoints"
    assert check_manifest(report.folder)["learned_from"]["first_at"] is None


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([{"text": f"text {i}", "polarity": "positive"} for i in range(400)], "every text is 'positive'"),
        ([{"text": f"text {i}"} for i in range(400)], "0 labelled texts fall into the calibration slice"),
        ([{"text": " ", "rating": 5}], "0 labelled texts"),
    ],
    ids=["one class", "no label", "no words"],
)
def test_texts_that_teach_nothing_are_refused_in_words(
    texts: list[dict[str, Any]], reason: str, shared_store: str, tmp_path: Path
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in texts))
    report = _run(tiny_config(tmp_path / "out", feedback=path))
    assert report.figures["feeling"]["status"] == "not_trained"
    assert reason in report.figures["feeling"]["reason"]


def test_data_that_breaks_its_contract_stops_a_run_before_anything_is_written(
    shared_store: str, tmp_path: Path
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": "the same", "rating": 1 + i % 5}) + "\n" for i in range(400)))
    with pytest.raises(ContractError, match="positive here and negative there") as broken:
        _run(tiny_config(tmp_path / "out", feedback=path))
    assert {one.check for one in broken.value.findings} == {"contradictions", "repeats"}
    assert not (tmp_path / "out").exists()


# -- when something goes wrong -----------------------------------------------------------------------------------------


class Interrupting(Quiet):
    """Somebody who interrupts the run at a step."""

    def __init__(self, at: str, error: BaseException) -> None:
        self.at, self.error = at, error

    def step(self, name: str) -> None:
        if name == self.at:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("disk"), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("at", ["next touchpoint", "feeling", "closing the bundle"])
def test_an_interrupted_run_leaves_nothing_but_its_diary(
    at: str, error: BaseException, shared_store: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = tiny_config(out, events=_log(tmp_path / "log.jsonl", [("a", "Product Viewed", 1)]))
    with pytest.raises(type(error)):
        run(config, clock=lambda: NOW, by="tester", reporter=Interrupting(at, error))
    assert _nothing_left(out)
    client = MlflowClient(shared_store)
    latest = client.search_runs([client.get_experiment_by_name("journey-insight").experiment_id], max_results=1)[0]
    assert latest.info.status == "FAILED"


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.jsonl", [("a", "Product Viewed", 1)])
    with pytest.raises(ConfigError, match=r"log\.jsonl: cannot be made a folder"):
        _run(tiny_config(log, events=log))


def test_a_diary_that_cannot_be_opened_is_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.db").write_text("no database, whatever its name says" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/text.db")
    out = tmp_path / "out"
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI"):
        _run(tiny_config(out, events=_log(tmp_path / "log.jsonl", [("a", "Product Viewed", 1)])))
    assert _nothing_left(out)


# -- the gate and the diary --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Figures of a run in which the next touchpoint differs from two baselines by these nats."""

    markov: float
    majority: float

    def to_dict(self) -> dict[str, Any]:
        differences = {"markov": self.markov, "majority": self.majority}
        baselines = {name: {"ours_minus_theirs": {"mean": mean}} for name, mean in differences.items()}
        return {
            "next_touchpoint": {"status": "trained", "baselines": baselines},
            "purchase": {"buy": {"status": "not_trained"}},
            "feeling": {"status": "not_trained"},
        }


@pytest.mark.parametrize(
    ("figures", "passed", "why"),
    [
        (Figures(-0.1, -0.2), True, "beats every baseline: next touchpoint"),
        (Figures(0.1, -0.2), False, "next touchpoint loses to markov by 0.1000 nats"),
        (Figures(0.0, -0.2), False, "next touchpoint loses to markov by 0.0000 nats"),
        (Figures(float("nan"), -0.2), False, "next touchpoint loses to markov by nan nats"),
    ],
)
def test_a_champion_beats_every_baseline(figures: Figures, passed: bool, why: str) -> None:
    assert gate(figures.to_dict()) == (passed, why)


@pytest.fixture
def levels() -> list[int]:
    names = ("mlflow", "alembic")
    return [logging.getLogger(name).level for name in names]


def test_the_diary_takes_any_name_and_any_number_of_settings(
    shared_store: str, levels: list[int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_run(tmp_path, "many") as diary:
        diary.parameters({f"properties.größe ({i})/cm": "x" * 9_000 for i in range(250)})
        diary.metrics({"a": float("nan"), "b": [1, True], "c": None, "d": "word"})
        diary.files(tmp_path, "nothing")
    kept = MlflowClient(shared_store).get_run(diary.run_id).data
    assert len(kept.params) == 250
    assert kept.metrics == {"b.0": 1.0, "b.1": 1.0}
    assert [logging.getLogger(name).level for name in ("mlflow", "alembic")] == levels
    assert capfd.readouterr() == ("", "")


def test_what_the_service_handed_out_is_in_the_diary_and_teaches_nothing(
    trained: Trained, tmp_path: Path, shared_store: str
) -> None:
    columns = {"definition": "car_purchase", "version": 1, "low": 0.0, "high": 0.5, "channel": "web", "stage": "sale"}
    rows = [{**columns, "customer_id": f"c{n}", "probability": n / 100, "happened": n % 3 == 0} for n in range(90)]
    pd.DataFrame(rows).to_parquet(tmp_path / "forecasts.parquet")
    config = replace(trained.config, forecasts=tmp_path / "forecasts.parquet", out=tmp_path / "out", publish=False)
    report = _run(config)
    logged = MlflowClient(tracking_uri=shared_store).get_run(report.run_id).data.metrics
    assert logged["served.car_purchase.n"] == 90
    assert logged["served.car_purchase.by.version.1.happened"] == 30
    assert report.digest == trained.report.digest
