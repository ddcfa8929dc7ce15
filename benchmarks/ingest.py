"""How fast events come in, and how fast they are folded: `python -m benchmarks.ingest`.

Real HTTP over loopback, one uvicorn worker, several connections that each wait for their answer; events of about 450
bytes, none of them a repeat. Beside us, in turns and in the same run: a bare loop that inserts the same rows into the
same table with the same key, batch size and durability, and the same service written naively (ingest_naive.py).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ingest_load import CONNECTIONS, Server, Source, body, naive, ours, row, settings_of
from benchmarks.ingest_naive import BareLoop
from benchmarks.report import about, merged, of_run, options, table, write
from models.journey.event import Event, micros
from service.database import Database
from service.events import store

REQUESTS = {1: (2_000, 1_000), 10: (800, 300), 1_000: (80, 16)}
"""Events a request: how many requests a round holds for us and the bare loop, and for the naive service."""
EVENTS_PER_SECOND, EVENTS_PER_REQUEST = 500, 10
"""The steady rate."""
PATIENCE_SECONDS = 3
FOLDING = "folding"
NOTES = (
    "Events per second and the 99th percentile of an answer's time, medians of the rounds; all three commit to disk",
    "(WAL, synchronous FULL) before they answer. A ratio is the median of the ratios of each round. Everything, the",
    "client too, shares the cores of one machine.",
)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def receiving(size: int, source: Source, rounds: int, folder: Path) -> dict[str, Any]:
    """Rounds of bare loop, ours and naive, in turns."""
    begun, many = time.monotonic(), REQUESTS[size]
    bare = BareLoop(folder / f"bare{size}")
    found: dict[str, list[float]] = {name: [] for name in ("bare", "ours", "ours_p99", "naive", "naive_p99")}
    with ours(folder / f"ours{size}") as us, naive(folder / f"naive{size}") as them:
        for number in range(rounds + 1):
            batches = source.batches(many[0], size)
            rows, bodies = [[row(one) for one in batch] for batch in batches], [body(batch) for batch in batches]
            start = time.perf_counter()
            bare.insert(rows)
            bare_seconds = time.perf_counter() - start
            seconds, took = us.send(bodies)
            their_seconds, their_took = them.send(bodies[: many[1]])
            if number == 0:
                continue  # everybody's first requests warm up what is slow only once
            found["bare"].append(many[0] * size / bare_seconds)
            found["ours"].append(many[0] * size / seconds)
            found["naive"].append(many[1] * size / their_seconds)
            found["ours_p99"].append(p99(took))
            found["naive_p99"].append(p99(their_took))
    each = list(zip(found["ours"], found["bare"], found["naive"], strict=True))
    return {
        "about": about(), "seconds": round(time.monotonic() - begun), "connections": CONNECTIONS, "rounds": rounds,
        **{name: median(values) for name, values in found.items()},
        "of_bare": median(us / loop for us, loop, _ in each),
        "times_naive": median(us / them for us, _, them in each),
    }  # fmt: skip


def folding(source: Source, seconds: int, backlog: int, folder: Path) -> dict[str, Any]:
    """The lag at a steady rate, service and worker running; then a backlog, the worker alone."""
    begun = time.monotonic()
    with ours(folder, "--with-worker") as server:
        lags = asyncio.run(_steadily(server, source, seconds, folder / "data"))
    with closing(Database.open(folder / "data", "log")) as log:
        for _ in range(0, backlog, 5_000):
            store.append(log, [_event(source.event()) for _ in range(5_000)], time.time_ns() // 1000)
    rate = _drain(folder)
    return {"about": about(), "seconds": round(time.monotonic() - begun), "events_per_second": EVENTS_PER_SECOND,
            "events": len(lags), "lag_p50": median(lags), "lag_p99": p99(lags), "lag_max": max(lags),
            "backlog": backlog, "drained_per_second": rate}  # fmt: skip


def _event(given: Mapping[str, Any]) -> Event:
    return Event(given["messageId"], given["type"], given["event"], given["userId"], given["anonymousId"],
                 micros(datetime.fromisoformat(given["timestamp"])), 0, given["properties"],
                 given["context"])  # fmt: skip


async def _steadily(server: Server, source: Source, seconds: int, data: Path) -> list[float]:
    """Send at a steady rate; for each event, the seconds from its receipt until it was folded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    seen: list[tuple[int, int]] = []
    watching = asyncio.create_task(_watch(data, seen))
    await server.post(reader, writer, body([source.event()]))
    while not seen or not seen[-1][0]:
        await asyncio.sleep(0.05)  # the worker takes longer to start
    begun, each = time.perf_counter(), EVENTS_PER_REQUEST / EVENTS_PER_SECOND
    for number in range(round(seconds / each)):
        await asyncio.sleep(max(0.0, begun + number * each - time.perf_counter()))
        await server.post(reader, writer, body([source.event() for _ in range(EVENTS_PER_REQUEST)]))
    await asyncio.sleep(PATIENCE_SECONDS)
    watching.cancel()
    writer.close()
    with closing(sqlite3.connect(data / "log.db")) as log:
        received = log.execute("SELECT seq, received_at FROM log ORDER BY seq").fetchall()[1:]
    numbers = [seq for seq, _ in seen]
    if received[-1][0] > numbers[-1]:
        raise RuntimeError(f"{received[-1][0] - numbers[-1]} events were not folded within {PATIENCE_SECONDS} s")
    return [(seen[bisect_left(numbers, seq)][1] - at) / 1e6 for seq, at in received]


async def _watch(data: Path, seen: list[tuple[int, int]]) -> None:
    """Note when the log was folded how far."""
    with closing(sqlite3.connect(data / "service.db")) as service:
        while True:
            folded = _folded(service)
            if not seen or seen[-1][0] != folded:
                seen.append((folded, time.time_ns() // 1000))
            await asyncio.sleep(0.01)


def _folded(service: sqlite3.Connection) -> int:
    found = service.execute("SELECT seq FROM cursors WHERE name = 'projector'").fetchone()
    return found[0] if found else 0


def _drain(folder: Path) -> float:
    """Rows a second from the first that the worker folds to the last, while it concludes too."""
    with closing(sqlite3.connect(folder / "data" / "log.db")) as log:
        head = log.execute("SELECT max(seq) FROM log").fetchone()[0]
    with closing(sqlite3.connect(folder / "data" / "service.db")) as service:
        before = _folded(service)
        command = [sys.executable, "-m", "service", "worker"]
        worker = subprocess.Popen(command, env=settings_of(folder, 0), stderr=subprocess.DEVNULL)
        while (first := _folded(service)) == before:
            time.sleep(0.02)
        begun = time.perf_counter()
        while _folded(service) < head:
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
        worker.terminate()
        worker.wait()
    return float((head - first) / seconds)


def received_table(name: str, told: Mapping[str, Any]) -> str:
    """One size of requests."""
    rows = [
        ["**ours**", f"{told['ours']:,.0f}", f"{told['ours_p99'] * 1e3:.1f}"],
        ["FastAPI, pydantic and the ORM, naively", f"{told['naive']:,.0f}", f"{told['naive_p99'] * 1e3:.1f}"],
        ["a bare loop of inserts, without HTTP", f"{told['bare']:,.0f}", "-"],
    ]
    below = (f"{told['of_bare']:.2f} of the bare loop, {told['times_naive']:.1f} times the naive service; "
             f"{told['connections']} connections, {told['rounds']} rounds. {of_run(told)}")  # fmt: skip
    return table(name, ("who", "events/s", "p99, ms"), rows, below)


def folded_table(name: str, told: Mapping[str, Any]) -> str:
    rows = [
        [f"lag at {told['events_per_second']} events/s: median", f"{told['lag_p50']:.2f} s"],
        ["99th percentile", f"{told['lag_p99']:.2f} s"],
        ["longest", f"{told['lag_max']:.2f} s"],
        [f"a backlog of {told['backlog']:,} events drains at", f"{told['drained_per_second']:,.0f} events/s"],
    ]
    below = f"{told['events']:,} events; without a bundle, concluding with base rates meanwhile. {of_run(told)}"
    return table(name, ("folding", ""), rows, below)


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--rounds", type=int, default=3, help="measured turns of each of the three")
    parser.add_argument("--steady", type=int, default=20, help="seconds of the steady rate")
    parser.add_argument("--backlog", type=int, default=100_000, help="events to drain; the long form is 1000000")
    chosen, found = parser.parse_args(), {}
    source = Source(random.Random(chosen.seed))  # noqa: S311 - a load, no secret
    named = {f"{size:,} event{'s' * (size > 1)} a request": size for size in REQUESTS}
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen.only or (*named, FOLDING):
            sys.stderr.write(f"{name}\n")
            if name == FOLDING:
                found[name] = folding(source, chosen.steady, chosen.backlog, Path(scratch) / "fold")
            else:
                found[name] = receiving(named[name], source, chosen.rounds, Path(scratch))
            sys.stderr.write(f"{ {key: value for key, value in found[name].items() if key != 'about'} }\n")
    every = merged("ingest", found)
    tables = [received_table(name, every[name]) for name in named if name in every]
    tables += [folded_table(FOLDING, every[FOLDING])] if FOLDING in every else []
    write("ingest", "How fast events come in", NOTES, every, tables)


if __name__ == "__main__":
    main()
