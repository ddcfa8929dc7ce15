"""The deliverer: hands changes out to webhooks and sends what is due, in threads of its own: folding never waits.

A delivery is written down as done after the receiver has answered; whoever is killed in between sends it again. So each
change arrives at least once, with the same `webhook-id`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, TypeAlias

import msgspec
import numpy as np
import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import OperationalError
from standardwebhooks import Webhook

from models.journey.event import SECOND, Micros, format_time
from service import leases
from service.delivery import webhooks
from service.delivery.secrets import print_of, secret_of, signing_key
from service.delivery.sending import Outcome, Resolve, Sender, resolve
from service.logs import log_unexpected
from service.outbox import store
from service.outbox.store import Change
from service.state import State

LEASE = "deliverer"
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After each failed attempt, as Standard Webhooks recommends: a little over three days. Given up after the last."""
JITTER = 0.2
"""Each wait is longer or shorter by up to this share, so that what failed together does not come again together."""
THREADS = 16
AT_ONCE = 8
"""Deliveries of one webhook under way: a slow receiver leaves threads to the others."""
HANDED_OUT = 500
"""Changes that one step hands out to one webhook."""
FAILURES_TO_REST = 5
MOST_REST_SECONDS = 300.0
"""After so many failures in a row, a webhook rests ever longer, and is then tried with one delivery at a time."""
_POLL_SECONDS = 0.05

_Sent: TypeAlias = "Future[Outcome]"


@dataclass
class _Health:
    """How a webhook's receiver has been doing."""

    failures: int = 0
    until: float = 0.0

    def note(self, now: float, *, arrived: bool) -> None:
        self.failures = 0 if arrived else self.failures + 1
        over = self.failures - FAILURES_TO_REST
        self.until = now + min(MOST_REST_SECONDS, 2.0 ** min(over, 20)) if over >= 0 else 0.0

    def room(self, now: float, under_way: int) -> int:
        if self.failures < FAILURES_TO_REST:
            return AT_ONCE - under_way
        return 1 - under_way if now >= self.until else 0


@dataclass
class Deliverer:
    """Does a step at a time; who runs it decides when. One process delivers at a time, by a lease."""

    state: State
    holder: str
    random: np.random.Generator
    resolve: Resolve = resolve
    monotonic: Callable[[], float] = time.monotonic
    _pool: ThreadPoolExecutor = field(init=False)
    _senders: SimpleQueue[Sender] = field(init=False)
    _under_way: dict[_Sent, Row[Any]] = field(default_factory=dict, init=False)
    _health: dict[str, _Health] = field(default_factory=dict, init=False)
    _held_until: Micros = field(default=0, init=False)

    def __post_init__(self) -> None:
        settings = self.state.settings
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")
        self._senders = SimpleQueue()
        for _ in range(THREADS):
            sender = Sender(settings.webhook_seconds, private=settings.webhook_private, resolve=self.resolve)
            self._senders.put(sender)

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
        if not (hooks or self._under_way) or not self._hold_lease():
            return 0
        return self._collect() + sum(map(self._hand_out, hooks)) + sum(map(self._send_due, hooks))

    def run_until_idle(self) -> int:
        """Steps until nothing is under way and nothing is due; says how many were needed."""
        steps = 0
        while self.step() or self._under_way:
            wait(self._under_way, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            steps += 1
        return steps

    def close(self) -> None:
        """Wait for what is under way and write it down. Give the lease back."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        while not self._senders.empty():
            self._senders.get().close()
        self._under_way = {sent: row for sent, row in self._under_way.items() if not sent.cancelled()}
        self._collect()
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
            wait(self._under_way, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        else:
            stop.wait(self.state.settings.worker_interval_seconds)

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

    def _send_due(self, hook: Row[Any]) -> int:
        """Begin to send what is due and may be under way at once."""
        under_way = {row.seq for row in self._under_way.values() if row.webhook_id == hook.webhook_id}
        health = self._health.setdefault(hook.webhook_id, _Health())
        room = min(health.room(self.monotonic(), len(under_way)), THREADS - len(self._under_way))
        if room <= 0:
            return 0
        now = self.state.clock()
        with self.state.service.read() as connection:
            found = webhooks.due(connection, hook.webhook_id, now, room + len(under_way))
            rows = [row for row in found if row.seq not in under_way][:room]
            about = store.get(connection, [row.seq for row in rows])
            secrets = webhooks.secrets_of(connection, hook.webhook_id, now) if rows else ()
        if not rows:
            return 0
        key = signing_key(self.state.settings)
        signing = [secret_of(key, one.secret_id) for one in secrets if one.key_print == print_of(key)]
        if not signing:
            self._disable(hook.webhook_id, "its secret was derived from another key; rotate it")
            return 1
        self._withdraw([row for row in rows if row.seq not in about])
        for row in rows:
            if row.seq in about:
                body = msgspec.json.encode(about[row.seq].to_dict())
                signed = headers_of(about[row.seq], body, signing, now)
                self._under_way[self._pool.submit(self._send, hook.url, signed, body)] = row
        return len(rows)

    def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        sender = self._senders.get()
        try:
            return sender.send(url, headers, body)
        finally:
            self._senders.put(sender)

    def _collect(self) -> int:
        """Write down every attempt that has ended, in one transaction."""
        ended = [sent for sent in self._under_way if sent.done()]
        if not ended:
            return 0
        now = self.state.clock()
        with self.state.service.write() as connection:
            for sent in ended:
                self._settle(connection, self._under_way[sent], sent.result(), now)
        tally = Counter[str]()
        for sent in ended:
            row, outcome = self._under_way.pop(sent), sent.result()
            self._health[row.webhook_id].note(self.monotonic(), arrived=outcome.arrived)
            tally["arrived" if outcome.arrived else "failed"] += 1
        structlog.get_logger().debug("deliveries", **tally)
        return len(ended)

    def _settle(self, connection: Connection, row: Row[Any], outcome: Outcome, now: Micros) -> None:
        attempt = {"at": format_time(now), "status": outcome.status, "error": outcome.error or None,
                   "milliseconds": round(outcome.seconds * 1_000)}  # fmt: skip
        state: webhooks.State = "delivered"
        due_at = now
        if not outcome.arrived:
            state = "waiting" if row.attempts < len(RETRY_SECONDS) else "failed"
            due_at = now + self._wait(row.attempts, outcome.retry_seconds)
        webhooks.settle(connection, row.webhook_id, row.seq, state, due_at, attempt)
        if outcome.status == 410:
            disabled = {"disabled_at": now, "disabled_because": "its receiver answered 410 Gone"}
            webhooks.change(connection, row.webhook_id, disabled)
            structlog.get_logger().warning("webhook_disabled", webhook_id=row.webhook_id)

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
                for row in rows:
                    webhooks.settle(connection, row.webhook_id, row.seq, "withdrawn", row.due_at, None)

    def _disable(self, webhook_id: str, because: str) -> None:
        with self.state.service.write() as connection:
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
