"""The page of deliveries: who is signed in looks, a lead sends again, and nobody else does anything."""

from __future__ import annotations

import re
from typing import Any

from service.access import team
from service.delivery.deliverer import Deliverer
from service.outbox import store
from tests.service.delivery.receiver import Receiver
from tests.service.fakes import House
from tests.service.reviews.fakes import PASSWORD, QUICK_HASH


def sign_in(house: House, role: str) -> str:
    """Sign in; returns what forms must send along."""
    with house.state.service.write() as connection:
        team.add(connection, "Ada", role, QUICK_HASH, house.clock())
    answer = house.client.post("/reviews/sign-in", data={"name": "Ada", "password": PASSWORD})
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def failed_once(house: House, receiver: Receiver, deliverer: Deliverer) -> dict[str, Any]:
    """A webhook of which the first delivery failed."""
    receiver.answer = lambda _: 500
    hook: dict[str, Any] = house.client.post(
        "/v1/webhooks", json={"url": receiver.url}, headers=house.key("admin")
    ).json()
    with house.state.service.write() as connection:
        store.add(connection, "insight.changed", "<b>c1</b>", {"customer_id": "<b>c1</b>"}, house.clock())
    deliverer.run_until_idle()
    return hook


def test_it_shows_each_delivery_with_its_attempts_and_escapes_ids(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    failed_once(sending, receiver, deliverer)
    sign_in(sending, "reviewer")
    shown = sending.client.get("/reviews/deliveries").text
    assert "insight.changed · &lt;b&gt;c1&lt;/b&gt;" in shown
    assert "1 attempt, the last: answered 500; next attempt 2026-11-21 12:00 UTC" in shown
    assert "<time>2026-11-21 12:00:00 UTC</time> answered 500, " in shown
    assert "Send again" not in shown
    assert "Nothing here yet" in sending.client.get("/reviews/deliveries?which=delivered").text


def test_a_lead_sends_again_and_switches_on_what_was_off(
    sending: House, receiver: Receiver, deliverer: Deliverer
) -> None:
    hook = failed_once(sending, receiver, deliverer)
    path = f"/v1/webhooks/{hook['webhook_id']}"
    sending.client.patch(path, json={"enabled": False}, headers=sending.key("admin"))
    csrf = sign_in(sending, "lead")
    assert "Switch it on" in sending.client.get("/reviews/deliveries").text
    receiver.answer = lambda _: 200
    sending.clock.forward(10)
    shown = sending.client.post("/reviews/deliveries/again", data={"csrf": csrf, "webhook": hook["webhook_id"]}).text
    assert "Switch it on" not in shown
    deliverer.run_until_idle()
    message = receiver.received[-1].id
    form = {"csrf": csrf, "webhook": hook["webhook_id"], "message": message}
    sending.client.post("/reviews/deliveries/again", data=form)
    deliverer.run_until_idle()
    assert [one.id for one in receiver.received] == [message] * 3


def test_others_may_not_send_again(sending: House, receiver: Receiver, deliverer: Deliverer) -> None:
    hook = failed_once(sending, receiver, deliverer)
    csrf = sign_in(sending, "reviewer")
    form = {"csrf": csrf, "webhook": hook["webhook_id"]}
    assert sending.client.post("/reviews/deliveries/again", data=form).status_code == 403
    assert sending.client.post("/reviews/deliveries/again", data={**form, "csrf": "x"}).status_code == 403
    sending.client.cookies.clear()
    assert sending.client.post("/reviews/deliveries/again", data=form).status_code == 401
    assert "Sign in" in sending.client.get("/reviews/deliveries").text


def test_without_webhooks_it_says_how_one_is_made(house: House) -> None:
    sign_in(house, "lead")
    assert "Nothing is sent anywhere yet" in house.client.get("/reviews/deliveries").text
