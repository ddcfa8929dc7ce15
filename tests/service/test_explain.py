"""What stood behind an answer: the bundle of then is asked again, and says the same or what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import BundleError
from service.commands.explain import explained
from service.errors import Conflict, NotFound
from service.insights import store
from tests.service.fakes import FakeBundle, House, load_fake, publish, track


@pytest.fixture
def concluded(house: House) -> House:
    """One customer who did something and said something, answered by version 1; version 2 is live now."""
    house.batch(track("Test Drive Booked"))
    house.say("f1", "I am angry")
    house.worker.run_until_idle()
    publish(house.settings.mlruns_dir, 2, "two")
    return house


def conclusion_of(house: House) -> str:
    with house.state.service.read() as connection:
        return str(store.concluded_of(connection, "c1", None)[0].conclusion_id)


def test_a_customers_insight_comes_out_the_same_again(concluded: House) -> None:
    told = explained(concluded.state, "c1", load=load_fake)
    assert (told["reproduced"], told["differs"]) == (True, [])
    assert told["model"] == {"version": 1, "digest": "one", "live_since": "2026-11-14T03:00:12Z"}
    assert told["features"] == {"car_purchase": {"touchpoints": told["features"]["car_purchase"]["touchpoints"]}}
    assert told["policy"]["digest"] == concluded.settings.policy.digest
    assert told["answer"] == told["again"]
    assert told["answer"]["feeling"]["provisional"]["answer"] == "negative"


def test_a_conclusion_comes_out_the_same_again(concluded: House) -> None:
    told = explained(concluded.state, conclusion_of(concluded), load=load_fake)
    assert told["reproduced"] is True
    assert told["customer_id"] == "c1"
    assert told["answer"]["provisional"]["answer"] == "negative"


def test_a_bundle_that_answers_otherwise_is_found_out(concluded: House) -> None:
    class Calm(FakeBundle):
        def _feeling(self, one):  # type: ignore[no-untyped-def]
            return super()._feeling(type(one)(**{**{n: getattr(one, n) for n in one.__slots__}, "text": "fine"}))

    told = explained(concluded.state, conclusion_of(concluded), load=lambda folder, threads: Calm(folder.name))
    assert told["reproduced"] is False
    assert {"answer", "decision"} <= set(told["differs"])


def test_another_moment_is_answered_by_what_was_live_then(concluded: House) -> None:
    at = concluded.clock() - 1
    told = explained(concluded.state, "c1", at, load=load_fake)
    assert told["reproduced"] is None
    assert told["model"]["version"] == 2
    with pytest.raises(NotFound, match="Nothing was live at 1970"):
        explained(concluded.state, "c1", 5, load=load_fake)


def test_whoever_is_unknown_and_a_bundle_that_is_gone_are_told(concluded: House, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        explained(concluded.state, "nobody", load=load_fake)

    def gone(folder: Path, threads: int) -> FakeBundle:
        raise BundleError(f"{folder.name} has no manifest.json")

    with pytest.raises(Conflict, match=r"Version 1, which answered, cannot be asked again: one has no manifest"):
        explained(concluded.state, "c1", load=gone)
