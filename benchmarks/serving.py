"""How fast answers come: `python -m benchmarks.serving`, beside FastAPI alone. Needs Debian's `wrk`.

Real HTTP over loopback, one uvicorn worker each, in turns and in the same run; medians of the rounds. Ours: a stored
customer's insight, and POST /v1/predictions with one journey of 20 events, as its bundle answers them. Beside them: an
empty route, the same body read and given back by pydantic, and the same body with scikit-learn's gradient boosting
(serving_peers.py). Then scoring in batches, the time until ready beside that of an app with one route, and memory. With
`--minutes N` only memory, minute by minute, under both loads in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ingest_load import Server, free_port, running, settings_of
from benchmarks.report import about, merged, of_run, options, table, write
from training.simulator import simulate

CONNECTIONS, THREADS, EVENTS, CUSTOMERS, CROWD = 32, 1, 20, 300, 60_000
SETTLED = 0.5
INSIGHT_OF_EMPTY, PREDICTIONS_OF_ECHO, TIMES_P99, TIMES_BATCH = 0.6, 0.4, 3.0, 5.0
READY_SECONDS, MOST_MB = 3.0, 400.0
NAMES = ("insight", "empty", "predictions", "echo", "boosting")
HAPPENED = (("Product Viewed", "web"), ("Email Opened", "email"), ("Test Drive Booked", "dealer"),
            ("App Opened", "app"), ("Email Sent", "email"), ("Product Searched", "web"))  # fmt: skip
_RATE, _P99 = re.compile(r"Requests/sec:\s+([\d.]+)"), re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_FAILED = re.compile(r"Non-2xx or 3xx responses|Socket errors")
NOTES = (
    f"Requests per second and the 99th percentile of their time by `wrk`, {CONNECTIONS} connections that each wait for",
    "their answer; medians of the rounds, in turns. Each server is one uvicorn process with uvloop and httptools. The",
    "load shares the cores of the machine with the server. A journey has 20 events in the API's short form. Customers",
    "who have said something are left out of the batch: reading words takes far longer than the rest.",
)


@dataclass(frozen=True)
class Load:
    """What wrk sends."""

    url: str
    key: str = ""
    body: str = ""

    def run(self, seconds: int, folder: Path) -> tuple[float, float]:
        """Requests a second, and the 99th percentile in milliseconds."""
        script = folder / "load.lua"
        script.write_text("\n".join(self._script()), "utf-8")
        command = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), self.url]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rate, slow = _RATE.search(told), _P99.search(told)
        if rate is None or slow is None or _FAILED.search(told):
            raise RuntimeError(f"{self.url}: {told}")
        return float(rate[1]), float(slow[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[slow[2]]

    def _script(self) -> Iterator[str]:
        if self.key:
            yield f'wrk.headers["Authorization"] = "Bearer {self.key}"'
        if self.body:
            yield 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"'
            yield f"wrk.body = [==[{self.body}]==]"


def journey(rng: random.Random) -> dict[str, Any]:
    """A customer of 20 events in the API's short form."""
    events = []
    for day in range(EVENTS):
        event, channel = rng.choice(HAPPENED)
        events.append({"event": event, "channel": channel, "timestamp": f"2026-10-{day + 1:02d}T10:00:00Z"})
    return {"customer_id": f"c_{rng.randrange(10**6)}", "events": events}


@contextmanager
def peers() -> Iterator[Server]:
    """FastAPI alone."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.serving_peers:app", "--port", str(port),
               "--no-access-log"]  # fmt: skip
    with running(command, port, dict(os.environ)) as server:
        yield server


@contextmanager
def ours(environment: Mapping[str, str], told: dict[str, Any]) -> Iterator[Server]:
    """Our service; how long it took to be ready, with its models loaded."""
    port, began = int(environment["JOURNEY_PORT"]), time.perf_counter()
    with running([sys.executable, "-m", "service", "serve"], port, environment, told["key"]) as server:
        told["ready_seconds"] = time.perf_counter() - began
        yield server


def stocked(folder: Path, mlruns: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """A data folder with customers whose insights are concluded, and a key."""
    environment = settings_of(folder, free_port())
    shutil.copytree(mlruns / "versions", folder / "mlruns" / "versions")
    shutil.copytree(mlruns / "live", folder / "mlruns" / "live")
    simulate(CUSTOMERS, 7, folder / "company")
    service = [sys.executable, "-m", "service"]
    for arguments in (["import", str(folder / "company" / "events.parquet")], ["worker", "--once"]):
        subprocess.run([*service, *arguments], check=True, env=environment, capture_output=True)
    made = subprocess.run([*service, "keys", "create", "--name", "bench", "--scope", "read", "--json"], check=True,
                          env=environment, capture_output=True)  # fmt: skip
    return environment, {"key": json.loads(made.stdout)["key"]}


def known_customer(folder: Path) -> str:
    """Somebody with many touchpoints."""
    with sqlite3.connect(folder / "data" / "service.db") as service:
        query = "SELECT customer_id FROM touchpoints GROUP BY customer_id ORDER BY count(*) DESC LIMIT 1"
        return str(service.execute(query).fetchone()[0])


def memory_mb(port: int) -> float:
    """The resident memory of who listens on this port."""
    found = subprocess.run(["ss", "-ltnpH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"pid=(\d+)", found)
    status = Path(f"/proc/{match[1]}/status").read_text() if match else "VmRSS: 0 kB"
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def asked(base: str, path: str, key: str, body: bytes | None = None) -> Any:
    """One answer of ours."""
    request = urllib.request.Request(base + path, body, {"Authorization": f"Bearer {key}"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def run(mlruns: Path, rounds: int, seconds: int, seed: int, folder: Path) -> dict[str, Any]:
    """All loads in turns."""
    begun, rng = time.monotonic(), random.Random(seed)  # noqa: S311 - a load, no secret
    environment, told = stocked(folder, mlruns)
    body = json.dumps({"journeys": [journey(rng)]})
    words = json.dumps({"journeys": [{"feedback": [{"text": "Lovely people, and the coffee is good."}]}]}).encode()
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    with peers() as them, ours(environment, told) as us:
        base, other = f"http://127.0.0.1:{us.port}", f"http://127.0.0.1:{them.port}"
        asked(base, "/v1/predictions", us.key, words)  # so that the reader of feelings is loaded too
        loads = {
            "insight": Load(f"{base}/v1/customers/{known_customer(folder)}/insight", us.key),
            "empty": Load(f"{other}/empty"),
            "predictions": Load(f"{base}/v1/predictions", us.key, body),
            "echo": Load(f"{other}/echo", body=body),
            "boosting": Load(f"{other}/boosting", body=body),
        }
        for number in range(rounds + 1):
            for name, load in loads.items():
                time.sleep(SETTLED)  # what the load before left unanswered is done
                found = load.run(seconds if number else 1, folder)
                if number:
                    rates[name].append(found)
        told["memory_mb"] = memory_mb(us.port)
        ready = asked(base, "/readyz", us.key)["bundle"]
    batch = {str(one): scoring(folder, mlruns, one) for one in (1, os.cpu_count() or 1)}
    load_of_machine = f"{os.getloadavg()[2]:.1f}"
    return {"about": about(), "seconds": round(time.monotonic() - begun), "load": load_of_machine, "rounds": rounds,
            "connections": CONNECTIONS, **figures(rates), "batch": batch, "version": ready["version"],
            "ready_seconds": told["ready_seconds"], "empty_ready_seconds": empty_ready(),
            "memory_mb": told["memory_mb"]}  # fmt: skip


def scoring(folder: Path, mlruns: Path, processes: int) -> float | None:
    """Customers without words a second that `score` writes down, its start not counted; None where it cannot."""
    environment = settings_of(crowd := folder / "crowd", free_port())
    service, ids = [sys.executable, "-m", "service"], crowd / "ids"
    if not crowd.exists():
        shutil.copytree(mlruns / "versions", crowd / "mlruns" / "versions")
        shutil.copytree(mlruns / "live", crowd / "mlruns" / "live")
        simulate(CROWD, 7, crowd / "company")
        ids.write_text("nobody")
        score = ["score", "--customers", str(ids), "--out", str(crowd / "nobody.csv")]
        for arguments in (["import", str(crowd / "company" / "events.parquet")], score):  # what is not folded yet is
            subprocess.run([*service, *arguments], check=True, env=environment, capture_output=True)
        with sqlite3.connect(crowd / "data" / "service.db") as database:
            query = ("SELECT DISTINCT customer_id FROM touchpoints "
                     "WHERE customer_id NOT IN (SELECT customer_id FROM feedback)")  # fmt: skip
            ids.write_text("".join(f"{one}\n" for (one,) in database.execute(query)))
    command = [*service, "score", "--out", str(crowd / "scores.parquet"), "--customers", str(ids), "--json",
               "--processes", str(processes)]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["rows"] / found["seconds"])


def empty_ready() -> float:
    """Seconds until an app with one empty route is ready."""
    port, begun = free_port(), time.perf_counter()
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.serving_peers:bare", "--port", str(port),
               "--no-access-log"]  # fmt: skip
    with running(command, port, dict(os.environ)):
        return time.perf_counter() - begun


def watch_memory(mlruns: Path, minutes: int, seed: int, folder: Path) -> dict[str, Any]:
    """Memory at the end of each minute of load: a stored insight and predictions in turns, words among them."""
    begun, rng = time.monotonic(), random.Random(seed)  # noqa: S311 - a load, no secret
    environment, told = stocked(folder, mlruns)
    found = list[float]()
    with ours(environment, told) as us:
        base = f"http://127.0.0.1:{us.port}"
        insight = Load(f"{base}/v1/customers/{known_customer(folder)}/insight", us.key)
        for minute in range(minutes):
            words = {"feedback": [{"text": f"Visit {minute}: lovely people, and the coffee is good."}]}
            asked(base, "/v1/predictions", us.key, json.dumps({"journeys": [words]}).encode())
            insight.run(30, folder)
            body = json.dumps({"journeys": [journey(rng)]})
            Load(f"{base}/v1/predictions", us.key, body).run(30, folder)
            found.append(memory_mb(us.port))
            sys.stderr.write(f"minute {minute + 1}: {found[-1]:.1f} MB\n")
    return {"about": about(), "seconds": round(time.monotonic() - begun), "memory_mb": found}


def figures(rates: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    """Medians, and the medians of each round's ratios."""

    def ratio(one: str, other: str, place: int) -> float:
        return statistics.median(a[place] / b[place] for a, b in zip(rates[one], rates[other], strict=True))

    return {
        "rate": {name: statistics.median(rate for rate, _ in found) for name, found in rates.items()},
        "p99_ms": {name: statistics.median(slow for _, slow in found) for name, found in rates.items()},
        "insight_of_empty": ratio("insight", "empty", 0), "insight_p99_times": ratio("insight", "empty", 1),
        "predictions_of_echo": ratio("predictions", "echo", 0),
        "predictions_p99_times": ratio("predictions", "echo", 1),
        "predictions_times_boosting": ratio("predictions", "boosting", 0),
    }  # fmt: skip


def served_table(told: Mapping[str, Any]) -> str:
    """Rates and tails."""
    named = {
        "insight": "**a stored insight**", "empty": "an empty FastAPI route",
        "predictions": "**POST /v1/predictions**, one journey", "echo": "the same body, pydantic there and back",
        "boosting": "the same body, scikit-learn's boosting",
    }  # fmt: skip
    rows = [[text, f"{told['rate'][name]:,.0f}", f"{told['p99_ms'][name]:.1f}"] for name, text in named.items()]
    below = (f"A stored insight: {told['insight_of_empty']:.2f} of the empty route (bar {INSIGHT_OF_EMPTY}), p99 "
             f"{told['insight_p99_times']:.1f} times its (bar {TIMES_P99:g}). Predictions: "
             f"{told['predictions_of_echo']:.2f} of the echo (bar {PREDICTIONS_OF_ECHO}), p99 "
             f"{told['predictions_p99_times']:.1f} times its (bar {TIMES_P99:g}), "
             f"{told['predictions_times_boosting']:.1f} times the boosting. Load of the machine over 15 minutes "
             f"{told['load']}. {of_run(told)}")  # fmt: skip
    return table("requests", ("what", "a second", "p99, ms"), rows, below)


def rest_table(told: Mapping[str, Any]) -> str:
    """Batches, the start, memory."""
    rate, rows = told["rate"]["predictions"], []
    for processes, batch in told["batch"].items():
        batched = "-" if batch is None else f"{batch:,.0f} a second, {batch / rate:.1f} times the request path"
        rows.append([f"`python -m service score --processes {processes}`", batched, f"{TIMES_BATCH:g} times"])
    ready = f"{told['ready_seconds']:.1f} s; an app with one empty route {told['empty_ready_seconds']:.1f} s"
    rows += [
        ["from the start until ready", ready, f"{READY_SECONDS:g} s"],
        ["memory, all models loaded, after the load", f"{told['memory_mb']:.0f} MB", f"{MOST_MB:g} MB"],
    ]
    return table("besides", ("what", "measured", "bar"), rows)


def memory_table(told: Mapping[str, Any]) -> str:
    """How much, after how many minutes."""
    found = told["memory_mb"]
    rows = [[str(minute), f"{one:.1f}"] for minute, one in enumerate(found, 1)]
    grown = found[-1] - found[len(found) // 2]
    below = f"In the second half of the time it grew by {grown:.1f} MB. {of_run(told)}"
    return table("memory under load", ("minute", "resident MB"), rows, below)


def main() -> None:
    parser: argparse.ArgumentParser = options(str(__doc__))
    parser.add_argument("--mlruns", type=Path, default=Path("mlruns"), help="where a live bundle is")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each load in each round")
    parser.add_argument("--minutes", type=int, default=0, help="watch memory under load for so many, and nothing else")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.minutes:
            found = {"memory": watch_memory(chosen.mlruns, chosen.minutes, chosen.seed, Path(scratch))}
        else:
            found = {"serving": run(chosen.mlruns, chosen.rounds, chosen.seconds, chosen.seed, Path(scratch))}
    sys.stderr.write(f"{found}\n")
    sets = merged("serving", found)
    tables = [served_table(sets["serving"]), rest_table(sets["serving"])] if "serving" in sets else []
    write("serving", "How fast answers come", NOTES, found,
          [*tables, *([memory_table(sets["memory"])] if "memory" in sets else [])])  # fmt: skip


if __name__ == "__main__":
    main()
