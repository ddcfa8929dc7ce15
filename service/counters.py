"""What this process counts as it answers: requests, how long they took, and what became of events and feedback.

Counters start at 0 with the process, in a registry of their own. No label names a customer, a key, an id or a path (a
route's template stands in for it). What the databases know is read when it is asked for (metrics.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import cast

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets: reading an insight takes milliseconds, a batch of 2,500 events less than a
second."""


@dataclass(frozen=True)
class Counters:
    """One set of counters, and the registry that tells them."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    events: Counter
    feedback: Counter
    _of_routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = field(default_factory=dict)

    @classmethod
    def fresh(cls) -> Counters:
        """All at 0, on a registry of their own."""
        registry = CollectorRegistry()
        counters = cls(
            registry,
            Counter("journey_requests", "Requests answered.", ("method", "route", "status"), registry=registry),
            Histogram("journey_request_seconds", "Seconds from a request's first byte to its answer's last.",
                      ("method", "route"), buckets=SECONDS, registry=registry),
            Counter("journey_events", "Events of tracking calls: accepted, repeated, refused, or of somebody erased.",
                    ("outcome",), registry=registry),
            Counter("journey_feedback", "Feedback sent in: accepted or repeated.", ("outcome",), registry=registry),
        )  # fmt: skip
        counters.count_events(0, 0, 0, 0)
        for outcome in ("accepted", "repeated"):
            counters.feedback.labels(outcome)
        return counters

    def count_events(self, accepted: int, repeated: int, refused: int, erased: int) -> None:
        """What became of the events of one call."""
        self.events.labels("accepted").inc(accepted)
        self.events.labels("repeated").inc(repeated)
        self.events.labels("refused").inc(refused)
        self.events.labels("erased").inc(erased)

    def count_feedback(self, *, repeated: bool) -> None:
        self.feedback.labels("repeated" if repeated else "accepted").inc()

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template; what matched none is told as one. A method that nobody knows is `other`."""
        known = method if method in METHODS else "other"
        labels = (known, route or "unmatched", status)
        if labels not in self._of_routes:  # finding them by their labels takes longer than counting
            self._of_routes[labels] = self.requests.labels(*labels), self.seconds.labels(*labels[:2])
        requests, lasted = self._of_routes[labels]
        requests.inc()
        lasted.observe(seconds)


class CountRequests:
    """ASGI middleware, the outermost, so that it sees the 500 of an unexpected error too."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self.app, self.counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "")
            self.counters.count_request(scope["method"], route, status, time.perf_counter() - begun)


def counters_of(request: Request) -> Counters:
    """FastAPI dependency: the counters of the app that answers this request."""
    return cast(Counters, request.app.state.counters)
