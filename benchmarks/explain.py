"""What saying why costs, and where customers answer: `python -m benchmarks.explain`. Needs no data.

A made-up car dealer is learned from as `python -m training` would, but for two epochs: how long an answer takes does
not depend on how good it is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import about, merged, of_run, options, table, write
from models.features.vocabulary import Vocabulary
from models.journey.assembly import assemble
from models.journey.event import DAY, SECOND
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.touchpoint import Catalogue
from models.predictors.channel import ChannelPredictor
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.why import why_next
from training.channel import fit_channels
from training.next_touchpoint import NextTouchpointConfig, fit_next_touchpoint
from training.simulator import simulate

CUSTOMERS = 2_000
TOUCHPOINTS = 50
ASKED = 300
AT_ONCE = 128
NOTES = (
    "Milliseconds on one thread, median and 99th percentile. *why* is all that `explain=true` adds to an answer: the",
    "journey as a whole and without each of its touchpoints, in one batch, the closest pattern and the counts. Each",
    f"journey has {TOUCHPOINTS} touchpoints. The time of the processor leaves out what other processes took.",
)


def run(seed: int) -> dict[str, Any]:
    """Fit, then ask each journey."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        simulate(CUSTOMERS, seed, folder)
        journeys = assemble(read_events(folder / "events.parquet"), Catalogue.default()).journeys
        end = int(journeys.occurred_at.max())
        wanted = replace(NextTouchpointConfig(), epochs=2)
        fit_next_touchpoint(
            journeys, Vocabulary.of(journeys), end - 30 * DAY, 30 * DAY // SECOND, wanted, seed, folder / "next",
            lambda line: None,
        )  # fmt: skip
        predictor = NextTouchpointPredictor.load(folder / "next")
        fit_channels(journeys, end, folder / "channel")
        channels = ChannelPredictor.load(folder / "channel")
    long = np.resize(np.flatnonzero(journeys.lengths >= TOUCHPOINTS), ASKED)
    every = journeys.first(long, np.full(ASKED, TOUCHPOINTS))

    def one(row: int) -> tuple[Journeys, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        journey = every.take(np.array([row]))
        return journey, journey.occurred_at[-1:]

    times = {
        "answer": _timed(lambda row: predictor.predict(*one(row)), ASKED),
        "why": _timed(lambda row: why_next(predictor, lambda chance: chance, *one(row)), ASKED),
        f"preferred channel, {AT_ONCE} customers": _timed(lambda part: _prefer(channels, journeys, part, end), 15),
    }
    shape = wanted.shape
    net = f"{wanted.members} nets ({shape.kind}, width {shape.width}), {len(predictor.vocabulary.touchpoints)} names"
    return {"net": net, "times": times, "about": about(), "seconds": round(time.monotonic() - began)}


def _prefer(channels: ChannelPredictor, journeys: Journeys, part: int, end: int) -> None:
    rows = np.arange(part * AT_ONCE, min((part + 1) * AT_ONCE, len(journeys)), dtype=np.int64)
    as_of = np.full(len(rows), end, dtype=np.int64)
    channels.preferences(journeys.take(rows).seen_at(as_of), as_of)


def _timed(ask: Callable[[int], object], times: int) -> dict[str, float]:
    """Milliseconds of each call, the first one left out."""
    wall, processor = [], []
    for number in range(times):
        at, busy = time.perf_counter(), time.process_time()
        ask(number)
        wall.append((time.perf_counter() - at) * 1e3)
        processor.append((time.process_time() - busy) * 1e3)
    return {
        "median": round(float(np.median(wall[1:])), 2),
        "p99": round(float(np.quantile(wall[1:], 0.99)), 2),
        "processor_median": round(float(np.median(processor[1:])), 2),
    }


def markdown(name: str, told: Mapping[str, Any]) -> str:
    rows = [
        [what, *(f"{one[key]:.2f}" for key in ("median", "p99", "processor_median"))]
        for what, one in told["times"].items()
    ]
    return table(
        name, ("what", "median", "99th percentile", "processor, median"), rows, f"{told['net']}. {of_run(told)}"
    )


def main() -> None:
    chosen = options(str(__doc__)).parse_args()
    found = {"car dealer": run(chosen.seed)}
    every = merged("explain", found)
    write("explain", "Why, and where customers answer", NOTES, every, [markdown(*one) for one in every.items()])


if __name__ == "__main__":
    main()
