"""Praise and a return: the answer waits for a person, and one that was released is opened again."""

from typing import Any

from models.journey.event import DAY, format_time
from tests.service.fakes import House, track

CODE = "words_contradict_behaviour"


def happen(house: House, event: str, days: float) -> None:
    at = format_time(house.clock.at + int(days * DAY))
    house.batch(track(event, "c1", at, properties={"channel": "web"}))
    house.worker.run_until_idle()


def praise(house: House) -> dict[str, Any]:
    house.say("f1", "Wonderful", at=format_time(house.clock.at))
    house.worker.run_until_idle()
    return feeling(house)


def feeling(house: House) -> dict[str, Any]:
    told: dict[str, Any] = house.insight("c1")["feeling"]
    return told


def test_praise_after_a_return_is_not_released(house: House) -> None:
    happen(house, "Order Returned", -3)
    told = praise(house)
    assert (told["decision"], told["answer"]) == ("review", None)
    assert told["flags"] == [{"code": CODE, "text": "Praise, and web.return 3 days before."}]


def test_a_released_answer_is_opened_again_by_what_comes_within_a_fortnight(house: House) -> None:
    assert praise(house)["decision"] == "auto"
    house.clock.forward(13 * 86_400)
    happen(house, "Order Returned", 0)
    told = feeling(house)
    assert (told["decision"], told["answer"], told["flags"][0]["code"]) == ("review", None, CODE)

    before = house.insight("c1", as_of=format_time(house.clock.at - DAY))["feeling"]
    assert before["decision"] == "auto", "what stood then is still told of then"


def test_what_comes_later_than_that_opens_nothing(house: House) -> None:
    praise(house)
    house.clock.forward(15 * 86_400)
    happen(house, "Order Returned", 0)
    assert feeling(house)["decision"] == "auto"


def test_other_behaviour_opens_nothing(house: House) -> None:
    praise(house)
    happen(house, "Order Completed", 0)
    assert feeling(house)["decision"] == "auto"


def test_what_is_sent_along_is_looked_at_in_the_same_way(house: House) -> None:
    body = {"journeys": [{
        "events": [{"event": "Order Returned", "timestamp": "2026-11-20T10:00:00Z", "channel": "web"}],
        "feedback": [{"text": "Wonderful", "said_at": "2026-11-21T10:00:00Z"}],
    }]}  # fmt: skip
    answer = house.client.post("/v1/predictions", json=body, headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["feeling"]["flags"][0]["code"] == CODE
