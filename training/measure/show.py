"""Figures for people: a table with a row for each number, its interval and its n. JSON is for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

FIGURE = {"value", "low", "high", "n"}


def table(told: Mapping[str, Any]) -> Table:
    """A row for each figure, named by its way into the JSON."""
    shown = Table(title=f"{told['task']}: n = {told['n']}")
    for column, justify in (("figure", "left"), ("value", "right"), ("95 %", "left"), ("n", "right")):
        shown.add_column(column, justify="left" if justify == "left" else "right")
    for name, one in _figures(told, ""):
        shown.add_row(name, *one)
    return shown


def _figures(told: Mapping[str, Any], path: str) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for name, one in told.items():
        here = f"{path}{name}"
        if isinstance(one, Mapping) and set(one) == FIGURE:
            band = _ends(one["low"], one["high"])
            if name == "ece" and "ece_band" in told:
                verdict = "in" if told["ece_in_band"] else "NOT in"
                band += f", {verdict} the band {_ends(*told['ece_band'])}"
            yield here, (_number(one["value"]), band, str(one["n"]))
        elif isinstance(one, Mapping):
            yield from _figures(one, f"{here}.")


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.4f} .. {high:.4f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
