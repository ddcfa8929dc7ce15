"""Made-up logs and tables whose odds are known, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.journey.event import DAY, format_time, parse_time
from models.nets.next_touchpoint import NetShape
from training.measure.next_touchpoint import NextMeasurement
from training.next_touchpoint import NextTouchpointConfig

START = parse_time("2026-01-01T00:00:00Z")
KINDS = 4
LIKELY = 0.925
ENTROPY = -(LIKELY * np.log(LIKELY) + (1 - LIKELY) * np.log((1 - LIKELY) / 3))
QUICK = NextTouchpointConfig(
    shape=NetShape(length=8, width=16, layers=1, heads=2, gap_components=3, dropout=0.0),
    epochs=4,
    batch_windows=16,
    learning_rate=1e-2,
    minimum_examples=20,
)


def write_log(path: Path, customers: int, seed: int, *, learnable: bool, first: int = 0) -> Path:
    """Journeys of 10 events of four kinds; learnable: the next kind follows the last one nine times in ten.

    Two customers share each `device`. After kind k a gap lasts about 10**k minutes.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(first, first + customers):
        kind, at = int(rng.integers(KINDS)), START + int(rng.uniform(0, 60) * DAY)
        for _ in range(10):
            rows.append((at, f"c{customer}", f"Kind {kind}", f"d{customer // 2}"))
            at += int(rng.lognormal(np.log(60e6 * 10**kind), 0.5))
            likely = learnable and rng.random() < 0.9
            kind = (kind + 1) % KINDS if likely else int(rng.integers(KINDS))
    return write_rows(path, "customer_id,timestamp,event,device_id", [(c, t, e, d) for t, c, e, d in sorted(rows)])


def write_shop(path: Path, customers: int, seed: int, *, learnable: bool, first: int = 0) -> Path:
    """A year of visits; a keen half of the customers buys about every three weeks, the others hardly ever.

    Not learnable: everybody buys at the same rate, whatever they did before.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(first, first + customers):
        every = 20.0 if customer % 2 else 900.0
        for name, days in (("Page Viewed", 15.0), ("Order Completed", every if learnable else 120.0)):
            at = START + int(rng.exponential(days) * DAY)
            while at < START + 360 * DAY:
                rows.append((at, f"c{customer}", name))
                at += int(rng.exponential(days) * DAY) + 1
    return write_rows(path, "customer_id,timestamp,event", [(c, t, e) for t, c, e in sorted(rows)])


def write_table(path: Path, rows: int, seed: int, *, learnable: bool) -> Path:
    """Visits with pages, a month in words, an id, and whether they bought; learnable by pages and month."""
    rng = np.random.default_rng(seed)
    cells = []
    for row in range(rows):
        pages, month = int(rng.integers(1, 20)), str(rng.choice(["may", "june", "july"]))
        chance = 1 / (1 + np.exp(3 - 0.25 * pages - (month == "may"))) if learnable else 0.3
        bought = bool(rng.random() < chance)
        cells.append((f"v{seed}-{row}", pages, month, bought, 5 * int(bought)))
    header = "visit,pages,month,bought,paid"
    path.write_text("\n".join([header, *(",".join(map(str, one)) for one in cells)]) + "\n", "utf-8")
    return path


def write_rows(path: Path, header: str, rows: list[tuple[object, ...]]) -> Path:
    told = [",".join([str(row[0]), format_time(int(str(row[1]))), *map(str, row[2:])]) for row in rows]
    path.write_text("\n".join([header, *told]) + "\n", "utf-8")
    return path


def quick(train: Path, test: Path, group: str | None = None, truth: Path | None = None) -> NextMeasurement:
    """A measurement whose fit takes seconds."""
    return NextMeasurement(train, test, group, truth=truth, config=QUICK)
