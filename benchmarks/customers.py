"""How fast one person is found among many: `python -m benchmarks.customers [--customers 1000000]`.

A database of made-up customers, written directly, each with touchpoints over a year (in order of time over all
customers, as they would come), words and a conclusion. Then, by customers drawn at random: the timeline over real HTTP,
one connection; the same without HTTP; and beside it, in turns, a bare read of one row by its primary key in the same
file. Last, joins: the fold of the one event that makes two customers with many events each one.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.ingest_load import ours
from benchmarks.report import about, merged, of_run, options, table, write
from models.insight import Conclusion, Decision
from models.journey.event import DAY, Event, Micros, parse_time
from service.access import keys
from service.clock import system_clock
from service.database import Database
from service.events import projector
from service.events import store as log
from service.insights.timeline import answer_of, told_of
from service.settings import Settings
from service.state import State, open_state

FIRST = parse_time("2025-01-01T00:00:00Z")
KINDS = (("web", "visit", "convenience"), ("email", "open", "convenience"), ("web", "product_view", "convenience"),
         ("dealer", "visit", "sale"), ("workshop", "visit", "post_sale"))  # fmt: skip
WORDS = "Third visit, third different answer. I have started bringing a notebook."
TIMELINE, JOIN = "timeline", "join"
NOTES = (
    "One person among many, on this machine's disk, all in one file of SQLite (WAL). A timeline is the newest page of",
    "50 with words, consent and what was concluded, asked for by a device's id. The bare read is one touchpoint by its",
    "primary key, by the driver alone, in turns with the timelines. A join is the fold of one identify call, with all",
    "that it moves, committed to disk. Everything, the client too, shares the cores of one machine.",
)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def touchpoint_id(step: int, customer: int) -> str:
    return f"{step:03d}-{customer:09d}-5a1e-4c60-9d3f-0242ac120002"


def fill(folder: Path, customers: int, touchpoints: int) -> None:
    """Write the rows that folding would have written, without their secondary indexes, then those."""
    with closing(sqlite3.connect(folder / "service.db", isolation_level=None)) as service:
        service.execute("PRAGMA synchronous = OFF")
        service.execute("PRAGMA cache_size = -262144")
        made = service.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
            "AND tbl_name IN ('touchpoints', 'identities', 'feedback', 'conclusions')"
        ).fetchall()
        for name, _ in made:
            service.execute(f"DROP INDEX {name}")
        for name, rows in tables(customers, touchpoints).items():
            begun = time.monotonic()
            columns = next(rows)
            statement = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            service.execute("BEGIN")
            service.executemany(statement, rows)
            service.execute("COMMIT")
            sys.stderr.write(f"{name}: {time.monotonic() - begun:.0f} s\n")
        for _, sql in made:
            service.execute(sql)
        service.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def tables(customers: int, touchpoints: int) -> Mapping[str, Iterator[Sequence[Any]]]:
    """Of each table the columns, then its rows."""
    said = Conclusion("feeling", Decision.AUTO, (), "negative", {"confidence": 0.93}, {"channel": "chat"})
    stored = msgspec.json.encode(said.stored()).decode()
    step_length = 365 * DAY // touchpoints
    last = FIRST + 365 * DAY
    moments = [FIRST + step * step_length for step in range(touchpoints)]

    def steps() -> Iterator[Sequence[Any]]:
        yield ("message_id", "own_id", "customer_id", "occurred_at", "received_at", "known_at", "channel", "action",
               "stage", "amount_minor", "contact", "stale")  # fmt: skip
        for step, moment in enumerate(moments):
            for customer in range(customers):
                at = moment + customer % step_length
                kind, own = KINDS[(step + customer) % len(KINDS)], f"u:c{customer}" if step % 2 else f"a:dev{customer}"
                yield touchpoint_id(step, customer), own, f"c{customer}", at, at, at, *kind, 0, 0, 0

    def ids() -> Iterator[Sequence[Any]]:
        yield "id", "customer_id", "known_at"
        for customer in range(customers):
            yield f"u:c{customer}", f"c{customer}", FIRST
            yield f"a:dev{customer}", f"c{customer}", FIRST

    def words() -> Iterator[Sequence[Any]]:
        yield ("feedback_id", "own_id", "customer_id", "said_at", "received_at", "known_at", "channel", "text",
               "rating", "language_given")  # fmt: skip
        for customer in range(customers):
            yield f"f{customer:09d}", f"u:c{customer}", f"c{customer}", last, last, last, "chat", WORDS, 2, 0

    def concluded() -> Iterator[Sequence[Any]]:
        yield ("conclusion_id", "customer_id", "kind", "subject", "version", "concluded_at", "decision", "decided_by",
               "stored")  # fmt: skip
        for customer in range(customers):
            yield (f"k{customer:09d}", f"c{customer}", "feeling", f"f{customer:09d}", 1, last + 1, "auto", "model",
                   stored)  # fmt: skip

    def who() -> Iterator[Sequence[Any]]:
        yield "customer_id", "changed_at", "revision", "concluded_revision"
        for customer in range(customers):
            yield f"c{customer}", last, 1, 1

    return {"customers": who(), "identities": ids(), "touchpoints": steps(), "feedback": words(),
            "conclusions": concluded()}  # fmt: skip


def timelines(folder: Path, settings: Settings, customers: int, touchpoints: int, reads: int, rng: random.Random,
              ) -> dict[str, Any]:  # fmt: skip
    """Each kind of read in turns, of customers that were not read before."""
    asked = [rng.randrange(customers) for _ in range(reads)]
    found: dict[str, list[float]] = {"http": [], "inside": [], "bare": []}
    key = keys_for(settings)
    with ours(folder) as server, open_state(settings, system_clock) as state:
        line = http.client.HTTPConnection("127.0.0.1", server.port)
        with closing(sqlite3.connect(settings.data_dir / "service.db")) as plain:
            for number, customer in enumerate(asked):
                step, other = rng.randrange(touchpoints), rng.randrange(customers)
                took = (
                    timed(lambda: over_http(line, key, f"dev{customer}", touchpoints)),  # noqa: B023 - called at once
                    timed(lambda: inside(state, f"c{other}", touchpoints)),  # noqa: B023
                    timed(lambda: bare(plain, touchpoint_id(step, customer))),  # noqa: B023
                )
                if number >= min(100, reads // 10):  # what is slow only once
                    for name, seconds in zip(found, took, strict=True):
                        found[name].append(seconds)
    return {f"{name}_{what}": how(values) for name, values in found.items()
            for what, how in (("p50", median), ("p99", p99), ("max", max))}  # fmt: skip


def keys_for(settings: Settings) -> str:
    with closing(Database.open(settings.data_dir, "service")) as service:
        return keys.create(service, "read", ("read",), system_clock())[1]


def timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def over_http(line: http.client.HTTPConnection, key: str, id: str, touchpoints: int) -> None:
    line.request("GET", f"/v1/customers/{id}/journey", headers={"Authorization": f"Bearer {key}"})
    answer = line.getresponse()
    body = answer.read()
    if answer.status != 200 or len(json.loads(body)["touchpoints"]) != min(50, touchpoints + 1):
        raise RuntimeError(f"{answer.status} {body[:300]!r}")


def inside(state: State, customer: str, touchpoints: int) -> None:
    told = answer_of(told_of(state, customer, limit=50), system_clock(), provisional=False)
    if len(msgspec.json.encode(told)) < 100 * min(50, touchpoints):
        raise RuntimeError("the timeline is too short")


def bare(plain: sqlite3.Connection, id: str) -> None:
    if plain.execute("SELECT * FROM touchpoints WHERE message_id = ?", (id,)).fetchone() is None:
        raise RuntimeError(f"no touchpoint {id}")


def joins(settings: Settings, events: int, pairs: int) -> dict[str, Any]:
    """Seconds of the fold that joins two customers with so many events each, in the same file."""
    took = []
    with open_state(settings, system_clock) as state:
        for pair in range(pairs):
            now = state.clock()
            mine = [event(f"j{pair}-{who}-{n}", who, f"{pair}", now - n) for who in "ua" for n in range(events)]
            for first in range(0, len(mine), 5_000):
                log.append(state.log, mine[first : first + 5_000], now)
            projector.fold_all(state)
            join = Event(f"j{pair}", "identify", "", f"ju{pair}", f"ja{pair}", now, now)
            log.append(state.log, [join], state.clock())
            took.append(timed(lambda: projector.fold_all(state)))
            with state.service.read() as connection:
                moved = connection.exec_driver_sql("SELECT count(*) FROM touchpoints WHERE customer_id = ?",
                                                   (f"ju{pair}",)).scalar()  # fmt: skip
            if moved != 2 * events:
                raise RuntimeError(f"{moved} touchpoints after the join")
    return {"join_p50": median(took), "join_p99": p99(took), "join_max": max(took)}


def event(id: str, who: str, pair: str, at: Micros) -> Event:
    user, device = (f"ju{pair}", None) if who == "u" else (None, f"ja{pair}")
    return Event(id, "track", "Product Viewed", user, device, at, at, {"product_id": "sku-17"})


def run(customers: int, touchpoints: int, reads: int, pairs: int, joined: int, seed: int) -> dict[str, dict[str, Any]]:
    rng = random.Random(seed)  # noqa: S311 - a load, no secret
    with tempfile.TemporaryDirectory(dir=os.environ.get("JOURNEY_SCRATCH")) as scratch:
        folder = Path(scratch)
        settings = Settings(data_dir=folder / "data", mlruns_dir=folder / "mlruns")
        begun = time.monotonic()
        with open_state(settings, system_clock) as state:
            log.append(state.log, [event("first", "u", "-first", state.clock())], state.clock())
            projector.fold_all(state)
        fill(settings.data_dir, customers, touchpoints)
        size = (settings.data_dir / "service.db").stat().st_size
        filled = time.monotonic()
        read = timelines(folder, settings, customers, touchpoints, reads, rng)
        timeline = {"about": about(), "seconds": round(time.monotonic() - begun), "customers": customers, "bytes": size,
                    "touchpoints": touchpoints, "reads": reads, "filled": round(filled - begun), **read}  # fmt: skip
        begun = time.monotonic()
        told = joins(settings, joined, pairs)
    return {TIMELINE: timeline, JOIN: {"about": about(), "seconds": round(time.monotonic() - begun), "pairs": pairs,
            "events": joined, "customers": customers, **told}}  # fmt: skip


def timeline_table(told: Mapping[str, Any]) -> str:
    named = {"http": "**timeline over HTTP**", "inside": "timeline without HTTP", "bare": "one row by its primary key"}
    rows = [
        [label, *(f"{told[f'{name}_{what}'] * 1e3:.2f}" for what in ("p50", "p99", "max"))]
        for name, label in named.items()
    ]
    below = (
        f"{told['customers']:,} customers with {told['touchpoints']} touchpoints each, {told['bytes'] / 1e9:.2f} GB; "
        f"{told['reads']:,} reads of each kind; made in {told['filled']} s. {of_run(told)}"
    )
    return table("Timeline", ("milliseconds", "median", "99th percentile", "longest"), rows, below)


def join_table(told: Mapping[str, Any]) -> str:
    rows = [[f"two customers with {told['events']:,} events each",
             *(f"{told[f'join_{what}'] * 1e3:.1f}" for what in ("p50", "p99", "max"))]]  # fmt: skip
    below = f"{told['pairs']} joins among {told['customers']:,} customers. {of_run(told)}"
    return table("Join", ("milliseconds", "median", "99th percentile", "longest"), rows, below)


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--customers", type=int, default=20_000, help="the long form is 1000000")
    parser.add_argument("--touchpoints", type=int, default=30, help="of each customer")
    parser.add_argument("--reads", type=int, default=2_000, help="timelines asked for")
    parser.add_argument("--pairs", type=int, default=20, help="joins of two customers")
    parser.add_argument("--joined", type=int, default=1_000, help="events of each customer who is joined")
    chosen = parser.parse_args()
    found = run(chosen.customers, chosen.touchpoints, chosen.reads, chosen.pairs, chosen.joined, chosen.seed)
    sys.stderr.write(f"{ {name: {k: v for k, v in told.items() if k != 'about'} for name, told in found.items()} }\n")
    every = merged("customers", found)
    write(
        "customers",
        "How fast one person is found",
        NOTES,
        every,
        [timeline_table(every[TIMELINE]), join_table(every[JOIN])],
    )


if __name__ == "__main__":
    main()
