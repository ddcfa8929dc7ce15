"""The worker: folds the log and concludes in micro-batches, after new touchpoints, a new bundle, and when answers age.

One process works at a time, by a lease; another that is started waits to take over. Answers no request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import structlog
from sqlalchemy.exc import OperationalError

from models.bundle import load_bundle
from models.journey.event import SECOND, Micros
from service import leases
from service.clock import Clock, Ids, random_id, system_clock
from service.customers.upkeep import Upkeep
from service.delivery.deliverer import Deliverer
from service.delivery.tending import Tending
from service.events import projector, remap, words
from service.forecasts.checking import Checker
from service.insights import store
from service.insights.conclude import Work, conclude, moment
from service.insights.promised import Watcher, put_in_force
from service.jobs.runner import Runner
from service.live.bundles import LiveBundles
from service.logs import log_unexpected
from service.settings import Settings
from service.state import State, open_state

LEASE = "worker"
CONCLUDE_SECONDS = 0.25
"""A micro-batch holds no more customers than are concluded in this time, for folding waits meanwhile. The thread's own
time counts: where the machine or a lock keeps us waiting, smaller batches would only have us wait more often."""
CATCH_UP_SECONDS = 5.0
"""While more waits to be folded than one batch, concluding has a turn so often."""
FIRST_CUSTOMERS = 8
"""Of the first micro-batch; how many are concluded in time is learned from there."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one round did: events folded, customers and texts concluded, rows of history looked at or mapped anew, and
    what was erased or too old."""

    folded: int = 0
    customers: int = 0
    feedback: int = 0
    remapped: int = 0
    tended: int = 0

    @property
    def idle(self) -> bool:
        return not (self.folded or self.customers or self.remapped or self.tended)


@dataclass
class Worker:
    """Does a round at a time; who runs it decides when."""

    state: State
    bundles: LiveBundles
    holder: str
    monotonic: Callable[[], float] = time.monotonic
    worked: Callable[[], float] = time.thread_time
    _upkeep: Upkeep = field(init=False)
    _checker: Checker = field(init=False)
    _watcher: Watcher = field(init=False)
    _tending: Tending = field(init=False)
    _runner: Runner = field(init=False)
    _held_until: Micros = field(default=0, init=False)
    _customers: int = field(default=FIRST_CUSTOMERS, init=False)
    _concluded: float = field(default=-CATCH_UP_SECONDS, init=False)

    def __post_init__(self) -> None:
        self._upkeep = Upkeep(self.state)
        self._checker = Checker(self.state)
        self._watcher = Watcher(self.state, self.bundles)
        self._tending = Tending(self.state)
        self._runner = Runner(self.state, self.bundles, self.holder, self.monotonic)

    def run_once(self) -> Done:
        """Fold one batch and conclude one micro-batch, if this worker has the lease; nothing to do is idle.

        Folding goes before: concluding what is about to change would be in vain.
        """
        if not self.hold_lease():
            return Done()
        remapped = remap.step(self.state, store.end_about)
        folded = projector.fold(self.state, store.end_about)
        behind = remapped > 0 or folded == self.state.settings.fold_batch
        if behind and self.monotonic() - self._concluded < CATCH_UP_SECONDS:
            return Done(folded, remapped=remapped)
        begun = self.worked()
        work = self.conclude_some()
        self._learn(work.customers, self.worked() - begun)
        self._concluded = self.monotonic()
        jobs = self._runner.step(busy=folded > 0 or work.customers > 0)
        tended = self._tending.step() or self._upkeep.step() or self._checker.step() or self._watcher.step() or jobs
        return Done(folded, work.customers, work.feedback, remapped, tended)

    def _learn(self, customers: int, seconds: float) -> None:
        """Half as many customers where they took too long, twice as many where all were done in half the time."""
        if seconds > CONCLUDE_SECONDS:
            self._customers = max(1, self._customers // 2)
        elif seconds < CONCLUDE_SECONDS / 2 and customers >= self._customers:
            self._customers = min(self._customers * 2, self.state.settings.conclude_batch)

    def run_until_idle(self, progress: Callable[[Done], None] = lambda total: None) -> Done:
        """Rounds until nothing is left; `progress` is told the total after each."""
        total = Done()
        while not (done := self.run_once()).idle:
            total = Done(total.folded + done.folded, total.customers + done.customers, total.feedback + done.feedback)
            progress(total)
        return total

    def hold_lease(self) -> bool:
        """Renewed after half its time only, so that a worker with nothing to do seldom writes."""
        now, lease = self.state.clock(), self.state.settings.lease_seconds * SECOND
        if now + lease // 2 < self._held_until <= now + lease:
            return True
        taken = leases.take(self.state.service, LEASE, self.holder, now, now + lease)
        self._held_until = now + lease if taken else 0
        return taken

    def rest(self) -> None:
        """Give the lease back, so that another need not wait for its end."""
        self._runner.rest()
        leases.give_back(self.state.service, LEASE, self.holder)
        self._held_until = 0

    def conclude_some(self) -> Work:
        """First customers of whom something new is known, then those whose insight another version or age outdates."""
        live, settings = self.bundles.now(), self.state.settings
        most = min(self._customers, settings.conclude_batch)
        with self.state.service.read() as connection:
            due = store.pending(connection, most)
            if not due:
                oldest = moment(connection, self.state) - settings.max_age_seconds * SECOND
                due = store.outdated(connection, live.model.version, oldest, most)
        return conclude(self.state, live, due) if due else Work()


def run_worker(
    settings: Settings,
    *,
    stop: threading.Event,
    clock: Clock = system_clock,
    bundles: LiveBundles | None = None,
    ids: Ids = random_id,
) -> None:
    """Work until `stop` is set. A storage that cannot be used for a while is tried again; nothing is lost by it."""
    load = partial(load_bundle, remembered=settings.feeling_answers)
    live = bundles or LiveBundles(settings.mlruns_dir, settings.onnx_threads, settings.bundle_check_seconds, load)
    while not stop.is_set():
        try:
            _work(settings, live, stop, clock, ids)
        except OperationalError as error:  # somebody held a database, or the disk was full, as we began or ended
            structlog.get_logger().error("storage_unavailable", reason=str(error.orig))
            stop.wait(settings.worker_interval_seconds)


def _work(settings: Settings, live: LiveBundles, stop: threading.Event, clock: Clock, ids: Ids) -> None:
    with open_state(settings, clock, ids) as state:
        words.get_ready()
        put_in_force(state)
        worker = Worker(state, live, ids())
        structlog.get_logger().info("worker_started", version=live.now().model.version)
        with Deliverer(state, ids(), np.random.default_rng()).running():
            while not stop.is_set():
                if _round(worker).idle:
                    stop.wait(settings.worker_interval_seconds)
        worker.rest()
        structlog.get_logger().info("worker_stopped")


def _round(worker: Worker) -> Done:
    try:
        done = worker.run_once()
    except OperationalError as error:
        structlog.get_logger().error("storage_unavailable", reason=str(error.orig))
        return Done()
    except Exception as error:
        # One customer's trouble must not stop the others' answers; the lines above tell an operator where it is.
        log_unexpected(error, during="worker")
        return Done()
    if not done.idle:
        structlog.get_logger().debug("round", folded=done.folded, customers=done.customers, feedback=done.feedback)
    return done
