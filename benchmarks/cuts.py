"""A part of a data set kept back to measure on: by time, by group, or at random. The rest is what may be learned from.

Only the learning parts of the public sets lie open; these cuts are made from them and written to a scratch folder.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

Row = dict[str, str]
SHARE = 0.2


def by_time(file: Path, scratch: Path) -> tuple[Path, Path]:
    """The fifth of the customers who came last is kept back, whole; of the others, what happened before they came."""
    rows = _read(file)
    first: dict[str, str] = {}
    for row in rows:
        first[row["customer_id"]] = min(first.get(row["customer_id"], row["timestamp"]), row["timestamp"])
    since = sorted(first.values())[int(len(first) * (1 - SHARE))]
    later = [row for row in rows if first[row["customer_id"]] >= since]
    return _write(scratch, file, [row for row in rows if row["timestamp"] < since], later)


def by_group(file: Path, column: str, scratch: Path) -> tuple[Path, Path]:
    """A fifth of the values of a column is kept back with everybody who shares them, so nobody is on both sides."""
    rows = _read(file)
    who_has: dict[str, set[str]] = defaultdict(set)
    has: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        who_has[row[column]].add(row["customer_id"])
        has[row["customer_id"]].add(row[column])
    kept_back: set[str] = set()
    for value in sorted(who_has):
        if _share(value) < SHARE and len(kept_back) < SHARE * len(has):
            reached, new = set(), set(who_has[value])
            while new:
                reached |= new
                new = {one for customer in new for other in has[customer] for one in who_has[other]} - reached
            if len(reached) < 0.02 * len(has):
                kept_back |= reached
    test = [row for row in rows if row["customer_id"] in kept_back]
    return _write(scratch, file, [row for row in rows if row["customer_id"] not in kept_back], test)


def before(file: Path, moment: str, scratch: Path) -> tuple[Path, Path, Path]:
    """What happened before a moment; the whole log; and that moment as a landmark of everybody known by then."""
    rows = _read(file)
    past = [row for row in rows if row["timestamp"] < moment]
    known = [{"customer_id": one, "as_of": moment} for one in sorted({row["customer_id"] for row in past})]
    train, test = _write(scratch, file, past, rows)
    asked, _ = _write(scratch / "asked", file, known, known)
    return train, test, asked


def by_customer(file: Path, scratch: Path) -> tuple[Path, Path]:
    """A fifth of the customers, by a hash of their id."""
    rows = _read(file)
    test = [row for row in rows if _share(row["customer_id"]) < SHARE]
    return _write(scratch, file, [row for row in rows if _share(row["customer_id"]) >= SHARE], test)


def by_row(file: Path, scratch: Path) -> tuple[Path, Path]:
    """A fifth of the rows, by a hash of their number."""
    rows = list(enumerate(_read(file)))
    test = [row for number, row in rows if _share(str(number)) < SHARE]
    return _write(scratch, file, [row for number, row in rows if _share(str(number)) >= SHARE], test)


def latest_rows(file: Path, column: str, scratch: Path) -> tuple[Path, Path]:
    """The fifth of the rows that is last by a column."""
    rows = sorted(_read(file), key=lambda row: row[column])
    size = int(len(rows) * (1 - SHARE))
    return _write(scratch, file, rows[:size], rows[size:])


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _read(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _write(scratch: Path, file: Path, train: list[Row], test: list[Row]) -> tuple[Path, Path]:
    scratch.mkdir(exist_ok=True)
    paths = scratch / f"{file.parent.name}-train.csv", scratch / f"{file.parent.name}-test.csv"
    for path, rows in zip(paths, (train, test), strict=True):
        with path.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return paths
