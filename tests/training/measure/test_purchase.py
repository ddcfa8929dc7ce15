"""Measuring a purchase: on logs and on tables, learnable and pure noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.journey.event import DAY, parse_time
from models.nets.next_touchpoint import NetShape
from tests.training.measure.made_up import write_shop, write_table
from training.crossfit import BoostingConfig
from training.errors import TooLittleData
from training.measure import truth
from training.measure.figures import MeasureError
from training.measure.landmarks import given
from training.measure.purchase import LogMeasurement, measure_log, moments, read_purchase_logs
from training.measure.table import Column, TableMeasurement, column_of, measure_table, read_table
from training.next_touchpoint import NextTouchpointConfig
from training.purchase import PurchaseConfig

pytest_plugins = ["tests.trained"]
CONFIG = PurchaseConfig(
    per_month=2, minimum_positives=20, boosting=BoostingConfig(most_rounds=40, leaf_examples=20, folds=2)
)
NET = NextTouchpointConfig(NetShape(length=8, width=16), epochs=3, minimum_examples=20, members=2)
HORIZON = 30 * 86_400


def quiet(line: str) -> None:
    """Nobody watches."""


def shop(folder: Path, *, learnable: bool) -> LogMeasurement:
    train = write_shop(folder / "a.csv", 120, 1, learnable=learnable)
    test = write_shop(folder / "b.csv", 60, 2, learnable=learnable, first=1000)
    return LogMeasurement(train, test, "Order Completed", HORIZON, config=CONFIG, following=NET)


def test_keen_customers_are_told_from_others_on_a_log(tmp_path: Path) -> None:
    told = measure_log(shop(tmp_path, learnable=True), quiet)
    assert told["auc"]["value"] > 0.85
    assert told["baselines"]["base_rate"]["difference"]["log_loss"]["high"] < -0.1
    assert told["baselines"]["base_rate"]["auc"]["value"] == 0.5
    assert told["calibrated_on"] == "other customers"
    assert 0 < told["mean_interval_width"]["value"] < 0.5
    assert told["positives"] < told["n"] == told["auc"]["n"]


def test_on_pure_noise_a_log_gives_the_base_rate(tmp_path: Path) -> None:
    told = measure_log(shop(tmp_path, learnable=False), quiet)
    assert abs(told["auc"]["value"] - 0.5) < 0.1
    assert told["baselines"]["base_rate"]["difference"]["log_loss"]["value"] < 0.02


def test_a_log_is_asked_every_so_often_while_a_horizon_fits(tmp_path: Path) -> None:
    wanted = shop(tmp_path, learnable=True)
    _, test, target = read_purchase_logs(wanted)
    asked = moments(test, target, wanted)
    assert set(np.diff(np.unique(asked.as_of))) == {28 * DAY}
    assert asked.as_of.max() + HORIZON * 1_000_000 <= test.occurred_at.max()
    assert asked.censored == 0


def test_landmarks_of_a_file_are_asked_even_of_somebody_unknown(tmp_path: Path) -> None:
    wanted = shop(tmp_path, learnable=True)
    path = tmp_path / "landmarks.csv"
    path.write_text("customer_id,as_of\nc1000,2026-03-01\nnobody,2026-03-01\nc1000,2027-01-01\n", "utf-8")
    customers, as_of = given(path)
    assert (customers[1], int(as_of[0])) == ("nobody", parse_time("2026-03-01T00:00:00Z"))
    wanted = LogMeasurement(
        wanted.train, wanted.test, "Order Completed", HORIZON, landmarks=path, config=CONFIG, following=NET
    )
    _, test, target = read_purchase_logs(wanted)
    asked = moments(test, target, wanted)
    assert asked.censored == 1
    assert [asked.journeys.customers[row] for row in asked.customer] == ["c1000", "nobody"]
    assert asked.happened[1] == 0


def test_an_event_that_nobody_sent_is_refused_with_those_there_are(tmp_path: Path) -> None:
    wanted = shop(tmp_path, learnable=True)
    with pytest.raises(
        MeasureError, match="'Bought': no event of this name; the logs have Order Completed, Page Viewed"
    ):
        measure_log(LogMeasurement(wanted.train, wanted.test, "Bought", HORIZON), quiet)


def test_the_truth_of_a_simulated_company_is_asked_at_its_own_moments(company: Path) -> None:
    events, path = company / "events.parquet", company / "truth.parquet"
    wanted = LogMeasurement(events, events, "Order Completed", 90 * 86_400, truth=path, config=CONFIG, following=NET)
    _, test, target = read_purchase_logs(wanted)
    asked = moments(test, target, wanted)
    customers = [asked.journeys.customers[row] for row in asked.customer]
    rows, known = truth.purchase_chances(path, customers, asked.as_of)
    assert len(rows) == len(asked.as_of) > 100
    assert abs(known.mean() - asked.happened.mean()) < 0.05
    with pytest.raises(MeasureError, match="--horizon at 90d"):
        measure_log(LogMeasurement(events, events, "Order Completed", HORIZON, truth=path), quiet)
    with pytest.raises(MeasureError, match="leave --every out"):
        measure_log(replace(wanted, every=28 * DAY), quiet)


def table(folder: Path, *, learnable: bool) -> TableMeasurement:
    train = write_table(folder / "a.csv", 1200, 1, learnable=learnable)
    test = write_table(folder / "b.csv", 500, 2, learnable=learnable)
    return TableMeasurement(train, test, "bought", ("paid",))


def test_a_table_is_learned_from_what_is_not_dropped(tmp_path: Path) -> None:
    told = measure_table(table(tmp_path, learnable=True), quiet)
    assert 0.7 < told["auc"]["value"] < 0.95
    assert told["columns"] == {"pages": "number", "month": "words"}
    assert told["left_out"] == ["visit"]
    assert told["calibrated_on"] == "random rows out of fold"
    assert told["ece"]["value"] < 0.1
    leaking = measure_table(TableMeasurement(tmp_path / "a.csv", tmp_path / "b.csv", "bought"), quiet)
    assert leaking["auc"]["value"] == 1.0


def test_on_pure_noise_a_table_gives_the_base_rate(tmp_path: Path) -> None:
    told = measure_table(table(tmp_path, learnable=False), quiet)
    assert abs(told["auc"]["value"] - 0.5) < 0.1
    assert told["ece"]["value"] < 0.08
    assert told["baselines"]["base_rate"]["difference"]["log_loss"]["value"] < 0.03


def test_a_table_in_order_of_days_is_calibrated_on_its_later_rows(tmp_path: Path) -> None:
    frame = read_table(write_table(tmp_path / "a.csv", 800, 1, learnable=True))
    frame["day"] = [f"2026-{1 + row // 100:02d}-{1 + row % 28:02d}" for row in range(800)]
    frame = frame.sort_values("day", kind="stable")
    for path in (tmp_path / "a.csv", tmp_path / "b.csv"):
        frame.to_csv(path, index=False)
    told = measure_table(TableMeasurement(tmp_path / "a.csv", tmp_path / "b.csv", "bought", ("paid",)), quiet)
    assert told["calibrated_on"] == "later rows by day"
    assert told["columns"]["day"] == "day"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"target": "sold"}, "--target 'sold'.*no such column"),
        ({"target": "month"}, "row 1: month is"),
        ({"target": "bought", "drop": ("colour",)}, "--drop 'colour'"),
        ({"target": "bought", "drop": ("visit", "pages", "month", "paid")}, "no column is left"),
    ],
)
def test_a_table_that_cannot_be_measured_is_refused_in_words(
    tmp_path: Path, wanted: dict[str, str], message: str
) -> None:
    path = write_table(tmp_path / "a.csv", 200, 1, learnable=True)
    with pytest.raises(MeasureError, match=message):
        measure_table(TableMeasurement(path, path, **wanted), quiet)  # type: ignore[arg-type]


def test_a_table_with_hardly_a_yes_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "\n".join(f"{row},{int(row == 7)}" for row in range(300)), "utf-8")
    with pytest.raises(TooLittleData, match=r"of the 300 rows learned from are yes"):
        measure_table(TableMeasurement(path, path, "y"), quiet)


def test_a_word_never_learned_is_nothing_and_a_common_column_is_ranked() -> None:
    words = column_of("month", ["may"] * 12 + ["june"] * 11 + ["july"])
    assert words == Column("month", "words", ("may", "june"))
    assert Column("month", "words", ("may", "june")).numbers(["june", "july"]).tolist() == [[0, 1], [0, 0]]
    ranked = column_of("page", [f"p{row % 30}" for row in range(300)])
    assert ranked is not None
    assert ranked.kind == "rank"
    assert np.isnan(ranked.numbers(["unknown"])[0, 0])
