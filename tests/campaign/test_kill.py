"""Service and worker are killed at random moments under load: what was acknowledged is there once, and folds the same.

A short campaign runs with the other tests; JOURNEY_CAMPAIGN=1 (`make campaign`) kills twenty times. The seed is
printed; JOURNEY_CAMPAIGN_SEED repeats its choices, though not the machine's timing.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select

from service.access import keys
from service.clock import system_clock
from service.events import projector, store
from service.events.folded import feedback, identities, touchpoints
from service.rebuild import rebuild
from service.settings import Settings
from service.state import State, open_state
from tests.seeds import LONG, SEED

KILLS = 20 if LONG else 3
CLIENTS = 3
PATIENCE_SECONDS = 60


@dataclass
class Client:
    """Sends batches one after the other and each until it is acknowledged, as tracking clients do."""

    number: int
    port: int
    key: str
    rng: random.Random
    acknowledged: list[str] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    touchpoints: set[str] = field(default_factory=set)
    failures: int = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            batch = [self.event() for _ in range(self.rng.randint(1, 20))]
            if self.acknowledged and self.rng.random() < 0.3:  # a repeat, with other content
                batch.append({"type": "page", "userId": "repeat", "messageId": self.rng.choice(self.acknowledged)})
            while not self.send(batch) and not stop.is_set():
                self.failures += 1
                stop.wait(0.05)

    def event(self) -> dict[str, Any]:
        rng = self.rng
        id = f"{self.number}-{rng.getrandbits(64):016x}"
        self.sent.add(id)
        user, device = f"user-{rng.randrange(60)}", f"device-{rng.randrange(60)}"
        kind = rng.choice(("track", "track", "track", "page", "identify", "alias"))
        if kind in ("track", "page"):
            self.touchpoints.add(id)
            who = {"userId": user} if rng.random() < 0.5 else {"anonymousId": device}
            return {"type": kind, "event": "Survey Answered", "properties": {"text": "fine", "rating": 4},
                    "messageId": id, **who}  # fmt: skip
        if kind == "identify":
            return {"type": "identify", "userId": user, "anonymousId": device, "messageId": id}
        return {"type": "alias", "userId": user, "previousId": f"user-{rng.randrange(60)}", "messageId": id}

    def send(self, batch: Sequence[dict[str, Any]]) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/batch", json.dumps({"batch": batch}), headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        if answer.status != 200:
            assert (answer.status, bool(answer.getheader("Retry-After"))) == (503, True), told
            return False
        assert not told["refused"], told
        self.acknowledged += [event["messageId"] for event in batch]
        return True


@dataclass
class Processes:
    """A service and a worker on one folder, to be killed."""

    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "service", name]
        self.running[name] = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)

    def kill(self, name: str) -> None:
        self.running[name].kill()
        assert self.running[name].wait() == -signal.SIGKILL, f"{name} had ended by itself"

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(PATIENCE_SECONDS)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Runs(Protocol):
    """What goes on until it is told to stop."""

    def run(self, stop: threading.Event) -> None: ...


@contextmanager
def load(clients: Sequence[Runs]) -> Iterator[None]:
    """All of them at once, for as long as the block takes."""
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for_progress(clients: Sequence[Client]) -> None:
    """Until each client had an answer since now, so that every kill meets a service at work."""
    before, deadline = [len(client.acknowledged) for client in clients], time.monotonic() + PATIENCE_SECONDS
    while any(len(client.acknowledged) == was for client, was in zip(clients, before, strict=True)):
        assert time.monotonic() < deadline, "nothing was acknowledged any more"
        time.sleep(0.02)


def rows(state: State) -> list[list[tuple[Any, ...]]]:
    with state.service.read() as connection:
        return [sorted(map(tuple, connection.execute(select(t)))) for t in (identities, touchpoints, feedback)]


def test_what_was_acknowledged_outlives_any_kill_once_and_folds_the_same(tmp_path: Path) -> None:
    print(f"JOURNEY_CAMPAIGN_SEED={SEED}, {KILLS} kills")  # noqa: T201 - told where the test fails
    rng = random.Random(SEED)
    settings = Settings(data_dir=tmp_path / "data", mlruns_dir=tmp_path / "mlruns")
    with open_state(settings, system_clock) as state:
        key = keys.create(state.service, "campaign", ["ingest"], system_clock())[1]
    port = free_port()
    processes = Processes({**os.environ, "JOURNEY_DATA_DIR": str(settings.data_dir), "JOURNEY_PORT": str(port),
                           "JOURNEY_MLRUNS_DIR": str(settings.mlruns_dir), "JOURNEY_LEASE_SECONDS": "1",
                           "JOURNEY_FOLD_BATCH": "50"})  # fmt: skip
    clients = [Client(number, port, key, random.Random(rng.getrandbits(64))) for number in range(CLIENTS)]
    for name in ("serve", "worker"):
        processes.start(name)
    try:
        with load(clients):
            for _ in range(KILLS):
                wait_for_progress(clients)
                time.sleep(rng.uniform(0, 0.7))
                for name in rng.choice((["serve"], ["worker"], ["serve", "worker"])):
                    processes.kill(name)
                    processes.start(name)
            wait_for_progress(clients)
    finally:
        processes.stop()
    assert_nothing_lost_and_nothing_twice(settings, clients)


def assert_nothing_lost_and_nothing_twice(settings: Settings, clients: Sequence[Client]) -> None:
    with open_state(settings, system_clock) as state:
        for database in (state.log, state.service):
            with database.read() as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        with state.log.read() as connection:
            stored = [row.message_id for row in connection.execute(select(store.log.c.message_id))]
        acknowledged = {id for client in clients for id in client.acknowledged}
        sent = {id for client in clients for id in client.sent}
        failures = sum(client.failures for client in clients)
        print(f"{len(acknowledged)} acknowledged, {failures} requests failed")  # noqa: T201
        assert acknowledged - set(stored) == set()
        assert len(stored) == len(set(stored))
        assert set(stored) <= sent

        projector.fold_all(state)
        folded = rows(state)
        happened = {id for client in clients for id in client.touchpoints} & set(stored)
        assert [row[0] for row in folded[1]] == sorted(happened)
        assert [row[0] for row in folded[2]] == sorted(row[0] for row in folded[1] if row[6] == "survey")
        rebuild(state)
        assert rows(state) == folded
