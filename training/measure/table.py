"""Measure a purchase on a table: our mixture over its columns, calibrated out of fold, beside logistic regression.

The recipe is that of `training/purchase.py`, with columns where journeys have features. Any table with a column of yes
and no will do; what its columns mean, and whether they leak the outcome, only its owner knows (`drop`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.confidence.band import binomial_band
from models.confidence.calibration import choose_calibrator
from models.journey.event import DAY, parse_time
from models.journey.eventlog import Table
from models.measured import MeasuredPurchase
from models.predictors.purchase import Logistic
from training.calibrate import LEAST_CASES
from training.crossfit import Learned, cross_fit, regress
from training.errors import TooLittleData
from training.loop import Progress
from training.measure.figures import Floats, MeasureError
from training.measure.purchase import beside, report
from training.purchase import PurchaseConfig
from training.purchase_tuning import tune

CALIBRATION_SHARE = 0.25
TABLE_FOLDS = 5
MOST_CATEGORIES = 24
"""A column of words with more of them is told by how common each is."""
LEAST_ROWS = 10
"""Rarer words share one column."""
_YES, _NO = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "0.0"}


@dataclass(frozen=True)
class TableMeasurement:
    """What to measure on tables: `target` is a column of yes and no, `drop` what must not be learned from."""

    train: Path
    test: Path
    target: str
    drop: tuple[str, ...] = ()
    seed: int = 7
    config: PurchaseConfig = field(default_factory=PurchaseConfig)


@dataclass(frozen=True)
class Column:
    """How one column becomes numbers: as a number, as a day, as a column for each word, or by how common a word is."""

    name: str
    kind: str  # number, day, words, rank
    words: tuple[str, ...] = ()

    def numbers(self, cells: Sequence[str]) -> Floats:
        """(n, W) of a column's cells; an empty cell, or a word that learning never saw, is NaN or 0 everywhere."""
        if self.kind == "number":
            return np.array([_number(cell) for cell in cells], dtype=np.float64)[:, None]
        if self.kind == "day":
            return np.array([_day(cell) for cell in cells], dtype=np.float64)[:, None]
        place = {word: number for number, word in enumerate(self.words)}
        found = np.array([place.get(cell, -1) for cell in cells], dtype=np.int64)
        if self.kind == "rank":
            return np.where(found < 0, np.nan, found.astype(np.float64))[:, None]
        return np.asarray(found[:, None] == np.arange(len(self.words)), dtype=np.float64)


@dataclass(frozen=True)
class FittedTable:
    """The recipe as fitted on a table; `left_out` are columns that say nothing of other rows (a word for each row)."""

    columns: tuple[Column, ...]
    left_out: tuple[str, ...]
    middle: NDArray[np.float32]
    learned: Learned
    measured: MeasuredPurchase
    regression: Logistic
    base_rate: float
    examples: int
    calibrated_on: str

    def features(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        return features(self.columns, frame)

    def chance(self, frame: pd.DataFrame) -> Floats:
        """(n,) calibrated."""
        x = self.features(frame)
        return self.measured.calibrator.apply(self.learned.chance(x, _filled(x, self.middle)))

    def baselines(self, frame: pd.DataFrame) -> dict[str, Floats]:
        regression = self.regression.predict(_filled(self.features(frame), self.middle))
        return {"base_rate": np.full(len(frame), self.base_rate), "logistic_regression": regression}


def measure_table(asked_for: TableMeasurement, progress: Progress) -> dict[str, Any]:
    """The whole measurement as figures. Raises EventLogError, MeasureError and TooLittleData."""
    train, test = read_table(asked_for.train), read_table(asked_for.test)
    happened, outcome = outcome_of(train, asked_for.train, asked_for), outcome_of(test, asked_for.test, asked_for)
    progress(f"{len(train)} rows to learn from, {len(test)} to answer")
    fitted = fit_table(train, happened, asked_for)
    missing = [column.name for column in fitted.columns if column.name not in test]
    if missing:
        raise MeasureError(f"{asked_for.test}: no column {missing[0]!r}, which was learned from; --drop it or add it")
    rng = np.random.default_rng(asked_for.seed)
    chance, row = fitted.chance(test), np.arange(len(test))
    told = report(chance, fitted.measured.band.interval(chance), outcome, row, rng)
    return told | {
        "examples": fitted.examples,
        "columns": {column.name: column.kind for column in fitted.columns},
        "left_out": list(fitted.left_out),
        "calibrated_on": fitted.calibrated_on,
        "calibration_n": fitted.measured.n,
        "calibrator": fitted.measured.calibrator.name,
        "baselines": {
            name: beside(chance, theirs, outcome, row, rng) for name, theirs in fitted.baselines(test).items()
        },
    }


def read_table(path: Path) -> pd.DataFrame:
    """A file's cells as text, empty ones as "". Raises EventLogError, MeasureError."""
    frame = pd.DataFrame(list(Table(path).rows()))
    if frame.empty:
        raise MeasureError(f"{path}: holds no rows")
    return frame.map(_text)


def outcome_of(frame: pd.DataFrame, path: Path, asked_for: TableMeasurement) -> NDArray[np.int8]:
    """(n,) 1 or 0 of the target. Raises MeasureError for a missing column or a cell that is neither yes nor no."""
    for option, name in [("--target", asked_for.target), *(("--drop", name) for name in asked_for.drop)]:
        if name not in frame and (option == "--target" or path == asked_for.train):
            raise MeasureError(f"{option} {name!r}: {path} has no such column; it has {', '.join(frame.columns)}")
    cells = [cell.lower() for cell in frame[asked_for.target]]
    wrong = next((number for number, cell in enumerate(cells, 1) if cell not in _YES | _NO), None)
    if wrong is not None:
        raise MeasureError(
            f"{path}: row {wrong}: {asked_for.target} is {cells[wrong - 1]!r}; allowed: 1, 0, true, false, yes, no"
        )
    return np.array([cell in _YES for cell in cells], dtype=np.int8)


def fit_table(frame: pd.DataFrame, happened: NDArray[np.int8], asked_for: TableMeasurement) -> FittedTable:
    """Fit on all rows and calibrate by what was said of each out of fold.

    Where a column of days never falls from row to row, the latest quarter of the rows calibrates instead, and learning
    ends before it: what will be asked is later still.
    """
    rng, config = np.random.default_rng(asked_for.seed), asked_for.config
    named = [str(name) for name in frame.columns if name != asked_for.target and name not in asked_for.drop]
    held, on = _held_out(frame, named)
    found = {name: column_of(name, frame[name][~held].tolist()) for name in named}
    columns = tuple(column for column in found.values() if column is not None)
    if not columns:
        raise MeasureError(f"{asked_for.train}: no column is left to learn from; drop fewer")
    table, learning = features(columns, frame), np.flatnonzero(~held)
    x, y = table[learning], happened[learning]
    _refuse_too_little(y, config.minimum_positives, "learned from")
    middle = _middle(x)
    plain, fold = _filled(x, middle), rng.permutation(len(y)) % TABLE_FOLDS
    tuned = tune(x, y, fold, config.boosting, config.trials, asked_for.seed, None, _silent) if config.trials else None
    learned = cross_fit(x, y, fold, tuned.config if tuned else config.boosting, asked_for.seed, plain=plain)
    raw, outcome = learned.said, y
    if held.any():
        raw, outcome = learned.chance(table[held], _filled(table[held], middle)), happened[held]
    _refuse_too_little(outcome, LEAST_CASES, "calibrated on")
    calibrator = choose_calibrator(raw, outcome, rng).calibrator
    return FittedTable(
        columns=columns,
        left_out=tuple(name for name, column in found.items() if column is None),
        middle=middle,
        learned=learned,
        measured=MeasuredPurchase(calibrator, binomial_band(calibrator.apply(raw), outcome)),
        regression=regress(plain, y),
        base_rate=float(happened.mean()),
        examples=len(learning),
        calibrated_on=on,
    )


def _silent(line: str) -> None:
    """Tables are small: nobody waits."""


def features(columns: Sequence[Column], frame: pd.DataFrame) -> NDArray[np.float32]:
    """(n, F) of these columns, in order."""
    parts = [column.numbers(frame[column.name].tolist()) for column in columns]
    return np.concatenate(parts, axis=1).astype(np.float32)


def column_of(name: str, cells: Sequence[str]) -> Column | None:
    """How to read a column, from the cells that are learned from; None where each row has a word of its own.

    >>> column_of("visits", ["1", "2", ""]).kind, column_of("month", ["may"] * 10 + ["june"] * 12).words
    ('number', ('june', 'may'))
    """
    some = [cell for cell in cells if cell]
    if all(np.isfinite(_number(cell)) for cell in some):
        return Column(name, "number") if some else None
    if all(np.isfinite(_day(cell)) for cell in some):
        return Column(name, "day")
    counts = pd.Series(some).value_counts()
    if len(counts) > len(some) / 2:
        return None
    ordered = sorted(counts.index, key=lambda word: (-int(counts[word]), word))
    if len(ordered) > MOST_CATEGORIES:
        return Column(name, "rank", tuple(ordered))
    return Column(name, "words", tuple(word for word in ordered if counts[word] >= LEAST_ROWS) or tuple(ordered[:1]))


def _held_out(frame: pd.DataFrame, named: Sequence[str]) -> tuple[NDArray[np.bool_], str]:
    size = round(len(frame) * CALIBRATION_SHARE)
    held = np.zeros(len(frame), dtype=np.bool_)
    for name in named:
        days = np.array([_day(cell) for cell in frame[name]])
        if np.isfinite(days).all() and days[0] < days[-1] and (np.diff(days) >= 0).all():
            held[len(frame) - size :] = True
            return held, f"later rows by {name}"
    return held, "random rows out of fold"


def _refuse_too_little(happened: NDArray[np.int8], least: int, doing: str) -> None:
    yes = int(happened.sum())
    if min(yes, len(happened) - yes) < least:
        raise TooLittleData(
            f"{yes} of the {len(happened)} rows {doing} are yes; {least} of yes and {least} of no are needed"
        )


def _middle(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(F,) the median of each column, 0 where it holds nothing."""
    none = np.isnan(x).all(axis=0)
    return np.asarray(np.nanmedian(np.where(none, 0.0, x), axis=0), dtype=np.float32)


def _filled(x: NDArray[np.float32], middle: NDArray[np.float32]) -> NDArray[np.float32]:
    """For the regression, which cannot do without: what is missing is taken as the median."""
    return np.asarray(np.where(np.isnan(x), middle, x), dtype=np.float32)


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    return cell.isoformat() if isinstance(cell, datetime) else str(cell).strip()


def _number(cell: str) -> float:
    """A number, or 1 and 0 for true and false; NaN for anything else.

    >>> _number("2.5"), _number("True"), _number("May")
    (2.5, 1.0, nan)
    """
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    try:
        number = float(cell)
    except ValueError:
        return float("nan")
    return number if np.isfinite(number) else float("nan")


def _day(cell: str) -> float:
    """Days since 1970 of a date or a moment written out; NaN for anything else, a bare number among them."""
    if not cell or "-" not in cell[1:]:
        return float("nan")
    try:
        return parse_time(cell) / DAY
    except (ValueError, OverflowError):
        return float("nan")
