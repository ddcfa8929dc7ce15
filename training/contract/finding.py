"""One thing that is wrong with the data, or odd: what, how bad, and rows to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

MOST_ROWS = 5
"""So many rows are shown of each finding."""


class ContractError(ValueError):
    """The data breaks the contract, so nothing was learned from it; `findings` says where and shows rows."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        broken = [one for one in findings if one.stops]
        told = "; ".join(f"{one.check}: {one.told}" for one in broken)
        super().__init__(f"the data breaks its contract, nothing was trained: {told}")


@dataclass(frozen=True)
class Finding:
    """`stop` keeps anything from being learned; `warn` is told. `fix` says what to do, and what to set where it is
    meant to be so."""

    check: str
    severity: Literal["stop", "warn"]
    told: str
    fix: str
    rows: Sequence[Mapping[str, Any]] = ()

    @property
    def stops(self) -> bool:
        return self.severity == "stop"

    def to_dict(self) -> dict[str, Any]:
        return {"check": self.check, "severity": self.severity, "told": self.told, "fix": self.fix,
                "rows": [dict(row) for row in self.rows]}  # fmt: skip


def rows_of(frame: pd.DataFrame, *columns: str) -> list[dict[str, Any]]:
    """The first rows, those of the columns that are there, in JSON's own types.

    >>> rows_of(pd.DataFrame({"a": [1, 2]}), "a", "b")
    [{'a': 1}, {'a': 2}]
    """
    there = [column for column in columns if column in frame]
    head = frame[there].head(MOST_ROWS)
    return [{str(name): _plain(cell) for name, cell in row.items()} for row in head.astype(object).to_dict("records")]


def _plain(cell: Any) -> Any:
    if cell is None or cell is pd.NA or (isinstance(cell, float) and cell != cell):
        return None
    found = cell.item() if hasattr(cell, "item") else cell
    return found[:200] if isinstance(found, str) else found
