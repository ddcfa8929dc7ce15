"""Webhooks: every change arrives at least once, signed, in each customer's order, whatever fails in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from models.journey.event import DAY, SECOND, parse_time
from service.clock import system_clock
from service.delivery.deliverer import (
    JITTER,
    MOST_REST_SECONDS,
    RETRY_SECONDS,
    Deliverer,
)
from service.delivery.secrets import KEY_FILE
from service.settings import Settings
from service.worker import run_worker
from tests.service.delivery.hooks import ask, change, create, deliveries
from tests.service.delivery.receiver import Received, Receiver
from tests.service.fakes import House, track


def test_a_change_arrives_signed_so_that_the_library_verifies_it(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    sending.clock.at = system_clock()  # the library looks at the machine's clock
    hook = create(sending, receiver.url)
    sending.batch(track("Test Drive Booked"))
    sending.worker.run_until_idle()
    deliverer.run_until_idle()
    (one,) = receiver.received
    told = Webhook(hook["secret"]).verify(one.body, one.headers)
    feed = sending.client.get("/v1/changes", headers=sending.key("read")).json()["changes"]
    assert [told] == feed
    assert (one.id, one.headers["content-type"]) == (told["id"], "application/json")
    assert [one["state"] for one in deliveries(sending, hook)] == ["delivered"]


def test_a_body_that_somebody_changed_does_not_verify(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    sending.clock.at = system_clock()
    hook = create(sending, receiver.url)
    change(sending)
    deliverer.run_until_idle()
    (one,) = receiver.received
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(one.body + b" ", one.headers)


def test_only_the_kinds_that_were_asked_for_arrive_and_only_what_comes_from_now_on(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    change(sending)
    create(sending, receiver.url, kinds=["audience.entered"])
    change(sending)
    change(sending, kind="audience.entered")
    deliverer.run_until_idle()
    assert receiver.kinds == ["audience.entered"]


def test_what_fails_is_retried_with_jitter_over_three_days_and_then_given_up(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answer = lambda _: 500
    hook, begun, waits = create(sending, receiver.url), sending.clock(), []
    change(sending)
    deliverer.run_until_idle()
    while (one := deliveries(sending, hook)[0])["state"] == "waiting":
        due = parse_time(one["next_attempt_at"])
        waits.append((due - sending.clock()) / SECOND)
        sending.clock.at = due
        deliverer.run_until_idle()
    assert len(receiver.received) == len(RETRY_SECONDS) + 1
    assert len({received.id for received in receiver.received}) == 1
    assert all(abs(wait / usual - 1) <= JITTER for wait, usual in zip(waits, RETRY_SECONDS, strict=True))
    assert len({round(wait / usual, 6) for wait, usual in zip(waits, RETRY_SECONDS, strict=True)}) > 1
    assert 2.5 * DAY < sending.clock() - begun < 3.8 * DAY
    assert (one["state"], one["attempts"][-1]["status"]) == ("failed", 500)


def test_what_was_given_up_can_be_replayed(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    receiver.answer = lambda _: 500
    hook = create(sending, receiver.url)
    change(sending)
    for wait in (0, *RETRY_SECONDS):
        sending.clock.forward(wait * (1 + JITTER) + 1)
        deliverer.run_until_idle()
    receiver.answer = lambda _: 200
    sending.clock.forward(MOST_REST_SECONDS)
    assert ask(sending, "POST", f"{hook['webhook_id']}/replay", json={"failed": True}) == {"again": 1}
    deliverer.run_until_idle()
    assert [one["state"] for one in deliveries(sending, hook)] == ["delivered"]


def test_a_receiver_that_asks_to_wait_longer_is_heard(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    receiver.answer, receiver.headers = lambda _: 503, {"Retry-After": "3600"}
    hook = create(sending, receiver.url)
    change(sending)
    deliverer.run_until_idle()
    assert parse_time(deliveries(sending, hook)[0]["next_attempt_at"]) == sending.clock() + 3_600 * SECOND


def test_gone_disables_the_webhook_and_what_waits_is_sent_once_it_is_enabled(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answer = lambda _: 410
    hook = create(sending, receiver.url)
    change(sending)
    deliverer.run_until_idle()
    told = ask(sending, "GET", hook["webhook_id"])
    assert (told["enabled"], told["disabled_because"]) == (False, "its receiver answered 410 Gone")
    change(sending, "c2")
    sending.clock.forward(60)
    deliverer.run_until_idle()
    assert len(receiver.received) == 1
    receiver.answer = lambda _: 200
    assert ask(sending, "PATCH", hook["webhook_id"], json={"enabled": True})["enabled"]
    deliverer.run_until_idle()
    assert sorted(one.told["data"]["customer_id"] for one in receiver.received) == ["c1", "c1", "c2"]


def test_a_redirect_is_not_followed(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    receiver.answer, receiver.headers = lambda _: 307, {"Location": receiver.url + "/elsewhere"}
    hook = create(sending, receiver.url)
    change(sending)
    deliverer.run_until_idle()
    assert [one.path for one in receiver.received] == ["/hook"]
    assert deliveries(sending, hook)[0]["attempts"][0]["status"] == 307


def test_two_secrets_sign_while_one_is_rotated(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    sending.clock.at = system_clock() - 25 * 3_600 * SECOND
    hook = create(sending, receiver.url)
    new = ask(sending, "POST", f"{hook['webhook_id']}/secret")
    assert (new["secret"] != hook["secret"], len(new["secrets"])) == (True, 2)
    sending.clock.forward(23 * 3_600)
    change(sending)
    deliverer.run_until_idle()
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 2
    sending.clock.at = system_clock()
    change(sending)
    deliverer.run_until_idle()
    last = receiver.received[-1]
    Webhook(new["secret"]).verify(last.body, last.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(last.body, last.headers)
    assert len(ask(sending, "GET", hook["webhook_id"])["secrets"]) == 1


def test_a_secret_is_shown_once_and_lies_in_no_database(sending: House) -> None:
    hook = create(sending, "http://127.0.0.1:9/")
    assert "secret" not in ask(sending, "GET", hook["webhook_id"])
    folder = sending.settings.data_dir
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    key = (folder / KEY_FILE).read_bytes().strip()
    for file in folder.glob("*.db*"):
        assert hook["secret"].removeprefix("whsec_").encode() not in file.read_bytes()
        assert key not in file.read_bytes()


def test_a_webhook_whose_key_was_lost_says_so_and_signs_nothing_wrong(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = create(sending, receiver.url)
    (sending.settings.data_dir / KEY_FILE).unlink()
    change(sending)
    deliverer.run_until_idle()
    assert (receiver.received, ask(sending, "GET", hook["webhook_id"])["enabled"]) == ([], False)
    ask(sending, "POST", f"{hook['webhook_id']}/secret")
    ask(sending, "PATCH", hook["webhook_id"], json={"enabled": True})
    deliverer.run_until_idle()
    assert len(receiver.received) == 1


def test_each_customers_changes_arrive_in_order_though_one_is_retried_and_others_do_not_wait(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    refused = {"c1"}

    def answer(one: Received) -> int:
        return 500 if one.told["data"]["customer_id"] in refused else 200

    receiver.answer = answer
    create(sending, receiver.url)
    for customer in ("c1", "c2", "c1", "c2"):
        change(sending, customer)
    deliverer.run_until_idle()
    assert [one.told["data"]["customer_id"] for one in receiver.received].count("c2") == 2
    refused.clear()
    sending.clock.forward(RETRY_SECONDS[0] * (1 + JITTER))
    deliverer.run_until_idle()
    ids = [one.id for one in receiver.received if one.told["data"]["customer_id"] == "c1"]
    assert ids == [ids[0], ids[0], ids[-1]]
    assert ids[0] != ids[-1]


def test_a_change_is_sent_again_where_the_deliverer_died_before_it_was_written_down(
    sending: House, receiver: Receiver
) -> None:
    create(sending, receiver.url)
    change(sending)
    dies = Deliverer(sending.state, "dies", np.random.default_rng(1))
    dies.step()  # hands out, and sends
    dies._pool.shutdown(wait=True)  # it never comes to write down what became of it
    for endpoint in dies._endpoints.values():
        endpoint.close()
    sending.clock.forward(sending.settings.lease_seconds + 1)
    heir = Deliverer(sending.state, "heir", np.random.default_rng(2))
    heir.run_until_idle()
    heir.close()
    assert len(receiver.received) == 2
    assert len({one.id for one in receiver.received}) == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from service.database import Database
from service.outbox import store
database = Database.open(Path(sys.argv[1]), "service")
with database.write() as connection:
    store.add(connection, "insight.changed", "c1", {"customer_id": "c1"}, 1_700_000_000_000_000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_committed_before_a_kill_is_delivered_after_it(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    create(sending, receiver.url)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(sending.settings.data_dir)], check=False)
    assert killed.returncode == -signal.SIGKILL
    deliverer.run_until_idle()
    assert receiver.kinds == ["insight.changed"]


def test_what_changed_before_the_webhook_was_made_can_be_replayed(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    change(sending, "early")
    sending.clock.forward(3_600)
    change(sending, "late")
    hook = create(sending, receiver.url)
    body = {"since": "2026-11-21T12:30:00Z"}
    ask(sending, "POST", f"{hook['webhook_id']}/replay", json=body)
    deliverer.run_until_idle()
    assert [one.told["data"]["customer_id"] for one in receiver.received] == ["late"]
    (message,) = deliveries(sending, hook)
    again = {"message_id": message["message_id"]}
    assert ask(sending, "POST", f"{hook['webhook_id']}/replay", json=again) == {"again": 1}
    deliverer.run_until_idle()
    assert [one.id for one in receiver.received] == [message["message_id"]] * 2


def test_nothing_is_sent_of_somebody_who_objected_or_was_erased_meanwhile(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = create(sending, receiver.url)
    for customer in ("c1", "c2"):
        sending.say(f"f-{customer}", "lovely", customer)
    sending.worker.run_until_idle()
    receiver.answer = lambda _: 500
    deliverer.run_until_idle()
    receiver.received.clear()
    receiver.answer = lambda _: 200
    sending.client.put("/v1/customers/c1/consent", json={"profiling": False}, headers=sending.key("admin"))
    sending.client.delete("/v1/customers/c2", headers=sending.key("admin"))
    sending.clock.forward(10)
    deliverer.run_until_idle()
    assert "positive" not in str([one.told for one in receiver.received])
    assert {one["customer_id"]: one["state"] for one in reversed(deliveries(sending, hook))} == {"c1": "delivered"}
    assert [one["state"] for one in deliveries(sending, hook)] == ["delivered", "withdrawn"]


def test_old_deliveries_are_forgotten_with_their_changes(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = create(sending, receiver.url)
    change(sending)
    deliverer.run_until_idle()
    sending.clock.forward(sending.settings.keep_changes_days * 86_400 + 1)
    sending.worker.run_until_idle()
    assert deliveries(sending, hook) == []


def test_a_webhook_can_be_changed_and_deleted(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    hook = create(sending, "http://127.0.0.1:9/")
    body = {"url": receiver.url, "kinds": ["job.finished"], "description": "the CRM"}
    changed = ask(sending, "PATCH", hook["webhook_id"], json=body)
    assert {name: changed[name] for name in body} == body
    ask(sending, "DELETE", hook["webhook_id"])
    change(sending)
    deliverer.run_until_idle()
    path = f"/v1/webhooks/{hook['webhook_id']}"
    assert sending.client.get(path, headers=sending.key("admin")).json()["code"] == "unknown_webhook"


def test_webhooks_need_an_admin_key(house: House) -> None:
    assert house.client.get("/v1/webhooks", headers=house.key("read", "review")).status_code == 403


def test_the_running_worker_delivers(sending: House, receiver: Receiver) -> None:
    create(sending, receiver.url)
    arrived, stop = threading.Event(), threading.Event()

    def answer(_: Received) -> int:
        arrived.set()
        return 200

    receiver.answer = answer
    settings: Settings = sending.settings.model_copy(update={"worker_interval_seconds": 0.01})
    work = {"stop": stop, "bundles": sending.bundles}
    thread = threading.Thread(target=run_worker, args=(settings,), kwargs=work)
    thread.start()
    sending.batch(track("Test Drive Booked"))
    assert arrived.wait(30)
    stop.set()
    thread.join()
