"""The load of `benchmarks.ingest`: events like a website's, and the service they are sent to, a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.ingest_naive import Row
from models.journey.event import format_time, micros

CONNECTIONS = 8
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Test Drive Booked", "Email Opened")


@dataclass
class Source:
    """Events that look like a website's, none twice."""

    rng: random.Random
    customers: int = 20_000
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    def event(self) -> dict[str, Any]:
        rng, when = self.rng, format_time(micros(self.begun) - self.rng.randrange(86_400_000) * 1000)
        customer = rng.randrange(self.customers)
        return {
            "type": "track", "event": rng.choice(NAMES), "messageId": f"node-next-{rng.getrandbits(128):032x}",
            "userId": f"user-{customer}", "anonymousId": f"{customer:08x}-5a1e-4c60-9d3f-0242ac120002",
            "timestamp": when, "properties": {"product_id": f"sku-{rng.randrange(500)}", "currency": "EUR",
                                              "price": rng.randrange(100_000) / 100},
            "context": {"library": {"name": "analytics-node", "version": "2.3.0"}, "locale": "de-DE"},
        }  # fmt: skip

    def batches(self, count: int, size: int) -> list[list[dict[str, Any]]]:
        return [[self.event() for _ in range(size)] for _ in range(count)]


def body(batch: Sequence[dict[str, Any]]) -> bytes:
    sent = datetime.now(UTC).isoformat()
    return json.dumps({"batch": batch, "sentAt": sent}, separators=(",", ":")).encode()


def row(given: dict[str, Any]) -> Row:
    """The row that becomes of an event."""
    when = micros(datetime.fromisoformat(given["timestamp"]))
    beside = (json.dumps(given[name], separators=(",", ":")) for name in ("properties", "context"))
    return ("event", given["messageId"], given["type"], given["event"], given["userId"], given["anonymousId"], None,
            when, when, *beside)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A service that answers on a port of this machine."""

    port: int
    key: str = ""

    def send(self, bodies: Sequence[bytes]) -> tuple[float, list[float]]:
        """Seconds for all, and for each answer."""
        return asyncio.run(self._send(bodies))

    async def _send(self, bodies: Sequence[bytes]) -> tuple[float, list[float]]:
        waiting, took = iter(bodies), list[float]()
        begun = time.perf_counter()
        await asyncio.gather(*(self._connection(waiting, took) for _ in range(CONNECTIONS)))
        return time.perf_counter() - begun, took

    async def _connection(self, waiting: Iterator[bytes], took: list[float]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for one in waiting:
            begun = time.perf_counter()
            await self.post(reader, writer, one)
            took.append(time.perf_counter() - begun)
        writer.close()
        await writer.wait_closed()

    async def post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: bytes) -> None:
        """Send one body and read the answer, which must be 200."""
        lines = ("POST /v1/batch HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}",
                 "Content-Type: application/json", f"Content-Length: {len(one)}", "", "")  # fmt: skip
        writer.write("\r\n".join(lines).encode() + one)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        answer = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head!r} {answer[:300]!r}")


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str], key: str = "") -> Iterator[Server]:
    """A service as a process of its own, once it is ready."""
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                    break
            except OSError:
                time.sleep(0.05)
        yield Server(port, key)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ours(folder: Path, *arguments: str) -> Iterator[Server]:
    """Our service, without a bundle."""
    port = free_port()
    environment = settings_of(folder, port)
    service = [sys.executable, "-m", "service"]
    made = subprocess.run([*service, "keys", "create", "--name", "bench", "--scope", "ingest", "--json"], check=True,
                          env=environment, capture_output=True)  # fmt: skip
    with running([*service, "serve", *arguments], port, environment, json.loads(made.stdout)["key"]) as server:
        yield server


def settings_of(folder: Path, port: int) -> dict[str, str]:
    """The environment of a service in this folder."""
    return {**os.environ, "JOURNEY_DATA_DIR": str(folder / "data"), "JOURNEY_MLRUNS_DIR": str(folder / "mlruns"),
            "JOURNEY_PORT": str(port), "JOURNEY_LOG_LEVEL": "warning"}  # fmt: skip


@contextmanager
def naive(folder: Path) -> Iterator[Server]:
    """The naive service."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.ingest_naive:naive_app", "--port", str(port),
               "--no-access-log"]  # fmt: skip
    folder.mkdir()
    environment = {**os.environ, "NAIVE_DATABASE": str(folder / "naive.db")}
    with running(command, port, environment) as server:
        yield server


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
