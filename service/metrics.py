"""/metrics in Prometheus' format: what this process counted, and what both databases know at the moment of asking.

The worker is a process of its own and answers no request, so what it does is read from what it leaves behind. Each
query reads an index only. No personal data: no label names a customer, a reviewer, a key or an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from models.journey.event import SECOND, Micros
from models.journey.identity import CIRCLE, SHARED, SPLIT_UP, TAKEN, TOO_MANY_USERS
from service import leases
from service.access.keys import authorize, credentials
from service.counters import Counters, counters_of
from service.delivery import tally, webhooks
from service.events import catalogues, joins, projector, remap
from service.events import store as log
from service.insights import store as insights
from service.live.bundles import LiveBundles
from service.reviews import store as reviews
from service.state import State, state_of

router = APIRouter(tags=["health"])

WORKER = "worker"
FORWARDED = ("forwarded", "x-forwarded-for")


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(
    request: Request,
    state: Annotated[State, Depends(state_of)],
    counters: Annotated[Counters, Depends(counters_of)],
) -> Response:
    """For callers on this machine (a setting), and else with a key that has scope `admin`."""
    if not (state.settings.metrics_on_loopback and from_loopback(request)):
        authorize(state, credentials(request), "admin")
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(counters.registry), media_type=content_type)


def from_loopback(request: Request) -> bool:
    """True where this machine asks for itself. What a proxy passes on is somebody else's, wherever the proxy runs."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


@contextmanager
def watching(registry: CollectorRegistry, state: State, bundles: LiveBundles) -> Iterator[None]:
    """Let the registry tell what is stored, for as long as the databases are open."""
    stored = Stored(state, bundles)
    registry.register(stored)
    try:
        yield
    finally:
        registry.unregister(stored)


@dataclass(frozen=True, eq=False)
class Stored(Collector):
    """What is known from the databases and the ledger, read anew each time."""

    state: State
    bundles: LiveBundles

    def collect(self) -> Iterator[Metric]:
        now = self.state.clock()
        yield from self._folding(now)
        yield from self._waiting(now)
        yield from self._worker(now)
        yield from self._identity()
        yield from self._deliveries(now)
        yield gauge("journey_bundle_version", "Number of the live bundle in the ledger; 0 before the first.",
                    self.bundles.now().model.version)  # fmt: skip
        yield gauge("journey_bundle_problem", "1 where the newest bundle cannot be loaded; the one before serves on.",
                    self.bundles.problem is not None)  # fmt: skip

    def _folding(self, now: Micros) -> Iterator[Metric]:
        with self.state.service.read() as connection:
            folded = projector.position(connection).seq
            unmapped, to_remap = catalogues.count_unmapped(connection), remap.rows_left(connection)
        with self.state.log.read() as connection:
            rows = max(0, log.head(connection) - folded)
            oldest = log.received_after(connection, folded)
        yield gauge("journey_log_rows_to_fold", "Rows of the log that the worker has yet to fold.", rows)
        yield gauge("journey_unmapped_events", "Events that no rule of the catalogue names.", unmapped)
        yield gauge("journey_rows_to_remap", "Rows of history that a changed catalogue has yet to map.", to_remap)
        yield gauge("journey_fold_lag_seconds", "Seconds since the oldest row that is not folded was received; else 0.",
                    seconds_since(oldest, now))  # fmt: skip

    def _waiting(self, now: Micros) -> Iterator[Metric]:
        with self.state.service.read() as connection:
            pending = insights.count_pending(connection)
            cases, urgent = insights.count_waiting(connection), reviews.count_urgent(connection)
            oldest = insights.oldest_waiting(connection)
            decided = insights.count_settled(connection) | {("review", "model"): cases}
        yield gauge("journey_customers_pending", "Customers of whom something is known that is not concluded.", pending)
        open_cases = GaugeMetricFamily("journey_open_cases", "Feelings that wait for a person.", labels=["urgent"])
        open_cases.add_metric(["false"], cases - urgent)
        open_cases.add_metric(["true"], urgent)
        yield open_cases
        yield gauge("journey_oldest_case_seconds", "Seconds since the longest waiting case was concluded; 0: none.",
                    seconds_since(oldest, now))  # fmt: skip
        told = GaugeMetricFamily("journey_conclusions", "Feelings as they stand, by decision and by who decided.",
                                 labels=["decision", "decided_by"])  # fmt: skip
        for (decision, decided_by), count in sorted(decided.items()):
            told.add_metric([decision, decided_by], count)
        yield told

    def _identity(self) -> Iterator[Metric]:
        with self.state.service.read() as connection:
            refused = joins.count_refused(connection)
        told = GaugeMetricFamily("journey_joins_refused", "Claims on ids that do not stand, by reason.",
                                 labels=["reason"])  # fmt: skip
        for reason in (SHARED, TOO_MANY_USERS, TAKEN, CIRCLE, SPLIT_UP):
            told.add_metric([reason], refused.get(reason, 0))
        yield told

    def _deliveries(self, now: Micros) -> Iterator[Metric]:
        with self.state.service.read() as connection:
            attempts, left = tally.read(connection), webhooks.backlog(connection)
            there, on = len(webhooks.every(connection)), len(webhooks.in_force(connection))
        counted = CounterMetricFamily("journey_webhook_attempts", "Attempts to deliver to webhooks, by what became of "
                                      "them.", labels=["outcome"])  # fmt: skip
        for outcome, number in attempts.items():
            counted.add_metric([outcome], number)
        yield counted
        told = GaugeMetricFamily("journey_webhooks", "Webhooks, by whether they are switched on.", labels=["enabled"])
        told.add_metric(["true"], on)
        told.add_metric(["false"], there - on)
        yield told
        yield gauge("journey_webhook_deliveries_waiting", "Deliveries to webhooks that are on, still to arrive.",
                    left.waiting)  # fmt: skip
        yield gauge("journey_webhook_oldest_waiting_seconds", "Seconds since the oldest change that such a delivery is "
                    "about; 0: none waits.", seconds_since(left.oldest_at, now))  # fmt: skip

    def _worker(self, now: Micros) -> Iterator[Metric]:
        with self.state.service.read() as connection:
            until = leases.until(connection, WORKER)
        yield gauge("journey_worker_running", "1 while a worker holds the lease.", until is not None and until > now)
        taken = None if until is None else until - self.state.settings.lease_seconds * SECOND
        yield gauge("journey_worker_lease_age_seconds", "Seconds since the worker last renewed its lease; 0: no lease.",
                    seconds_since(taken, now))  # fmt: skip


def gauge(name: str, told: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, told, value=float(value))


def seconds_since(moment: Micros | None, now: Micros) -> float:
    """Never below 0: clocks of two processes differ.

    >>> seconds_since(None, 9), seconds_since(5, 3), seconds_since(0, 2_500_000)
    (0.0, 0.0, 2.5)
    """
    return 0.0 if moment is None else max(0, now - moment) / SECOND
