"""How fast history follows a changed catalogue: `python -m benchmarks.remap [--events 200000]`.

The same history is mapped anew after a change of one rule and after one of every rule; beside it, what somebody without
re-mapping would do: delete what was folded and fold it all again.
"""

from __future__ import annotations

import random
import re
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import about, merged, of_run, options, table, write
from models.journey.event import Event
from models.journey.touchpoint import Catalogue, default_text
from service.clock import system_clock
from service.events import projector, remap, store
from service.rebuild import rebuild
from service.settings import Settings
from service.state import State, open_state

NAMES = ("Product Viewed", "Product Added", "Order Completed", "Email Opened", "Survey Answered", "Unheard Of")
TOUCHPOINTS, BATCH = 30, 5_000
START = 1_700_000_000_000_000
NOTES = ("Events per second, and the longest step, during which nothing else is folded.",)
CHANGES = {
    "one rule changed": ("action: (cart_add),", r"action: our_\1,"),
    "every rule changed": (r"action: (\w)", r"action: our_\1"),
}
"""Patterns in the text of the default catalogue, and what comes in their place."""


def fill(state: State, events: int) -> None:
    """A log of customers with thirty touchpoints each, folded; one event in thirty has words in it."""
    rng = random.Random(1)  # noqa: S311 - made-up events
    for first in range(0, events, BATCH):
        batch = [one(rng, number, events // TOUCHPOINTS) for number in range(first, min(first + BATCH, events))]
        store.append(state.log, batch, START + first * 1_000)
    projector.fold_all(state)


def one(rng: random.Random, number: int, customers: int) -> Event:
    user = f"c{rng.randrange(customers)}"
    words = {"text": "Good service", "rating": 4} if rng.random() < 1 / 30 else {}
    at = START + number * 1_000
    page = {"page": {"url": "https://example.org/a"}}
    properties = {"value": 12.5, **words}
    return Event(f"{rng.getrandbits(64):016x}", "track", rng.choice(NAMES), user, None, at, at, properties, page)


def changed(state: State, pattern: str, instead: str) -> State:
    text, times = re.subn(pattern, instead, default_text())
    if not times:
        raise ValueError(f"the default catalogue says nowhere {pattern!r}; name something that it does say")
    return replace(state, catalogue=Catalogue.parse(text))


def timed(step: Callable[[], int], events: int) -> dict[str, float]:
    """Steps until nothing is left."""
    begun, cpu, longest = time.perf_counter(), time.process_time(), 0.0
    while True:
        before = time.perf_counter()
        worked = step()
        longest = max(longest, time.perf_counter() - before)
        if not worked:
            break
    return {
        "per_second": events / (time.perf_counter() - begun),
        "per_cpu_second": events / (time.process_time() - cpu),
        "longest_seconds": longest,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--events", type=int, default=200_000)
    chosen, begun = parser.parse_args(), time.monotonic()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, open_state(Settings(data_dir=Path(folder)), system_clock) as state:
        fill(state, chosen.events)
        for what, change in CHANGES.items():
            found[what] = timed(partial(remap.step, changed(state, *change)), chosen.events)
        found["deleted and folded again"] = timed(lambda: rebuild(state) and 0, chosen.events)
    told = {"about": about(), "seconds": round(time.monotonic() - begun), "events": chosen.events, **found}
    rows = [
        [what, f"{one['per_second']:,.0f}", f"{one['per_cpu_second']:,.0f}", f"{one['longest_seconds']:.2f}",
         f"{one['peak_mb']:,.0f}"]
        for what, one in found.items()
    ]  # fmt: skip
    columns = ("what", "events/s", "events per CPU second", "longest step, s", "memory so far, MB")
    text = table(f"{chosen.events:,} events", columns, rows, of_run(told))
    write("remap", "How fast history follows the catalogue", NOTES, merged("remap", {str(chosen.events): told}), [text])


if __name__ == "__main__":
    main()
