"""The made-up company as files: events, the true labels of what was said, and the truth that could be known.

`events.parquet`, `feedback.parquet`, `truth.parquet` and `company.json` appear together when all are whole, or not at
all. Customers are drawn in chunks, each from its own generator, so memory stays flat and a customer's touchpoints
depend on the seed and on which chunk it is in, not on how many customers follow. This file decides what goes where;
what people do is in `odds.py`.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from training.simulator.company import Company, Floats, Ints, car_dealer, coin_tosser
from training.simulator.files import OrderedParquet, parquet_writer
from training.simulator.odds import EVENT_NAMES, TOUCHPOINTS
from training.simulator.process import Drawn, draw
from training.simulator.records import CALENDAR_DAYS, DAY_US, EVENTS, FEEDBACK, Records, moments_us, record
from training.simulator.reference import Reference
from training.simulator.truth import Observer, Truth, truth_of

PURCHASE_HORIZON_DAYS = 90
SILENCE_HORIZON_DAYS = 30
CUSTOMERS_A_CHUNK = 4096

Progress = Callable[[int, int], None]


def simulate(
    customers: int, seed: int, out: Path, *, until: date | None = None, progress: Progress | None = None
) -> dict[str, object]:
    """Simulate the car dealer into the folder `out`; returns what `company.json` says, reference losses included.

    `truth.parquet` has a row right after each touchpoint and one at a random moment of each customer (`moment`), with
    the index and message of the last touchpoint so far, and what could be known then: `purchase_within_horizon` (a
    purchase after `as_of`, within 90 days), `none_within_horizon` (no touchpoint within 30 days) and, for each
    touchpoint, `next:<name>`, the probability that the next one is that one, whenever it comes.

    The 548 days begin on 2024-01-01, or end where `until` begins. The same arguments give the same files on one
    machine. `progress` is called with customers done and in all.
    Raises ValueError for customers < 1, seed < 0, or an `out` that is a file.
    """
    company = car_dealer()
    if until is not None:
        start = datetime(until.year, until.month, until.day, tzinfo=UTC) - timedelta(days=CALENDAR_DAYS)
        company = replace(company, calendar_start_us=int(start.timestamp()) * 1_000_000)
    return _run("car dealer", company, customers, seed, out, progress)


def pure_noise(customers: int, seed: int, out: Path, *, progress: Progress | None = None) -> dict[str, object]:
    """The same files from a company of which nothing can be learned: every touchpoint equally likely at any time."""
    return _run("pure noise", coin_tosser(), customers, seed, out, progress)


def _run(
    name: str, company: Company, customers: int, seed: int, out: Path, progress: Progress | None
) -> dict[str, object]:
    if customers < 1:
        raise ValueError(f"customers: expected a whole number of at least 1, got {customers}")
    if seed < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, got {seed}")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: {out} is a file; name a folder, new or existing")
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".simulating-", dir=out))
    try:
        losses = _write_tables(company, customers, seed, folder, progress)
        told = _described(name, company, customers, seed) | {"reference_losses": losses}
        (folder / "company.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        for file in ("events.parquet", "feedback.parquet", "truth.parquet", "company.json"):
            (folder / file).replace(out / file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return told


def _write_tables(
    company: Company, customers: int, seed: int, folder: Path, progress: Progress | None
) -> dict[str, dict[str, object]]:
    observer = Observer(company, PURCHASE_HORIZON_DAYS, SILENCE_HORIZON_DAYS)
    reference = Reference(company, PURCHASE_HORIZON_DAYS, CALENDAR_DAYS)
    start = company.calendar_start_us
    span = (start, start + CALENDAR_DAYS * DAY_US)
    schema = _truth_schema(company)
    with (
        OrderedParquet(folder / "events.parquet", EVENTS, ("occurred_at", "message_id"), span,
                       ("message_id", "properties")) as events,
        OrderedParquet(folder / "feedback.parquet", FEEDBACK, ("said_at", "feedback_id"), span,
                       ("feedback_id", "text")) as feedback,
        parquet_writer(folder / "truth.parquet", schema, ("message_id",)) as truths,
    ):  # fmt: skip
        for first in range(0, customers, CUSTOMERS_A_CHUNK):
            last = min(first + CUSTOMERS_A_CHUNK, customers)
            rng = np.random.default_rng([seed, first // CUSTOMERS_A_CHUNK])
            drawn, moments = _drawn(company, last - first, rng)
            records = record(company, drawn, seed, first, rng)
            after, at_random = truth_of(observer, drawn, moments)
            events.add(records.events)
            feedback.add(records.feedback)
            truths.write_table(_truth_table(schema, company, drawn, moments, records, after, at_random))
            reference.add(drawn, moments, after, at_random)
            if progress is not None:
                progress(last, customers)
    return reference.told()


def _drawn(company: Company, customers: int, rng: np.random.Generator) -> tuple[Drawn, Floats]:
    """Journeys of the first `customers` of a whole chunk, and a random moment of each after its first touchpoint."""
    whole = draw(company, CUSTOMERS_A_CHUNK, CALENDAR_DAYS, rng)
    first = whole.days[whole.offsets[:-1]]
    moments = first + rng.random(CUSTOMERS_A_CHUNK) * (CALENDAR_DAYS - first)
    rows = int(whole.offsets[customers])
    kept = Drawn(whole.customer[:rows], whole.days[:rows], whole.mark[:rows], whole.offsets[: customers + 1])
    return kept, moments[:customers]


def _truth_schema(company: Company) -> pa.Schema:
    return pa.schema(
        [
            ("user_id", pa.string()),
            ("as_of", pa.timestamp("us", tz="UTC")),
            ("moment", pa.string()),
            ("touchpoint_index", pa.int32()),
            ("message_id", pa.string()),
            ("purchase_within_horizon", pa.float32()),
            ("none_within_horizon", pa.float32()),
            *((f"next:{name}", pa.float32()) for name in company.touchpoints),
        ]
    )


def _truth_table(
    schema: pa.Schema, company: Company, drawn: Drawn, moments: Floats, records: Records, after: Truth, at_random: Truth
) -> pa.Table:
    """One row for each touchpoint and each random moment, by customer and time; the index is of the last touchpoint."""
    customer = np.concatenate([drawn.customer, np.arange(len(moments))])
    days = np.concatenate([drawn.days, moments])
    touched = np.arange(len(customer)) < len(drawn.mark)
    order = np.lexsort((~touched, days, customer))
    customer, touched = customer[order], touched[order]
    last = np.cumsum(touched) - 1  # the row of the last touchpoint so far: each customer's first row is one
    columns: list[pa.Array] = [
        pa.array(records.user_ids).take(pa.array(customer)),
        pa.array(moments_us(days[order], company.calendar_start_us), type=schema.field("as_of").type),
        pa.array(np.where(touched, "touchpoint", "random").tolist(), type=pa.string()),
        pa.array((last - drawn.offsets[customer]).astype(np.int32)),
        pa.array(records.message_ids).take(pa.array(last)),
    ]
    columns += [_column(after.purchase, at_random.purchase, order), _column(after.silence, at_random.silence, order)]
    both = np.concatenate([after.next_touchpoint, at_random.next_touchpoint]).astype(np.float32)[order]
    columns += [pa.array(np.ascontiguousarray(column)) for column in both.T]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(after: Floats, at_random: Floats, order: Ints) -> pa.Array:
    return pa.array(np.concatenate([after, at_random]).astype(np.float32)[order])


def _described(name: str, company: Company, customers: int, seed: int) -> dict[str, object]:
    starts_at = datetime.fromtimestamp(company.calendar_start_us / 1e6, tz=UTC)
    return {
        "format": 1,
        "company": name,
        "seed": seed,
        "customers": customers,
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(days=CALENDAR_DAYS)).isoformat(),
        "purchase_horizon_days": PURCHASE_HORIZON_DAYS,
        "silence_horizon_days": SILENCE_HORIZON_DAYS,
        "purchase": company.purchase,
        "channels": sorted({touchpoint.split(".")[0] for touchpoint in company.touchpoints}),
        "touchpoints": {touchpoint: TOUCHPOINTS[touchpoint] for touchpoint in company.touchpoints},
        "event_names": EVENT_NAMES,
    }
