"""Feedback keeps its edits, the scale of its rating and its language."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feedback", sa.Column("edits", sa.String()))
    op.add_column("feedback", sa.Column("rated", sa.Float()))
    op.add_column("feedback", sa.Column("scale", sa.String()))
    op.add_column("feedback", sa.Column("language", sa.String()))
    op.add_column("feedback", sa.Column("language_given", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_feedback_edits", "feedback", ["edits"])


def downgrade() -> None:
    op.drop_index("ix_feedback_edits", "feedback")
    for column in ("language_given", "language", "scale", "rated", "edits"):
        op.drop_column("feedback", column)
