"""Journeys at scale: `python -m benchmarks.journeys [--rows 10000000] [--landmarks 1000000] [--rounds 3]`.

Made-up events of the simulator's company are put in the order of journeys by us, pandas, polars and DuckDB, each from
its own table in memory and in a process of its own, turn by turn; then ours are cut into sessions and every behaviour
feature is computed at random moments of random customers. Times are medians, memory is the process's largest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.report import about, merged, of_run, options, table, write
from models.features.behaviour import behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.arranging import Rows, arranged
from models.journey.assembly import sessions
from models.journey.event import DAY
from models.journey.journeys import Journeys
from models.journey.touchpoint import STAGES
from training.simulator.company import car_dealer
from training.simulator.process import draw

CALENDAR_DAYS = 730
CUSTOMERS_A_DRAW = 50_000
AT_ONCE = 5_000
NOTES = (
    "Touchpoints of the simulator's car dealer in the order in which they came in, with texts as ids and names.",
    "To assemble is to number customers and touchpoints, to order them by customer and time, and to say where each",
    "customer begins. Each tool begins with its own table in memory. Features include cutting each journey at its",
    "moment.",
)
Work = Callable[[Path], dict[str, float]]


def make(path: Path, rows: int, seed: int) -> Path:
    """Parquet with so many touchpoints, in order of time."""
    rng, company = np.random.default_rng(seed), car_dealer()
    customer, days, mark, total, before = [], [], [], 0, 0
    while total < rows:
        drawn = draw(company, CUSTOMERS_A_DRAW, CALENDAR_DAYS, rng)
        customer.append(drawn.customer + before)
        days.append(drawn.days)
        mark.append(drawn.mark)
        total, before = total + len(drawn.days), before + CUSTOMERS_A_DRAW
    at = np.concatenate(days)
    kept = np.sort(np.argsort(at, kind="stable")[:rows])
    kept = kept[np.argsort(at[kept], kind="stable")]
    names = np.array([one.touchpoint for one in company.marks])
    numbers, marks = np.concatenate(customer)[kept], np.concatenate(mark)[kept]
    columns = {
        "customer_id": pa.array(numbers).cast(pa.string()),
        "name": pa.DictionaryArray.from_arrays(pa.array(marks), pa.array(names)).cast(pa.string()),
        "occurred_at": pa.array((at[kept] * DAY).astype(np.int64)),
        "amount_minor": pa.array(np.where(marks == 0, 990, 0)),
    }
    pa.parquet.write_table(pa.table(columns), path)
    return path


def ours(path: Path) -> dict[str, float]:
    read = pa.parquet.read_table(path)
    begun = time.perf_counter()
    journeys = _arranged(read)
    return {"assembled": time.perf_counter() - begun, "customers": len(journeys)}


def _arranged(read: pa.Table) -> Journeys:
    at = read["occurred_at"].to_numpy()
    customer_id, name = (read[column].combine_chunks() for column in ("customer_id", "name"))
    rows = Rows(customer_id, customer_id, name, at, at, read["amount_minor"].to_numpy(), np.zeros(len(at), np.bool_))
    return arranged(rows, dict.fromkeys(car_dealer().touchpoints, STAGES[0]))


def features(path: Path) -> dict[str, float]:
    """What comes after: sessions, and every feature at random moments."""
    landmarks = int(os.environ["LANDMARKS"])
    journeys = _arranged(pa.parquet.read_table(path))
    begun = time.perf_counter()
    sessions(journeys)
    sessionised = time.perf_counter() - begun
    rng = np.random.default_rng(1)
    vocabulary = Vocabulary.of(journeys)
    rows = np.sort(rng.integers(0, len(journeys), landmarks))
    first = journeys.occurred_at[journeys.starts[:-1]][rows]
    as_of = first + (rng.random(landmarks) * (CALENDAR_DAYS * DAY - first)).astype(np.int64)
    begun = time.perf_counter()
    for start in range(0, landmarks, AT_ONCE):
        some, moment = rows[start : start + AT_ONCE], as_of[start : start + AT_ONCE]
        behaviour(journeys.take(some).seen_at(moment), moment, vocabulary)
    seconds = time.perf_counter() - begun
    width = len(features_of(vocabulary))
    return {"sessionised": sessionised, "features": seconds, "width": width}


def with_pandas(path: Path) -> dict[str, float]:
    import pandas as pd

    frame = pd.read_parquet(path)
    begun = time.perf_counter()
    for column in ("customer_id", "name"):
        frame[column] = frame[column].astype("category")
    frame = frame.sort_values(["customer_id", "occurred_at"])
    lengths = frame.groupby("customer_id", observed=True, sort=True).size().to_numpy()
    code = frame["name"].cat.codes.to_numpy()
    return {"assembled": time.perf_counter() - begun, "customers": len(lengths), "n": len(code)}


def with_polars(path: Path) -> dict[str, float]:
    import polars as pl

    frame = pl.read_parquet(path)
    begun = time.perf_counter()
    frame = frame.with_columns(pl.col("name").cast(pl.Categorical)).sort("customer_id", "occurred_at")
    lengths = frame.select(pl.col("customer_id").rle()).unnest("customer_id")["len"].to_numpy()
    code = frame["name"].to_physical().to_numpy()
    return {"assembled": time.perf_counter() - begun, "customers": len(lengths), "n": len(code)}


def with_duckdb(path: Path) -> dict[str, float]:
    import duckdb

    read = pa.parquet.read_table(path)
    connection = duckdb.connect()
    connection.register("events", read)
    begun = time.perf_counter()
    query = """
        SELECT customer_id, enum_code(name::names) AS code, occurred_at, amount_minor FROM events
        ORDER BY customer_id, occurred_at"""
    connection.execute("CREATE TYPE names AS ENUM (SELECT DISTINCT name FROM events ORDER BY name)")
    found: pa.Table = connection.execute(query).to_arrow_table()
    lengths = connection.execute("SELECT count(*) FROM events GROUP BY customer_id ORDER BY customer_id")
    return {"assembled": time.perf_counter() - begun, "customers": len(lengths.fetchall()), "n": found.num_rows}


WORK: dict[str, Work] = {
    "ours": ours, "polars": with_polars, "duckdb": with_duckdb, "pandas": with_pandas, "features": features,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """What one process told, and its largest memory in bytes."""

    told: dict[str, float]
    memory: int


def in_process(name: str, path: Path, landmarks: int) -> Ran:
    """Do one piece of work in a process of its own."""
    call = [sys.executable, "-m", "benchmarks.journeys", "--work", name, "--file", str(path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False,
                          env={**os.environ, "LANDMARKS": str(landmarks)})  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    return Ran(told, int(told.pop("memory")))


def run(path: Path, rows: int, landmarks: int, rounds: int) -> dict[str, Any]:
    """Everything, turn by turn."""
    begun, found = time.perf_counter(), dict[str, list[Ran]]()
    for number in range(rounds):
        for name in WORK:
            ran = in_process(name, path, landmarks)
            found.setdefault(name, []).append(ran)
            sys.stderr.write(f"round {number + 1}: {name} {ran.told}, {ran.memory / 2**20:.0f} MiB\n")
    tools = {
        name: {"seconds": round(median(one.told["assembled"] for one in found[name]), 3),
               "memory": max(one.memory for one in found[name])}
        for name in WORK if name != "features"
    }  # fmt: skip
    last = {key: round(median(one.told[key] for one in found["features"]), 3) for key in found["features"][0].told}
    memory = max(one.memory for one in found["features"])
    return {"about": about(), "rows": rows, "landmarks": landmarks, "rounds": rounds, "tools": tools,
            "features": {**last, "memory": memory}, "customers": int(found["ours"][0].told["customers"]),
            "seconds": round(time.perf_counter() - begun)}  # fmt: skip


def tables(told: dict[str, Any]) -> list[str]:
    base = told["tools"]["ours"]["seconds"]
    rows = [
        [name, f"{one['seconds']:.2f}", f"{one['seconds'] / base:.2f}", f"{one['memory'] / 2**20:,.0f}"]
        for name, one in told["tools"].items()
    ]
    after = told["features"]
    later = [
        ["sessions of all touchpoints", f"{after['sessionised']:.2f}", f"{after['sessionised'] / base:.2f}"],
        [f"{after['width']:.0f} features at {told['landmarks']:,} moments", f"{after['features']:.2f}",
         f"{after['features'] / base:.2f}"],
    ]  # fmt: skip
    heading = f"{told['rows']:,} touchpoints of {told['customers']:,} customers"
    return [
        table(heading, ("who", "seconds", "to ours", "memory, MiB"), rows, of_run(told)),
        table("Then, ours", ("what", "seconds", "to assembly"), later,
              f"Largest memory {after['memory'] / 2**20:,.0f} MiB."),
    ]  # fmt: skip


def worked(name: str, path: Path) -> None:
    """Inside the process: do it and tell."""
    told = WORK[name](path)
    sys.stdout.write(json.dumps({**{key: float(value) for key, value in told.items()}, "memory": _peak()}))


def _peak() -> int:
    """Largest memory of this process in bytes, without that of its parent before it began."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--landmarks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=tuple(WORK), help="one piece alone, in this process")
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    if given.work:
        worked(given.work, given.file)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = make(Path(scratch) / "events.parquet", given.rows, given.seed)
        told = run(path, given.rows, given.landmarks, given.rounds)
    sets = {f"{given.rows} touchpoints": told}
    every = [one for each in merged("journeys", sets).values() for one in tables(each)]
    write("journeys", "Journeys at scale", NOTES, sets, every)


if __name__ == "__main__":
    main()
