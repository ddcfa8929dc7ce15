"""How many attempts to deliver there were, by what became of them; and deliveries by state, found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_attempts",
        sa.Column("outcome", sa.String(), primary_key=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
    op.create_index("webhook_deliveries_by_state", "webhook_deliveries", ["webhook_id", "state", "seq"])


def downgrade() -> None:
    op.drop_index("webhook_deliveries_by_state", "webhook_deliveries")
    op.drop_table("webhook_attempts")
