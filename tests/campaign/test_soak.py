"""A service and its worker under load while things go wrong: the bundle is swapped, the disk is full, a database is
locked, the worker is killed, clients go away. Nothing acknowledged is lost, no answer is a 500, every job is finished.

A minute with the other tests; JOURNEY_CAMPAIGN=1 (`make campaign`) ten minutes. JOURNEY_CAMPAIGN_SEED repeats choices.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import shutil
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.access import keys
from service.clock import system_clock
from service.settings import Settings
from service.state import open_state
from tests.campaign.test_kill import (
    PATIENCE_SECONDS,
    Client,
    Processes,
    assert_nothing_lost_and_nothing_twice,
    free_port,
    load,
    wait_for_progress,
)
from tests.seeds import LONG, SEED
from tests.service.fakes import publish
from tests.trained import Trained

pytest_plugins = ["tests.trained"]
SECONDS = 600 if LONG else 60
MOST_GROWTH_MB = 64.0
JOBS = 4
pytestmark = [
    pytest.mark.timeout(SECONDS + 900),
    pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files by prlimit"),
]
JOURNEY = {"journeys": [{"customer_id": "x", "events": [{"event": "A", "timestamp": "2026-01-05T10:00:00Z"}]}]}


@dataclass
class Reader:
    """Asks for insights, predictions and jobs, one after the other, and notes what may not be answered."""

    port: int
    key: str
    rng: random.Random
    answered: int = 0
    busy: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            path, body = self.rng.choice((
                (f"/v1/customers/user-{self.rng.randrange(60)}/insight", None), ("/v1/predictions", JOURNEY),
                ("/v1/models", None), ("/v1/changes", None), ("/readyz", None),
            ))  # fmt: skip
            self.ask(path, body)
            stop.wait(0.02)

    def ask(self, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {self.key}"}
            given = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, given, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.wrong.append(f"{path}: {error!r}")
            return None
        finally:
            connection.close()
        self.answered += answer.status in (200, 201, 404)
        self.busy += answer.status == 503
        if answer.status not in (200, 201, 404) and not (answer.status == 503 and answer.getheader("Retry-After")):
            self.wrong.append(f"{path}: {answer.status} {told}")
        return told


@dataclass
class Faults:
    """What goes wrong, one thing at a time."""

    settings: Settings
    processes: Processes
    port: int
    bundle: Path
    rng: random.Random
    version: int = 1

    def any(self) -> str:
        one = self.rng.choice((self.swap, self.spoil, self.fill, self.lock, self.kill, self.leave))
        one()
        return one.__name__

    def swap(self) -> None:
        """The same bundle goes live as another version: it is loaded anew."""
        self.version += 1
        publish(self.settings.mlruns_dir, self.version, self.bundle.name)

    def spoil(self) -> None:
        """What goes live is not there: the bundle before serves on."""
        self.version += 1
        publish(self.settings.mlruns_dir, self.version, "0" * 64)

    def fill(self) -> None:
        """No file of the service may grow for a second: to SQLite that is a full disk."""
        service = self.processes.running["serve"].pid
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(service, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
        time.sleep(1)
        resource.prlimit(service, resource.RLIMIT_FSIZE, unlimited)

    def lock(self) -> None:
        """Somebody holds a database for longer than the service waits."""
        name = self.rng.choice(("log", "service"))
        with closing(sqlite3.connect(self.settings.data_dir / f"{name}.db", timeout=10, isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")
            time.sleep(1.5)
            held.execute("ROLLBACK")

    def kill(self) -> None:
        self.processes.kill("worker")
        self.processes.start("worker")

    def leave(self) -> None:
        """Clients that go away in the middle of a request, and before its answer."""
        whole = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
        for sent in (whole[:20], whole, whole + b"{" * 4_000, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"):
            with closing(socket.create_connection(("127.0.0.1", self.port))) as one:
                one.sendall(sent)


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def test_whatever_goes_wrong_under_load_nothing_acknowledged_is_lost(tmp_path: Path, trained: Trained) -> None:
    print(f"JOURNEY_CAMPAIGN_SEED={SEED}, {SECONDS} s")  # noqa: T201 - told where the test fails
    rng = random.Random(SEED)
    settings = Settings(data_dir=tmp_path / "data", mlruns_dir=tmp_path / "mlruns")
    shutil.copytree(trained.report.folder, settings.mlruns_dir / "versions" / trained.report.folder.name)
    publish(settings.mlruns_dir, 1, trained.report.folder.name)
    with open_state(settings, system_clock) as state:
        writing = keys.create(state.service, "writes", ["ingest"], system_clock())[1]
        reads = keys.create(state.service, "reads", ["read"], system_clock())[1]
    port = free_port()
    processes = Processes({**os.environ, "JOURNEY_DATA_DIR": str(settings.data_dir), "JOURNEY_PORT": str(port),
                           "JOURNEY_MLRUNS_DIR": str(settings.mlruns_dir), "JOURNEY_LEASE_SECONDS": "1",
                           "JOURNEY_BUSY_SECONDS": "0.5", "OMP_NUM_THREADS": "1"})  # fmt: skip
    clients = [Client(number, port, writing, random.Random(rng.getrandbits(64))) for number in range(2)]
    readers = [Reader(port, reads, random.Random(rng.getrandbits(64))) for _ in range(2)]
    asking = Reader(port, reads, rng)
    faults = Faults(settings, processes, port, trained.report.folder, rng)
    for name in ("serve", "worker"):
        processes.start(name)
    try:
        with load(clients):
            wait_for_progress(clients)
            with load(readers):
                happened, jobs, grown = soak(faults, asking, clients)
            until_finished(asking, jobs)
    finally:
        processes.stop()
    wrong = [line for one in (*readers, asking) for line in one.wrong]
    print(f"{happened}, {sum(one.answered for one in readers)} answers, {grown:+.0f} MB")  # noqa: T201
    assert wrong == []
    assert not LONG or grown < MOST_GROWTH_MB
    assert_nothing_lost_and_nothing_twice(settings, clients)


def soak(faults: Faults, asking: Reader, clients: list[Client]) -> tuple[dict[str, int], list[str], float]:
    """Until time is up: something goes wrong, and the clients get on; a job is made now and then."""
    happened, jobs, begun = dict[str, int](), list[str](), time.monotonic()
    serving, warm = faults.processes.running["serve"].pid, 0.0
    while (past := time.monotonic() - begun) < SECONDS:
        name = faults.any()
        happened[name] = happened.get(name, 0) + 1
        wait_for_progress(clients)
        if past >= len(jobs) * SECONDS / JOBS:
            made = asking.ask("/v1/jobs", {"format": "csv"})
            if made is not None and "job_id" in made:
                jobs.append(made["job_id"])
        if past > SECONDS / 4 and not warm:
            warm = memory_mb(serving)
        time.sleep(faults.rng.uniform(0, 1))
    return happened, jobs, memory_mb(serving) - warm


def until_finished(asking: Reader, jobs: list[str]) -> None:
    """Whatever the worker went through, each job comes to its end."""
    deadline = time.monotonic() + PATIENCE_SECONDS * 5
    assert jobs
    for job_id in jobs:
        while (told := asking.ask(f"/v1/jobs/{job_id}")) is None or told.get("state") != "finished":
            assert told is None or told.get("state") in ("waiting", "running", None), told
            assert time.monotonic() < deadline, f"{job_id} is not finished: {told}"
            time.sleep(0.2)
