"""Served purchase probabilities are kept, with what stood behind them, until what happened is known."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forecast_sources",
        sa.Column("source_id", sa.Integer(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.UniqueConstraint("version", "digest", "policy_digest", "name"),
    )
    op.create_table(
        "forecasts",
        sa.Column("customer_id", sa.String(), primary_key=True),
        sa.Column("source_id", sa.Integer(), primary_key=True),
        sa.Column("made_at", sa.BigInteger(), primary_key=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("happened", sa.Integer()),
        sa.Column("checked_at", sa.BigInteger()),
    )
    op.create_index("forecasts_due", "forecasts", ["due_at"], sqlite_where=sa.text("checked_at IS NULL"))
    op.create_index(
        "forecasts_checked", "forecasts", ["source_id", "checked_at"], sqlite_where=sa.text("checked_at IS NOT NULL")
    )
    op.create_table(
        "forecast_quality",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("computed_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    for table in ("forecast_quality", "forecasts", "forecast_sources"):
        op.drop_table(table)
