"""Why, asked for with `explain`: beside an answer and nowhere else, within limits, and the same on both paths."""

from __future__ import annotations

from typing import Any

import pytest

from service.customers import consent
from tests.service.fakes import House, track

VIEW = {"event": "Product Viewed", "timestamp": "2026-11-20T10:00:00Z", "channel": "web"}


def predict(house: House, *journeys: Any, **beside: Any) -> Any:
    return house.client.post("/v1/predictions", json={"journeys": list(journeys), **beside}, headers=house.key("read"))


def test_an_insight_says_why_only_when_asked(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    house.worker.run_until_idle()

    plain, explained = house.insight("c1"), house.insight("c1", explain="true")
    assert explained["next_touchpoint"].pop("why") == {"because": [], "seen": 1}
    assert explained == plain
    assert "why" not in house.insight("c1", explain="false")["next_touchpoint"]


def test_why_is_of_the_moment_that_was_asked_for(house: House) -> None:
    house.batch(track("Test Drive Booked"), track("Product Viewed", at="2026-11-21T10:00:00Z"))
    house.worker.run_until_idle()

    then = house.insight("c1", explain="true", as_of="2026-11-21T12:00:00Z")
    assert then["next_touchpoint"]["why"]["seen"] == 2
    house.clock.forward(3600)
    assert house.insight("c1", explain="true")["as_of"] == "2026-11-21T13:00:00Z"


def test_a_prediction_says_why_beside_each_answer_and_where_there_is_none_nothing(house: House) -> None:
    answered, empty = predict(house, {"events": [VIEW]}, {}, explain=True).json()["predictions"]
    assert answered["next_touchpoint"]["why"] == {"because": [], "seen": 1}
    assert (empty["next_touchpoint"]["decision"], "why" in empty["next_touchpoint"]) == ("abstain", False)
    assert "why" not in predict(house, {"events": [VIEW]}).json()["predictions"][0]["next_touchpoint"]


def test_nothing_is_explained_of_a_customer_who_objected(house: House) -> None:
    house.batch(track("Test Drive Booked"))
    consent.state_it(house.state, ["u:c1"], profiling=False, by="Ada")
    house.worker.run_until_idle()

    assert "why" not in house.insight("c1", explain="true")["next_touchpoint"]
    told = predict(house, {"customer_id": "c1", "events": [VIEW]}, explain=True).json()["predictions"][0]
    assert "why" not in told["next_touchpoint"]


def test_more_journeys_than_can_be_explained_at_once_are_refused_with_the_fix(house: House) -> None:
    most = house.settings.explained_per_request
    assert predict(house, *[{}] * most, explain=True).status_code == 200

    answer = predict(house, *[{}] * (most + 1), explain=True)
    assert answer.status_code == 413
    told = answer.json()
    assert (told["code"], told["field"]) == ("too_many_journeys", "journeys")
    assert told["allowed"] == [f"at most {most} journeys with explain"]
    assert predict(house, *[{}] * (most + 1)).status_code == 200


@pytest.mark.parametrize("given", ["perhaps", "2"])
def test_explain_is_true_or_false(house: House, given: str) -> None:
    house.batch(track("Test Drive Booked"))
    answer = house.client.get("/v1/customers/c1/insight", params={"explain": given}, headers=house.key("read"))
    assert (answer.status_code, answer.json()["field"]) == (422, "explain")
    assert predict(house, {}, explain=given).json()["field"] == "explain"
