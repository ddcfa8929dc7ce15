"""How fast two customers become one, and are told apart again: `python -m benchmarks.identity`.

Two known users with 1,000 events each on several devices; an alias joins them, a split undoes it, round after round.
Timed is folding the one event that joins, or splits: deciding, moving the rows, committing to disk. Beside it, the same
with each new visitor of a tablet that is shared by many.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import about, merged, of_run, options, table, write
from models.journey.claims import split_event
from models.journey.event import SECOND, Event
from service.clock import random_id, system_clock
from service.events import projector, store
from service.settings import Settings
from service.state import State, open_state

EVENTS, DEVICES, VISITORS = 1_000, 5, 2_000
NOTES = ("Milliseconds to fold one event: deciding who is who, moving what was folded, and the commit to disk.",)
MOST_MS = 50


def said(kind: str, user: str | None, device: str | None = None, previous: str | None = None) -> Event:
    name = "Product Viewed" if kind == "track" else ""
    return Event(random_id(), kind, name, user, device, system_clock() - SECOND, 0, {}, {}, previous)


def fold(state: State, event: Event) -> float:
    """Milliseconds."""
    store.append(state.log, [event], system_clock())
    begun = time.perf_counter()
    projector.fold_all(state)
    return (time.perf_counter() - begun) * 1e3


def measured(folder: Path, rounds: int) -> dict[str, Sequence[float]]:
    joining, undoing, shared = [], [], []
    with open_state(Settings(data_dir=folder), system_clock) as state:
        for number in range(rounds):
            old, new = f"old-{number}", f"new-{number}"
            history = [said("track", user, f"{user}-{n % DEVICES}") for user in (old, new) for n in range(EVENTS)]
            store.append(state.log, history, system_clock())
            projector.fold_all(state)
            joining.append(fold(state, said("alias", new, None, old)))
            undone = split_event((f"u:{old}", f"u:{new}"), random_id(), system_clock(), "benchmark", "")
            undoing.append(fold(state, undone))
        visits = [said("identify", f"visitor-{n}", "tablet") for n in range(VISITORS)]
        store.append(state.log, visits, system_clock())
        projector.fold_all(state)
        shared += [fold(state, said("identify", f"visitor-{n}", "tablet")) for n in range(VISITORS, VISITORS + rounds)]
    return {
        f"join of two customers with {EVENTS:,} events each": joining,
        "split of the two": undoing,
        f"one more on a tablet of {VISITORS:,}": shared,
    }


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--rounds", type=int, default=40)
    chosen, begun = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        found = measured(Path(scratch) / "data", chosen.rounds)
    figures: dict[str, Any] = {
        name: {"p50": median(values), "p99": sorted(values)[int(len(values) * 0.99)]} for name, values in found.items()
    }
    told = {"about": about(), "seconds": round(time.monotonic() - begun), "rounds": chosen.rounds, **figures}
    rows = [[name, f"{one['p50']:.1f}", f"{one['p99']:.1f}"] for name, one in figures.items()]
    below = f"{chosen.rounds} rounds; a join is to take at most {MOST_MS} ms. {of_run(told)}"
    text = table("Joins and splits", ("what", "median, ms", "p99, ms"), rows, below)
    write("identity", "How fast customers become one", NOTES, merged("identity", {"joins": told}), [text])


if __name__ == "__main__":
    main()
