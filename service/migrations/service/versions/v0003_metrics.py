"""An index that counts current conclusions that wait for nobody, so that /metrics reads no conclusion.

It leaves out those that wait: an index that also held them would be preferred to the ones that keep the queue in order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "conclusions_settled",
        "conclusions",
        ["decision", "decided_by"],
        sqlite_where=sa.text("superseded_at IS NULL AND (decision != 'review' OR decided_by != 'model')"),
    )


def downgrade() -> None:
    op.drop_index("conclusions_settled", "conclusions")
