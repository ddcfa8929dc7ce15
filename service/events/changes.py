"""Who something became known of: customers whose insight is to be concluded anew."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection

from models.journey.event import Micros


def mark_changed(connection: Connection, changed: Collection[str], at: Micros) -> None:
    """Count that something changed for each; who waits already keeps the place in the queue."""
    statement = """
        INSERT INTO customers (customer_id, changed_at, revision, concluded_revision)
        SELECT value, ?, 1, 0 FROM json_each(?) WHERE true
        ON CONFLICT (customer_id) DO UPDATE SET revision = revision + 1,
            changed_at = CASE WHEN revision > concluded_revision THEN changed_at ELSE excluded.changed_at END"""
    connection.exec_driver_sql(statement, (at, msgspec.json.encode(sorted(changed)).decode()))
