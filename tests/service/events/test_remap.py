"""A change of the catalogue: history follows in the background, and nobody is ever answered by two mappings at once."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from models.journey.event import Event
from models.journey.touchpoint import Catalogue
from service.events import catalogues, projector, remap
from service.events.catalogues import Tally
from service.events.folded import feedback, touchpoints
from service.events.store import events_until
from service.rebuild import rebuild
from service.state import State
from tests.service.fakes import House, open_house, track

OLD = """
rules:
  - {event: A, channel: web, action: a, stage: convenience, text: properties.text}
  - {channel: web, action: "{event}", stage: convenience}
"""
NEW = """
rules:
  - {event: A, channel: shop, action: a, stage: sale, text: properties.comment, amount: properties.value}
  - {event: B, channel: shop, action: b, stage: sale}
  - {channel: other, action: "{event}", stage: convenience}
"""
THIRD = NEW.replace("shop", "third")


def with_catalogue(state: State, text: str) -> State:
    return replace(state, catalogue=Catalogue.parse(text))


def settled(state: State) -> None:
    while remap.step(state) or projector.fold(state, remap.nothing_to_settle):
        pass


def names_by_customer(state: State) -> dict[str, dict[str, tuple[str, str]]]:
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    with state.service.read() as connection:
        for row in connection.execute(select(touchpoints)):
            found[row.customer_id][row.message_id] = (f"{row.channel}.{row.action}", row.stage)
    return found


def mapped(state: State, text: str) -> dict[str, tuple[str, str]]:
    catalogue = Catalogue.parse(text)
    points = {event.message_id: catalogue.touchpoint(event) for event in events_until(state.log, 2**62)}
    return {id: (point.name, point.stage) for id, point in points.items() if point is not None}


def assert_whole(state: State, *texts: str) -> None:
    """Every customer speaks one of these catalogues, and only that one."""
    said = [mapped(state, text) for text in texts]
    for customer, points in names_by_customer(state).items():
        assert any(all(one[id] == name for id, name in points.items()) for one in said), (customer, points)


def folded(state: State) -> list[list[tuple[Any, ...]]]:
    with state.service.read() as connection:
        return [sorted(map(tuple, connection.execute(select(table)))) for table in (touchpoints, feedback)]


def counted(state: State) -> list[tuple[Any, ...]]:
    with state.service.read() as connection:
        columns = ("rule", "kind", "name", "events")
        return sorted(map(tuple, connection.execute(select(*(catalogues.counts.c[name] for name in columns)))))


def test_history_speaks_the_new_catalogue_in_the_end_and_as_if_it_had_always_done(house: House) -> None:
    old, new = with_catalogue(house.state, OLD), with_catalogue(house.state, NEW)
    house.batch(track("A", properties={"text": "old words", "value": 3}), track("B"), track("C", "c2"))
    settled(old)
    assert mapped(old, OLD).items() >= {id: n for c in names_by_customer(old).values() for id, n in c.items()}.items()
    settled(new)

    assert_whole(new, NEW)
    assert folded(new)[1] == []
    before, counts = folded(new), counted(new)
    rebuild(new)
    assert (folded(new), counted(new)) == (before, counts)


def test_words_follow_and_what_was_concluded_of_words_that_went_is_told(house: House) -> None:
    house.batch(track("A", messageId="m1", properties={"text": "these", "comment": "those"}))
    house.batch(track("A", messageId="m2", properties={"text": "same", "comment": "same"}))
    house.batch(track("A", messageId="m3", properties={"text": "gone"}))
    settled(with_catalogue(house.state, OLD))
    told: list[str] = []
    new = with_catalogue(house.state, NEW)
    while remap.step(new, lambda connection, ids, at: told.extend(ids)):
        pass

    with new.service.read() as connection:
        said = {row.feedback_id: (row.channel, row.text) for row in connection.execute(select(feedback))}
    assert said == {"m1": ("shop", "those"), "m2": ("shop", "same")}
    assert sorted(told) == ["m1", "m3"]


def test_feedback_that_was_sent_in_by_itself_is_left_alone(house: House) -> None:
    assert house.say("f1", "lovely").status_code == 200
    house.batch(track("A", messageId="f1", properties={"text": "other words"}))
    settled(with_catalogue(house.state, OLD))
    settled(with_catalogue(house.state, NEW))
    with house.state.service.read() as connection:
        assert [row.text for row in connection.execute(select(feedback))] == ["lovely"]


def test_a_catalogue_that_says_the_same_in_other_lines_re_maps_nothing(house: House) -> None:
    house.batch(track("A"))
    settled(with_catalogue(house.state, OLD))
    assert remap.step(with_catalogue(house.state, f"# a comment\n{OLD}")) == 0


def test_while_history_is_marked_everybody_speaks_the_old_catalogue_new_events_too(house: House) -> None:
    house.batch(track("A"), track("B", "c2"))
    settled(with_catalogue(house.state, OLD))
    new = with_catalogue(house.state, NEW)
    assert remap.step(new)
    house.batch(track("B"), track("A", "c3"))
    projector.fold_all(new)
    assert_whole(new, OLD)
    settled(new)
    assert_whole(new, NEW)


def test_an_event_that_comes_while_history_is_written_takes_its_customer_along(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remap, "CUSTOMERS", 1)
    for customer in ("c1", "c2", "c3"):
        house.batch(track("A", customer), track("B", customer))
    settled(with_catalogue(house.state, OLD))
    new = with_catalogue(house.state, NEW)
    until_written(new)
    house.batch(track("A", "c3"), {"type": "identify", "userId": "c2", "anonymousId": "dev"})
    assert projector.fold(new) == 0, "who cannot settle what was concluded leaves it to the worker"
    assert projector.fold(new, remap.nothing_to_settle) == 2

    assert_whole(new, OLD, NEW)
    assert names_by_customer(new)["c3"].items() <= mapped(new, NEW).items()
    settled(new)
    assert_whole(new, NEW)


def until_written(state: State) -> None:
    """Mark all of history, and write nothing yet."""
    while remap.step(state):
        with state.service.read() as connection:
            coming = catalogues.standing(connection).coming
        if coming is not None and coming.phase == catalogues.WRITING:
            return


def test_a_service_that_never_kept_its_catalogue_lets_folding_wait_until_history_is_marked(house: House) -> None:
    house.batch(track("A"))
    settled(with_catalogue(house.state, OLD))
    with house.state.service.write() as connection:
        catalogues.forget(connection, 1)
    new = with_catalogue(house.state, NEW)
    house.batch(track("B"))
    assert projector.fold(new) == 0
    settled(new)
    assert_whole(new, NEW)
    assert len(folded(new)[0]) == 2


def test_a_killed_batch_is_done_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.batch(track("A"), track("B", "c2"))
    settled(with_catalogue(house.state, OLD))
    new = with_catalogue(house.state, NEW)
    until_written(new)

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(remap, "mark_changed", dies)
        with pytest.raises(RuntimeError):
            remap.step(new)
    assert_whole(new, OLD)
    settled(new)
    assert_whole(new, NEW)


def test_customers_whose_touchpoints_changed_are_concluded_anew_and_others_are_not(house: House) -> None:
    house.batch(track("A"), track("C", "c2"))
    house.worker.state = with_catalogue(house.state, OLD)
    house.worker.run_until_idle()
    house.worker.state = with_catalogue(house.state, OLD.replace("action: a,", "action: b,"))
    assert house.worker.run_until_idle().customers == 1


def test_what_rules_take_is_counted_and_can_be_taken_off_again(house: House) -> None:
    state = with_catalogue(house.state, OLD)
    house.batch(track("A"), track("C", properties={"value": 1}), track("C"), {"type": "page", "userId": "c1"})
    settled(state)
    assert counted(state) == [(1, "", "", 1), (2, "page", "", 1), (2, "track", "C", 2)]
    with state.service.write() as connection:
        assert catalogues.count_unmapped(connection) == 3
        catalogues.uncount(connection, [event for event in events_until(state.log, 2**62) if event.name == "C"])
    assert counted(state) == [(1, "", "", 1), (2, "page", "", 1)]


def test_names_beyond_the_most_are_counted_together(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogues, "MOST_NAMES", 3)
    state = with_catalogue(house.state, OLD)
    for batch in range(2):
        house.batch(*(track(f"N{number + 5 * batch}") for number in range(5)))
        settled(state)
    assert sum(events for *_, events in counted(state)) == 10
    assert len(counted(state)) == 4


def test_a_tally_keeps_names_of_properties_and_no_value() -> None:
    catalogue = Catalogue.parse(OLD)
    event = Event("m", "track", "C", "c1", None, 0, 5, {"secret": "word"})
    point = catalogue.touchpoint(event)
    assert point is not None
    tally = Tally.of(catalogue)
    tally.add(event, point)
    assert tally.counted == {(2, "track", "C"): catalogues.Count(1, 5, 5, ("secret",))}


PEOPLE = ("a", "b", "c", "d")
HAPPENS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from("ABC"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("join"), st.sampled_from(["x", "y"]), st.sampled_from(PEOPLE)),
    st.tuples(st.just("device"), st.sampled_from("AB"), st.sampled_from(["x", "y"])),
    st.tuples(st.just("alias"), st.sampled_from(["a", "b"]), st.sampled_from(["c", "d"])),
)
STEPS = st.lists(
    st.one_of(
        HAPPENS,
        HAPPENS,
        st.tuples(st.just("fold"), st.just(""), st.just("")),
        st.tuples(st.just("step"), st.sampled_from(["1", "2", "3"]), st.just("")),
        st.tuples(st.just("catalogue"), st.sampled_from([OLD, NEW, THIRD]), st.sampled_from(["", "1", "2", "3", "4"])),
    ),
    max_size=20,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, begun=st.integers(0, 6), batch=st.sampled_from([100, 2]))
def test_whatever_happens_meanwhile_nobody_speaks_two_catalogues(
    steps: list[tuple[str, str, str]],
    begun: int,
    batch: int,
    tmp_path_factory: pytest.TempPathFactory,
    blank: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remap, "BATCH", batch)
    monkeypatch.setattr(remap, "CUSTOMERS", 1)
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(blank, folder / "data")
    with open_house(folder, fold_batch=batch) as house:
        state = with_catalogue(house.state, OLD)
        house.batch(*(track(name, customer) for name in "ABC" for customer in PEOPLE))
        settled(state)
        state = with_catalogue(house.state, NEW)
        for _ in range(begun):
            remap.step(state)
        for kind, first, second in steps:
            house.clock.forward(1)
            if kind == "event":
                house.batch(track(first, second))
            elif kind == "device":
                house.batch({"type": "track", "event": first, "anonymousId": second})
            elif kind == "join":
                house.batch({"type": "identify", "anonymousId": first, "userId": second})
            elif kind == "alias":
                house.batch({"type": "alias", "previousId": first, "userId": second})
            elif kind == "catalogue":
                state = with_catalogue(house.state, first)
                for _ in range(int(second or 0)):
                    remap.step(state)
            elif kind == "step":
                for _ in range(int(first)):
                    remap.step(state)
            if kind not in ("catalogue", "step"):
                projector.fold(state, remap.nothing_to_settle)
            assert_whole(state, OLD, NEW, THIRD)
        settled(state)
        assert_whole(state, state.catalogue.text)
        before, counts = folded(state), counted(state)
        rebuild(state)
        assert (folded(state), counted(state)) == (before, counts)
