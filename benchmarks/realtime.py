"""How soon an accepted event is in the insight: `python -m benchmarks.realtime`.

End to end, service and worker as two processes with a live bundle: events of known customers come at a steady rate, one
a request. What is told is the time from the answer to an event until the customer's insight counts it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ingest_load import Server, Source, free_port, running
from benchmarks.report import about, of_run, options, table, write
from benchmarks.serving import stocked

BAR_SECONDS = 1.0
ASK_EVERY = 0.01
"""Seconds between two looks at the database for what is told; every `SAMPLED`th event is asked for over HTTP."""
SAMPLED = 10
PATIENCE_SECONDS = 10.0
NOTES = (
    "Seconds from the 200 to an event until the customer's insight counts it. Each event is followed in the database",
    "that answers are read from, as of its commit; every tenth over HTTP as well, asked every 10 ms. Service, worker,",
    "who sends and who asks share the cores of one machine.",
)


@dataclass
class Followed:
    """Which events were accepted when, by customer, and how long it took until they counted."""

    before: dict[str, int]
    accepted: dict[str, list[float]] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    sent_rate: float = 0.0
    """Events a second that really went out: a busy machine keeps the sender waiting too."""

    def accept(self, customer: str) -> int:
        """An event was; returns how many touchpoints the insight counts once it is in it."""
        mine = self.accepted.setdefault(customer, [])
        mine.append(time.time())
        return self.before[customer] + len(mine)

    def see(self, customer: str, touchpoints: int) -> None:
        """The insight of this customer counts so many touchpoints now."""
        now, mine = time.time(), self.accepted.get(customer, [])
        done = min(len(mine), touchpoints - self.before.get(customer, touchpoints))
        for at in mine[self.counted.get(customer, 0) : done]:
            self.lags.append(now - at)
        self.counted[customer] = max(done, self.counted.get(customer, 0))

    @property
    def missing(self) -> int:
        return sum(map(len, self.accepted.values())) - len(self.lags)


def known_users(data: Path) -> dict[str, int]:
    """Customers who are known by a userId, and how many touchpoints their insight counts."""
    query = "SELECT customer_id, body FROM insights WHERE 'u:' || customer_id IN (SELECT id FROM identities)"
    with closing(sqlite3.connect(data / "service.db")) as service:
        return {id: json.loads(body)["journey"]["touchpoints"] for id, body in service.execute(query)}


async def steadily(server: Server, write_key: str, data: Path, rate: int, seconds: int, source: Source) -> Followed:
    """Send at a steady rate and follow each event."""
    followed, stop = Followed(known_users(data)), asyncio.Event()
    customers = sorted(followed.before)
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(8)]
    free: asyncio.Queue[Any] = asyncio.Queue()
    for one in connections:
        free.put_nowait(one)
    watching = asyncio.create_task(watch(data, followed, stop))
    sending, asking = set[asyncio.Task[int]](), list[asyncio.Task[None]]()
    begun = time.perf_counter()
    for number in range(rate * seconds):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        event = source.event() | {"userId": source.rng.choice(customers), "timestamp": datetime.now(UTC).isoformat()}
        del event["anonymousId"]
        task = asyncio.create_task(send(free, write_key, event, followed))
        sending.add(task)
        task.add_done_callback(sending.discard)
        if number % SAMPLED == 0:
            asking.append(asyncio.create_task(ask(server, event["userId"], task, followed)))
    await asyncio.gather(*sending)
    followed.sent_rate = rate * seconds / (time.perf_counter() - begun)
    await asyncio.gather(*asking)
    for _ in range(int(PATIENCE_SECONDS / 0.1)):
        if not followed.missing:
            break
        await asyncio.sleep(0.1)
    stop.set()
    await watching
    return followed


async def send(free: asyncio.Queue[Any], key: str, event: dict[str, Any], followed: Followed) -> int:
    """One event; returns how many touchpoints are to be counted then."""
    reader, writer = await free.get()
    body = json.dumps(event).encode()
    head = (f"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")  # fmt: skip
    writer.write(head.encode() + body)
    await answer_of(reader)
    free.put_nowait((reader, writer))
    return followed.accept(event["userId"])


async def ask(server: Server, customer: str, sent: asyncio.Task[int], followed: Followed) -> None:
    """Over HTTP, until the insight counts the event."""
    wanted, accepted = await sent, time.time()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request = f"GET /v1/customers/{customer}/insight HTTP/1.1\r\nHost: x\r\n".encode()
    request += f"Authorization: Bearer {server.key}\r\n\r\n".encode()
    while time.time() - accepted < PATIENCE_SECONDS:
        writer.write(request)
        status, body = await answer_of(reader)
        if status == 200 and json.loads(body)["journey"]["touchpoints"] >= wanted:
            followed.asked.append(time.time() - accepted)
            break
        await asyncio.sleep(ASK_EVERY)
    writer.close()
    await writer.wait_closed()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return int(head.split()[1]), await reader.readexactly(length)


async def watch(data: Path, followed: Followed, stop: asyncio.Event) -> None:
    """Note whose insight in the database is another, as soon as it is."""
    with closing(sqlite3.connect(data / "service.db")) as service:
        (last,) = service.execute("SELECT max(as_of) FROM insights").fetchone()
        while not stop.is_set():
            rows = service.execute("SELECT customer_id, as_of, body FROM insights WHERE as_of >= ?", (last,)).fetchall()
            for customer, as_of, body in rows:
                followed.see(customer, json.loads(body)["journey"]["touchpoints"])
                last = max(last, as_of)
            await asyncio.sleep(ASK_EVERY)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def run(mlruns: Path, rate: int, seconds: int, seed: int, folder: Path) -> dict[str, Any]:
    """One run at a steady rate."""
    begun = time.monotonic()
    environment, told = stocked(folder, mlruns)
    environment["JOURNEY_PORT"] = str(free_port())
    service = [sys.executable, "-m", "service"]
    made = subprocess.run([*service, "keys", "create", "--name", "site", "--scope", "ingest", "--json"], check=True,
                          env=environment, capture_output=True)  # fmt: skip
    source = Source(random.Random(seed))  # noqa: S311 - a load, no secret
    command = [*service, "serve", "--with-worker"]
    with running(command, int(environment["JOURNEY_PORT"]), environment, told["key"]) as server:
        time.sleep(5)  # the worker takes longer to start
        found = asyncio.run(steadily(server, json.loads(made.stdout)["key"], folder / "data", rate, seconds, source))
    return {"about": about(), "seconds": round(time.monotonic() - begun), "load": f"{os.getloadavg()[0]:.1f}",
            "rate": rate, "sent_rate": round(found.sent_rate, 1), "events": rate * seconds, "missing": found.missing,
            "p50": median(found.lags), "p99": p99(found.lags), "longest": max(found.lags), "asked": len(found.asked),
            "asked_p50": median(found.asked), "asked_p99": p99(found.asked)}  # fmt: skip


def told_table(told: dict[str, Any]) -> str:
    rows = [
        ["in the database", f"{told['p50']:.2f}", f"**{told['p99']:.2f}**", f"{told['longest']:.2f}"],
        ["as asked over HTTP", f"{told['asked_p50']:.2f}", f"**{told['asked_p99']:.2f}**", "-"],
    ]
    below = (f"Bar: p99 at most {BAR_SECONDS:g} s. {told['events']:,} events, sent at {told['sent_rate']:g} a second, "
             f"{told['missing']} not seen within "
             f"{PATIENCE_SECONDS:g} s; load of the machine {told['load']}. {of_run(told)}")  # fmt: skip
    return table(
        f"at {told['rate']} events/s", ("seconds until an event counts", "median", "p99", "longest"), rows, below
    )


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--mlruns", type=Path, default=Path("mlruns"), help="where a live bundle is")
    parser.add_argument("--rate", type=int, default=200, help="events a second")
    parser.add_argument("--steady", type=int, default=30, help="seconds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        told = run(chosen.mlruns, chosen.rate, chosen.steady, chosen.seed, Path(scratch))
    sys.stderr.write(f"{ {key: value for key, value in told.items() if key != 'about'} }\n")
    write("realtime", "How soon an event counts", NOTES, {"realtime": told}, [told_table(told)])


if __name__ == "__main__":
    main()
