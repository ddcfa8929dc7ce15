"""A plan: a mapping on the columns that a file really has, made and checked before a row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.journey.table import EventLogError
from service.events.importing.mapping import GROUPS, Cell, Columns, Moment, meant

ABOUT_REFUSAL = ("refused_file", "refused_row", "refused_code", "refused_reason", "refused_text")
"""Columns of a file of refused rows that say why; they mean nothing when the file, corrected, is imported itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which column of the file gives what. A moment or cell whose column is None is empty, constant or missing."""

    moments: Mapping[str, tuple[str | None, Moment]]
    cells: Mapping[str, tuple[str | None, Cell]]
    source: str
    columns: Sequence[str]


def plan_of(path: Path, stem: str, columns: Sequence[str], mapping: Columns) -> Plan:
    """Raises EventLogError for a column that is named and is not there; the message lists those that are."""
    cells = {
        name: (None if c.constant is not None else _found(path, name, c.columns, c.optional, columns), c)
        for name, c in mapping.cells.items()
    }
    moments = {name: (_found(path, name, m.columns, m.optional, columns), m) for name, m in mapping.moments.items()}
    given = {name for name, (column, cell) in cells.items() if column or cell.constant or cell.missing}
    if not given & {"user_id", "anonymous_id"}:
        raise EventLogError(f"{path}: no column for user_id or anonymous_id; it has {', '.join(columns)}; name it with "
                            "--map user_id=COLUMN")  # fmt: skip
    if mapping.keep_others:
        claimed = {column for column, _ in (*moments.values(), *cells.values())}
        for column in columns:
            name = f"properties.{column}"
            if column not in claimed and name not in cells and column not in (*ABOUT_REFUSAL, *GROUPS):
                cells[name] = column, Cell((column,))
    return Plan(moments, cells, mapping.source or stem, columns)


def _found(path: Path, ours: str, wanted: Sequence[str], optional: bool, there: Sequence[str]) -> str | None:
    found = next((column for column in wanted if column in there), None)
    if found is not None or optional:
        return found
    if len(wanted) == 1:
        missing = f"no column {wanted[0]!r}{meant(wanted[0], there)} for {ours}"
    else:
        missing = f"no column for {ours}" + (f" (none of {', '.join(wanted)})" if wanted else "")
    raise EventLogError(f"{path}: {missing}; it has {', '.join(there)}; name it with --map {ours}=COLUMN")
