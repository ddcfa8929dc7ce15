"""Which exports were written where and when."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("export_id", sa.String(), primary_key=True),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False, index=True),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.BigInteger()),
    )


def downgrade() -> None:
    op.drop_table("exports")
