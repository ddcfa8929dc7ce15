"""Folding: once in effect, restartable anywhere, and equal to assembling the whole log at once."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from models.journey.assembly import assemble
from service.customers import store as customers
from service.events import projector
from service.events.folded import customers as customer_rows
from service.events.folded import feedback, identities, touchpoints
from service.events.store import events_until
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track


def folded(house: House) -> list[list[tuple[Any, ...]]]:
    with house.state.service.read() as connection:
        tables = [sorted(map(tuple, connection.execute(select(t)))) for t in (identities, touchpoints, feedback)]
        ids = select(identities.c.customer_id).distinct()
        known = connection.execute(select(customer_rows.c.customer_id).where(customer_rows.c.customer_id.in_(ids)))
        return [*tables, sorted(map(tuple, known))]


def assert_equal_to_assembly(house: House) -> None:
    """The journeys and words in the tables are those that training assembles from the same log."""
    whole = assemble(events_until(house.state.log, 2**62), house.state.catalogue)
    with house.state.service.read() as connection:
        ours = customers.journeys_of(connection, list(whole.journeys.customers))
        said = customers.feedback_of(connection, list(whole.journeys.customers))
        count = len(connection.execute(select(touchpoints)).all())
    assert count == len(whole.journeys.code)
    assert (ours.customers, ours.names, ours.stages) == (
        whole.journeys.customers,
        whole.journeys.names,
        whole.journeys.stages,
    )
    for column in ("starts", "occurred_at", "known_at", "code", "amount_minor", "contact"):
        np.testing.assert_array_equal(getattr(ours, column), getattr(whole.journeys, column), column)
    found = sorted((one for all_said in said.values() for one in all_said), key=lambda one: one.feedback_id)
    assert found == sorted(whole.feedback, key=lambda one: one.feedback_id)


def test_events_become_touchpoints_in_our_words(house: House) -> None:
    house.batch(track("Test Drive Booked", messageId="m1"), track("Offer Received", properties={"value": 12.5}))
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        journeys = customers.journeys_of(connection, ["c1"])
    assert journeys.names == ("dealer.offer", "dealer.test_drive")
    assert sorted(journeys.amount_minor) == [0, 1250]


def test_words_in_an_event_become_feedback(house: House) -> None:
    house.batch(track("Survey Answered", messageId="s1", properties={"text": "Lovely", "rating": 5}))
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        (said,) = customers.feedback_of(connection, ["c1"])["c1"]
    assert (said.feedback_id, said.channel, said.text, said.rating) == ("s1", "survey", "Lovely", 5)


def test_a_device_that_is_joined_later_brings_its_past_but_only_from_when_we_knew(house: House) -> None:
    house.batch({"type": "page", "anonymousId": "dev", "messageId": "p1", "timestamp": "2026-11-20T09:00:00Z"})
    projector.fold_all(house.state)
    house.clock.forward(60)
    house.batch({"type": "identify", "anonymousId": "dev", "userId": "c1"})
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        assert customers.resolve(connection, "dev") == "c1"
        journeys = customers.journeys_of(connection, ["c1", "dev"])
    assert list(journeys.lengths) == [1, 0]
    assert journeys.known_at[0] == house.clock.at
    assert_equal_to_assembly(house)


def test_a_chain_of_aliases_ends_at_the_surviving_customer(house: House) -> None:
    house.batch({"type": "page", "anonymousId": "dev"}, {"type": "identify", "anonymousId": "dev", "userId": "old"})
    projector.fold_all(house.state)
    house.batch({"type": "alias", "previousId": "old", "userId": "mid"})
    projector.fold_all(house.state)
    house.batch({"type": "alias", "previousId": "mid", "userId": "new"})
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        assert {customers.resolve(connection, id) for id in ("dev", "old", "mid", "new")} == {"new"}
    assert_equal_to_assembly(house)


def test_the_first_claim_on_a_shared_device_stands(house: House) -> None:
    house.batch({"type": "identify", "anonymousId": "tablet", "userId": "c1"})
    house.batch({"type": "identify", "anonymousId": "tablet", "userId": "c2"})
    house.batch({"type": "page", "anonymousId": "tablet"})
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        assert customers.resolve(connection, "tablet") == "c1"
    assert_equal_to_assembly(house)


def test_a_fold_that_dies_before_its_commit_leaves_nothing_and_the_next_one_does_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.batch(track("A", messageId="m1"), {"type": "identify", "userId": "c1", "anonymousId": "dev"})

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(projector, "mark_changed", dies)
        with pytest.raises(RuntimeError):
            projector.fold(house.state)
    assert folded(house) == [[], [], [], []]

    assert projector.fold_all(house.state) == 2
    assert projector.fold_all(house.state) == 0
    assert_equal_to_assembly(house)


def test_an_event_that_no_rule_can_read_does_not_stop_the_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    good = house.state.catalogue.touchpoint
    house.batch(track("Poison"), track("Product Viewed"))

    def read(event: Any) -> Any:
        if event.name == "Poison":
            raise ValueError("no rule can read this")
        return good(event)

    monkeypatch.setattr(type(house.state.catalogue), "touchpoint", lambda _, event: read(event))
    assert projector.fold_all(house.state) == 2
    assert len(folded(house)[1]) == 1


IDS = st.sampled_from(["a", "b", "c"])
REPEATED = {"messageId": st.sampled_from(["m1", "m2", "m3"]), "timestamp": st.just("2026-11-20T09:00:00Z")}
"""Some calls come twice, some happen at the same moment."""


def call(kind: str, **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **more}, optional=REPEATED)


CALLS = st.one_of(
    call("page", anonymousId=IDS),
    call("page", userId=IDS),
    call("identify", userId=IDS, anonymousId=IDS),
    call("alias", userId=IDS, previousId=IDS),
    call("track", event=st.just("Survey Answered"), userId=IDS,
         properties=st.fixed_dictionaries({"text": st.sampled_from(["good", "bad"])})),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(st.lists(CALLS, min_size=1, max_size=6), max_size=5), fold_batch=st.integers(1, 7))
def test_folding_in_any_steps_is_assembling_at_once_and_folding_again_gives_the_same_rows(
    requests: list[list[dict[str, Any]]], fold_batch: int, tmp_path_factory: pytest.TempPathFactory, blank: Path
) -> None:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(blank, folder / "data")
    with open_house(folder, fold_batch=fold_batch) as house:
        for number, calls in enumerate(requests):
            house.clock.forward(1)
            house.batch(*calls)
            if number % 2:
                projector.fold_all(house.state)
        projector.fold_all(house.state)
        assert_equal_to_assembly(house)
        before = folded(house)
        rebuild(house.state)
        assert folded(house) == before


def test_what_is_looked_for_is_folded_on_the_spot(house: House) -> None:
    house.batch(track("A", "ada"))

    def look() -> str | None:
        with house.state.service.read() as connection:
            return connection.execute(select(customer_rows.c.customer_id)).scalar()

    assert look() is None
    assert projector.find(house.state, look) == "ada"


def test_what_somebody_else_folded_between_two_looks_is_found(house: House) -> None:
    answers = iter([None, "there"])
    assert projector.find(house.state, lambda: next(answers)) == "there"
