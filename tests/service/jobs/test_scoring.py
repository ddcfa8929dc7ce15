"""What is scored in columns is what is answered row by row: of everybody, under every standing, without a model too."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from models.bundle import Bundle, LoadedBundle, NoBundle
from models.insight import Conclusion, Decision, ModelVersion, ReleasePolicy, flags
from models.journey.event import DAY, SECOND, format_time
from models.journey.journeys import Journeys
from models.watched import ALL_STAND, Standing, WatchedBundle
from service.insights import columns
from tests.service.fakes import NOON, FakeBundle, House, open_house, publish, track

pytest_plugins = ["tests.trained"]

HAPPENED = ("Page Viewed", "Product Configured", "Email Sent", "Test Drive Booked", "Email Opened", "Order Completed")
ANGRY = Conclusion("feeling", Decision.REVIEW, flags(["polite_anger"]), "negative", {"confidence": 0.7},
                   {"feedback_id": "f", "said_at": format_time(NOON - DAY), "channel": "chat"})  # fmt: skip
GONE = Standing({("next_touchpoint", "all"): "It missed.", ("purchase:car_purchase", "all"): "Nobody bought."})
WIDER = Standing(widened=frozenset({"purchase", "feeling"}))


@pytest.fixture(scope="module")
def real(bundle: LoadedBundle, blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A service with the trained bundle and customers of every kind."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(blank, folder / "data")
    publish(folder / "mlruns", 1, bundle.digest)
    with open_house(folder, load=lambda folder, threads: bundle) as house:
        events = [
            track(HAPPENED[(n + step * step) % 6], f"c{n:02d}", format_time(NOON - (40 - step) * DAY - n * SECOND))
            for n in range(25)
            for step in range(n)
        ]
        strange = track("Hologram Shown", "stranger", properties={"channel": "hologram"})
        house.batch(*events[:200])
        house.batch(*events[200:], strange)
        for customer, text in (
            ("c08", "I love it, thank you"),
            ("c09", "Not great, but never bad"),
            ("talker", "Bad!"),
        ):
            house.say(f"f-{customer}", text, customer)
        house.batch(track("Order Completed", "objector"))
        headers = house.key("review", "admin")
        house.client.put("/v1/customers/objector/consent", json={"profiling": False}, headers=headers)
        house.worker.run_until_idle()
        house.say("f-late", "Great, thank you, I love it", "c10")
        yield house


def scored(house: House) -> list[dict[str, Any]]:
    job = house.client.post("/v1/jobs", json={}, headers=house.key("read")).json()["job_id"]
    house.worker.run_until_idle()
    answer = house.client.get(f"/v1/jobs/{job}/result", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return list(pyarrow.parquet.read_table(io.BytesIO(answer.content)).to_pylist())


def in_time(value: Any) -> Any:
    return format_time(int(value.timestamp() * SECOND)) if hasattr(value, "timestamp") else value


def test_everybody_is_scored_field_by_field_as_the_api_answers_at_that_moment(real: House) -> None:
    rows = scored(real)
    assert {row["customer_id"] for row in rows} == {f"c{n:02d}" for n in range(1, 25)} | {"stranger", "talker"}
    assert {row["feeling.decision"] for row in rows} > {"abstain"}
    for row in rows:
        told = columns.row(real.insight(row["customer_id"], as_of=in_time(row["as_of"])))
        assert {name: in_time(value) for name, value in row.items()} == {name: told.get(name) for name in row}


@pytest.mark.parametrize("standing", [ALL_STAND, GONE, WIDER, replace(GONE, widened=WIDER.widened)])
@pytest.mark.parametrize("which", ["trained", "half", "none", "fake"])
def test_columns_say_what_rows_say(bundle: LoadedBundle, journeys: Journeys, which: str, standing: Standing) -> None:
    half = replace(bundle, purchase={}, next_touchpoint=None, channel=None)
    bundles: dict[str, Bundle] = {
        "trained": bundle, "half": half, "none": NoBundle({"web.visit": 3}), "fake": FakeBundle("x"),
    }  # fmt: skip
    as_of = np.linspace(journeys.occurred_at.min() - 1, journeys.occurred_at.max(), len(journeys)).astype(np.int64)
    feelings = [ANGRY if row % 3 == 0 else None for row in range(len(journeys))]
    model = ModelVersion(3, "one", NOON)
    found = WatchedBundle(bundles[which], standing).concluded(journeys, as_of, feelings, model, ReleasePolicy())
    answers = [one.to_dict() for one in found.insights()]
    assert columns.table_of(found).equals(columns.table(columns.definitions_of(answers[0]), answers))
