"""How fast the next touchpoint is learned and answered, and what learning takes: part of `benchmarks.next_touchpoint`.

Answers: the graph as shipped beside the net in torch, one journey of fifty touchpoints, and a thousand at once; with
all that serving adds, too. Learning: journeys a second beside a plain SASRec in plain torch. Rounds are interleaved,
so that whatever else the machine does meets all alike; medians and the ratio of each round are told. It judges no
answer.

    python -m benchmarks.next_speed --fit 5000     one line of JSON: seconds and memory of learning from 5000 customers
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.next_peers import LENGTH, SasRec
from benchmarks.report import about, of_run, table
from models.features.sequence import encode_sequences
from models.features.vocabulary import Vocabulary
from models.journey.assembly import assemble
from models.journey.event import DAY
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.touchpoint import Catalogue
from models.nets.next_touchpoint import Ensemble, LastOnly, NetShape, NextTouchpointNet
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.predictor import open_session
from training.batches import StepBatch, StepBatches
from training.compute import Compute
from training.config import DEFAULT_HORIZON_SECONDS
from training.examples import NextSteps, next_steps
from training.export import export_next_touchpoint
from training.loop import Schedule, torch_threads, train
from training.losses import cross_entropy, masked_mean
from training.measure.logs import read_logs
from training.next_touchpoint import NextTouchpointConfig, fit_next_touchpoint, lesson
from training.simulator import simulate

SETS = ("omnichannel_converters", "helpdesk", "loan_applications")
SIZES = (500, 5_000, 20_000)
TOUCHPOINTS, BATCH = 50, 1_000
FASTER_THAN_TORCH, FASTER_TOGETHER, FASTER_THAN_SASREC = 5.0, 10.0, 1.3
_ROUNDS = 7
Deed = Callable[[], object]


def run(data: Path, seed: int) -> dict[str, Any]:
    """Answering and learning, on one thread."""
    began = time.monotonic()
    with torch_threads(1), tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(seed)
        there = [name for name in SETS if (data / "events" / name / "train.csv").is_file()]
        if not there:
            raise SystemExit(f"speed needs one of {', '.join(SETS)} under {data}/events; name the folder with --data")
        logs = {name: read_logs(*[data / "events" / name / "train.csv"] * 2)[0].journeys for name in there}
        learning = {name: learned(journeys, seed) for name, journeys in logs.items()}
        answering = answered(logs[there[0]], Path(scratch), seed)
    seconds = round(time.monotonic() - began)
    return {"about": about(), "seconds": seconds, "answering": answering, "learning": learning}


def run_sizes() -> dict[str, Any]:
    """What learning takes, by how many customers there are."""
    began = time.monotonic()
    sizes = {str(customers): in_a_process_of_its_own(customers) for customers in SIZES}
    return {"about": about(), "seconds": round(time.monotonic() - began), "sizes": sizes}


def interleaved(deeds: Mapping[str, Deed], rounds: int = _ROUNDS) -> dict[str, list[float]]:
    """Seconds of each deed in each round, after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in deeds}
    for number in range(rounds + 1):
        for name, deed in deeds.items():
            began = time.perf_counter()
            deed()
            if number:
                taken[name].append(time.perf_counter() - began)
    return taken


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How many times faster, round by round: median, lowest, highest."""
    each = [one / other for one, other in zip(slow, fast, strict=True)]
    return {"median": statistics.median(each), "low": min(each), "high": max(each)}


# -- learning ----------------------------------------------------------------------------------------------------------


def learned(journeys: Journeys, seed: int) -> dict[str, Any]:
    """An epoch of ours as it is taught, beside one of a plain SASRec of our width and length on the same windows."""
    vocabulary, config = Vocabulary.of(journeys), NextTouchpointConfig()
    steps = next_steps(journeys, vocabulary, int(journeys.occurred_at.max()) + 1)
    batches = StepBatches(steps, LENGTH)
    windows = sum(len(batch.rows) for batch in batches.in_order())
    ours, loss = NextTouchpointNet(vocabulary, NetShape()), lesson(vocabulary, config, Compute.on("cpu"))
    schedule = Schedule(1, config.learning_rate, config.weight_decay, 1)
    plain, sorted_plain = (_plain(SasRec(vocabulary.size, len(vocabulary.touchpoints))) for _ in range(2))
    rng, size = np.random.default_rng(seed), config.batch_windows

    def our_epoch() -> None:
        train(ours, lambda rng: batches.shuffled(size, rng), loss, None, schedule, rng, lambda line: None)

    taken = interleaved(
        {
            "ours": our_epoch,
            "sasrec": lambda: plain(_as_they_come(steps, size, rng)),
            "sasrec_like_lengths": lambda: sorted_plain(batches.shuffled(size, rng)),
        }
    )
    return {
        "windows": windows,
        "touchpoints_each": round(float(journeys.lengths.mean()), 1),
        "a_second": {name: round(windows / statistics.median(each)) for name, each in taken.items()},
        "times_sasrec": ratio(taken["sasrec"], taken["ours"]),
        "times_sasrec_like_lengths": ratio(taken["sasrec_like_lengths"], taken["ours"]),
    }


def _plain(net: nn.Module) -> Callable[[Iterator[StepBatch]], None]:
    """The loop of a tutorial: no average of weights, no clipping, no second head."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    net.train()

    def epoch(batches: Iterator[StepBatch]) -> None:
        for batch in batches:
            optimiser.zero_grad()
            value: Tensor = masked_mean(cross_entropy(net(batch.tokens), batch.target), batch.asks_what)
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return epoch


def _as_they_come(steps: NextSteps, size: int, rng: np.random.Generator) -> Iterator[StepBatch]:
    """Random windows, each batch padded to its longest, as a plain data loader gives them."""
    batches = StepBatches(steps, LENGTH)
    order = rng.permutation(len(batches))
    for start in range(0, len(order), size):
        yield batches.batch(order[start : start + size])


# -- answering ---------------------------------------------------------------------------------------------------------


def answered(like: Journeys, scratch: Path, seed: int) -> dict[str, Any]:
    """Milliseconds for one journey of fifty touchpoints and, each, for a thousand: torch, graph, and all of serving.

    The nets are the shipped ensemble in shape; what they learned changes no time, so they learn for one epoch.
    """
    vocabulary, config = Vocabulary.of(like), NextTouchpointConfig(epochs=1)
    until = int(like.occurred_at.max()) + 1
    fit_next_touchpoint(like, vocabulary, until, DEFAULT_HORIZON_SECONDS, config, seed, scratch, lambda line: None)
    predictor = NextTouchpointPredictor.load(scratch)
    net = Ensemble([NextTouchpointNet(vocabulary, config.shape) for _ in range(config.members)]).eval()
    export_next_touchpoint(net, vocabulary, config.shape.length, scratch / "same.onnx", np.random.default_rng(seed))
    session, served, rng = open_session(scratch / "same.onnx", 1), LastOnly(net).eval(), np.random.default_rng(seed)
    one, many = (_journeys(like, customers, rng) for customers in (1, BATCH))
    feeds = {name: _feed(each, predictor) for name, each in (("one", one), ("many", many))}

    def in_torch(name: str) -> object:
        with torch.inference_mode():
            return served(*map(torch.from_numpy, feeds[name].values()))

    taken = interleaved(
        {
            "torch_alone": lambda: [in_torch("one") for _ in range(20)],
            "alone": lambda: [session.run(None, feeds["one"]) for _ in range(20)],
            "served_alone": lambda: [predictor.predict(one, _now(one)) for _ in range(20)],
            "together": lambda: [session.run(None, part) for part in _in_parts(feeds["many"])],
            "served_together": lambda: predictor.predict(many, _now(many)),
        }
    )
    each = {name: [s / (BATCH if "together" in name else 20) for s in seconds] for name, seconds in taken.items()}
    return {
        "nets": config.members,
        "touchpoints": TOUCHPOINTS,
        "batch": BATCH,
        "milliseconds_each": {name: 1_000 * statistics.median(seconds) for name, seconds in each.items()},
        "times_torch": ratio(each["torch_alone"], each["alone"]),
        "times_alone": ratio(each["alone"], each["together"]),
        "times_served_alone": ratio(each["served_alone"], each["served_together"]),
    }


def _journeys(like: Journeys, customers: int, rng: np.random.Generator) -> Journeys:
    """Random journeys of fifty touchpoints of these kinds."""
    n = customers * TOUCHPOINTS
    at = np.sort(rng.integers(0, 300 * DAY, (customers, TOUCHPOINTS)), axis=1).ravel()
    return Journeys(
        customers=tuple(f"customer-{i:05}" for i in range(customers)),
        starts=np.arange(customers + 1) * TOUCHPOINTS,
        occurred_at=at,
        known_at=at.copy(),
        code=rng.integers(0, len(like.names), n).astype(np.int32),
        amount_minor=np.zeros(n, dtype=np.int64),
        contact=np.zeros(n, dtype=np.bool_),
        names=like.names,
        stages=like.stages,
    )


def _now(journeys: Journeys) -> np.ndarray:
    return np.full(len(journeys), 301 * DAY)


def _feed(journeys: Journeys, predictor: NextTouchpointPredictor) -> dict[str, np.ndarray]:
    rows = encode_sequences(journeys, _now(journeys), predictor.vocabulary, predictor.length)
    tokens, log_gaps = rows.tokens[:, :TOUCHPOINTS], rows.log_gaps[:, :TOUCHPOINTS]
    return {"tokens": tokens.copy(), "log_gaps": log_gaps.copy(), "lengths": rows.lengths}


def _in_parts(feed: Mapping[str, np.ndarray], size: int = 256) -> Iterator[dict[str, np.ndarray]]:
    """As serving runs them."""
    for start in range(0, BATCH, size):
        yield {name: each[start : start + size] for name, each in feed.items()}


# -- seconds and memory by size ----------------------------------------------------------------------------------------


def in_a_process_of_its_own(customers: int) -> dict[str, Any]:
    """What `fit` says, from a process whose memory is nothing else's."""
    sys.stderr.write(f"speed: learning from {customers} customers\n")
    command = [sys.executable, "-m", "benchmarks.next_speed", "--fit", str(customers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def fit(customers: int, seed: int = 7) -> dict[str, Any]:
    """Learn from a made-up company of so many customers; the peak of memory is the process's, log and libraries too."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(customers, seed, Path(folder))
        journeys = assemble(read_events(Path(folder) / "events.parquet"), Catalogue.default()).journeys
        before, began = _peak_mib(), time.monotonic()
        found = fit_next_touchpoint(
            journeys, Vocabulary.of(journeys), int(journeys.occurred_at.max()) + 1, DEFAULT_HORIZON_SECONDS,
            NextTouchpointConfig(), seed, Path(folder) / "out", lambda line: None,
        )  # fmt: skip
    return {
        "examples": found.examples,
        "nets": len(found.logs),
        "epochs": sum(len(log.train_losses) for log in found.logs),
        "seconds": round(time.monotonic() - began, 1),
        "peak_mib": _peak_mib(),
        "peak_before_mib": before,
    }


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# -- told --------------------------------------------------------------------------------------------------------------


def markdown(name: str, told: Mapping[str, Any]) -> str:
    """Speed as two tables."""
    answering = told["answering"]
    each = answering["milliseconds_each"]
    rows = [
        ["the net in torch, alone", f"{each['torch_alone']:.3f}", ""],
        ["the graph, alone", f"{each['alone']:.3f}", _bar("torch", answering["times_torch"], FASTER_THAN_TORCH)],
        [
            "the graph, of a thousand",
            f"{each['together']:.3f}",
            _bar("alone", answering["times_alone"], FASTER_TOGETHER),
        ],
        ["as served, alone", f"{each['served_alone']:.3f}", ""],
        [
            "as served, of a thousand",
            f"{each['served_together']:.3f}",
            _bar("as served alone", answering["times_served_alone"], FASTER_TOGETHER),
        ],
    ]
    below = (
        f"{answering['nets']} nets as one, journeys of {answering['touchpoints']} touchpoints, one thread. As served: "
        "features, graph, counts, and the distribution of the time until the next."
    )
    parts = [table(f"{name}: answering", ("what", "ms a journey", "times faster"), rows, below)]
    rows = []
    for one, got in told["learning"].items():
        a_second = [f"{got['a_second'][who]:,}" for who in ("ours", "sasrec", "sasrec_like_lengths")]
        plain = _bar("plain", got["times_sasrec"], FASTER_THAN_SASREC)
        sorted_plain = _bar("like lengths", got["times_sasrec_like_lengths"], FASTER_THAN_SASREC)
        rows.append([one, str(got["windows"]), *a_second, plain, sorted_plain])
    columns = ("set", "windows", "ours a second", "SASRec", "SASRec, like lengths together", "times", "times")
    below = "Windows of at most 64 touchpoints, 64 in a batch, width 64, one thread; an epoch a round."
    parts.append(table(f"{name}: learning", columns, rows, f"{below} {of_run(told)}"))
    return "\n".join(parts)


def markdown_of_sizes(name: str, told: Mapping[str, Any]) -> str:
    """What learning takes as a table."""
    rows = []
    for customers, got in told["sizes"].items():
        counts = [f"{got[what]:,}" for what in ("examples", "nets", "epochs")]
        memory = [f"{got[what]:,}" for what in ("peak_mib", "peak_before_mib")]
        rows.append([f"{int(customers):,}", *counts, f"{got['seconds']:.0f}", *memory])
    columns = ("customers", "examples", "nets", "epochs of all", "seconds", "peak MiB", "of that before learning")
    below = "Made-up companies; the whole fit on one thread. Memory is the process's, with the log and all libraries."
    return table(f"{name}: what learning takes", columns, rows, f"{below} {of_run(told)}")


def _bar(beside: str, found: Mapping[str, float], bar: float) -> str:
    """A ratio of rounds beside the bar that it should reach."""
    held = "" if found["median"] >= bar else ", **missed**"
    return f"{found['median']:.1f} x {beside} ({found['low']:.1f} to {found['high']:.1f}; at least {bar:g}{held})"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, required=True, help="customers to learn from")
    sys.stdout.write(json.dumps(fit(parser.parse_args().fit)) + "\n")


if __name__ == "__main__":
    main()
