"""What an operator sees of deliveries: attempts by what became of them, what waits and since when, and what is off."""

from __future__ import annotations

from service.delivery.deliverer import Deliverer
from tests.service.delivery.hooks import ask, change, create
from tests.service.delivery.receiver import Receiver
from tests.service.fakes import House
from tests.service.test_metrics import scrape, value


def backlog(house: House) -> tuple[float, float]:
    found = scrape(house)
    return (value(found, "journey_webhook_deliveries_waiting"), value(found, "journey_webhook_oldest_waiting_seconds"))


def test_what_waits_is_counted_before_it_is_handed_out_and_after(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    change(sending)
    assert backlog(sending) == (0, 0)  # there was no webhook yet
    create(sending, receiver.url)
    create(sending, receiver.url, kinds=["job.finished"])
    change(sending)
    sending.clock.forward(60)
    change(sending, "c2")
    assert backlog(sending) == (2, 60)
    receiver.answer = lambda one: 200 if "c2" in one.told["data"]["customer_id"] else 500
    deliverer.run_until_idle()
    assert backlog(sending) == (1, 60)
    receiver.answer = lambda _: 200
    sending.clock.forward(10)
    deliverer.run_until_idle()
    assert backlog(sending) == (0, 0)


def test_attempts_are_counted_by_what_became_of_them(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    create(sending, receiver.url)
    for status in (500, 204):
        receiver.answer = lambda _, status=status: status  # type: ignore[misc]
        change(sending, f"c{status}")
        deliverer.run_until_idle()
    create(sending, "http://127.0.0.1:9/", kinds=["job.finished"])
    change(sending, "job", kind="job.finished")
    deliverer.run_until_idle()
    found = scrape(sending)
    counted = {kind: value(found, "journey_webhook_attempts_total", outcome=kind)
               for kind in ("delivered", "refused", "unreachable")}  # fmt: skip
    assert counted == {"delivered": 2, "refused": 1, "unreachable": 1}


def test_a_webhook_that_is_off_is_counted_and_what_waits_for_it_alarms_nobody(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = create(sending, receiver.url)
    create(sending, receiver.url)
    receiver.answer = lambda _: 410
    change(sending)
    deliverer.run_until_idle()
    ask(sending, "PATCH", hook["webhook_id"], json={"enabled": True})
    found = scrape(sending)
    assert (value(found, "journey_webhooks", enabled="true"), value(found, "journey_webhooks", enabled="false")) == (
        1,
        1,
    )
    assert backlog(sending)[0] == 1
