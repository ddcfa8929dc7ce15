"""Many at once: insights by ids, texts that are read and not kept, parts of an insight, and what is known already."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from service.insights import store
from tests.service.fakes import House, publish, track


def query(house: House, *ids: str, scope: str = "read", **body: Any) -> Any:
    return house.client.post("/v1/insights:query", json={"customer_ids": ids, **body}, headers=house.key(scope))


def analyse(house: House, *texts: Any, scope: str = "read", **body: Any) -> Any:
    return house.client.post("/v1/feedback:analyse", json={"texts": texts, **body}, headers=house.key(scope))


def test_insights_come_in_the_order_asked_and_the_unknown_are_told_apart(house: House) -> None:
    house.batch(track("Test Drive Booked", "c1", anonymousId="dev"), track("Product Viewed", "c2"))
    house.worker.run_until_idle()
    house.batch(track("Product Viewed", "c3"))

    told = query(house, "c2", "nobody", "dev", "c3", "c2").json()
    assert [one["customer_id"] for one in told["insights"]] == ["c2", "c1", "c3", "c2"]
    assert told["unknown"] == ["nobody"]
    assert told["insights"][1] == house.insight("c1")


def test_of_many_too_only_the_fields_asked_for_are_told(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    (told,) = query(house, "c1", fields=["purchase"]).json()["insights"]

    assert list(told) == ["customer_id", "as_of", "purchase"]
    wrong = query(house, "c1", fields=["secrets"])
    assert (wrong.status_code, wrong.json()["field"]) == (422, "fields")
    assert "feeling" in wrong.json()["allowed"]


def test_somebody_who_objects_is_told_as_such_among_many(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    house.client.put("/v1/customers/c1/consent", json={"profiling": False}, headers=house.key("admin"))

    (told,) = query(house, "c1").json()["insights"]
    assert told["next_touchpoint"]["flags"][0]["code"] == "do_not_profile"


@pytest.mark.parametrize("ids", [[], ["c"] * 1001, [3], "c1"])
def test_a_query_that_names_nobody_or_too_many_is_refused(house: House, ids: Any) -> None:
    answer = house.client.post("/v1/insights:query", json={"customer_ids": ids}, headers=house.key("read"))

    assert answer.status_code == 422
    assert answer.json()["field"].startswith("customer_ids")


def test_a_single_insight_can_be_asked_for_in_parts(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    whole = house.insight("c1")

    for more in ({}, {"explain": "true"}, {"as_of": "2026-11-21T12:00:00Z"}):
        told = house.insight("c1", fields="journey, feeling", **more)
        assert list(told) == ["customer_id", "as_of", "journey", "feeling"]
        assert told["journey"] == whole["journey"]
    wrong = house.client.get("/v1/customers/c1/insight?fields=x", headers=house.key("read"))
    assert (wrong.status_code, wrong.json()["field"]) == (422, "fields")


def test_texts_are_decided_as_feedback_is_and_nothing_is_kept(house: House) -> None:
    (calm, angry) = analyse(house, {"text": "Fine"}, {"id": "mine", "text": "I am angry", "channel": "chat"}).json()[
        "texts"
    ]
    assert (calm["feedback_id"], calm["decision"], calm["answer"]) == ("text-0", "auto", "positive")
    assert (angry["feedback_id"], angry["channel"]) == ("mine", "chat")
    assert (angry["decision"], angry["answer"], "confidence" in angry) == ("review", None, False)
    assert [flag["code"] for flag in angry["flags"]] == ["polite_anger"]
    with house.state.service.read() as connection:
        assert connection.execute(select(store.conclusions)).all() == []


def test_a_provisional_key_sees_what_would_wait_of_texts_too(house: House) -> None:
    (angry,) = analyse(house, {"text": "I am angry"}, scope="provisional").json()["texts"]
    assert (angry["answer"], angry["provisional"]["answer"]) == (None, "negative")


@pytest.mark.parametrize(
    ("texts", "status", "field"),
    [
        ([], 422, "texts"),
        ([{"text": "x"}] * 257, 422, "texts"),
        ([{"text": "x"}, {"text": " "}], 422, "texts.1.text"),
        ([{"text": "x", "said_at": "soon"}], 422, "texts.0.said_at"),
        ([{"text": "x" * 100_001}], 413, "texts.0.text"),
        ([{"text": "x", "rating": 6}], 422, "texts.0.rating"),
    ],
)
def test_a_wrong_text_is_named_by_its_place(house: House, texts: list[Any], status: int, field: str) -> None:
    answer = analyse(house, *texts)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_more_texts_than_can_be_explained_are_refused(house: House) -> None:
    answer = analyse(house, *[{"text": "x"}] * 51, explain=True)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_texts")


@pytest.mark.parametrize("query", ["", "?fields=journey"])
def test_what_the_caller_has_is_a_304_until_it_changes(house: House, query: str) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()
    path, headers = f"/v1/customers/c1/insight{query}", house.key("read")
    first = house.client.get(path, headers=headers)
    etag = first.headers["etag"]

    again = house.client.get(path, headers={**headers, "If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    house.batch(track("Product Viewed"))
    house.worker.run_until_idle()
    changed = house.client.get(path, headers={**headers, "If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_models_tell_what_is_live_and_what_is_wrong_with_what_should_be(house: House) -> None:
    publish(house.settings.mlruns_dir, 2, "broken")
    told = house.client.get("/v1/models", headers=house.key("read")).json()

    assert told["live"] == {"version": 1, "digest": "one", "live_since": "2026-11-14T03:00:12Z"}
    assert "version 2 cannot be loaded" in told["problem"]
    assert [(one["version"], one["by"]) for one in told["history"]] == [(2, "a test"), (1, "a test")]
