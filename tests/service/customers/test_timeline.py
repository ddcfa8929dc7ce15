"""A customer's timeline: everything once, in an order that arrivals do not disturb, with what was concluded then."""

from typing import Any

import pytest

from tests.service.fakes import House, track


def journey(house: House, customer: str = "c1", *scopes: str, **query: Any) -> dict[str, Any]:
    headers = house.key(*(scopes or ("read",)))
    answer = house.client.get(f"/v1/customers/{customer}/journey", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ids(page: dict[str, Any]) -> list[str]:
    return [one["id"] for one in page["touchpoints"]]


def days(house: House, *numbers: int, customer: str = "c1") -> None:
    """One touchpoint on each of these days of November."""
    house.batch(*(track("Product Viewed", customer, f"2026-11-{day:02d}T10:00:00Z", messageId=f"d{day:02d}")
                  for day in numbers))  # fmt: skip
    house.worker.run_until_idle()


def test_every_touchpoint_is_told_with_channel_stage_value_and_words(house: House) -> None:
    bought = {"value": 12.5, "currency": "eur", "channel": "dealer"}
    said = {"text": "fine, thank you", "rating": 4}
    house.batch(
        track("Order Completed", messageId="m1", properties=bought),
        track("Survey Answered", messageId="m2", at="2026-11-20T11:00:00Z", properties=said),
    )
    house.say("f1", "still fine")
    house.worker.run_until_idle()

    newest, survey, order = journey(house)["touchpoints"]
    assert (order["channel"], order["stage"], order["value"]) == (
        "dealer", "sale", {"amount_minor": 1250, "currency": "EUR"})  # fmt: skip
    assert (order["words"], order["concluded"]) == (None, [])
    assert (survey["id"], survey["value"], survey["words"]["text"]) == ("m2", None, "fine, thank you")
    assert survey["words"]["rating"] == {"value": 4, "scale": "1-5", "stars": 4}
    assert (newest["touchpoint"], newest["stage"], newest["words"]["state"]) == ("chat.feedback", None, "counted")
    assert newest["insight"] == "/v1/customers/c1/insight?as_of=2026-11-21T11:00:00Z"


def test_by_any_id_the_same_is_told_under_the_surviving_one(house: House) -> None:
    house.batch({"type": "page", "anonymousId": "dev", "timestamp": "2026-11-20T09:00:00Z"},
                {"type": "identify", "anonymousId": "dev", "userId": "c1"})  # fmt: skip
    house.worker.run_until_idle()

    assert journey(house, "dev") == journey(house, "c1")
    assert journey(house, "dev")["customer_id"] == "c1"


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_hold_everything_once_in_order(house: House, order: str) -> None:
    days(house, 1, 2, 3, 5, 8, 13)
    house.say("f1", "fine", at="2026-11-08T10:00:00Z")
    house.worker.run_until_idle()

    whole = ids(journey(house, order=order))
    read, cursor = [], None
    while True:
        page = journey(house, order=order, limit=2, **({"cursor": cursor} if cursor else {}))
        read += ids(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    newest_first = ["d13", "f1", "d08", "d05", "d03", "d02", "d01"]
    assert read == whole == (newest_first if order == "newest" else newest_first[::-1])


def test_what_arrives_between_two_pages_moves_nothing(house: House) -> None:
    days(house, 1, 2, 3, 4)
    first = journey(house, limit=2)
    days(house, 9)
    house.say("f1", "fine", at="2026-11-12T10:00:00Z")
    house.worker.run_until_idle()

    assert ids(journey(house, limit=2, cursor=first["next_cursor"])) == ["d02", "d01"]


def test_the_last_page_says_that_it_is_the_last(house: House) -> None:
    days(house, 1, 2)

    assert journey(house, limit=2)["next_cursor"] is None
    assert journey(house, "c1", limit=1)["next_cursor"] is not None


def test_as_of_tells_what_had_happened_and_was_known_then(house: House) -> None:
    days(house, 1)
    then = "2026-11-21T12:00:05Z"
    house.clock.forward(10)
    days(house, 2)

    assert ids(journey(house, as_of=then)) == ["d01"]
    assert ids(journey(house)) == ["d02", "d01"]


def test_a_verdict_follows_what_the_model_concluded_and_nothing_waiting_is_given_away(house: House) -> None:
    house.say("f1", "I am angry")
    house.worker.run_until_idle()
    waiting = journey(house)["touchpoints"][0]["concluded"]
    assert [(one["decision"], one["answer"], "confidence" in one) for one in waiting] == [("review", None, False)]
    provisional = journey(house, "c1", "provisional")["touchpoints"][0]["concluded"]
    assert provisional[0]["provisional"]["answer"] == "negative"

    house.clock.forward(60)
    case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
    path = f"/v1/reviews/{case['conclusion_id']}/verdict"
    assert house.client.post(path, json={"answer": "mixed"}, headers=house.key("review")).status_code == 200

    by_model, by_person = journey(house)["touchpoints"][0]["concluded"]
    assert (by_model["decided_by"], by_model["superseded_at"]) == ("model", by_person["concluded_at"])
    assert (by_person["decided_by"], by_person["answer"], by_person["superseded_at"]) == ("person", "mixed", None)
    before = journey(house, as_of="2026-11-21T12:00:30Z")["touchpoints"][0]["concluded"]
    assert [(one["decided_by"], one["superseded_at"]) for one in before] == [("model", None)]


def test_a_touchpoint_tells_the_feeling_that_was_in_force_until_the_next_one(house: House) -> None:
    days(house, 20)
    house.say("f1", "fine", at="2026-11-20T12:00:00Z")
    house.worker.run_until_idle()
    house.clock.forward(86_400)
    house.batch(track("Product Viewed", at="2026-11-22T11:00:00Z", messageId="after"))
    house.worker.run_until_idle()

    after, said, before = journey(house)["touchpoints"]
    assert (after["feeling"]["answer"], after["feeling"]["confidence"]) == ("positive", 0.97)
    assert said["feeling"]["feedback_id"] == "f1"
    assert before["feeling"] is None


def test_words_that_were_edited_stay_where_they_were_said(house: House) -> None:
    house.say("f1", "fine", at="2026-11-20T12:00:00Z")
    house.say("f1", "fine but slow", at="2026-11-21T11:00:00Z")
    house.worker.run_until_idle()

    told = [(one["words"]["text"], one["words"]["state"], one["words"]["feedback_id"])
            for one in journey(house)["touchpoints"]]  # fmt: skip
    assert told == [("fine but slow", "counted", "f1"), ("fine", "edited", "f1")]


@pytest.mark.parametrize(
    ("query", "field"),
    [({"cursor": "nonsense"}, "cursor"), ({"cursor": "WzEsMl0"}, "cursor"), ({"as_of": "soon"}, "as_of"),
     ({"as_of": "2999-01-01T00:00:00Z"}, "as_of"), ({"limit": 0}, "limit"), ({"order": "random"}, "order")],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_answered_with_the_fix(
    house: House, query: dict[str, Any], field: str
) -> None:
    days(house, 1)
    answer = house.client.get("/v1/customers/c1/journey", params=query, headers=house.key("read"))

    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_somebody_whom_nobody_knows_is_a_404_and_a_key_without_read_a_403(house: House) -> None:
    days(house, 1)
    path = "/v1/customers/{}/journey"

    assert house.client.get(path.format("c9"), headers=house.key("read")).status_code == 404
    assert house.client.get(path.format("c1"), headers=house.key("ingest")).status_code == 403
