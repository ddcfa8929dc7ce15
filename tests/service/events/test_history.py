"""Importing recorded events: once, in order, with the times at which they became known."""

from models.journey.event import SECOND, Event
from service.customers import store as customers
from service.events import projector, store
from service.events.history import import_events
from tests.service.fakes import NOON, House, track


def event(id: str, received_at: int, **more: str) -> Event:
    return Event(id, "track", "Product Viewed", more.get("user", "c1"), more.get("device"), received_at, received_at)


def bring(house: House, *events: Event) -> tuple[int, int]:
    return import_events(house.state.log, events, house.clock(), lambda read: None)


def test_imported_events_were_known_when_they_were_received(house: House) -> None:
    assert bring(house, event("m2", NOON - 50 * SECOND), event("m1", NOON - 90 * SECOND)) == (2, 2)
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        journeys = customers.journeys_of(connection, ["c1"])
    assert journeys.known_at.tolist() == [NOON - 90 * SECOND, NOON - 50 * SECOND]
    assert house.insight("c1", as_of="2026-11-21T11:59:00Z")["journey"]["touchpoints"] == 1


def test_importing_again_changes_nothing(house: House) -> None:
    events = [event("m1", NOON - 2), event("m2", NOON - 1)]
    assert bring(house, *events) == (2, 2)
    assert bring(house, *events) == (2, 0)


def test_what_is_imported_after_live_events_was_not_known_before_them(house: House) -> None:
    house.batch(track("A", messageId="live"))
    bring(house, event("late-b", 5, user="c2", device="dev"), event("late-a", 7, device="dev"))
    projector.fold_all(house.state)

    with house.state.log.read() as connection:
        received = [row.received_at for row in store.after(connection, 0, 10)]
    assert received == sorted(set(received))
    with house.state.service.read() as connection:
        assert customers.resolve(connection, "dev") == "c2"
