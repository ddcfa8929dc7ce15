"""What is folded from the log, what is concluded from it, keys and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("leases", "keys", "insights", "conclusions", "cursors", "feedback", "touchpoints", "identities", "customers")


def upgrade() -> None:
    who()
    what_happened()
    concluded()
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )


def who() -> None:
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.String(), primary_key=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("concluded_revision", sa.Integer(), nullable=False),
    )
    op.create_index(
        "customers_pending", "customers", ["changed_at"], sqlite_where=sa.text("revision > concluded_revision")
    )
    op.create_table(
        "identities",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("customer_id", sa.String(), nullable=False, index=True),
        sa.Column("joined_to", sa.String(), index=True),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String()),
    )


def what_happened() -> None:
    op.create_table(
        "touchpoints",
        sa.Column("message_id", sa.String(), primary_key=True),
        sa.Column("own_id", sa.String(), nullable=False, index=True),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("contact", sa.Boolean(), nullable=False),
    )
    op.create_index("touchpoints_customer", "touchpoints", ["customer_id", "occurred_at"])
    op.create_table(
        "feedback",
        sa.Column("feedback_id", sa.String(), primary_key=True),
        sa.Column("own_id", sa.String(), nullable=False, index=True),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer()),
    )
    op.create_index("feedback_customer", "feedback", ["customer_id", "said_at"])
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
    )


def concluded() -> None:
    op.create_table(
        "conclusions",
        sa.Column("conclusion_id", sa.String(), primary_key=True),
        sa.Column("customer_id", sa.String(), nullable=False, index=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String()),
        sa.Column("concluded_at", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("stored", sa.Text(), nullable=False),
        sa.Column("superseded_at", sa.BigInteger()),
    )
    current = "superseded_at IS NULL"
    op.create_index("conclusions_current", "conclusions", ["subject"], unique=True, sqlite_where=sa.text(current))
    op.create_index(
        "conclusions_waiting",
        "conclusions",
        ["concluded_at", "conclusion_id"],
        sqlite_where=sa.text(f"{current} AND decision = 'review' AND decided_by = 'model'"),
    )
    op.create_table(
        "insights",
        sa.Column("customer_id", sa.String(), primary_key=True),
        sa.Column("as_of", sa.BigInteger(), nullable=False, index=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("provisional_body", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, index=True),
        sa.Column("digest", sa.String()),
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
