"""How fast history comes in from files: `python -m benchmarks.history [--rows 1000000]`.

The command itself, `python -m service import`, in a process of its own, on a made-up CSV of six columns: its time from
start to end and its largest memory, beside those of a tenth of the rows. Beside it, in the same run, a bare loop that
inserts the rows which came out, ready, into the same table with the same key, batch size and durability.
"""

from __future__ import annotations

import csv
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.ingest_naive import BareLoop
from benchmarks.report import about, merged, of_run, options, table, write
from models.journey.event import SECOND, format_time, parse_time
from service.events.history import BATCH

FIRST = parse_time("2024-01-01T00:00:00Z")
EVENTS = ("Product Viewed", "Product Viewed", "Email Opened", "Order Completed", "Store Visited")
SHUFFLED = {"in order": False, "out of order": True}
NOTES = (
    "History from a CSV of six columns (time, user, event, channel, page, value), on this machine's disk. The whole",
    "command is timed: starting, the look ahead, the mapping, ids made from what each row says, and 5,000 events a",
    "transaction, committed for good (WAL, synchronous FULL). Largest memory is the process's, libraries included.",
)


def make(path: Path, rows: int, shuffled: bool, seed: int) -> Path:
    """The CSV: an event every 20 seconds."""
    rng = random.Random(seed)  # noqa: S311 - a load, no secret
    numbers = list(range(rows))
    if shuffled:
        rng.shuffle(numbers)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("timestamp", "user_id", "event", "channel", "page", "value"))
        for number in numbers:
            at = format_time(FIRST + number * 20 * SECOND)
            customer = f"c{rng.randrange(max(1, rows // 20))}"
            lines.writerow(
                (at, customer, rng.choice(EVENTS), "web", f"/p/{rng.randrange(5_000)}", rng.randrange(10**5))
            )
    return path


def command(path: Path, data: Path) -> tuple[float, int]:
    """Seconds and largest memory, in bytes, of the import."""
    begun = time.perf_counter()
    call = [sys.executable, "-m", "service", "import", str(path)]
    child = os.posix_spawn(sys.executable, call, {**os.environ, "JOURNEY_DATA_DIR": str(data)})
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"the import of {path} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begun, used.ru_maxrss * 1024


def bare(data: Path, folder: Path) -> float:
    """Seconds of the bare loop on the rows of that log."""
    columns = ("stream, message_id, kind, name, user_id, anonymous_id, previous_id, occurred_at, received_at, "
               "properties, context")  # fmt: skip
    loop, seconds = BareLoop(folder), 0.0
    with closing(sqlite3.connect(data / "log.db")) as log:
        rows = log.execute(f"SELECT {columns} FROM log ORDER BY seq")  # noqa: S608 - our own names
        while batch := rows.fetchmany(BATCH):
            begun = time.perf_counter()
            loop.insert([batch])
            seconds += time.perf_counter() - begun
    return seconds


def run(rows: int, shuffled: bool, seed: int, scratch: Path) -> dict[str, Any]:
    """The command on all the rows and on a tenth of them, and the bare loop."""
    begun = time.monotonic()
    path = make(scratch / "history.csv", rows, shuffled, seed)
    seconds, memory = command(path, scratch / "data")
    loop = bare(scratch / "data", scratch / "bare")
    size = path.stat().st_size
    small = make(scratch / "tenth.csv", rows // 10, shuffled, seed)
    tenth_seconds, tenth_memory = command(small, scratch / "tenth")
    return {"about": about(), "seconds": round(time.monotonic() - begun), "rows": rows, "bytes": size,
            "import_seconds": seconds, "memory": memory, "tenth_seconds": tenth_seconds,
            "tenth_memory": tenth_memory, "bare_seconds": loop}  # fmt: skip


def shown(name: str, told: Mapping[str, Any]) -> str:
    """One order of rows."""
    count = told["rows"]
    rows = [
        ["**`python -m service import`**", f"{count:,}", f"{told['import_seconds']:.1f}",
         f"{count / told['import_seconds']:,.0f}", f"{told['memory'] / 2**20:.0f} MiB"],
        ["the same, a tenth of the rows", f"{count // 10:,}", f"{told['tenth_seconds']:.1f}",
         f"{count // 10 / told['tenth_seconds']:,.0f}", f"{told['tenth_memory'] / 2**20:.0f} MiB"],
        ["a bare loop of inserts, rows ready", f"{count:,}", f"{told['bare_seconds']:.1f}",
         f"{count / told['bare_seconds']:,.0f}", "-"],
    ]  # fmt: skip
    share = told["bare_seconds"] / told["import_seconds"]
    below = f"{share:.2f} of the bare loop; a file of {told['bytes'] / 1e6:.0f} MB. {of_run(told)}"
    return table(f"Rows {name}", ("what", "rows", "seconds", "rows/s", "largest memory"), rows, below)


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--rows", type=int, default=1_000_000)
    chosen, found = parser.parse_args(), {}
    for name in chosen.only or SHUFFLED:
        with tempfile.TemporaryDirectory() as scratch:
            sys.stderr.write(f"{name}\n")
            found[name] = run(chosen.rows, SHUFFLED[name], chosen.seed, Path(scratch))
    every = merged("history", found)
    write("history", "How fast history comes in", NOTES, every, [shown(name, one) for name, one in every.items()])


if __name__ == "__main__":
    main()
