"""A little world in which every operation of the API is asked once: its answers are the examples of the documentation.

Clock, ids and secrets are fixed, and a small company's model is trained as every test has it, so the answers are the
same each time but for what a model on another machine may weigh otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.journey.event import DAY, SECOND, Micros, format_time
from service.delivery import webhooks
from service.delivery.webhooks import Settled
from service.outbox import store as outbox
from service.promises import watching
from service.promises.store import Happened
from tests.service.fakes import NOON, House

HOUR = 3_600 * SECOND
MINE = "c_1042"
LOVELY = "Lovely people at the counter, and the coffee is good too."
THIRD = "Third visit, third different answer. I have started bringing a notebook."
ALL = ("ingest", "read", "review", "admin")


@dataclass(frozen=True)
class Asked:
    """An operation as the document names it, what was sent, and what a real service answered."""

    operation: str
    sent: Any
    kind: str
    answer: Any

    def to_dict(self) -> dict[str, Any]:
        told = {} if self.sent is None else {"sent": self.sent}
        return told if self.kind == "" else {**told, "kind": self.kind, "answer": self.answer}


@dataclass(frozen=True)
class World:
    """Asks; whatever is not answered with 2xx is a mistake of the story."""

    house: House

    def ask(
        self, method: str, path: str, sent: Any = None, query: dict[str, Any] | None = None, raw: str | None = None,
        **named: str,
    ) -> Asked:  # fmt: skip
        """`named` stand in the path, such as customer_id."""
        body: dict[str, Any] = {} if sent is None else {"json": sent}
        answer = self.house.client.request(
            method, path.format(**named), params=query, headers=self.house.key(*ALL), content=raw, **body
        )
        assert answer.status_code < 300, f"{method} {path}: {answer.text}"
        kind = answer.headers.get("content-type", "").split(";")[0]
        told = answer.json() if kind == "application/json" else answer.text
        return Asked(f"{method} {path}", sent if raw is None else raw, kind, told)


def event(name: str, at: Micros, customer: str = MINE, **more: Any) -> dict[str, Any]:
    id = f"m-{name.split()[0].lower()}-{at // HOUR}"
    return {"type": "track", "userId": customer, "event": name, "timestamp": format_time(at), "messageId": id, **more}


def a_journey(customer: str = MINE, days: int = 9) -> list[dict[str, Any]]:
    """Some weeks of somebody who looks for a car."""
    names = ("Page Viewed", "Product Configured", "Email Sent", "Email Opened", "Test Drive Booked", "Dealer Visited")
    return [event(names[n % len(names)], NOON - (days - n) * DAY, customer) for n in range(days)]


def story(house: House) -> Iterator[Asked]:
    """Every operation once, in an order in which each has something to tell."""
    world = World(house)
    yield from _told(world)
    yield from _of_customers(world)
    yield from _concluded(world)
    yield from _reviewed(world)
    yield from _scored(world)
    yield from _delivered(world)
    yield from _promised(world)
    yield from _erased(world)
    for path in ("/healthz", "/readyz"):
        yield world.ask("GET", path)


def _told(world: World) -> Iterator[Asked]:
    """What customers do and say comes in."""
    house, at = world.house, format_time(NOON - 10 * DAY)
    who = {"userId": MINE, "timestamp": at}
    calls: dict[str, dict[str, Any]] = {
        "track": {**who, "event": "Test Drive Booked", "messageId": "m-1", "properties": {"channel": "dealer"}},
        "page": {**who, "name": "Configurator", "messageId": "m-2"},
        "screen": {**who, "name": "My car", "messageId": "m-3"},
        "identify": {**who, "anonymousId": "dev-77", "messageId": "m-4", "traits": {"firstName": "Mira"}},
        "group": {**who, "groupId": "fleet-9", "messageId": "m-5"},
        "alias": {**who, "previousId": "lead-31", "messageId": "m-6"},
    }
    for name, call in calls.items():
        yield world.ask("POST", f"/v1/{name}", call)
    for name in ("track", "page", "screen", "identify", "group", "alias"):
        yield world.ask("POST", f"/v1/{name[0]}", calls[name])
    batch = [*a_journey(), {"type": "track", "event": "Nobody did this", "messageId": "m-7"}]
    yield world.ask("POST", "/v1/batch", {"batch": batch[-2:]})
    yield world.ask("POST", "/v1/b", {"batch": batch[-2:]})
    house.batch(*batch[:-2], *(one for n in range(3) for one in a_journey(f"c_{1043 + n}", 5 + n)))
    said = {"id": "f-1", "customer_id": MINE, "channel": "chat", "said_at": format_time(NOON - 5 * HOUR), "text": THIRD}
    yield world.ask("POST", "/v1/feedback", said)
    for number, words in enumerate((LOVELY, "Not one thing to complain about, and believe me, I looked.")):
        house.say(f"f-{2 + number}", words, f"c_{1043 + number}")
    yield world.ask("GET", "/v1/dead-letters")
    yield world.ask("GET", "/v1/catalogue")
    write_key = house.key("ingest")["Authorization"].removeprefix("Bearer ")
    yield world.ask("GET", "/v1/projects/{write_key}/settings", write_key=write_key)
    house.worker.run_until_idle()
    yield world.ask("GET", "/v1/feedback/{feedback_id}", feedback_id="f-1")


def _of_customers(world: World) -> Iterator[Asked]:
    yield world.ask("GET", "/v1/customers/{customer_id}/journey", query={"limit": 2}, customer_id=MINE)
    yield world.ask("GET", "/v1/customers/{customer_id}/identity", customer_id=MINE)
    yield world.ask("POST", "/v1/customers/{customer_id}/split",
                    {"id": "dev-77", "by": "Ada", "reason": "lent to a friend"}, customer_id=MINE)  # fmt: skip
    objects = {"profiling": False, "by": "Ada", "reason": "said so on the phone"}
    yield world.ask("PUT", "/v1/customers/{customer_id}/consent", objects, customer_id="c_1045")
    yield world.ask("GET", "/v1/customers/{customer_id}/consent", customer_id="c_1045")
    yield world.ask("GET", "/v1/customers/{customer_id}/consent/versions", customer_id="c_1045")
    world.house.worker.run_until_idle()


def _concluded(world: World) -> Iterator[Asked]:
    yield world.ask("GET", "/v1/customers/{customer_id}/insight", query={"explain": "true"}, customer_id=MINE)
    yield world.ask("POST", "/v1/insights:query", {"customer_ids": [MINE, "c_9"], "fields": ["journey", "purchase"]})
    events = [{key: one[key] for key in ("event", "timestamp")} for one in a_journey(days=3)]
    yield world.ask("POST", "/v1/predictions", {"journeys": [{"customer_id": "x-1", "events": events}]})
    said_at = format_time(NOON - DAY)
    texts = [{"text": LOVELY, "channel": "survey", "said_at": said_at},
             {"text": THIRD, "channel": "chat", "said_at": said_at}]  # fmt: skip
    yield world.ask("POST", "/v1/feedback:analyse", {"texts": texts})
    yield world.ask("GET", "/v1/models")
    yield world.ask("GET", "/v1/policy")
    yield world.ask("GET", "/v1/promises")
    yield world.ask("GET", "/v1/forecasts")


def _reviewed(world: World) -> Iterator[Asked]:
    yield world.ask("GET", "/v1/reviews")
    claimed = world.ask("POST", "/v1/reviews/claim", {"reviewer": "Ada"})
    yield claimed
    case = claimed.answer["case"]["conclusion_id"]
    skips = {"reviewer": "Ada", "skip": True}
    yield world.ask("POST", "/v1/reviews/{conclusion_id}/release", skips, conclusion_id=case)
    world.house.clock.forward(60)
    case = world.ask("POST", "/v1/reviews/claim", {"reviewer": "Bo"}).answer["case"]["conclusion_id"]
    verdict = {"reviewer": "Bo", "answer": "negative", "emotions": ["disappointment"], "intensity": -2}
    yield world.ask("POST", "/v1/reviews/{conclusion_id}/verdict", verdict, conclusion_id=case)
    yield world.ask("GET", "/v1/reviews/quality")


def _scored(world: World) -> Iterator[Asked]:
    made = world.ask("POST", "/v1/jobs", {"customers": "all", "format": "csv"})
    yield made
    line = '{"events": [{"event": "Product Viewed", "timestamp": "2026-01-05T10:00:00Z"}]}'
    of_journeys = world.ask("POST", "/v1/jobs/journeys", raw=line)
    yield of_journeys
    yield world.ask("POST", "/v1/jobs/{job_id}/cancel", job_id=of_journeys.answer["job_id"])
    world.house.worker.run_until_idle()
    job_id = made.answer["job_id"]
    yield world.ask("GET", "/v1/jobs/{job_id}", job_id=job_id)
    yield world.ask("GET", "/v1/jobs")
    yield world.ask("GET", "/v1/jobs/{job_id}/result", job_id=job_id)


def _delivered(world: World) -> Iterator[Asked]:
    house = world.house
    condition = {"all": [{"field": "journey.touchpoints", "op": ">=", "value": 3},
                         {"not": {"field": "journey.stage", "op": "=", "value": "post_sale"}}]}  # fmt: skip
    made = world.ask("POST", "/v1/audiences", {"name": "Looking for a car", "condition": condition})
    yield made
    id = made.answer["audience_id"]
    house.worker.run_until_idle()
    yield world.ask("GET", "/v1/audiences")
    yield world.ask("GET", "/v1/audiences/fields")
    yield world.ask("GET", "/v1/audiences/{audience_id}", audience_id=id)
    yield world.ask("PATCH", "/v1/audiences/{audience_id}", {"name": "Looking"}, audience_id=id)
    yield world.ask("GET", "/v1/audiences/{audience_id}/customers", audience_id=id)
    yield world.ask("GET", "/v1/audiences/{audience_id}/export", audience_id=id)
    url = "https://crm.example.org/hooks/journey"
    hook = world.ask("POST", "/v1/webhooks", {"url": url, "kinds": ["insight.changed", "audience.entered"]})
    yield hook
    hook_id = hook.answer["webhook_id"]
    with house.state.service.write() as connection:
        changes = outbox.after(connection, 0, ["audience.entered"], 2)
        webhooks.hand_out(connection, hook_id, changes, outbox.head(connection).seq, house.clock())
        for change, status in zip(changes, (204, 503), strict=True):
            attempt = {"at": format_time(house.clock()), "status": status, "error": None, "milliseconds": 41}
            state: webhooks.State = "delivered" if status == 204 else "waiting"
            webhooks.settle(connection, [Settled(hook_id, change.seq, state, house.clock() + 5 * SECOND, attempt)])
    yield world.ask("GET", "/v1/webhooks")
    yield world.ask("GET", "/v1/webhooks/{webhook_id}", webhook_id=hook_id)
    yield world.ask("GET", "/v1/webhooks/{webhook_id}/deliveries", webhook_id=hook_id)
    yield world.ask("PATCH", "/v1/webhooks/{webhook_id}", {"description": "The CRM"}, webhook_id=hook_id)
    yield world.ask("POST", "/v1/webhooks/{webhook_id}/secret", webhook_id=hook_id)
    since = {"since": format_time(house.clock() - HOUR)}
    yield world.ask("POST", "/v1/webhooks/{webhook_id}/replay", since, webhook_id=hook_id)
    yield world.ask("GET", "/v1/changes", query={"limit": 2})
    yield world.ask("DELETE", "/v1/webhooks/{webhook_id}", webhook_id=hook_id)
    yield world.ask("DELETE", "/v1/audiences/{audience_id}", audience_id=id)


def _promised(world: World) -> Iterator[Asked]:
    house = world.house
    key = ("next_touchpoint", "all")
    digest = house.bundles.now().model.digest or ""
    why = "Of 120 sets that were served, 40 did not hold what came."
    now = house.clock()
    counted = {"cases": 120, "wrong": 40, "after": 92, "lower": 0.24, "upper": 0.43, "version": 1}
    with house.state.service.write() as connection:
        withdrawn = Happened(*key, digest, "withdrawn", now, "the live check", why, now - DAY, counted)
        watching.withdraw(connection, withdrawn)
    yield world.ask("GET", "/v1/promises/released")
    reason = {"kind": key[0], "why": "A wave of test bookings was the reason; it is over.", "by": "Lea"}
    yield world.ask("POST", "/v1/promises/reinstate", reason)


def _erased(world: World) -> Iterator[Asked]:
    yield world.ask("GET", "/v1/customers/{customer_id}/export", customer_id="c_1044")
    yield world.ask("DELETE", "/v1/customers/{customer_id}", customer_id="c_1044")
    listed = world.ask("GET", "/v1/erasures")
    yield listed
    yield world.ask("GET", "/v1/erasures/{tombstone_id}", tombstone_id=listed.answer["erasures"][0]["tombstone_id"])
