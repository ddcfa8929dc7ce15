"""Audiences: a saved condition fills itself, follows every insight in its transaction, and leaves as a file."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow.parquet
import pytest

from service.customers.erasure import everything
from service.delivery import tending
from service.outbox import audiences
from tests.service.fakes import House, track

CONTENT = {"field": "feeling.answer", "op": "=", "value": "positive"}
WAITING = {"field": "feeling.waiting", "op": "=", "value": True}
LIKELY = {"all": [{"field": "purchase.car_purchase.answer", "op": ">", "value": 0.3}, {"not": WAITING}]}


def make(house: House, name: str, condition: Any) -> dict[str, Any]:
    body = {"name": name, "condition": condition}
    answer = house.client.post("/v1/audiences", json=body, headers=house.key("admin"))
    assert answer.status_code == 201, answer.text
    house.worker.run_until_idle()
    return read(house, answer.json()["audience_id"])


def read(house: House, audience_id: str) -> dict[str, Any]:
    return dict(house.client.get(f"/v1/audiences/{audience_id}", headers=house.key("read")).json())


def inside(house: House, audience_id: str, **query: Any) -> list[str]:
    path = f"/v1/audiences/{audience_id}/customers"
    found = house.client.get(path, params=query, headers=house.key("read")).json()
    return [one["customer_id"] for one in found["customers"]]


def moves(house: House) -> list[tuple[str, str, str]]:
    query = {"kinds": "audience.entered,audience.left"}
    found = house.client.get("/v1/changes", params=query, headers=house.key("read")).json()["changes"]
    return [(one["type"], one["data"]["audience"], one["data"]["customer_id"]) for one in found]


def export(house: House, audience_id: str, format: str) -> bytes:
    path = f"/v1/audiences/{audience_id}/export"
    answer = house.client.get(path, params={"format": format}, headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_new_audience_looks_at_everybody_and_tells_who_entered(house: House) -> None:
    house.say("f1", "lovely", "c1")
    house.say("f2", "I am angry", "c2")
    house.worker.run_until_idle()
    made = make(house, "Content", CONTENT)
    assert (made["complete"], made["customers"], inside(house, made["audience_id"])) == (True, 1, ["c1"])
    assert moves(house) == [("audience.entered", "Content", "c1")]


def test_it_is_not_complete_before_the_worker_has_looked(house: House) -> None:
    body = {"name": "All", "condition": {"all": []}}
    made = house.client.post("/v1/audiences", json=body, headers=house.key("admin")).json()
    assert (made["complete"], made["customers"]) == (False, 0)


def test_more_customers_than_one_step_looks_at_are_all_looked_at(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "ROWS", 2)
    house.batch(*(track("Test Drive Booked", customer=f"c{number}") for number in range(5)))
    house.worker.run_until_idle()
    made = make(house, "All", {"all": []})
    assert (made["complete"], made["customers"]) == (True, 5)


def test_membership_follows_the_insight(house: House) -> None:
    made = make(house, "Content", CONTENT)
    house.say("f1", "lovely", "c1")
    house.worker.run_until_idle()
    assert inside(house, made["audience_id"]) == ["c1"]
    house.say("f2", "I am angry", "c1", at="2026-11-21T11:30:00Z")
    house.worker.run_until_idle()
    assert inside(house, made["audience_id"]) == []
    assert [kind for kind, *_ in moves(house)] == ["audience.entered", "audience.left"]


def test_what_waits_for_a_person_tells_an_audience_nothing_and_a_verdict_moves_at_once(house: House) -> None:
    angry = make(house, "Angry", {"field": "feeling.answer", "op": "=", "value": "negative"})
    sure = make(house, "Sure", {"field": "feeling.confidence", "op": ">", "value": 0})
    waiting = make(house, "Waiting", WAITING)
    house.say("f1", "I am angry", "c1")
    house.worker.run_until_idle()
    assert [inside(house, one["audience_id"]) for one in (angry, sure, waiting)] == [[], [], ["c1"]]
    case = house.client.post("/v1/reviews/claim", json={"reviewer": "Ada"}, headers=house.key("review")).json()["case"]
    path = f"/v1/reviews/{case['conclusion_id']}/verdict"
    house.client.post(path, json={"answer": "negative", "reviewer": "Ada"}, headers=house.key("review"))
    assert [inside(house, one["audience_id"]) for one in (angry, waiting)] == [["c1"], []]


def test_another_condition_tells_who_comes_and_who_goes(house: House) -> None:
    house.say("f1", "lovely", "c1")
    house.say("f2", "I am angry", "c2")
    house.worker.run_until_idle()
    made = make(house, "Chosen", CONTENT)
    path = f"/v1/audiences/{made['audience_id']}"
    changed = house.client.patch(path, json={"condition": WAITING, "name": "Angry"}, headers=house.key("admin")).json()
    assert (changed["complete"], changed["name"]) == (False, "Angry")
    house.worker.run_until_idle()
    assert inside(house, made["audience_id"]) == ["c2"]
    assert moves(house)[1:] == [("audience.left", "Angry", "c1"), ("audience.entered", "Angry", "c2")]


def test_somebody_who_objects_is_in_no_audience(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    made = make(house, "All", {"all": []})
    body = {"profiling": False, "by": "Ada"}
    house.client.put("/v1/customers/c1/consent", json=body, headers=house.key("admin"))
    assert inside(house, made["audience_id"]) == []
    assert make(house, "Again all", {"all": []})["customers"] == 0


def test_a_customer_that_was_joined_to_another_leaves_and_the_other_enters(house: House) -> None:
    made = make(house, "All", {"all": []})
    house.batch(
        {"type": "track", "event": "Test Drive Booked", "anonymousId": "d1", "timestamp": "2026-11-20T10:00:00Z"}
    )
    house.worker.run_until_idle()
    assert inside(house, made["audience_id"]) == ["d1"]
    house.batch({"type": "identify", "userId": "c1", "anonymousId": "d1", "timestamp": "2026-11-20T11:00:00Z"})
    house.worker.run_until_idle()
    assert inside(house, made["audience_id"]) == ["c1"]


def test_customers_are_paged_in_the_order_of_their_ids(house: House) -> None:
    house.batch(*(track("Test Drive Booked", customer=f"c{number}") for number in range(5)))
    house.worker.run_until_idle()
    made = make(house, "All", {"all": []})
    assert inside(house, made["audience_id"], limit=2) == ["c0", "c1"]
    assert inside(house, made["audience_id"], limit=2, cursor="c3") == ["c4"]


def test_an_export_holds_the_public_insights_flattened_with_dots(house: House) -> None:
    house.say("f1", "lovely", "c1")
    house.say("f2", "I am angry", "c2")
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    made = make(house, "All", {"all": []})
    read_csv = list(csv.DictReader(io.StringIO(export(house, made["audience_id"], "csv").decode())))
    table = pyarrow.parquet.read_table(io.BytesIO(export(house, made["audience_id"], "parquet")))
    assert list(read_csv[0]) == table.column_names
    first, second = table.to_pylist()
    assert (first["customer_id"], first["feeling.answer"], first["purchase.car_purchase.answer"]) == (
        "c1",
        "positive",
        0.34,
    )
    assert (first["purchase.car_purchase.interval.low"], first["as_of"].isoformat()[:19]) == (
        0.2,
        "2026-11-21T12:00:00",
    )
    assert (second["feeling.decision"], second["feeling.answer"], second["feeling.confidence"]) == (
        "review",
        None,
        None,
    )
    assert (read_csv[1]["feeling.flags"], read_csv[1]["feeling.answer"]) == ("polite_anger", "")


def test_an_export_of_nobody_has_its_columns(house: House) -> None:
    made = make(house, "Nobody", {"any": []})
    assert export(house, made["audience_id"], "csv").decode().startswith("customer_id,as_of,model.version")
    assert pyarrow.parquet.read_table(io.BytesIO(export(house, made["audience_id"], "parquet"))).num_rows == 0


def test_a_wrong_condition_is_refused_with_what_is_allowed(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    body = {"name": "Boats", "condition": {"field": "purchase.boat.answer", "op": ">", "value": 0.5}}
    answer = house.client.post("/v1/audiences", json=body, headers=house.key("admin"))
    told = answer.json()
    assert (answer.status_code, told["code"], told["allowed"]) == (422, "invalid_condition", ["car_purchase"])
    assert told["field"] == "condition.field"


def test_what_can_be_compared_is_told_with_the_targets_that_there_are(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    fields = house.client.get("/v1/audiences/fields", headers=house.key("read")).json()["fields"]
    by_name = {one["field"]: one for one in fields}
    assert by_name["purchase.car_purchase.answer"]["kind"] == "number"
    assert "negative" in by_name["feeling.answer"]["allowed"]


def test_names_are_unique_and_an_audience_can_be_deleted(house: House) -> None:
    made = make(house, "Content", CONTENT)
    body = {"name": "Content", "condition": CONTENT}
    assert (
        house.client.post("/v1/audiences", json=body, headers=house.key("admin")).json()["code"]
        == "audience_name_taken"
    )
    path = f"/v1/audiences/{made['audience_id']}"
    assert house.client.patch(path, json={"name": "Content"}, headers=house.key("admin")).status_code == 200
    assert house.client.delete(path, headers=house.key("admin")).status_code == 204
    assert house.client.get(path, headers=house.key("read")).json()["code"] == "unknown_audience"


def test_reading_takes_a_reading_key_and_changing_an_admin_key(house: House) -> None:
    body = {"name": "Content", "condition": CONTENT}
    assert house.client.post("/v1/audiences", json=body, headers=house.key("read")).status_code == 403
    assert house.client.get("/v1/audiences", headers=house.key("ingest")).status_code == 403
    assert house.client.get("/v1/audiences", headers=house.key("read")).json() == {"audiences": []}


def test_erasure_takes_a_customer_out_and_export_shows_that_they_were_in(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    made = make(house, "All", LIKELY)
    assert everything(house.state, "c1")["held"]["audience_members"][0]["audience_id"] == made["audience_id"]
    house.client.delete("/v1/customers/c1", headers=house.key("admin"))
    assert (inside(house, made["audience_id"]), moves(house)) == ([], [])


def test_membership_is_written_with_the_insight_or_not_at_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(house, "All", {"all": []})
    house.batch(track("Test Drive Booked"))

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as broken:
        broken.setattr(audiences, "move", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            house.worker.run_until_idle()
    assert house.client.get("/v1/changes", headers=house.key("read")).json()["changes"] == []
    house.worker.run_until_idle()
    assert inside(house, made["audience_id"]) == ["c1"]
