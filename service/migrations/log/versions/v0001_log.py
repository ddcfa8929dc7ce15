"""The append-only log of accepted events and feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log",
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user_id", sa.String()),
        sa.Column("anonymous_id", sa.String()),
        sa.Column("previous_id", sa.String()),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.UniqueConstraint("stream", "message_id"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("log")
