"""Measure confidence on any scored table: do sets cover as promised, and is what is released right?

Columns, each used where it is there: `customer_id` (else each row is its own), `group` (else all are one); for
coverage `covered` (0/1), or `label` with `set` (names with `|` between, or a list), or `label` with `probabilities`
({name: probability}, as JSON in a text file); for risk `wrong` (0/1) with `released` (0/1), or `wrong` with `score`.
Where a threshold is needed (`probabilities`, `score`) it is measured on half of the customers and tried on the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.confidence import metrics
from models.confidence.conformal import SplitConformal
from models.confidence.risk import ALL, CalibrationTable, release_threshold
from models.journey.eventlog import Table
from models.journey.journeys import Ints
from training.loop import Progress
from training.measure import figures
from training.measure.figures import Floats, MeasureError

Flags = NDArray[np.bool_]
NEEDED = "covered; label and set; label and probabilities; wrong and released; or wrong and score"


@dataclass(frozen=True)
class ConfidenceMeasurement:
    """What to measure: a table; coverage and accepted risk where they have to be measured first."""

    table: Path
    coverage: float = 0.9
    alpha: float = 0.05
    delta: float = 0.05
    seed: int = 7


@dataclass(frozen=True)
class Scored:
    """The table's columns, its groups (n,), its customers (n,) and which rows measure thresholds (n,)."""

    frame: pd.DataFrame
    group: NDArray[np.str_]
    customer: Ints
    measuring: Flags


def measure_confidence(asked_for: ConfidenceMeasurement, progress: Progress) -> dict[str, Any]:
    """The whole measurement as figures. Raises EventLogError and MeasureError."""
    for name in ("coverage", "alpha", "delta"):
        if not 0 < getattr(asked_for, name) < 1:
            raise MeasureError(f"--{name} {getattr(asked_for, name)}; allowed: between 0 and 1")
    scored = read_scored(asked_for.table)
    rng = np.random.default_rng(asked_for.seed)
    told = {**coverage_report(scored, asked_for, rng), **risk_report(scored, asked_for, rng)}
    if not told:
        raise MeasureError(f"{asked_for.table}: has {', '.join(scored.frame.columns)}; needed: {NEEDED}")
    progress(f"{len(scored.frame)} rows")
    return {"task": "confidence", "n": len(scored.frame), "customers": len(np.unique(scored.customer)), **told}


def read_scored(path: Path) -> Scored:
    """Raises EventLogError for a file that cannot be read, MeasureError for one without rows."""
    frame = pd.DataFrame(list(Table(path).rows()))
    if frame.empty:
        raise MeasureError(f"{path}: holds no rows")
    who = frame["customer_id"].astype(str).tolist() if "customer_id" in frame else [str(n) for n in range(len(frame))]
    group = frame["group"].fillna("none").astype(str) if "group" in frame else pd.Series(ALL, index=frame.index)
    half = np.array([hashlib.sha256(one.encode()).digest()[0] < 128 for one in who])
    return Scored(frame, group.to_numpy(dtype=np.str_), pd.factorize(np.array(who))[0].astype(np.int64), half)


def coverage_report(scored: Scored, asked_for: ConfidenceMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """Coverage and mean set size, over all and by group; with probabilities, also log-loss and ECE."""
    frame, asked, size, more = scored.frame, np.ones(len(scored.frame), dtype=np.bool_), None, {}
    if "covered" in frame:
        covered = _flags(frame, "covered")
    elif {"label", "set"} <= set(frame.columns):
        sets = [_names(cell) for cell in frame["set"]]
        covered = np.array([str(label) in found for label, found in zip(frame["label"], sets, strict=True)])
        size = np.array([len(found) for found in sets])
    elif {"label", "probabilities"} <= set(frame.columns):
        names, chance = _probabilities(frame["probabilities"].tolist())
        label = np.array([_place(names, str(one)) for one in frame["label"]], dtype=np.int64)
        half = scored.measuring
        if not 0 < half.sum() < len(half):
            raise MeasureError("probabilities: rows of at least two customers are needed to measure and to try")
        conformal = SplitConformal.conformalize(
            chance[half],
            label[half],
            scored.group[half] if "group" in frame else None,
            round(1 - asked_for.coverage, 6),
        )
        sets_of = conformal.predict_set(chance, scored.group if "group" in frame else None)
        covered, size, asked = sets_of[np.arange(len(label)), label], sets_of.sum(axis=1), ~half
        right = chance.argmax(axis=1) == label
        more = {
            "log_loss": figures.mean(metrics.log_losses(chance, label), scored.customer, rng),
            **figures.ece(chance.max(axis=1), right, scored.customer, rng),
        }
    else:
        return {}

    def told(inside: Flags) -> dict[str, Any]:
        found = {"coverage": figures.mean(covered[inside], scored.customer[inside], rng)}
        return found if size is None else found | {
            "mean_set_size": figures.mean(size[inside], scored.customer[inside], rng)
        }  # fmt: skip

    return {**more, **told(asked), "coverage_by_group": _by_group(scored, asked, told)}


def risk_report(scored: Scored, asked_for: ConfidenceMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """Of what is released: the share that is wrong (selective error), and the share that is released at all."""
    frame, asked, rule = scored.frame, np.ones(len(scored.frame), dtype=np.bool_), {}
    if "wrong" not in frame or not {"released", "score"} & set(frame.columns):
        return {}
    wrong = _flags(frame, "wrong")
    if "released" in frame:
        released = _flags(frame, "released")
    else:
        score, half = _reals(frame, "score"), scored.measuring
        if half.all() or not half.any():
            raise MeasureError("score: rows of at least two customers are needed to measure and to try")
        table = CalibrationTable.of(score[half], wrong[half], scored.group[half])
        names = [str(name) for name in np.unique(scored.group)]
        rules = {name: table.release_rule(asked_for.alpha, asked_for.delta, name) for name in names}
        released = np.zeros(len(score), dtype=np.bool_)
        for name, found in rules.items():
            inside = scored.group == name
            released[inside] = found.releases(score[inside])
        overall = release_threshold(score[half], wrong[half], asked_for.alpha, asked_for.delta)
        rule = {"rule": overall.to_dict()}
        asked = ~half

    def told(inside: Flags) -> dict[str, Any]:
        out = inside & released
        return {
            "selective_error": figures.mean(wrong[out], scored.customer[out], rng),
            "release_rate": figures.mean(released[inside], scored.customer[inside], rng),
        }

    return {**told(asked), "risk_by_group": _by_group(scored, asked, told), **rule}


def _by_group(scored: Scored, asked: Flags, told: Callable[[Flags], dict[str, Any]]) -> dict[str, Any]:
    names = np.unique(scored.group[asked])
    return {str(name): told(asked & (scored.group == name)) for name in names}


def _flags(frame: pd.DataFrame, name: str) -> Flags:
    words = frame[name].astype(str).str.lower().replace({"true": "1", "false": "0", "1.0": "1", "0.0": "0"})
    foreign = words[~words.isin(["0", "1"])]
    if len(foreign):
        raise MeasureError(f"row {foreign.index[0] + 1}: {name} is {foreign.iloc[0]!r:.40}; allowed: 0, 1, true, false")
    return np.asarray((words == "1").to_numpy(), dtype=np.bool_)


def _reals(frame: pd.DataFrame, name: str) -> Floats:
    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise MeasureError(f"row {bad[0] + 1}: {name} is {frame[name].iloc[bad[0]]!r:.40}; allowed: numbers")
    return found


def _names(cell: Any) -> list[str]:
    if cell is None or cell == "":
        return []
    return cell.split("|") if isinstance(cell, str) else [str(one) for one in cell]


def _place(names: Sequence[str], label: str) -> int:
    if label not in names:
        raise MeasureError(f"label {label!r} is none of the probabilities' names: {', '.join(names)}")
    return names.index(label)


def _probabilities(cells: Sequence[Any]) -> tuple[list[str], Floats]:
    """The names, and (n, K) of them; a name that a row leaves out has no probability there."""
    try:
        rows = [json.loads(cell) if isinstance(cell, str) else dict(cell) for cell in cells]
        names = sorted({str(name) for row in rows for name in row})
        chance = np.array([[float(row.get(name) or 0.0) for name in names] for row in rows])
    except (ValueError, TypeError, AttributeError):
        raise MeasureError('probabilities must be objects such as {"web.visit": 0.7, "dealer.visit": 0.3}') from None
    off = np.flatnonzero(np.abs(chance.sum(axis=1) - 1) > 0.01)
    if len(off) or chance.min() < 0:
        raise MeasureError(f"row {off[0] + 1 if len(off) else 1}: probabilities must be at least 0 and add up to 1")
    return names, chance
