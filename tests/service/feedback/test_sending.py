"""POST /v1/feedback: durable, once by its id, refused with the field that is wrong."""

from typing import Any

import pytest

from service.customers import store as customers
from tests.service.fakes import House

GOOD = {"id": "f1", "customer_id": "c1", "text": "Fine", "said_at": "2026-11-21T11:00:00Z", "channel": "E-Mail"}


def send(house: House, **changes: Any) -> Any:
    body = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return house.client.post("/v1/feedback", json=body, headers=house.key("ingest"))


def test_feedback_is_kept_and_concluded(house: House) -> None:
    assert send(house, rating=4).json() == {"feedback_id": "f1", "repeated": False, "edited": False}
    house.worker.run_until_idle()

    with house.state.service.read() as connection:
        (said,) = customers.feedback_of(connection, ["c1"])["c1"]
    assert (said.channel, said.text, said.rating) == ("e_mail", "Fine", 4)
    assert house.insight("c1")["feeling"]["answer"] == "positive"


def test_the_same_feedback_again_is_a_repeat_and_other_words_at_the_same_time_are_a_conflict(house: House) -> None:
    send(house)

    assert send(house).json() == {"feedback_id": "f1", "repeated": True, "edited": False}
    answer = send(house, text="Not fine")
    assert (answer.status_code, answer.json()["code"]) == (409, "feedback_id_taken")
    house.worker.run_until_idle()
    with house.state.service.read() as connection:
        assert [one.text for one in customers.feedback_of(connection, ["c1"])["c1"]] == ["Fine"]


def test_an_event_and_a_feedback_may_have_the_same_id(house: House) -> None:
    house.batch({"type": "page", "userId": "c1", "messageId": "f1"})

    assert send(house).json()["repeated"] is False


def test_customer_is_another_word_for_customer_id(house: House) -> None:
    assert send(house, customer_id=..., customer="c1").status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"id": ""}, 422, "id"),
        ({"id": "x" * 101}, 422, "id"),
        ({"id": "a\0"}, 422, "id"),
        ({"id": ...}, 422, "id"),
        ({"customer_id": ...}, 422, "body"),
        ({"anonymous_id": "a"}, 422, "body"),
        ({"customer_id": 7}, 422, "customer_id"),
        ({"text": ""}, 422, "text"),
        ({"text": " \n"}, 422, "text"),
        ({"text": "x" * 100_001}, 413, "text"),
        ({"text": "x" * 1_000_000}, 413, "body"),
        ({"said_at": "soon"}, 422, "said_at"),
        ({"said_at": "2027-01-01T00:00:00Z"}, 422, "said_at"),
        ({"said_at": "1960-01-01"}, 422, "said_at"),
        ({"rating": 6}, 422, "rating"),
        ({"rating": 2.5}, 422, "rating"),
        ({"rating": 0}, 422, "rating"),
        ({"rating": 11, "rating_scale": "0-10"}, 422, "rating"),
        ({"rating": 3, "rating_scale": "5"}, 422, "rating_scale"),
        ({"rating": 3, "rating_scale": "5-5"}, 422, "rating_scale"),
        ({"language": "deutsch!"}, 422, "language"),
        ({"raiting": 2}, 422, "raiting"),
        ({"channel": ""}, 422, "channel"),
    ],
)
def test_bad_feedback_names_the_field(house: House, changes: dict[str, Any], status: int, field: str) -> None:
    answer = send(house, **changes)

    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]
    assert answer.json()["message"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"text": "\\ud800"}', b"\xff", b'{"rating": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_is_a_400_or_422(house: House, body: bytes) -> None:
    answer = house.client.post("/v1/feedback", content=body, headers=house.key("ingest"))

    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_long_text_is_kept_whole(house: House) -> None:
    assert send(house, text="ä" * 100_000).status_code == 200
    house.worker.run_until_idle()
    with house.state.service.read() as connection:
        assert len(customers.feedback_of(connection, ["c1"])["c1"][0].text) == 100_000
