"""Webhooks and what became of their deliveries, made up: one that works, one whose certificate is refused, one gone."""

from __future__ import annotations

from typing import Any

from models.journey.event import DAY, SECOND, Micros, format_time
from service.delivery import webhooks
from service.delivery.webhooks import Settled, State
from service.outbox import store
from service.outbox.store import Kind
from tests.browser.conftest import Site

MINUTE = 60 * SECOND
CRM = "https://crm.example.org/hooks/journey"
REFUSED = "its certificate is not accepted: Hostname mismatch, certificate is not valid for 'mail.example.org'"


def some_deliveries(site: Site) -> None:
    """Of ten customers a change each, to three webhooks."""
    state, now = site.company.state, site.company.clock.at - DAY
    kinds: tuple[Kind, ...] = ("insight.changed", "conclusion.superseded", "audience.entered")
    with state.service.write() as connection:
        for name, url, description in (
            ("crm", CRM, "The CRM of sales"),
            ("mail", "https://mail.example.org/incoming/journey-insight/campaigns", ""),
            ("old", "https://old-tool.example.org/hook", "Replaced in March"),
        ):
            webhooks.add(connection, name, url, description, kinds, now, 0)
        for number in range(10):
            customer = f"c_{1040 + number}"
            store.add(connection, kinds[number % 3], customer, {"customer_id": customer}, now + number * MINUTE)
        found = store.after(connection, 0, kinds, 100)
        for name in ("crm", "mail", "old"):
            webhooks.hand_out(connection, name, found, found[-1].seq, now)
        settled = [_arrived("crm", one.seq, one.changed_at) for one in found[:8]]
        for one in found[8:]:
            settled += _failed("crm", one.seq, one.changed_at, 503, "", times=3, state="waiting")
        for one in found[:4]:
            settled += _failed("mail", one.seq, one.changed_at, None, REFUSED, times=10, state="failed")
        settled += _failed("old", found[0].seq, now, 410, "", times=1, state="waiting")
        webhooks.settle(connection, settled)
        webhooks.change(connection, "old", {"disabled_at": now, "disabled_because": "its receiver answered 410 Gone"})


def _arrived(webhook: str, seq: int, at: Micros) -> Settled:
    return Settled(webhook, seq, "delivered", at, _attempt(at, 204, "", 41))


def _failed(
    webhook: str, seq: int, at: Micros, status: int | None, error: str, *, times: int, state: State
) -> list[Settled]:
    return [Settled(webhook, seq, state, at + 2 * DAY, _attempt(at + number * MINUTE, status, error, 1_204))
            for number in range(times)]  # fmt: skip


def _attempt(at: Micros, status: int | None, error: str, milliseconds: int) -> dict[str, Any]:
    return {"at": format_time(at), "status": status, "error": error or None, "milliseconds": milliseconds}
