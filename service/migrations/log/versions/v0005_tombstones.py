"""Tombstones of those who were erased, the key of their hashes, and the receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("id_hash", sa.String(), primary_key=True),
        sa.Column("tombstone_id", sa.String(), nullable=False, index=True),
    )
    op.create_table(
        "tombstone_key",
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("changes", sa.Integer(), nullable=False),
    )
    op.create_table(
        "erasures",
        sa.Column("tombstone_id", sa.String(), primary_key=True),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("ids", sa.Text()),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.BigInteger()),
        sa.Column("purged_at", sa.BigInteger()),
        sa.Column("lifted_at", sa.BigInteger()),
    )


def downgrade() -> None:
    for table in ("erasures", "tombstone_key", "tombstones"):
        op.drop_table(table)
