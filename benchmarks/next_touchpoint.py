"""What comes next, beside peers: `python -m benchmarks.next_touchpoint [--data FOLDER] [--only helpdesk]`.

Each set's learning part is cut once more, 80 to 20, by device or by time. Case end is never an answer. The same run
measures how fast it learns and answers and what learning takes (`--only speed`, `sizes`; benchmarks/next_speed.py).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cuts, next_speed
from benchmarks.next_peers import PEERS, Task
from benchmarks.report import about, merged, of_run, options, shown, table, write
from training.measure.asked import Asked
from training.measure.logs import groups_of, read_logs
from training.measure.next_touchpoint import NextMeasurement, beside, fit_standard, report

SETS: dict[str, tuple[Callable[[Path, Path], tuple[Path, Path]], str | None, str]] = {
    "omnichannel_converters": (
        lambda file, scratch: cuts.by_group(file, "device_id", scratch),
        "device_id",
        "by device: no device, and nobody who shares one, is on both sides",
    ),
    "helpdesk": (cuts.by_time, None, "by time: the fifth of the cases that began last, from what happened before"),
    "loan_applications": (cuts.by_time, None, "by time: the fifth of the cases that began last"),
    "badges": (cuts.by_customer, None, "by customer: a fifth of the people, at the same time"),
    "shop_synthetic": (cuts.by_customer, None, "by customer: a fifth of the customers, at the same time"),
}
SIZES, SPEED = "sizes", "speed"
NOTES = (
    "Next touchpoint, from the second of each journey on; the end of a journey is no answer. Intervals are 95 %, by",
    "bootstrap over customers. Differences are ours less theirs, paired: a log-loss below zero is better. The cuts are",
    "made from the open learning parts, so these are not the results on the sealed test parts.",
)


def run(name: str, data: Path, scratch: Path, seed: int) -> dict[str, Any]:
    """Ours, the baselines and the peers on one set."""
    began, file = time.monotonic(), data / "events" / name / "train.csv"
    parted, column, cut = SETS[name]
    paths = parted(file, scratch)
    wanted = NextMeasurement(*paths, column, seed=seed)
    train, test = read_logs(*paths)
    groups = groups_of(train, column) if column else None
    fitted = fit_standard(train.journeys, test.journeys, groups, wanted, lambda line: None)
    vocabulary = fitted.predictor.vocabulary
    asked, rng = Asked.of(test.journeys, vocabulary), np.random.default_rng(seed)
    chance = fitted.chance(asked)
    told = report(fitted, asked, chance, rng)
    simple = fitted.baselines(asked)
    told["baselines"] = {one: beside(chance, theirs, asked, rng) for one, theirs in simple.items()}
    task = Task(train.journeys, vocabulary, _known(Asked.of(train.journeys, vocabulary)), asked, seed)
    told["peers"] = {}
    for peer, answer in PEERS.items():
        sys.stderr.write(f"{name}: {peer}\n")
        told["peers"][peer] = beside(chance, answer(task), asked, rng)
    return {"cut": cut, "about": about(), "seconds": round(time.monotonic() - began), **told}


def _known(asked: Asked) -> Asked:
    """Only touchpoints of the vocabulary can be learned."""
    kept = np.flatnonzero(asked.label >= 0)
    parts = (part[kept] for part in (asked.index, asked.label, asked.customer, asked.wait_seconds))
    return Asked(asked.journeys, asked.steps, *parts, asked.late)


def markdown(name: str, told: Mapping[str, Any]) -> str:
    """One set as a table."""
    rows = [["**ours**", *(shown(told[key]) for key in ("accuracy", "top_3", "log_loss")), "", ""]]
    for theirs, one in [*told["baselines"].items(), *told["peers"].items()]:
        differ = one["difference"]
        figures = [shown(one[key]) for key in ("accuracy", "top_3", "log_loss")]
        rows.append([theirs, *figures, shown(differ["accuracy"]), shown(differ["log_loss"])])
    gap, band = told["gap"], told["ece_band"]
    below = (
        f"n = {told['n']}, {told['customers']} customers; cut {told['cut']}. ECE {shown(told['ece'])}, band of a "
        f"calibrated model {band[0]:.3f} to {band[1]:.3f}: {'inside' if told['ece_in_band'] else '**outside**'}. "
        f"Coverage at 90 %: {shown(told['coverage'])} with {shown(told['mean_set_size'], 2)} touchpoints (plain LAC "
        f"{shown(told['lac_mean_set_size'], 2)}). Gap, CRPS of log1p seconds: {shown(gap['crps'])}, empirical "
        f"{shown(gap['empirical']['crps'])}, difference {shown(gap['difference']['crps'])}. {of_run(told)}"
    )
    columns = ("model", "accuracy", "top 3", "log-loss", "accuracy, ours less theirs", "log-loss, ours less theirs")
    return table(name, columns, rows, below)


def main() -> None:
    chosen = options(str(__doc__)).parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen.only or (*SETS, SIZES, SPEED):
            if name in (SIZES, SPEED):
                found[name] = next_speed.run(chosen.data, chosen.seed) if name == SPEED else next_speed.run_sizes()
                continue
            if not (chosen.data / "events" / name / "train.csv").is_file():
                sys.stderr.write(f"skipped {name}: {chosen.data}/events/{name}/train.csv is not there\n")
                continue
            found[name] = run(name, chosen.data, Path(scratch), chosen.seed)
    every = merged("next_touchpoint", found)
    told = {SPEED: next_speed.markdown, SIZES: next_speed.markdown_of_sizes}
    tables = [told.get(name, markdown)(name, one) for name, one in every.items()]
    write("next_touchpoint", "Next touchpoint", NOTES, every, tables)


if __name__ == "__main__":
    main()
