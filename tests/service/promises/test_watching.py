"""Checks by what happened, and looks at the inputs: withdrawn, told, and more careful."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import LoadedBundle
from models.concluded import Concluded
from models.confidence.calibration import Temperature
from models.confidence.risk import CalibrationTable
from models.insight import Conclusion, Decision, Insight, ModelVersion, Promise, ReleasePolicy
from models.journey.event import DAY
from models.measured import Measured, MeasuredFeeling
from models.reference import Reference, Sample
from models.watched import Standing, WatchedBundle
from service.forecasts import store as forecasts
from service.forecasts.store import Forecast, Source
from service.insights import promised
from service.live.bundles import Live
from service.promises import sets, shifts, store, watching
from tests.service.fakes import CAR, NOON, FakeBundle, House, load_fake, open_house


def served(house: House, missed: list[bool], digest: str = "one") -> None:
    """Sets that were served and checked."""
    with house.state.service.write() as connection:
        for number, one in enumerate(missed):
            row = {"customer_id": f"s{number}", "digest": digest, "version": 1, "policy_digest": "p",
                   "group_name": "all", "made_at": NOON - 40 * DAY, "due_at": NOON - 10 * DAY, "touchpoints": "[]",
                   "came": "web.visit", "missed": one, "checked_at": NOON - DAY + number}  # fmt: skip
            connection.execute(sets.sets.insert().values(row))


def told(house: House, happened: list[bool], probability: float = 0.05) -> None:
    """Purchase probabilities that were served and checked."""
    with house.state.service.write() as connection:
        source = forecasts.source_id(connection, Source(1, "one", "p", CAR, ("touchpoints",)))
        for number, _ in enumerate(happened):
            one = Forecast(f"b{number}", NOON - 60 * DAY, NOON - 30 * DAY, probability, probability - 0.02,
                           probability + 0.02, "auto", "web", "sale", (1.0,))  # fmt: skip
            forecasts.add(connection, source, one)
        rows = forecasts.due(connection, NOON, 10_000)
        came = {f"b{number}": int(one) for number, one in enumerate(happened)}
        forecasts.settle(connection, [(row, came[row.customer_id]) for row in rows], NOON - DAY)


def events(house: House) -> list[tuple[str, str]]:
    with house.state.service.read() as connection:
        return [(one.kind, one.what) for one in store.history(connection)]


def test_sets_that_miss_too_often_are_withdrawn(house: House) -> None:
    served(house, [number % 3 == 0 for number in range(120)])
    house.worker.run_until_idle()
    assert events(house) == [("next_touchpoint", "withdrawn")]


def test_sets_that_hold_are_not(house: House) -> None:
    served(house, [number % 12 == 0 for number in range(240)])
    house.worker.run_until_idle()
    assert events(house) == []


def test_probabilities_that_do_not_come_true_are_withdrawn_and_told_no_more(house: House) -> None:
    told(house, [number % 3 == 0 for number in range(150)])
    house.worker.run_until_idle()
    assert events(house) == [("purchase:car_purchase", "withdrawn")]


def test_probabilities_that_come_true_stand(house: House) -> None:
    told(house, [number % 20 == 0 for number in range(200)])
    house.worker.run_until_idle()
    assert events(house) == []


def test_a_check_goes_on_where_it_stopped_and_begins_anew_where_a_case_was_taken_back(house: House) -> None:
    served(house, [False] * 60)
    policy = house.settings.promises
    with house.state.service.write() as connection:
        first = watching.followed(connection, policy, "one", ("next_touchpoint", "all"), keeps=True)
        again = watching.followed(connection, policy, "one", ("next_touchpoint", "all"), keeps=True)
        watching.forget(connection, "one", ("next_touchpoint", "all"))
        anew = watching.followed(connection, policy, "one", ("next_touchpoint", "all"), keeps=True)
    assert replace(first, body={}) == replace(again, body={}) == replace(anew, body={})
    assert (first.cases, first.wrong) == (60, 0)


PROMISED = Promise("coverage", {"at_least": 0.9}, "all", 500, True)


def insight(**given: Any) -> Insight:
    silent = Conclusion("feeling", Decision.ABSTAIN)
    following = Conclusion("next_touchpoint", Decision.AUTO, (), "web.visit", {"confidence": 0.5}, {}, PROMISED)
    purchase = Conclusion(
        "purchase", Decision.AUTO, (), 0.3, {"interval": [0.2, 0.4], "confidence": 0.8}, {"definition": "car"},
        Promise("calibration", {"within": "interval"}, "all", 500, True),
    )  # fmt: skip
    found = Insight("c", NOON, ModelVersion(1, "one", NOON), None, following, (purchase,), silent)  # type: ignore[arg-type]
    return replace(found, **given)


@dataclass(frozen=True)
class Fixed(FakeBundle):
    """Gives the one insight, and remembers by which policy it was asked."""

    asked: tuple[list[ReleasePolicy], ...] = ((),)  # type: ignore[assignment]

    def concluded(self, *args: Any, **_: Any) -> Concluded:
        self.asked[0].append(args[4])
        return Concluded.of([insight()], args[3])


def watched(standing: Standing) -> tuple[Insight, ReleasePolicy]:
    asked: list[ReleasePolicy] = []
    bundle = WatchedBundle(Fixed("one", (asked,)), standing)
    told = bundle.concluded(None, None, [], ModelVersion(1, "one", NOON), ReleasePolicy())  # type: ignore[arg-type]
    (found,) = told.insights()
    return found, asked[0]


def test_of_a_withdrawn_set_or_probability_we_say_that_we_do_not_know() -> None:
    gone = {("next_touchpoint", "all"): "It missed.", ("purchase:car", "all"): "Nobody bought."}
    found, _ = watched(Standing(gone))
    for one in (found.next_touchpoint, *found.purchase):
        assert (one.decision, one.answer) == (Decision.ABSTAIN, None)
        assert one.flags[0].code == "promise_failed"
        assert one.promise is not None
        assert not one.promise.standing
    assert found.purchase[0].details["interval"] == [0.0, 1.0]


def test_where_behaviour_changed_sets_and_intervals_are_wider_and_promise_no_more() -> None:
    found, asked = watched(Standing(widened=frozenset({"purchase"})))
    assert asked.coverage == 0.95
    assert found.next_touchpoint.promise is not None
    assert found.next_touchpoint.promise.terms == {"at_least": 0.9}
    low, high = found.purchase[0].details["interval"]
    assert low < 0.2
    assert high > 0.4


def test_what_stands_is_told_as_it_is() -> None:
    found, asked = watched(Standing())
    assert found == insight()
    assert asked == ReleasePolicy()


class Words:
    """Embeds a text as noise around how many x it holds."""

    language = "en"

    def embed(self, texts: list[str]) -> Any:
        rng = np.random.default_rng(1)
        return np.array([rng.normal(text.count("x"), 1, 8) for text in texts], dtype=np.float32)


def looking(words: str, folder: Path, follows: str) -> list[tuple[str, str]]:
    """What happened where 130 customers said these words."""
    before = Sample(np.random.default_rng(0).normal(0, 1, (300, 8)).astype(np.float32))
    table = CalibrationTable.of(np.ones(10), np.zeros(10, dtype=bool))
    measured = Measured(None, {}, MeasuredFeeling(Temperature(1.0), table))
    bundle = LoadedBundle("one", {}, measured, {}, None, {}, Words(), None, Reference(before))  # type: ignore[arg-type]
    path = folder / "policy.yaml"
    path.write_text(f"shift: {{feeling: {follows}}}")
    with open_house(folder, load=load_fake, policy_file=path) as house:
        for number in range(130):
            house.say(f"w{number}", f"{words} {number}", f"p{number}")
        house.worker.run_until_idle()
        live = Live(bundle, ModelVersion(1, "one", NOON))
        shifts.look(house.state, live, lambda _: None)
        shifts.look(house.state, live, lambda _: None)  # not before a day has passed
        with house.state.service.read() as connection:
            looks = shifts.latest_looks(connection, "one")
            standing = store.standing(connection, "one", house.settings.promises)
        assert looks["feeling"]["look"] == 1
        assert looks["feeling"]["n"] == 130
        assert standing.widened == (frozenset({"feeling"}) if follows == "widen" and "x" in words else frozenset())
        return events(house)


def test_words_as_before_are_no_shift(tmp_path: Path) -> None:
    assert looking("all is well", tmp_path, "widen") == []


@pytest.mark.parametrize("follows", ["note", "widen", "withdraw"])
def test_other_words_are_a_shift_and_what_follows_is_the_policys(tmp_path: Path, follows: str) -> None:
    found = looking("xxx is xxx", tmp_path, follows)
    assert found == ([("feeling", "withdrawn")] if follows == "withdraw" else []) + [("feeling", "shifted")]


def test_who_is_watched_is_asked_once_a_minute(house: House) -> None:
    watcher = promised.Watcher(house.state, house.bundles)
    assert watcher.step() == 0
    served(house, [True] * 50)
    assert watcher.step() == 0
    assert events(house) == []
    house.clock.forward(61)
    watcher.step()
    assert events(house) == [("next_touchpoint", "withdrawn")]
