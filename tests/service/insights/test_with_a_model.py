"""A service with a model that was trained: what it says of touchpoints nobody has seen, why it says what it says, and
where a customer answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import LoadedBundle
from models.features.vocabulary import Vocabulary
from models.journey.event import DAY, SECOND, Micros, format_time
from models.journey.journeys import Journeys
from models.nets.next_touchpoint import NetShape
from models.predictors.channel import EVERYBODY, ChannelPredictor, Segment
from models.predictors.next_touchpoint import NextTouchpointPredictor
from tests.service.fakes import NOON, House, open_house, publish
from training.next_touchpoint import NextTouchpointConfig, fit_next_touchpoint

pytest_plugins = ["tests.trained"]

CALLS = Segment(400, {"*": (0.8, 3.2), "call": (1.5, 2.5), "email": (0.8, 6.0)}, {"web": 1.0})
BEGIN = NOON - 300 * DAY
HOUR = 3600 * SECOND


@pytest.fixture(scope="module")
def real(bundle: LoadedBundle, blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A service with the trained bundle, of a company that also calls."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(blank, folder / "data")
    publish(folder / "mlruns", 1, bundle.digest)
    served = replace(bundle, channel=ChannelPredictor({EVERYBODY: CALLS}))
    with open_house(folder, load=lambda folder, threads: served) as opened:
        yield opened


def event(name: str, at: Micros, **more: Any) -> dict[str, Any]:
    return {"event": name, "timestamp": format_time(at), **more}


def ask(house: House, *journeys: list[dict[str, Any]], **beside: Any) -> list[dict[str, Any]]:
    body = {"journeys": [{"events": events} for events in journeys], **beside}
    answer = house.client.post("/v1/predictions", json=body, headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["predictions"])


def visits(count: int, *after: str) -> list[dict[str, Any]]:
    names = [*["Page Viewed", "Product Configured", "Email Sent"] * count][:count] + list(after)
    return [event(name, NOON - (len(names) - number) * DAY) for number, name in enumerate(names)]


# -- touchpoints that nobody has seen ----------------------------------------------------------------------------------


def test_a_new_kind_of_touchpoint_is_answered_as_its_channel(real: House) -> None:
    new, newer, known = ask(
        real,
        [*visits(4), event("Hologram Shown", NOON - HOUR, channel="web")],
        [*visits(4), event("Mirror Asked", NOON - HOUR, channel="web")],
        [*visits(4), event("Hologram Shown", NOON - HOUR, channel="dealer")],
    )
    assert new["next_touchpoint"] == newer["next_touchpoint"]
    assert new["next_touchpoint"]["distribution"] != known["next_touchpoint"]["distribution"]
    assert new["journey"]["touchpoints"] == 5


def test_an_unknown_channel_is_answered_whatever_its_name(real: House) -> None:
    one, other = ask(
        real,
        [*visits(4), event("Drone Landed", NOON - HOUR, channel="drone")],
        [*visits(4), event("Robot Rang", NOON - HOUR, channel="robot")],
    )
    assert one["next_touchpoint"] == other["next_touchpoint"]
    assert one["next_touchpoint"]["answer"] is not None
    assert one["next_touchpoint"]["prediction_set"]


def test_a_journey_of_nothing_but_what_nobody_has_seen_still_gets_an_answer(real: House) -> None:
    (told,) = ask(real, [event(f"Thing {n}", NOON - n * DAY, channel=f"new{n}") for n in range(1, 6)])
    shares = [one["probability"] for one in told["next_touchpoint"]["distribution"]]
    assert min(shares) >= 0
    assert sum(shares) > 0.9
    assert told["next_touchpoint"]["none_within_horizon"] > 0


def test_an_empty_journey_gets_the_base_rate_a_wide_set_and_no_answer(real: House) -> None:
    empty, known = (one["next_touchpoint"] for one in ask(real, [], visits(8)))
    assert (empty["decision"], empty["answer"]) == ("abstain", None)
    assert [flag["code"] for flag in empty["flags"]] == ["no_history"]
    assert len(empty["prediction_set"]) > len(known["prediction_set"]) >= 1
    inside = [one["probability"] for one in empty["distribution"] if one["touchpoint"] in empty["prediction_set"]]
    assert sum(inside) > 0.8
    assert "why" not in ask(real, [], explain=True)[0]["next_touchpoint"]


def test_nothing_is_ever_impossible(bundle: LoadedBundle, journeys: Journeys) -> None:
    predictor = bundle.next_touchpoint
    assert predictor is not None
    as_of = np.linspace(journeys.occurred_at.min(), journeys.occurred_at.max(), len(journeys)).astype(np.int64)
    chance = predictor.predict(journeys.seen_at(as_of), as_of).distribution
    assert chance.min() > 0
    assert np.allclose(chance.sum(axis=1), 1)


def test_what_was_new_is_foretold_by_its_own_name_once_it_was_trained_on(
    bundle: LoadedBundle, journeys: Journeys, tmp_path: Path, blank: Path
) -> None:
    """The same log with one kind of touchpoint renamed stands for a log in which a new kind has come."""
    hologram = "web.hologram_shown"
    names = tuple(hologram if name == "web.configure" else name for name in journeys.names)
    grown = replace(journeys, names=names)
    until = int(journeys.occurred_at.max()) - 30 * DAY
    quick = NextTouchpointConfig(NetShape(length=8, width=8), epochs=1, few_examples=0, minimum_examples=20)
    vocabulary = Vocabulary.of(grown.seen_at(np.full(len(grown), until)))
    fit_next_touchpoint(grown, vocabulary, until, 30 * 86_400, quick, 0, tmp_path / "next", lambda line: None)
    anew = replace(bundle, next_touchpoint=NextTouchpointPredictor.load(tmp_path / "next"), purchase={})
    shutil.copytree(blank, tmp_path / "data")
    publish(tmp_path / "mlruns", 1, bundle.digest)
    with open_house(tmp_path, load=lambda folder, threads: anew) as house:
        (told,) = ask(house, [*visits(4), event("Hologram Shown", NOON - HOUR, channel="web")], explain=True)
    assert hologram in {one["touchpoint"] for one in told["next_touchpoint"]["distribution"]}
    assert told["next_touchpoint"]["why"]["counted"]  # what followed it is known by its own name


# -- why ---------------------------------------------------------------------------------------------------------------


def test_an_effect_is_what_the_answer_loses_when_the_event_is_left_out_of_the_question(real: House) -> None:
    events = visits(9, "Dealer Visited", "Product Configured", "Dealer Visited")
    (told,) = ask(real, events, explain=True)
    following = told["next_touchpoint"]
    moved = following["why"]["because"]
    assert 1 <= len(moved) <= 5
    assert [abs(one["effect"]) for one in moved] == sorted((abs(one["effect"]) for one in moved), reverse=True)
    for one in moved:
        left = [each for each in events if each["timestamp"] != one["occurred_at"]]
        assert len(left) == len(events) - 1
        (without,) = ask(real, left, as_of=told["as_of"])
        shares = {each["touchpoint"]: each["probability"] for each in without["next_touchpoint"]["distribution"]}
        if following["answer"] in shares:
            assert one["effect"] == pytest.approx(following["confidence"] - shares[following["answer"]], abs=2e-4)


def test_the_counts_of_history_come_with_it(real: House) -> None:
    why = ask(real, visits(9), explain=True)[0]["next_touchpoint"]["why"]
    pattern, counted = why["pattern"], why["counted"]
    assert pattern["touchpoints"][-1] == "email.sent"
    assert pattern["seen"] >= pattern["then_the_answer"] >= 0
    assert [one["times"] for one in counted] == sorted((one["times"] for one in counted), reverse=True)


def test_why_is_the_same_for_a_stored_customer_as_for_the_journey_sent_along(real: House) -> None:
    events = visits(9)
    real.batch(*({**one, "type": "track", "userId": "same"} for one in events))
    stored = real.insight("same", explain="true")["next_touchpoint"]
    (sent,) = ask(real, events, explain=True)
    assert stored == sent["next_touchpoint"]
    assert stored["why"]["because"]


# -- where they answer -------------------------------------------------------------------------------------------------


def test_who_answers_calls_and_no_emails_prefers_the_call_centre(real: House) -> None:
    emails = [event("Email Sent", BEGIN + n * DAY) for n in range(100)]
    calls = [event("Call Made", BEGIN + n * DAY) for n in (150, 160, 170)]
    calls += [event("Call Received", BEGIN + n * DAY + HOUR) for n in (150, 160)]
    (told,) = ask(real, [*emails, *calls])
    preferred, preference = told["journey"]["preferred_channel"], told["journey"]["channel_preference"]
    assert (preferred, preference["basis"], preference["reason"]) == ("call", "responses", None)
    assert preference["confidence"] > 0.9
    assert [(one["channel"], one["contacts"], one["answered"]) for one in preference["channels"]] == [
        ("call", 3, 2),
        ("email", 100, 0),
    ]


def test_who_only_ever_comes_by_themselves_is_told_as_such(real: House) -> None:
    (told,) = ask(real, [event("Page Viewed", BEGIN + n * DAY) for n in range(6)])
    journey = told["journey"]
    assert (journey["preferred_channel"], journey["channel_preference"]["basis"]) == ("web", "own_visits")
    assert journey["channel_preference"]["channels"] == [{"channel": "web", "visits": 6}]


def test_who_is_not_known_prefers_nothing_and_the_reason_is_told(real: House) -> None:
    nobody, silent = (one["journey"] for one in ask(real, [], [event("Email Sent", BEGIN)]))
    assert (nobody["preferred_channel"], nobody["channel_preference"]["reason"]) == (None, "nothing_known")
    assert (silent["preferred_channel"], silent["channel_preference"]["reason"]) == (None, "never_answered")


def test_what_comes_after_as_of_changes_no_preference(real: House) -> None:
    before = [event("Call Made", BEGIN), event("Call Received", BEGIN + HOUR), event("Email Sent", BEGIN + DAY)]
    after = [event("Email Sent", BEGIN + n * DAY) for n in (40, 50)] + [event("Email Opened", BEGIN + 50 * DAY + HOUR)]
    as_of = format_time(BEGIN + 30 * DAY)
    one, other = ask(real, before, [*before, *after], as_of=as_of)
    assert one["journey"] == other["journey"]
    assert one["journey"]["preferred_channel"] == "call"
