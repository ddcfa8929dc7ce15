"""What was said of being profiled, by id."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("objects", sa.Boolean(), nullable=False),
        sa.Column("statement_refuses", sa.Boolean()),
        sa.Column("statement_at", sa.BigInteger()),
        sa.Column("statement_id", sa.String()),
        sa.Column("banner_refuses", sa.Boolean()),
        sa.Column("banner_at", sa.BigInteger()),
        sa.Column("banner_id", sa.String()),
        sa.Column("stated_by", sa.Text()),
        sa.Column("reason", sa.Text()),
    )
    op.create_index("consents_objecting", "consents", ["id"], sqlite_where=sa.text("objects"))


def downgrade() -> None:
    op.drop_table("consents")
