"""Which bundle is live: looks at the ledger now and then, loads what went live, keeps the old one if that is broken.

Does not publish (training does) and concludes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import structlog
from fastapi import Request

from models import ledger
from models.bundle import Bundle, BundleError, load_bundle
from models.insight import ModelVersion
from models.ledger import LedgerError, LiveEntry

NONE_LIVE = ModelVersion(0, None, None)


@dataclass(frozen=True)
class Live:
    """What concludes now. `bundle` is None before anything was published."""

    bundle: Bundle | None
    model: ModelVersion


@dataclass
class LiveBundles:
    """Hands out the live bundle, thread-safe. `problem` says why the newest entry is not the one that serves.

    A broken entry is tried once: what it points to is immutable, so only a newer entry can help. An unreadable ledger
    is looked at again.
    """

    root: Path
    threads: int = 1
    check_seconds: float = 1.0
    load: Callable[[Path, int], Bundle] = load_bundle
    monotonic: Callable[[], float] = time.monotonic
    problem: str | None = field(default=None, init=False)
    _live: Live = field(default=Live(None, NONE_LIVE), init=False)
    _tried: int = field(default=0, init=False)
    _next_look: float | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def now(self) -> Live:
        """The bundle to conclude with; looks at the ledger at most once in `check_seconds`.

        While one thread loads a new bundle, the others go on with the old one.
        """
        if self.due and self._lock.acquire(blocking=self._next_look is None):
            try:
                if self.due:
                    self._look()
                    self._next_look = self.monotonic() + self.check_seconds
            finally:
                self._lock.release()
        return self._live

    @property
    def serving(self) -> Live:
        """The bundle that concluded last, without a look at the ledger."""
        return self._live

    @property
    def due(self) -> bool:
        """Whether `now` would look at the ledger."""
        return self._next_look is None or self.monotonic() >= self._next_look

    def _look(self) -> None:
        try:
            entry = ledger.current(self.root)
        except LedgerError as error:
            self._keep_old(str(error))
            return
        if entry is None or entry.version == self._tried:
            return
        self._tried = entry.version
        try:
            bundle = self.load(ledger.bundle_folder(self.root, entry.digest), self.threads)
            if bundle.digest != entry.digest:
                raise BundleError(f"the folder of {entry.digest[:12]} holds {str(bundle.digest)[:12]}; copy it again")
        except BundleError as error:
            self._keep_old(f"version {entry.version} cannot be loaded: {error}")
            return
        self._swap(bundle, entry)

    def _swap(self, bundle: Bundle, entry: LiveEntry) -> None:
        self._live = Live(bundle, ModelVersion(entry.version, entry.digest, entry.live_since))
        self.problem = None
        structlog.get_logger().info("bundle_live", version=entry.version, digest=entry.digest)

    def _keep_old(self, problem: str) -> None:
        if problem != self.problem:
            structlog.get_logger().error("bundle_refused", problem=problem, serving=self._live.model.version)
        self.problem = problem

    def status(self) -> dict[str, Any]:
        """For /readyz: what serves, and what is wrong with what should."""
        live = self.now()
        return {**live.model.to_dict(), "trained": live.bundle is not None, "problem": self.problem}


def bundles_of(request: Request) -> LiveBundles:
    """FastAPI dependency: the app's bundles."""
    return cast(LiveBundles, request.app.state.bundles)
