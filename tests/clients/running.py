"""The real service in a process of its own, with its worker and a key that its command made; it can be killed.

Reads what it stored straight from its two databases.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass
class Service:
    """Listens on one port over one data folder, as often as it is started."""

    folder: Path
    port: int
    key: str = ""
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "JOURNEY_DATA_DIR": str(self.folder / "data"),
            "JOURNEY_MLRUNS_DIR": str(self.folder / "mlruns"),
            "JOURNEY_PORT": str(self.port),
        }

    def make_key(self) -> None:
        command = [
            sys.executable,
            "-m",
            "service",
            "keys",
            "create",
            "--name",
            "a client",
            "--scope",
            "ingest",
            "--json",
        ]
        made = subprocess.run(command, cwd=ROOT, env=self.environment(), check=True, capture_output=True)
        self.key = json.loads(made.stdout)["key"]

    def start(self) -> None:
        """Starts, and does not wait until it answers."""
        command = [sys.executable, "-m", "service", "serve", "--with-worker"]
        log = (self.folder / "service.log").open("ab")
        with log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self.environment(), stdout=log, stderr=log)
        self.starts += 1

    def kill_and_start_again(self) -> None:
        """As a machine does that loses power: nothing is said good-bye to."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz"):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def logged(self, customer: str) -> list[dict[str, Any]]:
        """The customer's rows of the log, oldest first."""
        return self._rows("log", "SELECT * FROM log WHERE user_id = ? ORDER BY seq", customer)

    def touchpoints(self, customer: str) -> list[dict[str, Any]]:
        """What was folded from them."""
        return self._rows("service", "SELECT * FROM touchpoints WHERE customer_id = ?", customer)

    def _rows(self, name: str, query: str, *values: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.folder / 'data' / f'{name}.db'}?mode=ro", uri=True)) as opened:
            opened.row_factory = sqlite3.Row
            return [dict(row) for row in opened.execute(query, values)]


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        service = Service(folder, free.getsockname()[1])
    service.make_key()
    service.start()
    try:
        wait_for(service.ready)
        yield service
    finally:
        service.stop()


def wait_for(happens: Callable[[], object]) -> None:
    """Up to half a minute; what does not happen at all fails the test."""
    for _ in range(600):
        if happens():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")
