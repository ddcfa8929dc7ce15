"""Which catalogue the folded history speaks, what its rules took, and touchpoints that are to be mapped anew."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogues",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "catalogue_counts",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("rule", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
    )
    op.add_column("touchpoints", sa.Column("stale", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("touchpoints_stale", "touchpoints", ["customer_id"], sqlite_where=sa.text("stale"))


def downgrade() -> None:
    op.drop_index("touchpoints_stale", "touchpoints")
    op.drop_column("touchpoints", "stale")
    op.drop_table("catalogue_counts")
    op.drop_table("catalogues")
