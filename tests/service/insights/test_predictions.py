"""POST /v1/predictions: answers from the body alone, keeps nothing, opens no case."""

from typing import Any

from sqlalchemy import select

from service.events.store import head
from service.insights import store
from tests.service.fakes import House, track

VIEW = {"event": "Product Viewed", "timestamp": "2026-11-20T10:00:00Z", "channel": "web"}
DRIVE = {"event": "Test Drive Booked", "timestamp": "2026-11-20T11:00:00Z"}


def predict(house: House, *journeys: Any, scope: str = "read", **beside: Any) -> Any:
    body = {"journeys": list(journeys), **beside}
    return house.client.post("/v1/predictions", json=body, headers=house.key(scope))


def test_each_journey_gets_its_insight_in_order_and_nothing_is_stored(house: House) -> None:
    angry = {"text": "I am angry", "said_at": "2026-11-20T12:00:00Z", "channel": "chat"}
    answer = predict(house, {"customer_id": "x", "events": [DRIVE, VIEW], "feedback": [angry]}, {"events": [VIEW]}, {})

    first, second, third = answer.json()["predictions"]
    assert (first["customer_id"], first["next_touchpoint"]["answer"]) == ("x", "dealer.test_drive")
    assert (first["feeling"]["decision"], first["feeling"]["answer"]) == ("review", None)
    assert "review" not in first["feeling"]
    assert (second["customer_id"], second["next_touchpoint"]["answer"]) == ("journey-1", "web.view")
    assert third["journey"]["touchpoints"] == 0
    with house.state.log.read() as log, house.state.service.read() as connection:
        assert head(log) == 0
        assert store.count_waiting(connection) == 0
        assert connection.execute(select(store.insights)).all() == []


def test_events_may_come_in_tracking_form_and_repeats_count_once(house: House) -> None:
    whole = track("Test Drive Booked", messageId="m1", properties={"value": 3}, integrations={})

    insight = predict(house, {"events": [whole, whole]}).json()["predictions"][0]
    assert insight["journey"]["touchpoints"] == 1


def test_words_in_an_event_are_heard(house: House) -> None:
    said = track("Survey Answered", messageId="s1", properties={"text": "Lovely"})

    feeling = predict(house, {"events": [said]}).json()["predictions"][0]["feeling"]
    assert (feeling["feedback_id"], feeling["answer"]) == ("s1", "positive")


def test_what_comes_after_as_of_changes_nothing(house: House) -> None:
    insight = predict(house, {"events": [VIEW, DRIVE]}, as_of="2026-11-20T10:30:00Z").json()["predictions"][0]

    assert insight["next_touchpoint"]["answer"] == "web.view"
    assert insight["as_of"] == "2026-11-20T10:30:00Z"


def test_two_journeys_of_one_name_are_two_journeys(house: House) -> None:
    found = predict(house, {"customer_id": "x", "events": [VIEW]}, {"customer_id": "x", "events": []}).json()

    assert [one["journey"]["touchpoints"] for one in found["predictions"]] == [1, 0]


def test_a_provisional_key_sees_what_waits(house: House) -> None:
    angry = {"text": "I am angry"}
    answer = predict(house, {"feedback": [angry]}, scope="provisional")

    assert answer.json()["predictions"][0]["feeling"]["provisional"]["answer"] == "negative"


def test_bad_journeys_name_the_field(house: House) -> None:
    cases: list[tuple[Any, str]] = [
        ([{"events": [{"event": "A"}]}], "journeys.0.events.0.timestamp"),
        ([{"events": [{**VIEW, "timestamp": "soon"}]}], "journeys.0.events.0.timestamp"),
        ([{}, {"feedback": [{"text": " "}]}], "journeys.1.feedback.0.text"),
        ([{"event": []}], "journeys.0.event"),
        ([], "journeys"),
        ([{}] * 1001, "journeys"),
        ([3], "journeys.0"),
    ]
    for journeys, field in cases:
        answer = predict(house, *journeys)
        assert answer.status_code in (413, 422)
        assert answer.json()["field"] == field


def test_a_thousand_journeys_are_answered(house: House) -> None:
    answer = predict(house, *[{"events": [VIEW]}] * 1000)

    assert len(answer.json()["predictions"]) == 1000
