"""Work that takes long, as rows with a lease; and answers to writes that may come again."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String()),
        sa.Column("total", sa.Integer()),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("cancelled_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("problem", sa.Text()),
        sa.Column("removed_at", sa.BigInteger()),
        sa.Column("holder", sa.String()),
        sa.Column("held_until", sa.BigInteger()),
    )
    op.create_index("jobs_open", "jobs", ["made_at"], sqlite_where=sa.text("finished_at IS NULL"))
    op.create_table(
        "replays",
        sa.Column("caller", sa.String(), primary_key=True),
        sa.Column("idempotency_key", sa.String(), primary_key=True),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", sa.Text()),
        sa.Column("body", sa.LargeBinary()),
    )
    op.create_index("replays_begun", "replays", ["begun_at"])


def downgrade() -> None:
    for table in ("replays", "jobs"):
        op.drop_table(table)
