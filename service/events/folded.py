"""What the projector folds from the log: customers, the ids they are known by, touchpoints and feedback, in service.db.

Tables only. All of it can be deleted and folded again from the log to the same rows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text, text

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
    Column("known_at", BigInteger, nullable=False),
    Column("shared_at", BigInteger),
    Index("identities_shared", "id", sqlite_where=text("shared_at IS NOT NULL")),
    **holds(exported="all ids of the customer", erased="all ids of the customer are deleted"),
)
"""Every id with its kind (`u:` a known user, `a:` a device, `x:` an id of a person) and the customer behind it.

`known_at` is from when it has been with the surviving id without a break (EARLIEST where nothing is joined); at
`shared_at` it was known that it belongs to too many to be joined with any. What joined them is in joins.py.
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
    Column("stale", Boolean, nullable=False),
    Index("touchpoints_customer", "customer_id", "occurred_at"),
    Index("touchpoints_stale", "customer_id", sqlite_where=text("stale")),
    **holds(exported="all rows of the customer", erased="all rows of the customer are deleted"),
)
"""`stale` while another catalogue is coming that reads the event otherwise, see remap.py."""

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
    Column("edits", String, index=True),
    Column("rated", Float),
    Column("scale", String),
    Column("language", String),
    Column("language_given", Boolean, nullable=False),
    Index("feedback_customer", "customer_id", "said_at"),
    **holds(exported="all rows of the customer", erased="all rows of the customer are deleted"),
)
"""Each version of the words has a row. `feedback_id` is of these very words; `edits` names the feedback whose words
they replace, null for what was said first. `rating` is in stars; `rated` and `scale` are there where it came on another
scale. Which words count is not stored: customers/words.py tells."""

cursors = Table(
    "cursors",
    metadata,
    Column("name", String, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    **holds_nothing("how far the log is folded"),
)
