"""Claims, verdicts, the sessions of reviewers, and the index of urgent cases."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WAITING = "superseded_at IS NULL AND decision = 'review' AND decided_by = 'model'"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(), primary_key=True),
        sa.Column("key_id", sa.String(), nullable=False, index=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("signed_in_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
    )
    op.create_table(
        "claims",
        sa.Column("claim_id", sa.String(), primary_key=True),
        sa.Column("conclusion_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("ending", sa.String()),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("claims_running", "claims", ["reviewer", "until"], sqlite_where=sa.text("ended_at IS NULL"))
    verdicts()
    op.create_index(
        "conclusions_urgent",
        "conclusions",
        ["concluded_at", "conclusion_id"],
        sqlite_where=sa.text(WAITING + " AND instr(stored, '[\"urgent\"') > 0"),
    )


def verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("verdict_id", sa.String(), primary_key=True),
        sa.Column("conclusion_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("answered_as", sa.String(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger()),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("emotions", sa.Text(), nullable=False),
        sa.Column("intensity", sa.Integer()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("model_answer", sa.String()),
        sa.Column("model_confidence", sa.Float()),
        sa.Column("model_answer_shown", sa.Boolean(), nullable=False),
        sa.Column("guideline_version", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String()),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("chance_of_review", sa.Float(), nullable=False),
        sa.Column("undone_at", sa.BigInteger()),
    )
    op.create_index(
        "verdicts_standing", "verdicts", ["subject"], unique=True, sqlite_where=sa.text("undone_at IS NULL")
    )
    op.create_index("verdicts_reviewer", "verdicts", ["reviewer", "decided_at"])


def downgrade() -> None:
    op.drop_index("conclusions_urgent", "conclusions")
    for table in ("verdicts", "claims", "sessions"):
        op.drop_table(table)
