"""Reading an insight: what a key may see, what waits, what was known at another moment."""

import json
from typing import Any

import pytest

from service.insights import store
from service.insights.conclude import refresh
from tests.service.fakes import House, publish, track


def verdict(house: House, answer: str) -> None:
    """What the reviews do when a person answers the only waiting case."""
    with house.state.service.write() as connection:
        (row,) = store.current_waiting(connection, 10)
        answered = store.restored(row).answered_by_person(answer, {})
        store.supersede(connection, row.conclusion_id, answered, house.clock.at, new_id=house.state.ids())
        live = house.bundles.now()
        refresh(connection, row.customer_id, state=house.state, live=live, at=house.clock.at)


def test_an_insight_says_what_the_live_bundle_concludes(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()

    insight = house.insight("c1")
    assert insight["next_touchpoint"]["answer"] == "dealer.test_drive"
    assert insight["model"] == {"version": 1, "digest": "one", "live_since": "2026-11-14T03:00:12Z"}
    assert insight["journey"]["touchpoints"] == 1
    assert insight["as_of"] == "2026-11-21T12:00:00Z"


def test_a_customer_whom_nobody_knows_is_a_404_with_the_fix(house: House) -> None:
    answer = house.client.get("/v1/customers/c_9/insight", headers=house.key("read"))

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/errors/unknown-customer",
        "title": "Unknown customer",
        "status": 404,
        "detail": "No events are stored for customer 'c_9'. "
        "Send events with this userId first, or look it up by anonymousId.",
        "code": "unknown_customer",
        "message": "No events are stored for customer 'c_9'.",
        "field": "customer_id",
        "value": "c_9",
    }


def test_a_customer_whom_the_worker_has_not_seen_yet_is_concluded_on_the_spot(house: House) -> None:
    house.batch(track("Test Drive Booked"))

    assert house.insight("c1")["journey"]["touchpoints"] == 1


def test_a_customer_is_found_by_user_id_and_by_anonymous_id(house: House) -> None:
    house.batch(track("Test Drive Booked", anonymousId="dev"))
    house.worker.run_until_idle()

    assert house.insight("dev") == house.insight("c1")
    assert house.insight("dev")["customer_id"] == "c1"


def test_after_a_join_the_old_customer_is_gone_and_its_words_have_moved(house: House) -> None:
    page = {"type": "page", "anonymousId": "dev", "timestamp": "2026-11-20T09:00:00Z"}
    house.batch(page)
    body = {"id": "f1", "anonymous_id": "dev", "text": "angry", "said_at": "2026-11-21T11:00:00Z", "channel": "chat"}
    house.client.post("/v1/feedback", json=body, headers=house.key("ingest"))
    house.worker.run_until_idle()
    assert house.insight("dev")["customer_id"] == "dev"

    house.batch({"type": "identify", "anonymousId": "dev", "userId": "c1"})
    house.worker.run_until_idle()

    assert house.insight("dev")["customer_id"] == "c1"
    assert house.insight("c1")["feeling"]["feedback_id"] == "f1"
    with house.state.service.read() as connection:
        assert store.get_insight(connection, "dev") is None
        assert [row.customer_id for row in store.current_waiting(connection, 10)] == ["c1"]


def test_while_a_feeling_waits_nothing_of_the_models_answer_is_in_the_insight(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.say("f1", "I am so angry")
    house.worker.run_until_idle()

    feeling = house.insight("c1")["feeling"]
    assert (feeling["decision"], feeling["answer"]) == ("review", None)
    assert feeling["review"] == {"status": "open", "due_at": "2026-11-22T07:00:00Z"}
    shown = json.dumps(feeling).replace("polite_anger", "").replace("Anger in polite words", "")
    assert not any(word in shown for word in ("negative", "anger", "0.6", "provisional", "emotions"))
    assert house.insight("c1")["purchase"][0]["answer"] is None


def test_a_key_with_scope_provisional_sees_the_model_answer_apart_from_the_answer(house: House) -> None:
    house.say("f1", "I am so angry")
    house.worker.run_until_idle()

    feeling = house.insight("c1", "provisional")["feeling"]
    assert feeling["answer"] is None
    assert feeling["provisional"]["answer"] == "negative"


def test_a_verdict_changes_the_insight_at_once_and_the_model_never_concludes_it_again(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.say("f1", "I am so angry")
    house.worker.run_until_idle()
    verdict(house, "mixed")

    def feeling() -> list[Any]:
        shown = house.insight("c1")["feeling"]
        return [shown[name] for name in ("decision", "decided_by", "answer")]

    assert feeling() == ["review", "person", "mixed"]
    assert house.insight("c1")["purchase"][0]["answer"] == 0.34
    publish(house.settings.mlruns_dir, 2, "two")
    house.worker.run_until_idle()
    assert house.insight("c1")["model"]["version"] == 2
    assert feeling() == ["review", "person", "mixed"]


def test_a_verdict_on_a_conclusion_that_a_new_bundle_has_replaced_meanwhile_still_counts(house: House) -> None:
    house.say("f1", "I am so angry")
    house.worker.run_until_idle()
    with house.state.service.read() as connection:
        (before,) = store.current_waiting(connection, 10)
    publish(house.settings.mlruns_dir, 2, "two")
    house.worker.run_until_idle()

    with house.state.service.write() as connection:
        answered = store.restored(before).answered_by_person("negative", {})
        store.supersede(connection, before.conclusion_id, answered, house.clock.at, new_id="mine")
        assert store.current_about(connection, ["f1"])["f1"].conclusion_id == "mine"
        assert store.current_waiting(connection, 10) == []


def test_as_of_shows_what_was_known_then(house: House) -> None:
    house.batch(track("Product Viewed", at="2026-11-20T10:00:00Z"))
    house.say("f1", "I am so angry", at="2026-11-21T12:00:00Z")
    house.worker.run_until_idle()
    house.clock.forward(3600)
    house.batch(track("Test Drive Booked", at="2026-11-20T11:00:00Z"))
    verdict(house, "negative")
    house.worker.run_until_idle()

    now, then = house.insight("c1"), house.insight("c1", as_of="2026-11-21T12:30:00Z")
    before = house.insight("c1", as_of="2026-11-20T12:00:00Z")
    assert (now["journey"]["touchpoints"], now["feeling"]["answer"]) == (2, "negative")
    assert then["journey"]["touchpoints"] == 1
    assert (then["feeling"]["decision"], then["feeling"]["answer"]) == ("review", None)
    assert before["journey"]["touchpoints"] == 0
    assert [flag["code"] for flag in before["feeling"]["flags"]] == ["no_feedback"]


def test_words_that_the_worker_came_to_only_later_are_known_from_when_they_were_received(house: House) -> None:
    house.say("f1", "I am so angry", at="2026-11-21T11:00:00Z")
    house.clock.forward(60)
    house.worker.run_until_idle()
    verdict(house, "negative")

    feeling = house.insight("c1", as_of="2026-11-21T12:00:30Z")["feeling"]
    assert (feeling["decision"], feeling["answer"]) == ("review", None)


@pytest.mark.parametrize(
    "as_of", ["tomorrow", "2026-11-22T12:00:00Z", "9999-12-31T23:59:59Z", "", "2026-11-21T10:00 01:00"]
)
def test_as_of_must_be_a_moment_up_to_now(house: House, as_of: str) -> None:
    house.batch(track("Product Viewed"))
    answer = house.client.get("/v1/customers/c1/insight", params={"as_of": as_of}, headers=house.key("read"))

    assert (answer.status_code, answer.json()["field"]) == (422, "as_of")


def test_a_key_must_have_scope_read(house: House) -> None:
    house.batch(track("A"))

    assert house.client.get("/v1/customers/c1/insight", headers=house.key("ingest")).status_code == 403
    assert house.client.get("/v1/customers/c1/insight").status_code == 401
