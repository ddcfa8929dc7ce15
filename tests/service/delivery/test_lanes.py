"""Each webhook has lanes of its own: who is slow or failing keeps no other waiting, and gets no more at once."""

from __future__ import annotations

import threading
import time
from collections import Counter

from service.delivery.deliverer import LANE_SECONDS, LANES, Deliverer
from service.outbox import store
from tests.service.delivery.hooks import change, create, deliveries
from tests.service.delivery.receiver import Received, Receiver
from tests.service.fakes import House


def test_however_many_receivers_are_slow_they_keep_no_other_waiting(
    sending: House, receiver: Receiver, patient: Deliverer
) -> None:
    free = threading.Event()

    def answer(one: Received) -> int:
        if one.path != "/hook":
            free.wait(120)
        return 200

    def held() -> Counter[str]:
        return Counter(one.path for one in list(receiver.received) if one.path != "/hook")

    receiver.answer = answer
    for number in range(4):
        create(sending, f"http://127.0.0.1:{receiver.port}/slow{number}")
    quick = create(sending, receiver.url)
    for number in range(LANES * 3):
        change(sending, f"c{number}")
    while {one["state"] for one in deliveries(sending, quick)} != {"delivered"}:
        patient.step()
    assert not free.is_set()
    while held().total() < 4 * LANES:
        patient.step()
    assert set(held().values()) == {LANES}  # and no receiver gets more at once
    free.set()
    patient.run_until_idle()
    assert len(receiver.received) == 5 * LANES * 3


def test_what_a_slow_lane_did_not_begin_is_looked_at_anew(
    sending: House, receiver: Receiver, patient: Deliverer
) -> None:
    begun, free = threading.Semaphore(0), threading.Event()

    def answer(one: Received) -> int:
        begun.release()
        free.wait(120)
        return 200

    receiver.answer = answer
    hook = create(sending, receiver.url)
    for number in range(LANES * 2):
        change(sending, f"c{number:02d}")
    patient.step()
    for _ in range(LANES):
        assert begun.acquire(timeout=120)
    with sending.state.service.write() as connection:
        store.forget_customer(connection, f"c{LANES * 2 - 1:02d}")
    time.sleep(LANE_SECONDS)
    free.set()
    patient.run_until_idle()
    assert Counter(one["state"] for one in deliveries(sending, hook)) == {"delivered": LANES * 2 - 1, "withdrawn": 1}


def test_a_receiver_that_keeps_failing_is_tried_ever_more_seldom(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answer = lambda _: 500
    create(sending, receiver.url)
    for number in range(100):
        change(sending, f"c{number}")
    deliverer.monotonic = lambda: 0.0
    deliverer.run_until_idle()
    assert len(receiver.received) < 20
