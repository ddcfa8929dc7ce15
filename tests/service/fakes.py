"""Stand-ins that keep the protocols of the real parts: a clock to set, ids that count, a bundle that reads words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import update
from starlette.testclient import TestClient

from models.bundle import Bundle, BundleError
from models.conclude import summarise
from models.concluded import Concluded
from models.insight import Behind, Conclusion, Decision, Insight, ModelVersion, Promise, ReleasePolicy, flags
from models.journey.assembly import Feedback
from models.journey.event import SECOND, Micros, format_time, parse_time
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from service.access import keys
from service.app import create_app
from service.live.bundles import LiveBundles
from service.promises.store import keys as lottery_keys
from service.settings import Settings
from service.state import State
from service.worker import Worker

FAIR = "key 2812"
"""A key of the lottery under which no text that a test names is drawn at 2 %."""
NOON = parse_time("2026-11-21T12:00:00Z")
CAR = Target("car_purchase", ("*.purchase",), 30 * 86_400)
PROMISE = Promise("selective_risk", {"at_most_wrong": 0.05, "confidence": 0.95}, "all", 812, True)


@dataclass
class FakeClock:
    """Stands still until it is moved."""

    at: Micros = NOON

    def __call__(self) -> Micros:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += int(seconds * SECOND)


class CountingIds:
    """id-1, id-2, … from any thread."""

    def __init__(self) -> None:
        self._numbers, self._lock = count(1), threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            return f"id-{next(self._numbers)}"


@dataclass(frozen=True)
class FakeBundle:
    """Reads words as a child would: "angry" waits for a person, anything else is released as positive.

    What comes next is what came last; a purchase is likely, and waits while anger does.
    """

    digest: str

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        return [self._feeling(one) for one in feedback]

    def _feeling(self, one: Feedback) -> Conclusion:
        about = {"feedback_id": one.feedback_id, "said_at": format_time(one.said_at), "channel": one.channel}
        if "angry" in one.text:
            details = {"confidence": 0.6, "emotions": [{"emotion": "anger", "probability": 0.9}]}
            waits = flags(["polite_anger"])
            return Conclusion("feeling", Decision.REVIEW, waits, "negative", details, about, PROMISE)
        return Conclusion("feeling", Decision.AUTO, (), "positive", {"confidence": 0.97}, about, PROMISE)

    def concluded(
        self,
        journeys: Journeys,
        as_of: Ints,
        feelings: Sequence[Conclusion | None],
        model: ModelVersion,
        policy: ReleasePolicy,
    ) -> Concluded:
        seen = journeys.seen_at(as_of)
        summaries = summarise(seen)
        silent = Conclusion("feeling", Decision.ABSTAIN, flags(["no_feedback"]))
        found = []
        for row, customer in enumerate(seen.customers):
            first, end = seen.starts[row], seen.starts[row + 1]
            last = seen.names[seen.code[end - 1]] if end > first else None
            feeling = feelings[row] or silent
            following = Conclusion("next_touchpoint", Decision.AUTO if last else Decision.ABSTAIN, (), last)
            decision = Decision.REVIEW if feeling.waiting else Decision.AUTO
            about = {"definition": "car_purchase"}
            details = {"interval": [0.2, 0.5], "confidence": 0.7}
            purchase = Conclusion("purchase", decision, (), 0.34, details, about)
            behind = Behind(CAR, seen.last_channels[row], ("touchpoints",), (float(end - first),))
            when = int(as_of[row])
            found.append(Insight(customer, when, model, summaries[row], following, (purchase,), feeling, (behind,)))
        return Concluded.of(found, model)

    def explained(
        self, insights: Sequence[Insight], journeys: Journeys, as_of: Ints, said: Sequence[Feedback | None]
    ) -> list[Insight]:
        counts = journeys.seen_at(as_of).lengths
        return [
            replace(one, next_touchpoint=one.next_touchpoint.explained({"because": [], "seen": int(count)}))
            if one.next_touchpoint.answer is not None
            else one
            for one, count in zip(insights, counts, strict=True)
        ]


def load_fake(folder: Path, threads: int) -> FakeBundle:
    """Loads any digest but those called broken."""
    if "broken" in folder.name:
        raise BundleError(f"{folder.name} is damaged")
    return FakeBundle(folder.name)


def publish(root: Path, version: int, digest: str) -> None:
    """Write a ledger entry."""
    (root / "live").mkdir(parents=True, exist_ok=True)
    entry = {"digest": digest, "live_since": "2026-11-14T03:00:12Z", "by": "a test", "why": "to see"}
    (root / "live" / f"{version:06d}.json").write_text(json.dumps(entry))


def trained_on(house: House, version: int, folder: Path | None) -> None:
    """A version goes live whose manifest names the data of this export, or data that nobody exported."""
    digests = {"events": "unknown"}
    if folder is not None:
        with house.state.service.read() as connection:
            found = connection.exec_driver_sql("SELECT digests FROM exports WHERE folder = ?", (str(folder),))
            digests = json.loads(found.scalar_one())
    place = house.settings.mlruns_dir / "versions" / f"v{version}"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps({"learned_from": {"data": digests}}))
    publish(house.settings.mlruns_dir, version, f"v{version}")


@dataclass
class House:
    """A running service on one folder, its worker, a clock, and a key of each kind."""

    settings: Settings
    clock: FakeClock
    bundles: LiveBundles
    app: FastAPI
    client: TestClient
    state: State
    worker: Worker
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, *scopes: str) -> dict[str, str]:
        """The headers of a key with exactly these scopes."""
        name = "+".join(scopes)
        if name not in self.keys:
            self.keys[name] = keys.create(self.state.service, name, scopes, self.clock())[1]
        return {"Authorization": f"Bearer {self.keys[name]}"}

    def batch(self, *events: Mapping[str, Any], **beside: Any) -> Any:
        """Send events, which must be taken."""
        answer = self.client.post("/v1/batch", json={"batch": list(events), **beside}, headers=self.key("ingest"))
        assert answer.status_code == 200, answer.text
        return answer

    def say(self, id: str, text: str, customer: str = "c1", at: str = "2026-11-21T11:00:00Z") -> Any:
        """Send feedback."""
        body = {"id": id, "customer_id": customer, "text": text, "said_at": at, "channel": "chat"}
        return self.client.post("/v1/feedback", json=body, headers=self.key("ingest"))

    def insight(self, customer: str, *scopes: str, **query: str) -> dict[str, Any]:
        """Read an insight, which must be there."""
        headers = self.key(*(scopes or ("read",)))
        answer = self.client.get(f"/v1/customers/{customer}/insight", params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def open_house(folder: Path, load: Callable[[Path, int], Bundle] = load_fake, **given: Any) -> Iterator[House]:
    """Start a service with fakes on `folder`; version 1 is live."""
    mlruns = folder / "mlruns"
    if not (mlruns / "live").exists():
        publish(mlruns, 1, "one")
    settings = Settings(data_dir=folder / "data", mlruns_dir=mlruns, **given)
    clock, ids = FakeClock(), CountingIds()
    bundles = LiveBundles(mlruns, check_seconds=0, load=load)
    app = create_app(settings, clock=clock, bundles=bundles, ids=ids)
    with TestClient(app) as client:
        state: State = app.state.service
        with state.service.write() as connection:
            connection.execute(update(lottery_keys).values(secret=FAIR))
        yield House(settings, clock, bundles, app, client, state, Worker(state, bundles, "the test"))


def track(event: str, customer: str = "c1", at: str = "2026-11-20T10:00:00Z", **more: Any) -> dict[str, Any]:
    """A track call of a known customer."""
    return {"type": "track", "event": event, "userId": customer, "timestamp": at, **more}
