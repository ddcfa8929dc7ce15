"""A running service for reviewers: a bundle that asks a person about every text, and a browser without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient

from models.bundle import NoBundle
from models.conclude import feeling_about
from models.concluded import Concluded
from models.insight import Conclusion, Decision, Insight, ModelVersion, ReleasePolicy, flags
from models.journey.assembly import Feedback
from models.journey.event import DAY, Event, format_time
from models.journey.journeys import Ints, Journeys
from models.review import ReviewPolicy
from service.access import keys, team
from service.app import create_app
from service.events import projector
from service.events import store as log
from service.feedback.sending import FeedbackIn, keep
from service.forecasts import store as forecasts
from service.forecasts.store import Forecast, Source
from service.insights import store as insights
from service.insights.conclude import conclude
from service.live.bundles import Live, LiveBundles
from service.reviews.desks import review_policy
from service.settings import Settings
from service.state import State
from tests.service.fakes import CAR, NOON, CountingIds, FakeClock

SHOWN = ReviewPolicy(hidden_share=0)
PASSWORD = "four words and more"
QUICK_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""Of the password: as good as any to whom nobody attacks, and computed at once."""


@dataclass(frozen=True)
class ObedientBundle:
    """Calls every text positive and asks for a person; a text that begins with `urgent` is flagged so."""

    digest: str = "fake"

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        return [self._conclude(one) for one in feedback]

    def concluded(
        self, journeys: Journeys, as_of: Ints, feelings: Sequence[Conclusion | None], model: ModelVersion,
        policy: ReleasePolicy,
    ) -> Concluded:  # fmt: skip
        return NoBundle({}).concluded(journeys, as_of, feelings, model, policy)

    def explained(
        self, insights: Sequence[Insight], journeys: Journeys, as_of: Ints, said: Sequence[Feedback | None]
    ) -> list[Insight]:
        return list(insights)

    def _conclude(self, one: Feedback) -> Conclusion:
        codes = ["urgent"] if one.text.lower().startswith("urgent") else ["polite_anger", "below_threshold"]
        details = {
            "confidence": 0.61,
            "distribution": [
                {"polarity": "positive", "probability": 0.61},
                {"polarity": "negative", "probability": 0.3},
                {"polarity": "mixed", "probability": 0.06},
                {"polarity": "neutral", "probability": 0.03},
            ],
            "emotions": [{"emotion": "gratitude", "probability": 0.7}],
            "intensity": {"mean": 1.2, "spread": 0.8},
        }
        return Conclusion("feeling", Decision.REVIEW, flags(codes), "positive", details, feeling_about(one))


class FixedBundles(LiveBundles):
    """Always the one bundle that it was given."""

    def __init__(self, version: int = 1) -> None:
        super().__init__(Path("nowhere"))
        self.fixed = Live(ObedientBundle(), ModelVersion(version, "fake", NOON))

    def now(self) -> Live:
        return self.fixed


@dataclass
class Company:
    """The service as a test sees it."""

    app: FastAPI
    client: TestClient
    clock: FakeClock
    bundles: FixedBundles
    said: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def state(self) -> State:
        found = self.app.state.service
        assert isinstance(found, State)
        return found

    def say(self, *texts: str, customer: str | None = None, channel: str = "chat", rating: int | None = None) -> None:
        """Each text by a customer of its own, folded and concluded, a second apart."""
        for text in texts:
            number = next(self.said)
            given = FeedbackIn(
                id=f"f{number}", customer_id=customer or f"c{number}", text=text, said_at=format_time(self.clock.at),
                channel=channel, rating=rating,
            )  # fmt: skip
            keep(self.state, given)
            self.work()
            self.clock.forward(1)

    def did(self, customer: str, *names: str) -> None:
        """Events of a customer, a day apart, ending now."""
        for days, name in enumerate(reversed(names)):
            at = self.clock.at - days * DAY
            event = Event(f"m{next(self.said)}", "track", name, customer, None, at, self.clock.at)
            log.append(self.state.log, [event], self.clock.at)
        self.work()

    def work(self) -> None:
        """What the worker does."""
        projector.fold_all(self.state)
        with self.state.service.read() as connection:
            pending = insights.pending(connection, 1000)
        conclude(self.state, self.bundles.now(), pending)

    def key(self, *scopes: str, name: str = "a key") -> str:
        return keys.create(self.state.service, name, scopes, self.clock.at)[1]

    def member(self, name: str, role: str = "reviewer") -> None:
        """Puts somebody on the team, with PASSWORD, who is not yet."""
        with self.state.service.write() as connection:
            if team.secret_of(connection, name) is None:
                team.add(connection, name, role, QUICK_HASH, self.clock.at)

    def feeling(self, customer: str) -> dict[str, Any]:
        """What a marketing tool reads."""
        answer = self.client.get(
            f"/v1/customers/{customer}/insight", headers={"Authorization": f"Bearer {self.key('read')}"}
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["feeling"]
        return found


@contextmanager
def company(folder: Path, policy: ReviewPolicy = SHOWN) -> Iterator[Company]:
    """A service on an empty data folder."""
    clock, bundles = FakeClock(), FixedBundles()
    settings = Settings(data_dir=folder / "data", mlruns_dir=folder / "mlruns")
    app = create_app(settings, clock=clock, bundles=bundles, ids=CountingIds())
    app.dependency_overrides[review_policy] = lambda: policy
    with TestClient(app, follow_redirects=True) as client:
        yield Company(app, client, clock, bundles)


@dataclass
class Browser:
    """A person at the pages, JavaScript off: reads HTML, sends forms with the token that the page carries."""

    client: TestClient
    html: str = ""
    status: int = 0

    def open(self, path: str) -> str:
        self.html = self.client.get(path).text
        return self.html

    def field(self, name: str) -> str:
        """The value of the first field of this name on the page."""
        return self.html.split(f'name="{name}" value="', 1)[1].split('"', 1)[0]

    def send(self, path: str, **fields: Any) -> str:
        csrf = {"csrf": self.field("csrf")} if "csrf" not in fields else {}
        answer = self.client.post(path, data={**csrf, **fields})
        self.status, self.html = answer.status_code, answer.text
        return self.html

    def answer(self, answer: str, **fields: Any) -> str:
        """Answer the case on the page."""
        return self.send("/reviews/case/verdict", conclusion_id=self.field("conclusion_id"),
                         verdict_id=self.field("verdict_id"), answer=answer, **fields)  # fmt: skip


def signed_in(of: Company, name: str = "Ada", role: str = "reviewer") -> Browser:
    """A browser of its own in which this person has signed in, put on the team first where need be."""
    of.member(name, role)
    browser = Browser(TestClient(of.app))
    browser.open("/reviews")
    browser.send("/reviews/sign-in", csrf="", password=PASSWORD, name=name)
    return browser


def serve(dealer: Company, *cases: tuple[str, float, bool]) -> None:
    """Probabilities that were told, each with what happened."""
    now = dealer.clock.at
    with dealer.state.service.write() as connection:
        source = forecasts.source_id(connection, Source(3, "three", "p", CAR, ("visits",)))
        for customer, told, _ in cases:
            ends = max(0.0, told - 0.04), told + 0.04
            forecast = Forecast(customer, now, now, told, *ends, "auto", "web", "sale", (1.0,))
            forecasts.add(connection, source, forecast)
    with dealer.state.service.write() as connection:
        rows = forecasts.due(connection, now, 10_000)
        came = {customer: int(happened) for customer, _, happened in cases}
        forecasts.settle(connection, [(row, came[row.customer_id]) for row in rows], now)
