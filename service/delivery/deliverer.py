"""The deliverer: hands changes out to webhooks and sends what is due, in threads of its own: folding never waits.

A delivery is written down as done after the receiver has answered; whoever is killed in between sends it again. So each
change arrives at least once, with the same `webhook-id`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any, TypeAlias

import msgspec
import numpy as np
import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import OperationalError
from standardwebhooks import Webhook

from models.journey.event import SECOND, Micros, format_time
from service import leases
from service.delivery import tally, webhooks
from service.delivery.secrets import print_of, secret_of, signing_key
from service.delivery.sending import Outcome, Resolve, Sender, resolve, trusted
from service.logs import log_unexpected
from service.outbox import store
from service.outbox.store import Change
from service.state import State

LEASE = "deliverer"
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After each failed attempt, as Standard Webhooks recommends: a little over three days. Given up after the last."""
JITTER = 0.2
"""Each wait is longer or shorter by up to this share, so that what failed together does not come again together."""
LANES = 8
"""Requests to one webhook at a time. Each webhook has its own: a slow receiver takes none of another's."""
IN_A_LANE = 16
"""Deliveries that one lane takes along, one after the other, so that many are written down in one commit."""
LANE_SECONDS = 0.25
"""After so long a lane begins no further one: what is left goes back to be looked at anew."""
HANDED_OUT = 500
"""Changes that one step hands out to one webhook."""
FAILURES_TO_REST = 5
MOST_REST_SECONDS = 300.0
"""After so many failures in a row, a webhook rests ever longer, and is then tried with one delivery at a time."""

Attempt: TypeAlias = tuple[Row[Any], Outcome]
_Lane: TypeAlias = "Future[list[Attempt]]"


@dataclass(frozen=True, slots=True)
class _Message:
    """A delivery, ready to be sent."""

    row: Row[Any]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class _Endpoint:
    """How a webhook's receiver has been doing, and the senders of its own, the last used first: it is connected."""

    new_sender: Callable[[], Sender]
    failures: int = 0
    until: float = 0.0
    senders: list[Sender] = field(default_factory=list)

    def note(self, now: float, *, arrived: bool) -> None:
        self.failures = 0 if arrived else self.failures + 1
        over = self.failures - FAILURES_TO_REST
        self.until = now + min(MOST_REST_SECONDS, 2.0 ** min(over, 20)) if over >= 0 else 0.0

    def lanes(self, now: float, under_way: int) -> int:
        """How many more may be begun."""
        if self.failures < FAILURES_TO_REST:
            return LANES - under_way
        return 1 - under_way if now >= self.until else 0

    def in_a_lane(self) -> int:
        return IN_A_LANE if self.failures < FAILURES_TO_REST else 1

    def send(self, url: str, messages: Sequence[_Message]) -> list[Attempt]:
        """One after the other, until one does not arrive or time is up; what was not begun is not in the answer."""
        sender = self.senders.pop() if self.senders else self.new_sender()
        done, seconds = list[Attempt](), 0.0
        try:
            for one in messages:
                outcome = sender.send(url, one.headers, one.body)
                done.append((one.row, outcome))
                seconds += outcome.seconds
                if not outcome.arrived or seconds > LANE_SECONDS:
                    break
        finally:
            self.senders.append(sender)
        return done

    def close(self) -> None:
        while self.senders:
            self.senders.pop().close()


@dataclass
class Deliverer:
    """Does a step at a time; who runs it decides when. One process delivers at a time, by a lease."""

    state: State
    holder: str
    random: np.random.Generator
    resolve: Resolve = resolve
    monotonic: Callable[[], float] = time.monotonic
    _pool: ThreadPoolExecutor = field(init=False)
    _trusted: SSLContext = field(init=False)
    _endpoints: dict[str, _Endpoint] = field(default_factory=dict, init=False)
    _under_way: dict[_Lane, Sequence[Row[Any]]] = field(default_factory=dict, init=False)
    _held_until: Micros = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._trusted = trusted(self.state.settings.webhook_ca_file)
        self._pool = ThreadPoolExecutor(LANES * webhooks.MOST_WEBHOOKS, thread_name_prefix="webhook")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Deliver in a thread of its own meanwhile; at the end what is under way is waited for."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name="deliverer")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.close()

    def _run(self, stop: threading.Event) -> None:
        """A storage that cannot be used for a while is tried again."""
        while not stop.is_set():
            if not self._guarded_step():
                self._rest(stop)

    def step(self) -> int:
        """Write down what became of what was sent, hand out new changes, send what is due; says how much it did."""
        with self.state.service.read() as connection:
            hooks = webhooks.in_force(connection)
            newest = store.head(connection).seq if hooks else 0
        if not (hooks or self._under_way) or not self._hold_lease():
            return 0
        did = self._collect() + sum(self._hand_out(hook) for hook in hooks if hook.position != newest)
        self._forget({hook.webhook_id for hook in hooks})
        return did + sum(map(self._send_due, hooks))

    def run_until_idle(self) -> int:
        """Steps until nothing is under way and nothing is due; says how many were needed."""
        steps = 0
        while self.step() or self._under_way:
            self._wait_for_lanes()
            steps += 1
        return steps

    def close(self) -> None:
        """Wait for what is under way and write it down. Give the lease back."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._under_way = {lane: rows for lane, rows in self._under_way.items() if not lane.cancelled()}
        self._collect()
        for endpoint in self._endpoints.values():
            endpoint.close()
        if self._held_until:
            leases.give_back(self.state.service, LEASE, self.holder)

    def _guarded_step(self) -> int:
        try:
            return self.step()
        except OperationalError as error:
            structlog.get_logger().error("storage_unavailable", reason=str(error.orig))
        except Exception as error:
            log_unexpected(error, during="deliveries")
        return 0

    def _rest(self, stop: threading.Event) -> None:
        if self._under_way:
            self._wait_for_lanes()
        else:
            stop.wait(self.state.settings.worker_interval_seconds)

    def _wait_for_lanes(self) -> None:
        """Until one has ended, or it is time to look for what is new."""
        wait(self._under_way, timeout=self.state.settings.worker_interval_seconds, return_when=FIRST_COMPLETED)

    def _hold_lease(self) -> bool:
        now, lease = self.state.clock(), self.state.settings.lease_seconds * SECOND
        if now + lease // 2 < self._held_until <= now + lease:
            return True
        taken = leases.take(self.state.service, LEASE, self.holder, now, now + lease)
        self._held_until = now + lease if taken else 0
        return taken

    def _hand_out(self, hook: Row[Any]) -> int:
        """Deliveries for changes that this webhook has not seen yet."""
        kinds = hook.kinds.split()
        with self.state.service.read() as connection:
            found = store.after(connection, hook.position, kinds, HANDED_OUT)
            position = found[-1].seq if len(found) == HANDED_OUT else store.head(connection).seq
        if position == hook.position or (not found and position < hook.position + HANDED_OUT):
            return 0
        with self.state.service.write() as connection:
            current = webhooks.get(connection, hook.webhook_id)
            if current is not None and (current.position, current.kinds) == (hook.position, hook.kinds):
                webhooks.hand_out(connection, hook.webhook_id, found, position, self.state.clock())
        return len(found)

    def _forget(self, in_force: set[str]) -> None:
        """Close connections to webhooks that are in force no more, once nothing is under way there."""
        busy = {row.webhook_id for rows in self._under_way.values() for row in rows}
        for webhook_id in self._endpoints.keys() - in_force - busy:
            self._endpoints.pop(webhook_id).close()

    def _send_due(self, hook: Row[Any]) -> int:
        """Fill the lanes of this webhook that are free with what is due."""
        mine = [rows for rows in self._under_way.values() if rows[0].webhook_id == hook.webhook_id]
        endpoint = self._endpoints.setdefault(hook.webhook_id, _Endpoint(self._new_sender))
        lanes = endpoint.lanes(self.monotonic(), len(mine))
        if lanes <= 0:
            return 0
        under_way = {row.seq for rows in mine for row in rows}
        messages = self._ready(hook, lanes * endpoint.in_a_lane(), under_way)
        lanes = min(lanes, len(messages))
        for lane in range(lanes):
            some = messages[lane::lanes]
            self._under_way[self._pool.submit(endpoint.send, hook.url, some)] = [one.row for one in some]
        return len(messages)

    def _ready(self, hook: Row[Any], most: int, under_way: set[int]) -> list[_Message]:
        """What is due and not under way, signed."""
        now = self.state.clock()
        with self.state.service.read() as connection:
            found = webhooks.due(connection, hook.webhook_id, now, most + len(under_way))
            rows = [row for row in found if row.seq not in under_way][:most]
            about = store.get(connection, [row.seq for row in rows])
            secrets = webhooks.secrets_of(connection, hook.webhook_id, now) if rows else ()
        if not rows:
            return []
        key = signing_key(self.state.settings)
        signing = [secret_of(key, one.secret_id) for one in secrets if one.key_print == print_of(key)]
        if not signing:
            self._disable(hook.webhook_id, "its secret was derived from another key; rotate it")
            return []
        self._withdraw([row for row in rows if row.seq not in about])
        bodies = {row.seq: msgspec.json.encode(about[row.seq].to_dict()) for row in rows if row.seq in about}
        return [_Message(row, headers_of(about[row.seq], bodies[row.seq], signing, now), bodies[row.seq])
                for row in rows if row.seq in about]  # fmt: skip

    def _new_sender(self) -> Sender:
        settings = self.state.settings
        return Sender(settings.webhook_seconds, private=settings.webhook_private, resolve=self.resolve,
                      ssl_context=self._trusted)  # fmt: skip

    def _collect(self) -> int:
        """Write down every attempt of the lanes that have ended, in one transaction."""
        ended = [lane for lane in self._under_way if lane.done()]
        if not ended:
            return 0
        attempts = [attempt for lane in ended for attempt in lane.result()]
        now = self.state.clock()
        with self.state.service.write() as connection:
            webhooks.settle(connection, [self._settled(row, outcome, now) for row, outcome in attempts])
            tally.add(connection, Counter(outcome.kind for _, outcome in attempts))
            for webhook_id in {row.webhook_id for row, outcome in attempts if outcome.status == 410}:
                self._disabled(connection, webhook_id, "its receiver answered 410 Gone")
        for lane in ended:
            del self._under_way[lane]
        for row, outcome in attempts:
            self._endpoints[row.webhook_id].note(self.monotonic(), arrived=outcome.arrived)
        structlog.get_logger().debug(
            "deliveries", attempts=len(attempts), arrived=sum(one.arrived for _, one in attempts)
        )
        return len(attempts)

    def _settled(self, row: Row[Any], outcome: Outcome, now: Micros) -> webhooks.Settled:
        attempt = {"at": format_time(now), "status": outcome.status, "error": outcome.error or None,
                   "milliseconds": round(outcome.seconds * 1_000)}  # fmt: skip
        if outcome.arrived:
            return webhooks.Settled(row.webhook_id, row.seq, "delivered", now, attempt)
        state: webhooks.State = "waiting" if row.attempts < len(RETRY_SECONDS) else "failed"
        due_at = now + self._wait(row.attempts, outcome.retry_seconds)
        return webhooks.Settled(row.webhook_id, row.seq, state, due_at, attempt)

    def _wait(self, failed_before: int, asked_seconds: int) -> Micros:
        """Until the next attempt; longer where the receiver asks for it, up to the longest wait."""
        longest = RETRY_SECONDS[-1]
        usual = RETRY_SECONDS[min(failed_before, len(RETRY_SECONDS) - 1)]
        jittered = usual * self.random.uniform(1 - JITTER, 1 + JITTER)
        return int(max(jittered, min(asked_seconds, longest)) * SECOND)

    def _withdraw(self, rows: list[Row[Any]]) -> None:
        """Their change is there no more: the customer was erased, or objects."""
        if rows:
            with self.state.service.write() as connection:
                webhooks.withdraw(connection, rows)

    def _disable(self, webhook_id: str, because: str) -> None:
        with self.state.service.write() as connection:
            self._disabled(connection, webhook_id, because)

    def _disabled(self, connection: Connection, webhook_id: str, because: str) -> None:
        values = {"disabled_at": self.state.clock(), "disabled_because": because}
        webhooks.change(connection, webhook_id, values)
        structlog.get_logger().warning("webhook_disabled", webhook_id=webhook_id)


def headers_of(change: Change, body: bytes, secrets: list[str], now: Micros) -> dict[str, str]:
    """What Standard Webhooks asks for: the id, the moment of this attempt, and a signature by each secret in force."""
    moment = datetime.fromtimestamp(now // SECOND, tz=UTC)
    signatures = [Webhook(one).sign(change.id, moment, body.decode()) for one in secrets]
    return {
        "content-type": "application/json",
        "user-agent": "journey-insight-webhooks/1",
        "webhook-id": change.id,
        "webhook-timestamp": str(now // SECOND),
        "webhook-signature": " ".join(signatures),
    }
