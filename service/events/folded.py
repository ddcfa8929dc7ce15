"""What the projector folds from the log: customers, the ids they are known by, touchpoints and feedback, in service.db.

Tables only. All of it can be deleted and folded again from the log to the same rows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from service.database import holds, holds_nothing, metadata

customers = Table(
    "customers",
    metadata,
    Column("customer_id", String, primary_key=True),
    Column("changed_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("concluded_revision", Integer, nullable=False),
    **holds(exported="not: counts changes only", erased="the customer's row is deleted"),
)
"""`revision` counts what became known of the customer; above `concluded_revision` there is something to conclude."""

pending = Index(
    "customers_pending", customers.c.changed_at, sqlite_where=customers.c.revision > customers.c.concluded_revision
)

identities = Table(
    "identities",
    metadata,
    Column("id", String, primary_key=True),
    Column("customer_id", String, nullable=False, index=True),
    Column("joined_to", String, index=True),
    Column("joined_at", BigInteger, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("message_id", String),
    **holds(exported="all ids of the customer", erased="all ids of the customer are deleted"),
)
"""Every id with its kind (`a:` a device, `u:` a known id) and the surviving customer behind it.

`joined_to` and `message_id` are the claim that joined it, with `joined_at` when; `known_at` is from when the whole
chain up to the surviving customer was known (0 where nothing was joined).
"""

touchpoints = Table(
    "touchpoints",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("own_id", String, nullable=False, index=True),
    Column("customer_id", String, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("channel", String, nullable=False),
    Column("action", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("contact", Boolean, nullable=False),
    Index("touchpoints_customer", "customer_id", "occurred_at"),
    **holds(exported="all rows of the customer", erased="all rows of the customer are deleted"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_id", String, primary_key=True),
    Column("own_id", String, nullable=False, index=True),
    Column("customer_id", String, nullable=False),
    Column("said_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("channel", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("rating", Integer),
    Index("feedback_customer", "customer_id", "said_at"),
    **holds(exported="all rows of the customer", erased="all rows of the customer are deleted"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", String, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    **holds_nothing("how far the log is folded"),
)
