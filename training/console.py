"""What a person watching a training run sees, on stderr: steps as they begin, progress inside them, a table at the end.

Results meant for programs go to stdout elsewhere; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


class Reporter(Protocol):
    """Takes what happens during a run."""

    def step(self, name: str) -> None: ...

    def say(self, line: str) -> None: ...

    def advance(self, what: str, done: int, total: int) -> None: ...


class Quiet:
    """Says nothing: for tests."""

    def step(self, name: str) -> None: ...

    def say(self, line: str) -> None: ...

    def advance(self, what: str, done: int, total: int) -> None: ...


class Watched:
    """Shows each step with its time, and a bar where the total is known. Use as a context."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: Any = None

    def __enter__(self) -> Watched:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        self._bars.stop()

    def step(self, name: str) -> None:
        self._finish()
        self._task = self._bars.add_task(escape(name), total=None, note="")

    def say(self, line: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, note=escape(line[:70]))

    def advance(self, what: str, done: int, total: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, note=escape(what[:70]))

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=1, total=1)


def figures_table(figures: Mapping[str, Any]) -> Table:
    """Each trained question a row: log-loss beside the best baseline, calibration, and what is promised."""
    table = Table(title="Measured on the latest slice, never seen in training")
    for column in ("question", "n", "log-loss", "best baseline", "ours less theirs (95 %)", "ECE (band)", "note"):
        table.add_column(column)
    for name, one in _questions(figures):
        if one["status"] != "trained":
            continue
        best = min(one["baselines"], key=lambda key: one["baselines"][key]["log_loss"])
        theirs = one["baselines"][best]
        low_high = " .. ".join(f"{x:+.4f}" for x in theirs["ours_minus_theirs"]["interval"])
        difference = f"{theirs['ours_minus_theirs']['mean']:+.4f} ({low_high})"
        ece = f"{one['ece']:.4f} ({one['ece_band'][0]:.4f} .. {one['ece_band'][1]:.4f})"
        cells = (
            str(one["n"]),
            f"{one['log_loss']:.4f}",
            f"{best} {theirs['log_loss']:.4f}",
            difference,
            ece,
            _note(one),
        )
        table.add_row(name, *cells)
    return table


def refusals(figures: Mapping[str, Any]) -> list[str]:
    """A line for each question that was not trained, and why."""
    return [f"{name} not trained: {one['reason']}" for name, one in _questions(figures) if one["status"] != "trained"]


def _questions(figures: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    purchases = [(f"purchase: {name}", one) for name, one in figures["purchase"].items()]
    return [("next touchpoint", figures["next_touchpoint"]), *purchases, ("feeling", figures["feeling"])]


def _note(one: Mapping[str, Any]) -> str:
    if "coverage" in one:
        return f"sets cover {one['coverage']:.3f}, mean size {one['mean_set_size']:.2f}, accuracy {one['accuracy']:.3f}"
    if "auc" in one:
        return f"AUC {one['auc']:.3f}, bins inside their interval {one['bins_inside_interval']:.2f}"
    wrong = "none" if one["released_error"] is None else f"{one['released_error']:.3f} wrong"
    return f"macro-F1 {one['macro_f1']:.3f}; released {one['release_rate']:.2f}, {wrong}"
