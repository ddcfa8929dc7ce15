"""How fast webhooks go out, and what a sick receiver costs the healthy: `python -m benchmarks.delivery`.

The real deliverer on a real database, with changes of many customers that wait, each signed and sent over HTTP to
receivers in a process of their own. Some of them answer late, never, or are not there at all.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.report import about, merged, of_run, options, table, write
from service import logs
from service.clock import random_id, system_clock
from service.delivery import webhooks
from service.delivery.deliverer import Deliverer
from service.delivery.secrets import print_of, signing_key
from service.outbox import store
from service.settings import Settings
from service.state import State, open_state

Kind = Literal["healthy", "slow", "silent", "dead"]
SLOW_SECONDS = 2.0
BODY_BYTES = 600
"""Of a change as a rule: decisions, answers and flags of one insight."""
PATIENCE_SECONDS = 300.0
RUNS: Mapping[str, Sequence[Kind]] = {
    "one receiver": ("healthy",),
    "five receivers": ("healthy",) * 5,
    "five, one slow": ("slow", *("healthy",) * 4),
    "five, one silent": ("silent", *("healthy",) * 4),
    "five, one dead": ("dead", *("healthy",) * 4),
    "five, four slow": (*("slow",) * 4, "healthy"),
}
NOTES = (
    "Changes of some 600 bytes, each of another customer, wait for every receiver; the clock runs from the start until",
    "the healthy receivers have all of theirs. A slow receiver answers after 2 s, a silent one takes a",
    "connection and never answers (given up after 15 s), a dead one refuses it. Deliverer and receivers are two",
    "processes on the cores of one machine. Every delivery is signed, and written down on this machine's disk.",
)


@dataclass(frozen=True)
class Receivers:
    """Where they listen, and how many deliveries each has answered."""

    ports: Sequence[int]
    answered: Sequence[Synchronized[int]]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind, count: Any) -> None:
    """One connection: request after request."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(length)
            if kind == "silent":
                await asyncio.sleep(PATIENCE_SECONDS)
            if kind == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            count.value += 1
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _receive(kinds: Sequence[Kind], answered: Sequence[Any], pipe: Pipe) -> None:
    async def serve() -> None:
        ports, servers = [], []
        for kind, count in zip(kinds, answered, strict=True):
            if kind == "dead":
                with socket.create_server(("127.0.0.1", 0)) as gone:
                    ports.append(gone.getsockname()[1])
                continue

            def connected(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind = kind, count: Any = count
            ) -> Any:
                return _answer(reader, writer, kind, count)

            servers.append(await asyncio.start_server(connected, "127.0.0.1", 0))
            ports.append(servers[-1].sockets[0].getsockname()[1])
        pipe.send(ports)
        await asyncio.sleep(PATIENCE_SECONDS * 4)

    asyncio.run(serve())


@contextmanager
def receiving(kinds: Sequence[Kind]) -> Iterator[Receivers]:
    """Receivers in a process of their own, until the end of the block."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    answered = [context.Value("i", 0) for _ in kinds]
    process = context.Process(target=_receive, args=(kinds, answered, theirs), daemon=True)
    process.start()
    try:
        yield Receivers(mine.recv(), answered)
    finally:
        process.kill()
        process.join()


def stock(state: State, ports: Sequence[int], changes: int) -> None:
    """A webhook for each port, then so many changes."""
    key, now = signing_key(state.settings), state.clock()
    with state.service.write() as connection:
        for port in ports:
            webhook_id, url = state.ids(), f"http://127.0.0.1:{port}/hook"
            webhooks.add(connection, webhook_id, url, "", store.KINDS, now, 0)
            webhooks.add_secret(connection, webhook_id, state.ids(), print_of(key), now, now)
        body = {"filler": "x" * BODY_BYTES}
        rows = [("insight.changed", f"c{n:06d}", {"customer_id": f"c{n:06d}", **body}) for n in range(changes)]
        store.add_all(connection, rows, now)  # type: ignore[arg-type]


def drained(kinds: Sequence[Kind], receivers: Receivers, changes: int) -> list[float | None]:
    """Seconds until each healthy receiver has all; None of the others, or out of patience."""
    begun, found = time.monotonic(), dict[int, float]()
    wanted = [place for place, kind in enumerate(kinds) if kind == "healthy"]
    while len(found) < len(wanted) and time.monotonic() - begun < PATIENCE_SECONDS:
        for place in wanted:
            if place not in found and receivers.answered[place].value >= changes:
                found[place] = time.monotonic() - begun
        time.sleep(0.02)
    return [found.get(place) for place in range(len(kinds))]


def run(kinds: Sequence[Kind], changes: int, seed: int) -> dict[str, Any]:
    """One company with a receiver of each kind, and so many changes for every one of them."""
    with tempfile.TemporaryDirectory() as scratch, receiving(kinds) as receivers:
        settings = Settings(data_dir=Path(scratch), webhook_private=True)
        with open_state(settings, system_clock, random_id) as state:
            stock(state, receivers.ports, changes)
            deliverer = Deliverer(state, "the benchmark", np.random.default_rng(seed))
            with deliverer.running():
                seconds = drained(kinds, receivers, changes)
                sick = sum(one.value for one, kind in zip(receivers.answered, kinds, strict=True) if kind != "healthy")
    healthy = [one for one, kind in zip(seconds, kinds, strict=True) if kind == "healthy"]
    last = None if None in healthy else max(one for one in healthy if one is not None)
    return {"about": about(), "seconds": last, "load": f"{os.getloadavg()[0]:.1f}", "changes": changes,
            "healthy": len(healthy), "to_the_sick": sick,
            "per_second": None if last is None else changes * len(healthy) / last}  # fmt: skip


def told_table(sets: Mapping[str, Any]) -> str:
    done = [(name, sets[name]) for name in RUNS if name in sets and sets[name]["seconds"] is not None]
    rows = [[name, str(one["healthy"]), f"{one['changes']:,}", f"{one['seconds']:.1f}", f"**{one['per_second']:,.0f}**",
             str(one["to_the_sick"]) if len(RUNS[name]) > one["healthy"] else "-", one["load"]]
            for name, one in done]  # fmt: skip
    columns = ("receivers", "healthy", "changes for each", "seconds until they had all", "webhooks a second",
               "answered by the others meanwhile", "load of the machine")  # fmt: skip
    about, seconds = done[-1][1]["about"], round(sum(one["seconds"] for _, one in done))
    return table("a backlog drains", columns, rows, of_run({"about": about, "seconds": seconds}))


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--changes", type=int, default=10_000, help="that wait for the healthy receivers together")
    chosen = parser.parse_args()
    logs.configure("info")
    told = {}
    for name in chosen.only or RUNS:
        kinds = RUNS[name]
        told[name] = run(kinds, chosen.changes // kinds.count("healthy"), chosen.seed)
        sys.stderr.write(f"{name}: { {key: value for key, value in told[name].items() if key != 'about'} }\n")
    write("delivery", "How fast webhooks go out", NOTES, told, [told_table(merged("delivery", told))])


if __name__ == "__main__":
    main()
