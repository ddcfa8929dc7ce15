"""Purchase likelihood, beside peers: `python -m benchmarks.purchase [--data FOLDER] [--only cdnow]`.

Each set's learning part is cut once more, 80 to 20: tables at random or by time, the event log by customer and by time.
A made-up company, whose odds are known, says how much of what can be known is told (skill).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks import cuts, purchase_speed
from benchmarks.report import about, merged, of_run, options, shown, table, write
from models.features.behaviour import behaviour
from models.journey.journeys import Journeys
from models.journey.target import Target
from training.measure.figures import Floats
from training.measure.purchase import (
    AskedMoments,
    Fitted,
    LogMeasurement,
    beside,
    fit_standard,
    measure_log,
    moments,
    read_purchase_logs,
    report,
)
from training.measure.table import TableMeasurement, fit_table, outcome_of, read_table
from training.purchase import purchase_examples
from training.simulator import simulate

Cut = Callable[[Path, Path], tuple[Path, Path]]
AT_THE_END = ("page_views", "time_on_site", "product_hits", "units_sold", "revenue_micros", "bounce")
"""Columns of store_visits that are known only when the visit is over."""


@dataclass(frozen=True)
class TableSet:
    """A table to measure on: its folder, target, what is dropped and how it is cut."""

    folder: str
    target: str
    drop: tuple[str, ...]
    cut: Cut
    note: str


TABLES = {
    "online_shoppers": TableSet("online_shoppers", "Revenue", (), cuts.by_row, "at random; PageValues leaks"),
    "online_shoppers without PageValues": TableSet(
        "online_shoppers", "Revenue", ("PageValues",), cuts.by_row, "at random"
    ),
    "store_visits": TableSet(
        "store_visits",
        "purchased",
        ("visit_id", *AT_THE_END),
        lambda file, scratch: cuts.latest_rows(file, "visit_start_time", scratch),
        "by time; only what is known when a visit begins",
    ),
    "leads": TableSet(
        "leads",
        "won",
        (),
        lambda file, scratch: cuts.latest_rows(file, "first_contact_date", scratch),
        "by time; the rate climbs all the while",
    ),
}
LOG, LOG_BY_TIME, COMPANY = "cdnow", "cdnow by time", "made-up car dealer"
SPEED = "speed"
MOMENT = "2022-04-01"
"""The last day of cdnow that is followed by a whole horizon."""
HORIZON_SECONDS = 90 * 86_400
COMPANY_CUSTOMERS = 8_000, 4_000
NOTES = (
    "Purchase likelihood. Intervals are 95 %, by bootstrap over customers (each row of a table is one). Differences",
    "are ours less theirs, paired: a log-loss below zero is better, an AUC above zero. The cuts are made from the open",
    "learning parts, so these are not the results on the sealed test parts.",
)


def run_table(one: TableSet, data: Path, scratch: Path, seed: int) -> dict[str, Any]:
    """Ours, the baselines and LightGBM on a table."""
    began = time.monotonic()
    paths = one.cut(data / "purchase" / one.folder / "train.csv", scratch)
    wanted = TableMeasurement(*paths, one.target, one.drop, seed)
    train, test = map(read_table, paths)
    happened, outcome = (outcome_of(frame, path, wanted) for frame, path in zip((train, test), paths, strict=True))
    fitted = fit_table(train, happened, wanted)
    x, asked = fitted.features(train), fitted.features(test)
    peers = {
        "lightgbm": boosting(x, happened, asked, seed),
        "hist_gradient_boosting": plain_boosting(x, happened, asked, seed),
    }
    chance, row, rng = fitted.chance(test), np.arange(len(test)), np.random.default_rng(seed)
    told = report(chance, fitted.measured.band.interval(chance), outcome, row, rng)
    told |= {"calibrated_on": fitted.calibrated_on, "calibrator": fitted.measured.calibrator.name}
    told |= _beside(chance, fitted.baselines(test), peers, outcome, row, rng)
    return {"cut": one.note, "about": about(), "seconds": round(time.monotonic() - began), **told}


def run_log(data: Path, scratch: Path, seed: int) -> dict[str, Any]:
    """Ours, the baselines and LightGBM on an event log, asked every 28 days about other customers."""
    paths = cuts.by_customer(data / "events" / LOG / "train.csv", scratch)
    note = "by customer; a purchase within 90 days, asked every 28 days"
    return _run_log(LogMeasurement(*paths, "purchase", HORIZON_SECONDS, seed=seed), note)


def run_log_by_time(data: Path, scratch: Path, seed: int) -> dict[str, Any]:
    """The same, asked about everybody known at one moment, from what happened before it."""
    train, test, asked = cuts.before(data / "events" / LOG / "train.csv", MOMENT, scratch)
    note = f"by time; a purchase within 90 days of {MOMENT}"
    return _run_log(LogMeasurement(train, test, "purchase", HORIZON_SECONDS, landmarks=asked, seed=seed), note)


def _run_log(wanted: LogMeasurement, note: str) -> dict[str, Any]:
    began = time.monotonic()
    train, test, target = read_purchase_logs(wanted)
    fitted, asked = fit_standard(train, test, target, wanted, lambda line: None), moments(test, target, wanted)
    chance, rng = fitted.chance(asked), np.random.default_rng(wanted.seed)
    told = report(chance, fitted.interval(asked, chance), asked.happened, asked.customer, rng)
    told |= {"calibrated_on": fitted.calibrated_on, "calibrator": fitted.measured.calibrator.name}
    peers = _peers(train, target, fitted, asked, wanted.seed)
    told |= _beside(chance, fitted.baselines(asked), peers, asked.happened, asked.customer, rng)
    return {"cut": note, "about": about(), "seconds": round(time.monotonic() - began), **told}


def _peers(train: Journeys, target: Target, fitted: Fitted, asked: AskedMoments, seed: int) -> dict[str, Floats]:
    vocabulary, start, end = fitted.predictor.vocabulary, int(train.occurred_at.min()), int(train.occurred_at.max())
    known = purchase_examples(train, target, vocabulary, start, end, np.random.default_rng(seed), 4, 200_000)
    x = np.concatenate([behaviour(*asked.seen(part), vocabulary) for part in asked.parts])
    return {
        "lightgbm": boosting(known.features, known.happened, x, seed, known.rows),
        "hist_gradient_boosting": plain_boosting(known.features, known.happened, x, seed),
    }


def run_company(scratch: Path, seed: int) -> dict[str, Any]:
    """A made-up company whose odds are known: learned from some customers, asked once about each of others."""
    began = time.monotonic()
    for name, customers, drawn in zip(("learned", "asked"), COMPANY_CUSTOMERS, (seed + 4, seed + 5), strict=True):
        simulate(customers, drawn, scratch / name)
    paths = scratch / "learned" / "events.parquet", scratch / "asked" / "events.parquet"
    truth = scratch / "asked" / "truth.parquet"
    wanted = LogMeasurement(*paths, "Order Completed", HORIZON_SECONDS, truth=truth, seed=seed)
    told = measure_log(wanted, lambda line: None) | {"peers": {}}
    note = "by customer; a purchase within 90 days of a random moment each"
    return {"cut": note, "about": about(), "seconds": round(time.monotonic() - began), **told}


def _beside(
    ours: Floats,
    baselines: Mapping[str, Floats],
    peers: Mapping[str, Floats],
    happened: NDArray[np.int8],
    customer: NDArray[np.int64],
    rng: np.random.Generator,
) -> dict[str, Any]:
    return {
        kind: {name: beside(ours, theirs, happened, customer, rng) for name, theirs in all_of_them.items()}
        for kind, all_of_them in (("baselines", baselines), ("peers", peers))
    }


def boosting(
    x: NDArray[np.float32], y: NDArray[np.int8], asked: NDArray[np.float32], seed: int, who: NDArray[Any] | None = None
) -> Floats:
    """LightGBM on the same columns and all the learning rows; a fifth of them (of customers) says when to stop."""
    rng = np.random.default_rng(seed)
    owner = np.arange(len(y)) if who is None else who
    held = np.isin(owner, rng.permutation(np.unique(owner))[: len(np.unique(owner)) // 5])
    settings = {
        "objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 40, "num_threads": 1,
        "seed": seed, "verbose": -1, "deterministic": True,
    }  # fmt: skip
    early = lightgbm.Dataset(x[~held], y[~held])
    stop = lightgbm.Dataset(x[held], y[held], reference=early)
    first = lightgbm.train(
        settings, early, 600, valid_sets=[stop], callbacks=[lightgbm.early_stopping(20, verbose=False)]
    )
    whole = lightgbm.train(settings, lightgbm.Dataset(x, y), max(1, first.best_iteration))
    return np.asarray(whole.predict(asked), dtype=np.float64)


def plain_boosting(x: NDArray[np.float32], y: NDArray[np.int8], asked: NDArray[np.float32], seed: int) -> Floats:
    """scikit-learn's HistGradientBoostingClassifier as it comes, told to stop by a tenth of the rows."""
    fitted = HistGradientBoostingClassifier(early_stopping=True, random_state=seed).fit(x, y)
    return np.asarray(fitted.predict_proba(asked)[:, 1], dtype=np.float64)


def markdown(name: str, told: Mapping[str, Any]) -> str:
    """One set as a table."""
    if name == SPEED:
        return purchase_speed.markdown(told)
    keys = ("auc", "average_precision", "brier", "log_loss", "ece")
    rows = [["**ours**", *(shown(told[key]) for key in keys), _band(told), "", ""]]
    for theirs, one in [*told["baselines"].items(), *told["peers"].items()]:
        differ = one["difference"]
        figures = [shown(one[key]) for key in keys]
        rows.append([theirs, *figures, _band(one), shown(differ["auc"]), shown(differ["log_loss"], 4)])
    skill = f"Skill {shown(told['skill'])}: 1 is all that can be known. " if "skill" in told else ""
    below = (
        f"n = {told['n']}, {told['positives']} positive; cut {told['cut']}. Interval width "
        f"{shown(told['mean_interval_width'])}; observed rate inside the mean interval in "
        f"{shown(told['bins_inside_interval'], 2)} of the bins. Calibrated on {told['calibrated_on']} "
        f"({told['calibrator']}). {skill}{of_run(told)}"
    )
    columns = (
        "model",
        "AUC",
        "AP",
        "Brier",
        "log-loss",
        "ECE",
        "band",
        "AUC, ours less theirs",
        "log-loss, less theirs",
    )
    return table(name, columns, rows, below)


def _band(told: Mapping[str, Any]) -> str:
    low, high = told["ece_band"]
    return f"{low:.3f} to {high:.3f}: {'in' if told['ece_in_band'] else '**out**'}"


def main() -> None:
    chosen = options(str(__doc__)).parse_args()
    files = {name: chosen.data / "purchase" / one.folder / "train.csv" for name, one in TABLES.items()}
    files[LOG] = files[LOG_BY_TIME] = chosen.data / "events" / LOG / "train.csv"
    runs = {LOG: run_log, LOG_BY_TIME: run_log_by_time}
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen.only or [*files, COMPANY, SPEED]:
            if name in files and not files[name].is_file():
                sys.stderr.write(f"skipped {name}: {files[name]} is not there\n")
                continue
            sys.stderr.write(f"{name}\n")
            if name == SPEED:
                found[name] = purchase_speed.run(chosen.seed)
            elif name == COMPANY:
                found[name] = run_company(Path(scratch), chosen.seed)
            elif name in runs:
                found[name] = runs[name](chosen.data, Path(scratch), chosen.seed)
            else:
                found[name] = run_table(TABLES[name], chosen.data, Path(scratch), chosen.seed)
    every = merged("purchase", found)
    write("purchase", "Purchase likelihood", NOTES, every, [markdown(name, one) for name, one in every.items()])


if __name__ == "__main__":
    main()
