"""GET /v1/changes: what a tool would see differ, once committed, in order, resumable, and nothing that waits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from models.journey.event import DAY
from service.customers.erasure import everything
from service.database import metadata
from service.errors import Invalid
from service.insights.told import changed
from service.outbox import store
from service.outbox.store import KINDS, Cursor
from tests.service.fakes import House, track


def changes(house: House, **query: Any) -> dict[str, Any]:
    answer = house.client.get("/v1/changes", params=query, headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(house: House, **query: Any) -> list[tuple[str, Any]]:
    return [(one["type"], one["data"].get("changed")) for one in changes(house, **query)["changes"]]


def work(house: House) -> None:
    house.worker.run_until_idle()


def test_an_insight_that_is_new_is_told_in_the_insights_own_shape(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    work(house)
    (one,) = changes(house)["changes"]
    insight = house.insight("c1")
    assert (one["type"], one["timestamp"], one["data"]["customer_id"]) == ("insight.changed", insight["as_of"], "c1")
    assert one["data"]["feeling"] == {name: insight["feeling"][name] for name in one["data"]["feeling"]}
    assert one["data"]["journey"]["stage"] == insight["journey"]["stage"]
    assert set(one["data"]["changed"]) >= {"feeling", "next_touchpoint", "purchase.car_purchase"}


def test_an_insight_that_is_concluded_anew_and_says_the_same_is_not_told_again(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    work(house)
    after = changes(house)["next_cursor"]
    house.clock.forward(house.settings.max_age_seconds + 1)
    work(house)
    house.batch(track("Test Drive Booked", at="2026-11-21T11:00:00Z"))
    work(house)
    assert told(house, since=after) == []


def test_only_what_differs_is_named(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    work(house)
    after = changes(house)["next_cursor"]
    house.say("f1", "lovely")
    work(house)
    assert told(house, since=after) == [("insight.changed", ["feeling"])]


def test_nothing_of_the_models_answer_is_told_while_a_person_has_yet_to_look(house: House) -> None:
    house.say("f1", "I am angry")
    work(house)
    (one,) = changes(house)["changes"]
    assert (one["data"]["feeling"]["decision"], one["data"]["feeling"]["answer"]) == ("review", None)
    assert "negative" not in str(one)


def test_a_verdict_is_told_at_once_with_the_insight_that_it_changed(house: House) -> None:
    house.say("f1", "I am angry")
    work(house)
    after = changes(house)["next_cursor"]
    case = house.client.post("/v1/reviews/claim", json={"reviewer": "Ada"}, headers=house.key("review")).json()["case"]
    path = f"/v1/reviews/{case['conclusion_id']}/verdict"
    house.client.post(path, json={"answer": "negative", "reviewer": "Ada"}, headers=house.key("review"))
    superseded, insight = changes(house, since=after)["changes"]
    assert (superseded["type"], insight["type"]) == ("conclusion.superseded", "insight.changed")
    assert (superseded["data"]["before"]["answer"], superseded["data"]["after"]["answer"]) == (None, "negative")
    assert superseded["data"]["feedback_id"] == "f1"
    assert {"feeling", "purchase.car_purchase"} <= set(insight["data"]["changed"])


def test_words_that_were_edited_end_what_was_concluded_of_them(house: House) -> None:
    house.say("f1", "lovely")
    work(house)
    after = changes(house)["next_cursor"]
    house.say("f1", "lovely, thank you", at="2026-11-21T11:30:00Z")
    work(house)
    (ended,) = changes(house, since=after, kinds="conclusion.superseded")["changes"]
    assert (ended["data"]["feedback_id"], ended["data"]["after"]) == ("f1", None)


def test_what_was_to_be_told_of_somebody_who_objects_is_told_no_more(house: House) -> None:
    house.say("f1", "lovely")
    work(house)
    body = {"profiling": False, "by": "Ada"}
    house.client.put("/v1/customers/c1/consent", json=body, headers=house.key("admin"))
    (one,) = changes(house)["changes"]
    assert one["data"]["feeling"]["flags"][0]["code"] == "do_not_profile"
    assert "positive" not in str(one)


def test_an_id_that_was_joined_to_another_customer_is_told(house: House) -> None:
    house.batch(
        {"type": "track", "event": "Test Drive Booked", "anonymousId": "d1", "timestamp": "2026-11-20T10:00:00Z"}
    )
    work(house)
    after = changes(house)["next_cursor"]
    house.batch({"type": "identify", "userId": "c1", "anonymousId": "d1", "timestamp": "2026-11-20T11:00:00Z"})
    work(house)
    gone = [one["data"] for one in changes(house, since=after)["changes"] if one["data"]["customer_id"] == "d1"]
    assert [(one["changed"], one["joined_to"]) for one in gone] == [(["customer_id"], "c1")]


def test_reading_goes_on_where_it_was_and_a_filter_skips_what_it_does_not_want(house: House) -> None:
    for number in range(5):
        house.batch(track("Test Drive Booked", customer=f"c{number}"))
    work(house)
    seen, since, more = [], "", True
    while more:
        page = changes(house, since=since, limit=2)
        seen += [one["data"]["customer_id"] for one in page["changes"]]
        since, more = page["next_cursor"], page["more"]
    assert sorted(seen) == [f"c{number}" for number in range(5)]
    assert changes(house, kinds="audience.entered")["next_cursor"] == since
    assert changes(house, since="now") == {"changes": [], "next_cursor": since, "more": False}


def test_a_change_that_is_not_committed_is_not_told(house: House) -> None:
    def fails() -> None:
        with house.state.service.write() as connection:
            store.add(connection, "job.finished", "j1", {"job_id": "j1"}, house.clock())
            raise RuntimeError("the change itself failed")

    with pytest.raises(RuntimeError, match="the change itself"):
        fails()
    assert changes(house)["changes"] == []


@pytest.mark.parametrize("since", ["rubbish", "WzIsMSwxXQ", "ff", "WzEsLTEsMV0"])
def test_a_cursor_that_is_none_of_ours_is_refused(house: House, since: str) -> None:
    answer = house.client.get("/v1/changes", params={"since": since}, headers=house.key("read"))
    assert (answer.status_code, answer.json()["field"]) == (422, "since")


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(house: House) -> None:
    answer = house.client.get("/v1/changes", params={"kinds": "insight.gone"}, headers=house.key("read"))
    assert (answer.status_code, answer.json()["allowed"]) == (422, list(KINDS))


def test_old_changes_are_forgotten_and_a_reader_who_was_away_too_long_is_told(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    work(house)
    early = Cursor(0, 0).told()
    late = changes(house)["next_cursor"]
    house.clock.forward(house.settings.keep_changes_days * DAY / 1_000_000 + 1)
    work(house)
    assert changes(house)["changes"] == []
    answer = house.client.get("/v1/changes", params={"since": early}, headers=house.key("read"))
    assert (answer.status_code, answer.json()["code"]) == (409, "cursor_expired")
    assert changes(house, since=late)["changes"] == []


def test_a_cursor_from_before_a_restore_is_told_and_not_followed(house: House) -> None:
    with house.state.service.write() as connection:
        store.add(connection, "job.finished", "j1", {"job_id": "j1"}, house.clock())
    for cursor in (Cursor(1, house.clock() - 1), Cursor(900, house.clock())):
        answer = house.client.get("/v1/changes", params={"since": cursor.told()}, headers=house.key("read"))
        assert answer.json()["code"] == "cursor_expired"


def test_erasure_takes_a_customers_changes_and_export_shows_them(house: House) -> None:
    house.say("f1", "lovely")
    house.batch(track("Test Drive Booked", customer="c2"))
    work(house)
    held = everything(house.state, "c1")["held"]
    assert held["changes"][0]["body"]["customer_id"] == "c1"
    assert held["insights_told"][0]["body"]["feeling"]["answer"] == "positive"
    before = changes(house)["next_cursor"]
    house.client.delete("/v1/customers/c1", headers=house.key("admin"))
    assert {one["data"]["customer_id"] for one in changes(house)["changes"]} == {"c2"}
    assert changes(house, since=before)["changes"] == []


def test_changes_need_a_key_that_reads(house: House) -> None:
    assert house.client.get("/v1/changes").status_code == 401
    assert house.client.get("/v1/changes", headers=house.key("ingest")).status_code == 403


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(KINDS[:2])), max_size=12), st.integers(1, 5))
@settings(max_examples=40)
def test_each_customers_changes_come_in_the_order_of_their_commits(made: list[tuple[str, Any]], limit: int) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine, tables=[store.changes, store.forgotten])
    with engine.begin() as connection:
        for number, (customer, kind) in enumerate(made):
            store.add(connection, kind, customer, {"number": number}, 1_000 - number)
        seen: list[tuple[str | None, str, Any]] = []
        seq = 0
        while found := store.after(connection, seq, KINDS, limit):
            seen += [(one.customer_id, one.kind, one.body["number"]) for one in found]
            seq = found[-1].seq
    assert seen == [(customer, kind, number) for number, (customer, kind) in enumerate(made)]
    engine.dispose()


def test_a_probability_is_told_from_a_step_on_and_small_steps_add_up() -> None:
    def at(chance: float) -> dict[str, Any]:
        return {"purchase": [{"definition": "car", "answer": chance}]}

    assert changed(at(0.30), at(0.309), 0.01) == []
    assert changed(at(0.30), at(0.31), 0.01) == ["purchase.car"]
    assert changed(at(0.30), {"purchase": [{"definition": "car", "answer": None}]}, 0.01) == ["purchase.car"]


def test_an_unknown_kind_or_cursor_is_refused_by_the_outbox(house: House) -> None:
    with house.state.service.write() as connection, pytest.raises(ValueError, match="unknown kind"):
        store.add(connection, "insight.gone", "c1", {}, 0)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        Cursor.read("é")
