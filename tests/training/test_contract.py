"""The contract of the data: healthy data passes, and each planted fault is found with rows to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from models.journey.assembly import Assembled, assemble, journeys_of
from models.journey.event import DAY, parse_time
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.journey.touchpoint import Catalogue
from training.__main__ import app
from training.config import TrainConfig
from training.contract.finding import ContractError, Finding
from training.contract.keep import examined, keep_contract
from training.contract.leaks import of_words
from training.contract.volume import of_freshness, of_targets, of_volume
from training.data import TrainingData
from training.policies import ContractPolicy
from training.simulator import simulate

NOW = parse_time("2026-11-21T12:00:00Z")
BOUGHT = Target("car_purchase", ("dealer.purchase",), 30 * 86_400)
POLICY = ContractPolicy()
POLARITIES = ("negative", "neutral", "positive", "mixed")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    simulate(120, 3, folder)
    return folder


@pytest.fixture(scope="module")
def journeys(company: Path) -> Journeys:
    return assemble(read_events(company / "events.parquet"), Catalogue.default()).journeys


def config(tmp_path: Path, **policy: Any) -> TrainConfig:
    return TrainConfig(out=tmp_path / "mlruns", targets=(BOUGHT,), contract=replace(POLICY, **policy))


def data_of(journeys: Journeys | None = None, feedback: pd.DataFrame | None = None) -> TrainingData:
    return TrainingData(None if journeys is None else Assembled(journeys, (), 0), feedback, {})


def texts(n: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Labelled texts, one a quarter of an hour, in which nothing is wrong."""
    rng = np.random.default_rng(seed)
    words = np.array(["car", "price", "drive", "dealer", "seat", "oil", "door", "wheel", "paint", "loan"])
    polarity = rng.choice(POLARITIES, n)
    return pd.DataFrame(
        {
            "feedback_id": [f"f{row}" for row in range(n)],
            "text": [f"{' '.join(rng.choice(words, 6))} {row}" for row in range(n)],
            "polarity": polarity.astype(object),
            "rating": np.where(polarity == "negative", 1.0, 4.0),
            "said_at": pd.Series(NOW - DAY - np.arange(n)[::-1] * (DAY // 96), dtype="Int64"),
            "weight": 1.0,
        }
    )


def found(data: TrainingData, settings: TrainConfig) -> dict[str, Finding]:
    return {one.check: one for one in examined(data, settings, NOW)}


def test_healthy_data_keeps_the_contract(journeys: Journeys, tmp_path: Path) -> None:
    assert list(keep_contract(data_of(journeys, texts()), config(tmp_path), NOW)) == []


def test_touchpoints_of_the_future_are_shown_by_row(journeys: Journeys, tmp_path: Path) -> None:
    ahead = journeys.occurred_at.copy()
    ahead[:3] = NOW + 10 * DAY
    with pytest.raises(ContractError, match="occurred_at of 3 rows lies after 2026-11-21T13:00:00Z") as broken:
        keep_contract(data_of(replace(journeys, occurred_at=ahead)), config(tmp_path), NOW)
    finding = next(one for one in broken.value.findings if one.check == "schema of events")
    assert [row["row"] for row in finding.rows] == [1, 2, 3]
    assert finding.rows[0]["customer_id"] == journeys.customers[0]


def label(frame: pd.DataFrame, rows: Any, polarity: str) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[rows, "polarity"] = polarity
    return changed


def copies(frame: pd.DataFrame, n: int, polarity: Sequence[str]) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[: n - 1, "text"] = [f"Buy {row // 2}  NOW" for row in range(n)]
    changed.loc[: n - 1, "polarity"] = [polarity[row % 2] for row in range(n)]
    changed["rating"] = np.nan
    return changed


@pytest.mark.parametrize(
    ("spoil", "check", "said"),
    [
        (lambda t: label(t, t.index[-200:], "negative").assign(rating=np.nan), "label shift",
         "of the latest 200 labels moved"),
        (lambda t: t.assign(polarity=t["polarity"].replace({"negative": "positive", "positive": "negative"})),
         "labels against stars", "a label that says the opposite"),
        (lambda t: copies(t, 100, ("negative", "positive")), "contradictions",
         "100 labelled texts (10.0%) are positive"),
        (lambda t: t.assign(text=t["text"].where(t.index >= 400, "Buy"), polarity="negative", rating=None),
         "repeats", "are copies of another"),
        (lambda t: t.assign(feedback_id=["same"] * 2 + list(t["feedback_id"][2:])), "schema of feedback",
         "2 rows share a feedback_id with another text"),
        (lambda t: t.assign(text=t["text"].where(t["polarity"] != "mixed", t["text"] + " lbl_3")), "leakage",
         "'lbl_3' stands in"),
        (lambda t: t.assign(said_at=t["said_at"] + 9 * DAY), "schema of feedback", "in the future"),
    ],
    ids=["label shift", "turned labels", "contradictions", "copies", "one id, two texts", "leaking word", "future"],
)  # fmt: skip
def test_a_planted_fault_of_labels_is_found_with_rows(spoil: Any, check: str, said: str, tmp_path: Path) -> None:
    settings = config(tmp_path, repeats_share=0.3)
    finding = found(data_of(feedback=spoil(texts())), settings)[check]
    assert finding.stops
    assert said in finding.told
    assert finding.fix
    assert len(finding.rows) >= 1
    json.dumps(finding.to_dict(), allow_nan=False)


def test_a_day_that_was_sent_many_times_is_found(tmp_path: Path) -> None:
    steps = [("web.visit", day * DAY) for day in range(1, 100)]
    burst = {"robot": [("web.visit", 50 * DAY + second) for second in range(300)]}
    settings = config(tmp_path)
    finding = found(data_of(journeys_of({"ann": steps, "bob": steps} | burst)), settings)["volume"]
    assert finding.stops
    assert finding.rows[0] == {"customer_id": "robot", "touchpoint": "web.visit", "times": 300}


def test_a_source_that_fell_silent_is_found(tmp_path: Path) -> None:
    rows = {f"c{n}": [("web.visit", day * DAY + n) for day in range(1, 100)] for n in range(40)}
    rows["last"] = [("web.visit", 107 * DAY)]
    finding = found(data_of(journeys_of(rows)), config(tmp_path))["volume"]
    assert "the last seven days hold 1 touchpoints" in finding.told


def test_a_target_that_is_suddenly_written_twice_as_often_as_the_world_allows_is_found() -> None:
    rows = {f"c{n}": [("web.visit", day * DAY) for day in range(100)] for n in range(50)}
    for n in range(50):
        rows[f"c{n}"] += [("dealer.purchase", (80 if n < 45 else 10) * DAY)]
    ordered = {name: sorted(steps, key=lambda step: step[1]) for name, steps in rows.items()}
    (finding,) = of_targets(journeys_of(ordered), (BOUGHT,), None, POLICY)
    assert finding.told.startswith("car_purchase came 45 times since")
    assert finding.rows[0]["touchpoint"] == "dealer.purchase"


def test_less_than_the_champion_had_and_nothing_newer_are_found(journeys: Journeys) -> None:
    before = {"customers": 1000, "touchpoints": 10**6, "texts": 10, "last_at": "2027-01-01T00:00:00Z"}
    told = [one.told for one in of_volume(data_of(journeys), before, POLICY)]
    assert told == ["120 customers, where the champion learned from 1000",
                    f"{len(journeys.code)} touchpoints, where the champion learned from 1000000"]  # fmt: skip
    (finding,) = of_freshness(journeys, before, POLICY, NOW)
    assert finding.severity == "stop"
    assert "days older" in finding.told
    (finding,) = of_freshness(journeys, before, replace(POLICY, behind_days=0.0), NOW)
    assert finding.severity == "warn"
    old = of_freshness(journeys, None, replace(POLICY, stale_days=30.0), NOW)
    assert "days old" in next(old).told


def test_a_touchpoint_that_is_gone_though_the_rest_is_there_is_named(journeys: Journeys) -> None:
    counts = dict(zip(journeys.names, np.bincount(journeys.code).tolist(), strict=True))
    often = max(counts, key=lambda name: counts[name])
    before = {"touchpoint_counts": {**counts, "fax.sent": 400, "telex.sent": 40}}
    (finding,) = of_volume(data_of(journeys), before, POLICY)
    assert finding.stops
    assert finding.told == "of 1 touchpoints that the champion knows too few are there: fax.sent 0 after 400"
    assert finding.rows == [{"touchpoint": "fax.sent", "before": 400, "now": 0}]
    renamed = replace(journeys, names=tuple("web.other" if name == often else name for name in journeys.names))
    (finding,) = of_volume(data_of(renamed), {"touchpoint_counts": counts}, replace(POLICY, least_cases=1))
    assert f"{often} 0 after {counts[often]}" in finding.told  # other rules call it otherwise


def test_a_feature_that_alone_knows_the_answer_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {}
    for n in range(300):
        buys, start = n % 3 == 0, int(rng.integers(0, 20)) * DAY
        steps = [("web.visit", start + day * DAY) for day in range(0, 400, 7)]
        if buys:  # a mark that only buyers carry, from the first day on
            steps += [("crm.contract", start)] + [("dealer.purchase", start + day * DAY) for day in range(3, 400, 14)]
        rows[f"c{n}"] = sorted(steps, key=lambda step: step[1])
    finding = found(data_of(journeys_of(rows)), config(tmp_path, burst_times=1e9, silent_share=0.0))["leakage"]
    assert finding.stops
    assert "alone tells car_purchase with an AUC of" in finding.told
    assert {"customer_id", "as_of", "happened"} <= finding.rows[0].keys()


def test_common_words_are_no_leak() -> None:
    assert list(of_words(texts(), POLICY)) == []


def test_the_command_shows_findings_and_ends_with_2(company: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "mlruns")
    done = CliRunner().invoke(app, ["contract", "--from-service", str(company), "--out", out, "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"findings": []}), done.stderr
    command = ["contract", "--from-service", str(company), "--out", out, "--set", "contract.stale_days=1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "stop freshness: the newest touchpoint is" in done.stderr
    assert not (tmp_path / "mlruns").exists()
