"""Jobs: done in parts by the worker, cut off anywhere without harm, cancelled, gone with whom they are about."""

from __future__ import annotations

import csv
import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from service.customers import erasure
from service.jobs import store
from service.jobs.runner import Runner, folder_of
from service.outbox import store as outbox
from service.worker import Worker
from tests.service.fakes import House, publish, track

PART = 128
MANY = PART * 2 + 30


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.scoring.PART", PART)


def stocked(house: House, customers: int = MANY) -> None:
    """A house with so many customers, all concluded."""
    for first in range(0, customers, 100):
        house.batch(*(track("Test Drive Booked", f"c{n:04d}") for n in range(first, min(first + 100, customers))))
    house.worker.run_until_idle()


def made(house: House, **body: Any) -> dict[str, Any]:
    answer = house.client.post("/v1/jobs", json=body, headers=house.key("read"))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['job_id']}"
    return dict(answer.json())


def job(house: House, job_id: str) -> dict[str, Any]:
    return dict(house.client.get(f"/v1/jobs/{job_id}", headers=house.key("read")).json())


def result(house: House, job_id: str) -> bytes:
    answer = house.client.get(f"/v1/jobs/{job_id}/result", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(content.decode())))


def test_a_job_scores_all_customers_in_the_order_of_their_ids_and_tells_when_it_is_finished(house: House) -> None:
    stocked(house)
    job_id = made(house, customers="all", format="csv")["job_id"]
    house.worker.run_until_idle()

    told = job(house, job_id)
    assert (told["state"], told["rows"], told["progress"]) == ("finished", MANY, {"done": MANY, "total": MANY})
    found = rows(result(house, job_id))
    assert [row["customer_id"] for row in found] == [f"c{n:04d}" for n in range(MANY)]
    assert found[0]["next_touchpoint.answer"] == "dealer.test_drive"
    assert found[0]["purchase.car_purchase.answer"] == "0.34"
    assert found[0]["as_of"] == told["made_at"]
    with house.state.service.read() as connection:
        (change,) = outbox.after(connection, 0, ["job.finished"], 10)
    assert change.body["job_id"] == job_id
    assert change.body["result"] == f"/v1/jobs/{job_id}/result"


def test_a_scored_row_says_what_the_insight_says_and_nothing_of_what_waits(house: House, tmp_path: Path) -> None:
    house.batch(track("Test Drive Booked"))
    house.say("f1", "I am so angry")
    house.worker.run_until_idle()
    job_id = made(house, customers=["c1", "nobody"])["job_id"]
    house.worker.run_until_idle()

    (tmp_path / "result.parquet").write_bytes(result(house, job_id))
    (row,) = pyarrow.parquet.read_table(tmp_path / "result.parquet").to_pylist()
    insight = house.insight("c1")
    assert (row["feeling.decision"], row["feeling.answer"], row["feeling.confidence"]) == ("review", None, None)
    assert row["feeling.flags"] == [one["code"] for one in insight["feeling"]["flags"]]
    assert row["journey.touchpoints"] == insight["journey"]["touchpoints"]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_job_that_was_cut_off_after_any_step_comes_to_the_same_bytes(house: House, format: str) -> None:
    stocked(house)
    whole, cut = (made(house, format=format)["job_id"] for _ in range(2))
    house.worker.run_until_idle()
    expected = result(house, whole)
    with house.state.service.write() as connection:
        at = store.get(connection, whole)
        assert at is not None
        store.change(connection, cut, finished_at=None, done=0, made_at=at.made_at, started_at=None, rows=None)
    shutil.rmtree(folder_of(house.state, cut))

    steps = 0
    while job(house, cut)["state"] != "finished":
        # Another process each time: nothing is known of the one before but what is in the database and on the disk.
        runner = Runner(house.state, house.bundles, f"worker {steps}", lambda: 0.0)
        for _ in range(1 if steps < 4 else 3):
            runner.step(busy=False)
        runner.close()
        house.clock.forward(house.settings.lease_seconds + 1)
        steps += 1
    assert result(house, cut) == expected


def test_what_a_bundle_began_it_finishes_though_another_went_live(house: House) -> None:
    stocked(house)
    job_id = made(house, format="csv")["job_id"]
    runner = Runner(house.state, house.bundles, "w", lambda: 0.0)
    runner.step(busy=False)
    publish(house.settings.mlruns_dir, 2, "two")
    house.worker.run_until_idle()
    house.clock.forward(60)
    house.worker.run_until_idle()

    assert {row["model.version"] for row in rows(result(house, job_id))} == {"1"}


def test_while_there_is_something_to_conclude_a_job_has_a_turn_a_second_and_folding_goes_on(house: House) -> None:
    stocked(house)
    made(house)
    now = 0.0
    worker = Worker(house.state, house.bundles, "w", monotonic=lambda: now)
    house.worker.rest()
    turns = []
    for round in range(6):
        now += 0.3
        house.batch(track("Product Viewed", f"new{round}"))
        done = worker.run_once()
        assert done.folded == 1
        turns.append(done.tended)
    assert 1 <= sum(turns) <= 3


def test_a_cancelled_job_ends_and_leaves_nothing(house: House) -> None:
    stocked(house)
    job_id = made(house)["job_id"]
    Runner(house.state, house.bundles, "the test", lambda: 0.0).step(busy=False)
    for _ in range(2):
        answer = house.client.post(f"/v1/jobs/{job_id}/cancel", headers=house.key("read"))
        assert answer.status_code == 200
    house.clock.forward(60)
    house.worker.run_until_idle()

    assert job(house, job_id)["state"] == "cancelled"
    assert not folder_of(house.state, job_id).exists()
    refused = house.client.get(f"/v1/jobs/{job_id}/result", headers=house.key("read"))
    assert (refused.status_code, refused.json()["code"]) == (409, "no_result")


def test_a_finished_job_cannot_be_cancelled(house: House) -> None:
    job_id = made(house)["job_id"]
    house.worker.run_until_idle()

    answer = house.client.post(f"/v1/jobs/{job_id}/cancel", headers=house.key("read"))
    assert (answer.status_code, answer.json()["code"]) == (409, "job_over")


def test_journeys_of_a_file_are_scored_line_by_line_and_the_file_is_gone_then(house: House) -> None:
    line = {"events": [{"event": "Test Drive Booked", "timestamp": "2026-11-20T10:00:00Z"}]}
    lines = [{**line, "customer_id": "x"}] + [line] * (PART + 3)
    body = "\n".join(map(json.dumps, lines))
    answer = house.client.post("/v1/jobs/journeys?format=csv", content=body, headers=house.key("read"))
    assert answer.status_code == 201, answer.text
    job_id = answer.json()["job_id"]
    house.worker.run_until_idle()

    found = rows(result(house, job_id))
    assert [row["customer_id"] for row in found] == ["x", *(f"journey-{n}" for n in range(1, PART + 4))]
    assert {row["next_touchpoint.answer"] for row in found} == {"dealer.test_drive"}
    assert [path.name for path in sorted(folder_of(house.state, job_id).glob("*.*"))] == ["order.json", "result.csv"]


@pytest.mark.parametrize("body", ["", "{", '{"events": [{"timestamp": "soon"}]}', '{"nothing": 1}'])
def test_a_file_with_a_wrong_line_is_refused_by_its_number(house: House, body: str) -> None:
    answer = house.client.post("/v1/jobs/journeys", content=body, headers=house.key("read"))
    assert answer.status_code in (400, 422)
    assert "ine 1" in answer.text or "no journey" in answer.text


def test_when_somebody_is_erased_the_results_they_may_be_in_are_deleted(house: House) -> None:
    stocked(house, 3)
    job_id = made(house)["job_id"]
    house.worker.run_until_idle()
    assert folder_of(house.state, job_id).exists()
    erasure.erase(house.state, "c0001", by="a test")

    answer = house.client.get(f"/v1/jobs/{job_id}/result", headers=house.key("read"))
    assert (answer.status_code, answer.json()["code"]) == (404, "result_deleted")


@pytest.mark.parametrize(("body", "state"), [({"customers": "all"}, "finished"), ({"customers": ["c0001"]}, "failed")])
def test_a_job_whose_customers_were_erased_meanwhile_begins_anew_or_says_so(
    house: House, body: dict[str, Any], state: str
) -> None:
    stocked(house)
    job_id = made(house, **body)["job_id"]
    if state == "finished":
        house.worker.run_once()
    erasure.erase(house.state, "c0001", by="a test")
    house.worker.run_until_idle()

    told = job(house, job_id)
    assert told["state"] == state
    assert told["rows"] == (MANY - 1 if state == "finished" else None)


def test_results_are_deleted_after_some_days(house: House) -> None:
    job_id = made(house)["job_id"]
    house.worker.run_until_idle()
    house.clock.forward(house.settings.keep_results_days * 86_400 + 1)
    house.worker.run_until_idle()

    assert not folder_of(house.state, job_id).exists()
    assert job(house, job_id)["result"] is None


def test_jobs_are_listed_the_newest_first_page_by_page(house: House) -> None:
    ids = [made(house)["job_id"] for _ in range(5)]
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = house.client.get("/v1/jobs", params={"limit": 2, **cursor}, headers=house.key("read")).json()
        listed += [one["job_id"] for one in page["jobs"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == sorted(ids, reverse=True)
    wrong = house.client.get("/v1/jobs?cursor=x", headers=house.key("read"))
    assert wrong.status_code == 422


def test_too_many_jobs_wait_is_a_503_and_an_unknown_one_a_404(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.routes.MOST_OPEN", 1)
    made(house)
    answer = house.client.post("/v1/jobs", json={}, headers=house.key("read"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert house.client.get("/v1/jobs/x", headers=house.key("read")).status_code == 404
    assert house.client.post("/v1/jobs", json={"audience_id": "x"}, headers=house.key("read")).status_code == 404
