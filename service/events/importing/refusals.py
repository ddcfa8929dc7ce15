"""The file of refused rows: each as it was, with its file, its number, a code and a reason.

Its own columns begin with `refused_` and mean nothing to an import, so that the file can be corrected and imported.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from service.errors import Invalid
from service.events.importing.plan import ABOUT_REFUSAL
from service.events.importing.rows import Refused

FIRST_TOLD = 3


class _Writer(Protocol):
    def __call__(self, row: dict[str, Any], /) -> object: ...


@dataclass
class Refusals:
    """Counts the refused rows by code, remembers the first few, and writes all where there is a file for them."""

    write: _Writer | None = None
    codes: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, file: str, refused: Refused) -> None:
        self.codes[refused.code] += 1
        if len(self.first) < FIRST_TOLD:
            self.first.append(f"{file}: row {refused.number}: {refused.reason} ({refused.code})")
        if self.write is not None:
            about = (file, refused.number, refused.code, refused.reason)
            self.write({**refused.row, **dict(zip(ABOUT_REFUSAL, about, strict=False))})


@contextmanager
def refusals_to(path: Path | None, columns: Sequence[str]) -> Iterator[Refusals]:
    """Refusals that are written to `path`, CSV or JSONL by its ending. Raises Invalid for another one."""
    if path is None:
        yield Refusals()
        return
    ending = path.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise Invalid(f"--refused {path.name!r} ends in {ending!r}.", "Name a file that ends in one of these.",
                      field="refused", value=path.name, allowed=(".csv", ".jsonl"))  # fmt: skip
    with ExitStack() as stack:
        if ending == ".csv":
            file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
            names = [*dict.fromkeys(name for name in columns if name not in ABOUT_REFUSAL), *ABOUT_REFUSAL]
            table = csv.DictWriter(file, names)
            table.writeheader()
            yield Refusals(table.writerow)
        else:
            lines = stack.enter_context(path.open("wb"))
            yield Refusals(lambda row: lines.write(msgspec.json.encode(row) + b"\n"))
