"""What a bundle answers to those who have rows of events and no service: one insight a customer, as JSON.

MLflow's copy of a bundle answers by this (registry.py). It needs the default install alone: no torch, no pandas.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import LoadedBundle
from models.insight import ModelVersion, ReleasePolicy
from models.journey.assembly import assemble
from models.journey.event import Micros
from models.journey.eventlog import read_events
from models.journey.touchpoint import Catalogue

COLUMNS = ("user_id", "event", "occurred_at", "properties")
"""What a row of an event needs; `properties` is JSON and may be empty."""


def answers(
    bundle: LoadedBundle, catalogue: Catalogue, rows: Sequence[Mapping[str, Any]], as_of: Micros | None = None
) -> list[dict[str, Any]]:
    """The insight of each customer in these rows as of a moment; missing: the latest that is known of anybody.

    The shape is that of the service's answer, under the usual policy. Raises EventLogError naming the row.
    """
    if not rows:
        return []
    with tempfile.TemporaryDirectory() as folder:  # the same reader as any log's, with the same complaints
        path = Path(folder) / "events.jsonl"
        path.write_text("".join(json.dumps(dict(row), default=str) + "\n" for row in rows), "utf-8")
        assembled = assemble(read_events(path), catalogue)
    journeys, policy = assembled.journeys, ReleasePolicy()
    moment = int(journeys.known_at.max(initial=0)) if as_of is None else as_of
    latest = {one.customer_id: one for one in assembled.feedback if max(one.said_at, one.known_at) <= moment}
    said = [latest.get(customer) for customer in journeys.customers]
    found = iter(bundle.conclude_feedback([one for one in said if one is not None], policy))
    feelings = [None if one is None else next(found) for one in said]
    moments = np.full(len(journeys), moment, dtype=np.int64)
    model = ModelVersion(0, bundle.digest, None)
    return [one.to_dict() for one in bundle.concluded(journeys, moments, feelings, model, policy).insights()]
