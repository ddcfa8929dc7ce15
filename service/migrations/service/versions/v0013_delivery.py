"""What goes out: changes, audiences, webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String()),
        sa.Column("about", sa.String()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_of_customers", "changes", ["customer_id"])
    op.create_index("changes_in_time", "changes", ["changed_at"])
    op.create_table(
        "changes_forgotten",
        sa.Column("one", sa.Integer(), primary_key=True),
        sa.Column("seq", sa.Integer(), nullable=False),
    )
    op.create_table(
        "insights_told",
        sa.Column("customer_id", sa.String(), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
    )
    _audiences()
    _webhooks()
    _deliveries()


def _audiences() -> None:
    op.create_table(
        "audiences",
        sa.Column("audience_id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("through", sa.String()),
    )
    op.create_table(
        "audience_members",
        sa.Column("audience_id", sa.String(), primary_key=True),
        sa.Column("customer_id", sa.String(), primary_key=True),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("audience_members_of_customers", "audience_members", ["customer_id"])


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.String(), primary_key=True),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("kinds", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("disabled_because", sa.String()),
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("secret_id", sa.String(), primary_key=True),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("key_print", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
    )
    op.create_index("webhook_secrets_of_webhooks", "webhook_secrets", ["webhook_id"])


def _deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook_id", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("history", sa.Text(), nullable=False),
    )
    op.create_index("webhook_deliveries_of_customers", "webhook_deliveries", ["customer_id"])
    op.create_index(
        "webhook_deliveries_waiting", "webhook_deliveries", ["webhook_id", "due_at", "seq"],
        sqlite_where=sa.text("state = 'waiting'"),
    )  # fmt: skip
    op.create_index(
        "webhook_deliveries_in_order", "webhook_deliveries", ["webhook_id", "customer_id", "seq"],
        sqlite_where=sa.text("state = 'waiting'"),
    )  # fmt: skip


def downgrade() -> None:
    for table in ("webhook_deliveries", "webhook_secrets", "webhooks", "audience_members", "audiences", "insights_told",
                  "changes_forgotten", "changes"):  # fmt: skip
        op.drop_table(table)
