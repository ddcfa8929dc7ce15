"""The worker: one at a time, concludes what is new, what another version concluded, and what has grown old."""

import threading
from dataclasses import replace
from itertools import count

import pytest

from service.events import projector
from service.insights import conclude, store
from service.live.bundles import LiveBundles
from service.worker import CATCH_UP_SECONDS, Worker, run_worker
from tests.service.fakes import House, load_fake, open_house, publish, track


def test_a_second_worker_waits_until_the_first_falls_silent(house: House) -> None:
    second = Worker(house.state, house.bundles, "the second")
    house.batch(track("A"))
    assert house.worker.hold_lease()

    assert second.run_once().idle
    house.clock.forward(house.settings.lease_seconds)
    assert second.run_once().folded == 1
    assert house.worker.run_once().idle


def test_new_touchpoints_renew_the_insight(house: House) -> None:
    house.batch(track("Product Viewed"))
    house.worker.run_until_idle()
    house.clock.forward(1)
    house.batch(track("Test Drive Booked", at="2026-11-21T11:00:00Z"))
    done = house.worker.run_until_idle()

    assert (done.folded, done.customers) == (1, 1)
    assert house.insight("c1")["next_touchpoint"]["answer"] == "dealer.test_drive"
    assert house.worker.run_until_idle().idle


def test_an_insight_older_than_its_max_age_is_concluded_anew(house: House) -> None:
    house.batch(track("Product Viewed"))
    house.worker.run_until_idle()
    house.clock.forward(house.settings.max_age_seconds + 1)

    assert house.worker.run_until_idle().customers == 1
    assert house.insight("c1")["as_of"] == "2026-11-21T18:00:01Z"
    assert house.worker.run_until_idle().idle


def test_a_new_bundle_concludes_everything_again_and_keeps_what_the_old_one_said(house: House) -> None:
    for number in range(5):
        house.say(f"f{number}", "I am angry", customer=f"c{number}")
    house.worker.run_until_idle()
    publish(house.settings.mlruns_dir, 2, "two")
    done = house.worker.run_until_idle()

    assert (done.customers, done.feedback) == (5, 5)
    assert house.insight("c3")["model"]["version"] == 2
    rows = list(store.conclusion_rows(house.state.service, house.clock.at + 1000))
    assert sorted((row["version"], row["superseded_at"] is None) for row in rows) == [(1, False)] * 5 + [(2, True)] * 5
    with house.state.service.read() as connection:
        assert store.count_waiting(connection) == 5


def test_the_backlog_is_done_in_batches(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_house(tmp_path_factory.mktemp("small"), fold_batch=7, conclude_batch=3) as small:
        small.batch(*(track("Product Viewed", customer=f"c{n}") for n in range(20)))
        first = small.worker.run_once()
        assert (first.folded, first.customers) == (7, 3)
        total = small.worker.run_until_idle()
        assert (total.folded, total.customers) == (13, 17)


def test_while_a_backlog_is_folded_concluding_has_a_turn_every_few_seconds(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_house(tmp_path_factory.mktemp("small"), fold_batch=5) as small:
        small.batch(*(track("Product Viewed", customer=f"c{n}") for n in range(30)))
        ticks = iter([0.0, 0.0, 1.0, CATCH_UP_SECONDS, CATCH_UP_SECONDS])
        worker = Worker(small.state, small.bundles, "the test", monotonic=lambda: next(ticks))
        rounds = [worker.run_once() for _ in range(3)]

    assert [done.folded for done in rounds] == [5, 5, 5]
    assert [done.customers > 0 for done in rounds] == [True, False, True]


def test_micro_batches_shrink_while_they_take_long_and_grow_again(house: House) -> None:
    house.batch(*(track("Product Viewed", customer=f"c{n}") for n in range(60)))
    now, each = 0.0, 1.0

    def slow() -> float:
        nonlocal now
        now += each
        return now

    worker = Worker(house.state, house.bundles, "the test", worked=slow)
    assert [worker.run_once().customers for _ in range(5)] == [8, 4, 2, 1, 1]
    each = 0.01
    assert [worker.run_once().customers for _ in range(4)] == [1, 2, 4, 8]


def test_micro_batches_do_not_shrink_because_the_machine_keeps_us_waiting(house: House) -> None:
    house.batch(*(track("Product Viewed", customer=f"c{n}") for n in range(60)))
    waited, worked = count(0, 10), count(0)
    worker = Worker(house.state, house.bundles, "the test", lambda: float(next(waited)), lambda: next(worked) / 100)
    assert [worker.run_once().customers for _ in range(3)] == [8, 16, 32]


def test_what_becomes_known_while_it_is_concluded_is_concluded_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.batch(track("Product Viewed"))
    projector.fold_all(house.state)
    real = conclude.think

    def slowly(known: conclude.Known, *rest: object, **more: object) -> conclude.Thought:
        if len(known.journeys.code) == 1:
            house.batch(track("Test Drive Booked", at="2026-11-21T11:00:00Z"))
            projector.fold_all(house.state)
        return real(known, house.state, house.bundles.now())

    monkeypatch.setattr(conclude, "think", slowly)
    assert house.worker.conclude_some().customers == 0
    assert house.worker.conclude_some().customers == 1
    assert house.insight("c1")["next_touchpoint"]["answer"] == "dealer.test_drive"


def test_two_who_conclude_at_once_write_each_conclusion_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.say("f1", "I am angry")
    projector.fold_all(house.state)
    real, nested = conclude.think, list[int]()

    def meanwhile(known: conclude.Known, *rest: object, **more: object) -> conclude.Thought:
        if not nested:
            nested.append(1)
            conclude.conclude(house.state, house.bundles.now(), ["c1"])
        return real(known, house.state, house.bundles.now())

    monkeypatch.setattr(conclude, "think", meanwhile)
    assert house.worker.conclude_some().feedback == 0
    assert len(list(store.conclusion_rows(house.state.service, house.clock.at + 1000))) == 1
    assert house.worker.conclude_some().customers == 0


def test_words_without_a_conclusion_get_one_when_a_verdict_renews_the_insight(house: House) -> None:
    house.say("f1", "I am angry")
    house.worker.run_until_idle()
    house.say("f2", "I am angry too", at="2026-11-21T11:30:00Z")
    projector.fold_all(house.state)
    with house.state.service.write() as connection:
        live = house.bundles.now()
        conclude.refresh(connection, "c1", state=house.state, live=live, at=house.clock.at)

    with house.state.service.read() as connection:
        assert {row.subject for row in store.current_waiting(connection, 10)} == {"f1", "f2"}
    assert house.worker.run_until_idle().idle


def test_run_worker_works_until_told_to_stop_and_gives_the_lease_back(house: House) -> None:
    house.batch(track("Product Viewed"))
    stop = threading.Event()
    bundles = LiveBundles(house.settings.mlruns_dir, check_seconds=0, load=load_fake)
    quick = house.settings.model_copy(update={"worker_interval_seconds": 0.01})
    thread = threading.Thread(target=run_worker, args=(quick,), kwargs={"stop": stop, "clock": house.clock,
                                                                        "bundles": bundles})  # fmt: skip
    thread.start()
    try:
        insight = None
        while insight is None and thread.is_alive():
            with house.state.service.read() as connection:
                insight = store.get_insight(connection, "c1")
            stop.wait(0.01)
    finally:
        stop.set()
        thread.join()
    assert insight is not None
    assert replace(house.worker, holder="another").hold_lease()
