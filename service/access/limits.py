"""How much one key may ask, and how much all may ask at once: who comes over it is told when to come back.

Counts of this process, in memory: a bucket of tokens for each key (Turner 1986, "leaky bucket as a meter"), and the
requests that are being answered. Knows no path's meaning but which are asked by whoever watches the service.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import TooMany, Unavailable, respond

WATCHED = ("/healthz", "/readyz", "/metrics")
"""Never refused: who watches the service must see that it is busy."""
MOST_BUCKETS = 10_000


@dataclass
class Limits:
    """`rate` requests a second for each key, and `burst` at once after a pause; rate 0: no limit.

    >>> now = iter([0.0, 0.0, 0.0, 0.5]).__next__
    >>> limits = Limits(rate=2.0, burst=1, monotonic=now)
    >>> limits.take("a"), limits.take("a"), limits.take("b"), limits.take("a")
    (0.0, 0.5, 0.0, 0.0)
    """

    rate: float
    burst: int
    monotonic: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, key_id: str) -> float:
        """0 where this request may go on, else the seconds until one may."""
        if not self.rate:
            return 0.0
        now = self.monotonic()
        left, at = self._buckets.get(key_id, (float(self.burst), now))
        left = min(float(self.burst), left + (now - at) * self.rate)
        if len(self._buckets) >= MOST_BUCKETS:
            self._buckets.clear()
        self._buckets[key_id] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) / self.rate

    def check(self, key_id: str) -> None:
        """Raises TooMany, with `Retry-After`."""
        wait = self.take(key_id)
        if wait:
            raise TooMany(f"This key may ask {self.rate:g} times a second.", "Come back after Retry-After seconds.",
                          code="too_many_requests", retry_seconds=math.ceil(wait))  # fmt: skip


class Bounded:
    """ASGI middleware: while `most` requests are being answered, the next is refused at once instead of waiting."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most, self._now = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in WATCHED:
            await self.app(scope, receive, send)
            return
        if self._now >= self.most:
            busy = Unavailable(f"{self.most} requests are being answered already.")
            busy.headers["Connection"] = "close"
            await respond(busy)(scope, receive, send)
            return
        self._now += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._now -= 1
