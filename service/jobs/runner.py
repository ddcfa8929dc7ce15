"""Jobs, done a small part at a time by whoever calls `step`: the worker does, between folding and concluding.

A part is on the disk before it counts, and what moment and bundle a job is about was fixed when it was made, so a job
that was cut off anywhere goes on to the same result. A lease keeps two workers from doing one job twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row

from models import ledger
from models.bundle import BundleError
from models.insight import ModelVersion
from models.journey.event import DAY, SECOND, Micros
from service.customers import handed_out
from service.errors import Problem
from service.jobs import store
from service.jobs.scoring import Combining, Order, Scoring, all_customers, as_lines, score
from service.live.bundles import Live, LiveBundles
from service.outbox import audiences
from service.outbox import store as outbox
from service.state import State

FOLDER = "jobs"
BUSY_SECONDS = 1.0
"""While there is something to fold or to conclude, a job has a turn so often."""
TIDY_EVERY: Micros = 600 * SECOND
"""Between two looks for results that are too old."""


@dataclass
class _Work:
    """A job that this process works on."""

    job_id: str
    scoring: Scoring
    live: Live
    parts: Iterator[tuple[int, list[bytes]]]
    combining: Combining | None = None


@dataclass
class Runner:
    """Does the oldest job first."""

    state: State
    bundles: LiveBundles
    holder: str
    monotonic: Callable[[], float]
    _work: _Work | None = field(default=None, init=False)
    _last: float = field(default=0.0, init=False)
    _tidy_from: Micros = field(default=0, init=False)

    def step(self, *, busy: bool) -> int:
        """One part of one job; 0: there is no job, or it is not its turn."""
        with self.state.service.read() as connection:
            waits = store.count_open(connection) > 0
        if not waits:
            return 0 if busy else self._tidy()
        if busy and self.monotonic() - self._last < BUSY_SECONDS:
            return 0
        row = self._leased()
        if row is None:
            return 0
        try:
            if row.cancelled_at is not None:
                self._end(row.job_id)
            else:
                self._part(row.job_id)
        except FileNotFoundError as error:
            self._removed(row, error)
        except (Problem, BundleError) as error:
            self._end(row.job_id, problem=f"{error} {getattr(error, 'fix', '')}".strip())
        self._last = self.monotonic()
        return 1

    def rest(self) -> None:
        """Give the lease back, so that another goes on at once."""
        if self._work is not None:
            self._change(self._work.job_id, holder=None, held_until=None)
        self.close()

    def close(self) -> None:
        """Let go of open files. What is on the disk stays, for whoever goes on."""
        if self._work is not None and self._work.combining is not None:
            self._work.combining.close(Problem("cut off"))
        self._work = None

    def _leased(self) -> Row[Any] | None:
        now = self.state.clock()
        with self.state.service.write() as connection:
            lease = self.state.settings.lease_seconds * SECOND
            return store.take(connection, self.holder, now, now + lease)

    def _part(self, job_id: str) -> None:
        work = self._work if self._work is not None and self._work.job_id == job_id else self._open(job_id)
        self._work = work
        following = next(work.parts, None)
        if following is not None:
            number, lines = following
            work.scoring.keep(number, score(self.state, work.live, work.scoring.order, number, lines))
            self._change(job_id, done=number * work.scoring.order.part + len(lines))
            return
        if work.combining is None:
            work.combining = Combining(work.scoring)
        if not work.combining.step():
            self._end(job_id, rows=work.combining.rows)

    def _open(self, job_id: str) -> _Work:
        with self.state.service.read() as connection:
            row = store.get(connection, job_id)
        if row is None:
            raise FileNotFoundError(job_id)
        scoring = Scoring(folder_of(self.state, job_id))
        if not scoring.is_begun:
            request = msgspec.json.decode(row.request)
            if request["customers"] not in ("all", "audience"):
                raise FileNotFoundError(scoring.folder)
            order = Order("customers", row.made_at, request["format"], row.version, row.digest)
            scoring = Scoring.begin(scoring.folder, order, as_lines(self._asked(request)))
        self._change(job_id, total=scoring.total())
        return _Work(job_id, scoring, bundle_of(self.bundles, scoring.order), scoring.parts())

    def _asked(self, request: dict[str, Any]) -> Iterator[str]:
        if request["customers"] == "all":
            return all_customers(self.state)
        return members(self.state, request["audience_id"])

    def _removed(self, row: Row[Any], error: FileNotFoundError) -> None:
        """Somebody who is in it was erased meanwhile, and the job's folder with them. What it was about is still known
        where it is about all, or an audience: it begins anew."""
        self.close()
        if msgspec.json.decode(row.request)["customers"] in ("all", "audience"):
            structlog.get_logger().info("job_begins_anew", job_id=row.job_id, missing=str(error.filename))
            return
        self._end(row.job_id, problem="Somebody in it was erased meanwhile. Make it again, without them.")

    def _change(self, job_id: str, **values: Any) -> None:
        with self.state.service.write() as connection:
            store.change(connection, job_id, **values)

    def _end(self, job_id: str, *, rows: int | None = None, problem: str | None = None) -> None:
        """The job is over, and whoever listens hears of it in the same transaction."""
        if rows is None:
            self.close()
        self._work, now = None, self.state.clock()
        folder = folder_of(self.state, job_id)
        if rows is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            Scoring(folder).clean()
        with self.state.service.write() as connection:
            store.change(connection, job_id, finished_at=now, rows=rows, problem=problem, holder=None, held_until=None)
            row = store.get(connection, job_id)
            if row is not None:
                outbox.add(connection, "job.finished", job_id, store.told(row), now)
        structlog.get_logger().info("job_ended", job_id=job_id, rows=rows, failed=problem is not None)

    def _tidy(self) -> int:
        """Delete results that are older than they are kept."""
        now = self.state.clock()
        if now < self._tidy_from:
            return 0
        with self.state.service.read() as connection:
            old = store.with_old_results(connection, now - self.state.settings.keep_results_days * DAY, 10)
        for job_id in old:
            shutil.rmtree(folder_of(self.state, job_id), ignore_errors=True)
            self._change(job_id, removed_at=now)
        self._tidy_from = now if old else now + TIDY_EVERY
        return len(old)


def folder_of(state: State, job_id: str) -> Path:
    """Where a job's files are, while they are."""
    return state.settings.data_dir / FOLDER / job_id


def hand_out(state: State, job_id: str, now: Micros) -> None:
    """Take the folder down as one that holds customers: it is deleted where one of them is erased."""
    with state.service.write() as connection:
        handed_out.record(connection, handed_out.Export(job_id, folder_of(state, job_id), now, now, {}))


def members(state: State, audience_id: str, batch: int = 1_000) -> Iterator[str]:
    """Who is in an audience, in order of id."""
    after = ""
    while True:
        with state.service.read() as connection:
            found = [row.customer_id for row in audiences.page(connection, audience_id, after, batch)]
        if not found:
            return
        yield from found
        after = found[-1]


def bundle_of(bundles: LiveBundles, order: Order) -> Live:
    """The bundle that an order names, live or no more. Raises BundleError where it is gone."""
    live = bundles.now()
    if live.model.digest == order.digest:
        return Live(live.bundle, ModelVersion(order.version, order.digest, live.model.live_since))
    if order.digest is None:
        return Live(None, ModelVersion(order.version, None, None))
    entry = ledger.read_entry(bundles.root, order.version)
    bundle = bundles.load(ledger.bundle_folder(bundles.root, order.digest), bundles.threads)
    return Live(bundle, ModelVersion(order.version, order.digest, entry.live_since))
