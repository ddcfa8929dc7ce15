"""How fast the next case comes: `python -m benchmarks.review [--cases 100000] [--reviewers 50]`.

A service with so many open cases; every reviewer holds one and has skipped some. In turns, in one run: reading a
conclusion by its primary key, and finding the next case for a reviewer; beside them the whole step that a reviewer
waits for, with the write lock, the claim and the commit to disk, by one and by many at once.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert

from benchmarks.report import about, merged, of_run, options, table, write
from models.insight import Conclusion, Decision, ModelVersion, flags
from models.journey.event import SECOND
from models.review import ReviewPolicy
from service.clock import random_id, system_clock
from service.events.folded import feedback, touchpoints
from service.insights import store as insights
from service.reviews import queue
from service.reviews.logic import Desk
from service.reviews.queue import Asking, Filter
from service.settings import Settings
from service.state import State, open_state

START = 1_700_000_000_000_000
BATCH, SKIPPED, ROUNDS, CLAIMS_AT_ONCE = 5_000, 20, 20_000, 5
FLAGS = (
    "low_margin", "below_threshold", "polite_anger", "mixed_feelings", "resignation", "sarcasm_cue", "too_short",
)  # fmt: skip
CHANNELS, LANGUAGES = ("chat", "mail", "survey", "app", "branch"), ("en", "de", "fr")
POLICY = ReviewPolicy(twice_share=0.02)
RARE = Filter(flag="urgent", channel="branch", language="fr")
NOTES = (
    "The next case costs at most 3 reads by primary key at the median, and its p99 at most 10 times its own median.",
    "Both through the same connection and layer, in turns; microseconds. `step` is all that a reviewer waits for.",
)  # fmt: skip


def fill(state: State, cases: int) -> list[str]:
    """Cases as the worker writes them; returns their ids."""
    rng, ids = random.Random(1), list[str]()  # noqa: S311 - made-up cases
    for first in range(0, cases, BATCH):
        with state.service.write() as connection:
            ids += [one(connection, rng, number) for number in range(first, min(first + BATCH, cases))]
    return ids


def one(connection: Connection, rng: random.Random, number: int) -> str:
    subject, customer, at = f"f{number}", f"c{number // 2}", START + number * SECOND
    said = {
        "feedback_id": subject, "own_id": f"u:{customer}", "customer_id": customer, "said_at": at, "received_at": at,
        "known_at": at, "channel": rng.choice(CHANNELS), "text": f"Words number {number} of a customer who waits",
        "language": rng.choice(LANGUAGES), "language_given": False,
    }  # fmt: skip
    connection.execute(insert(feedback), said)
    bought = {
        "message_id": f"m{number}", "own_id": f"u:{customer}", "customer_id": customer, "occurred_at": at,
        "received_at": at, "known_at": at, "channel": "web", "action": "purchase", "stage": "sale",
        "amount_minor": rng.randrange(500_000), "contact": False, "stale": False,
    }  # fmt: skip
    connection.execute(insert(touchpoints), bought)
    codes = [*(["urgent"] if rng.random() < 0.01 else []), *rng.sample(FLAGS, 2)]
    details = {"confidence": rng.uniform(0.3, 0.95)}
    waits = Conclusion("feeling", Decision.REVIEW, flags(codes), "negative", details, {"feedback_id": subject})
    return insights.add(connection, f"k{number}", customer, subject, waits, ModelVersion(1, "one", START), at)


def desk(state: State, connection: Connection, reviewer: str) -> Desk:
    return Desk(connection, reviewer, system_clock(), POLICY, random_id, lambda *_: None)


def take(state: State, reviewer: str) -> str:
    """One step of a reviewer: the next case, claimed."""
    with state.service.write() as connection:
        found = desk(state, connection, reviewer).take_next()
    if found is None:
        raise LookupError(f"no case is left for {reviewer}; fill in more cases")
    return str(found.conclusion_id)


def skip(state: State, reviewer: str, conclusion_id: str) -> None:
    with state.service.write() as connection:
        desk(state, connection, reviewer).give_back(conclusion_id, ending="skipped")


def in_turns(steps: dict[str, Callable[[int], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds of each step, one after the other in every round, so that all meet the same machine."""
    spent: dict[str, list[float]] = {name: [] for name in steps}
    worked: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name, step in steps.items():
            begun, cpu = time.perf_counter_ns(), time.thread_time_ns()
            step(number)
            spent[name].append((time.perf_counter_ns() - begun) / 1_000)
            worked[name].append((time.thread_time_ns() - cpu) / 1_000)
    return {name: summary(spent[name], worked[name]) for name in steps}


def summary(values: list[float], cpu: list[float]) -> dict[str, float]:
    """By the clock, and by the processor alone, which other programs on the machine do not slow down as much."""
    found: dict[str, float] = {"n": len(values)}
    for name, some in (("", values), ("cpu_", cpu)):
        low, high = np.percentile(some, (50, 99))
        found |= {f"{name}median_us": float(low), f"{name}p99_us": float(high), f"{name}p99_by_median": high / low}
    return found


def reads(state: State, ids: list[str], reviewers: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """By primary key, and the next case, on one open connection."""
    rng = random.Random(2)  # noqa: S311 - which rows are read
    keys = [rng.choice(ids) for _ in range(rounds)]
    with state.service.read() as connection:
        asking = [Asking(name, system_clock(), POLICY) for name in reviewers]
        steps: dict[str, Callable[[int], object]] = {
            "primary key": lambda i: insights.get_conclusion(connection, keys[i]),
            "next case": lambda i: queue.next_waiting(connection, asking[i % len(asking)]),
        }
        in_turns(steps, 200)
        found = in_turns(steps, rounds)
        rare = replace(asking[0], which=RARE)
        few: dict[str, Callable[[int], object]] = {
            "next case, three filters": lambda _: queue.next_waiting(connection, rare),
            "counts": lambda _: queue.count(connection, asking[0]),
            "list of 12": lambda _: queue.waiting(connection, asking[0], 12),
        }
        return found | in_turns(few, 50)


def claims(state: State, reviewers: list[str]) -> dict[str, dict[str, float]]:
    """The whole step: by one person after the other, and by all at once."""

    def work(reviewer: str) -> list[tuple[float, float]]:
        spent = []
        for _ in range(CLAIMS_AT_ONCE):
            begun, cpu = time.perf_counter_ns(), time.thread_time_ns()
            held = take(state, reviewer)
            spent.append(((time.perf_counter_ns() - begun) / 1_000, (time.thread_time_ns() - cpu) / 1_000))
            skip(state, reviewer, held)
        return spent

    def told(spent: list[tuple[float, float]]) -> dict[str, float]:
        return summary([clock for clock, _ in spent], [cpu for _, cpu in spent])

    alone = [spent for reviewer in reviewers[:10] for spent in work(reviewer)]
    with ThreadPoolExecutor(len(reviewers)) as pool:
        crowd = [spent for found in pool.map(work, reviewers) for spent in found]
    return {"step, one at a time": told(alone), f"step, {len(reviewers)} at once": told(crowd)}


def measure(state: State, cases: int, people: int, rounds: int) -> dict[str, Any]:
    ids, reviewers = fill(state, cases), [f"reviewer {number}" for number in range(people)]
    for reviewer in reviewers:
        for _ in range(SKIPPED):
            skip(state, reviewer, take(state, reviewer))
    held = [take(state, reviewer) for reviewer in reviewers]
    if max(Counter(held).values()) > 2:
        raise RuntimeError("a case is held by more people than are to read it")
    found = reads(state, ids, reviewers, rounds)
    for reviewer, case in zip(reviewers, held, strict=True):
        skip(state, reviewer, case)
    ratio = found["next case"]["median_us"] / found["primary key"]["median_us"]
    return {"times_a_read_by_key": ratio, **found, **claims(state, reviewers)}


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--reviewers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen, begun = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), busy_seconds=60)
        with open_state(settings, system_clock) as state:
            found = measure(state, chosen.cases, chosen.reviewers, chosen.rounds)
    told = {"about": about(), "seconds": round(time.monotonic() - begun), "cases": chosen.cases, **found}
    steps = {name: one for name, one in found.items() if isinstance(one, dict)}
    rows = [
        [
            name,
            f"{one['median_us']:,.0f}",
            f"{one['p99_us']:,.0f}",
            f"{one['p99_by_median']:.1f}",
            f"{one['cpu_median_us']:,.0f}",
            f"{one['cpu_p99_us']:,.0f}",
            f"{one['cpu_p99_by_median']:.1f}",
        ]
        for name, one in steps.items()
    ]
    heading = f"{chosen.cases:,} open cases, {chosen.reviewers} reviewers"
    below = f"The next case costs {found['times_a_read_by_key']:.2f} reads by primary key.\n\n{of_run(told)}"
    columns = ("what", "median, us", "p99, us", "p99 / median", "CPU median", "CPU p99", "CPU p99 / median")
    text = table(heading, columns, rows, below)
    write("review", "The next case", NOTES, merged("review", {str(chosen.cases): told}), [text])


if __name__ == "__main__":
    main()
