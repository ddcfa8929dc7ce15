"""Webhooks as an administrator makes and asks about them, and a change for them to tell."""

from __future__ import annotations

from typing import Any

from service.outbox import store
from service.outbox.store import Kind
from tests.service.fakes import House


def create(house: House, url: str, **more: Any) -> dict[str, Any]:
    answer = house.client.post("/v1/webhooks", json={"url": url, **more}, headers=house.key("admin"))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ask(house: House, method: str, path: str, **more: Any) -> Any:
    answer = house.client.request(method, f"/v1/webhooks/{path}", headers=house.key("admin"), **more)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def deliveries(house: House, hook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    return list(ask(house, "GET", f"{hook['webhook_id']}/deliveries", params=query)["deliveries"])


def change(house: House, customer: str = "c1", kind: Kind = "insight.changed") -> None:
    with house.state.service.write() as connection:
        store.add(connection, kind, customer, {"customer_id": customer}, house.clock())
