"""Promises that are watched: draws for blind reading, what happened to promises, served sets, looks at the inputs."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BEFORE = "superseded_at IS NULL AND decision = 'review' AND decided_by = 'model'"
WAITING = "superseded_at IS NULL AND place IS NOT NULL"
QUEUE = ["place", "conclusion_id", "subject", "kind", "channel", "language", "version", "flags", "lot"]


def _queue_where(condition: str) -> None:
    """The indexes of the queue: what a person is to look at may have been released meanwhile."""
    for name, columns in (("conclusions_queue", QUEUE), ("conclusions_urgent", ["urgent"]),
                          ("conclusions_alike", ["words_key"])):  # fmt: skip
        op.drop_index(name, "conclusions")
        op.create_index(name, "conclusions", columns, sqlite_where=sa.text(condition))


def upgrade() -> None:
    _policies_and_events()
    _draws()
    _served_sets()
    op.create_table(
        "input_looks",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("input_looks_of", "input_looks", ["digest", "kind", "number"])
    op.add_column("conclusions", sa.Column("policy_digest", sa.String()))
    op.create_index("conclusions_released", "conclusions", ["digest", "concluded_at", "conclusion_id"],
                    sqlite_where=sa.text("decision = 'auto'"))  # fmt: skip
    op.add_column("verdicts", sa.Column("drawn", sa.Boolean(), nullable=False, server_default=sa.false()))
    _queue_where(WAITING)


def _policies_and_events() -> None:
    op.create_table(
        "promise_keys",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("secret", sa.String(), nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("release_digest", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "promise_events",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("promise_events_of", "promise_events", ["digest", "kind", "group_name", "number"])
    op.create_table(
        "promise_monitors",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("group_name", sa.String(), primary_key=True),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )


def _draws() -> None:
    op.create_table(
        "draws",
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("chance", sa.Float(), nullable=False),
        sa.Column("first", sa.Boolean(), nullable=False),
        sa.Column("drawn_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("wrong", sa.Boolean()),
    )
    op.create_index("draws_audited", "draws", ["digest", "group_name", "answered_at"],
                    sqlite_where=sa.text("released AND wrong IS NOT NULL"))  # fmt: skip
    op.create_index("draws_first", "draws", ["digest", "group_name"], sqlite_where=sa.text("first"))
    op.create_index("draws_customer", "draws", ["customer_id"])


def _served_sets() -> None:
    op.create_table(
        "served_sets",
        sa.Column("customer_id", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("touchpoints", sa.Text(), nullable=False),
        sa.Column("came", sa.String()),
        sa.Column("missed", sa.Boolean()),
        sa.Column("checked_at", sa.BigInteger()),
    )
    op.create_index("served_sets_due", "served_sets", ["due_at"], sqlite_where=sa.text("checked_at IS NULL"))
    op.create_index("served_sets_checked", "served_sets", ["digest", "group_name", "checked_at"],
                    sqlite_where=sa.text("missed IS NOT NULL"))  # fmt: skip


def downgrade() -> None:
    _queue_where(BEFORE)
    op.drop_column("verdicts", "drawn")
    op.drop_index("conclusions_released", "conclusions")
    op.drop_column("conclusions", "policy_digest")
    for table in ("input_looks", "served_sets", "draws", "promise_monitors", "promise_events", "policies",
                  "promise_keys"):  # fmt: skip
        op.drop_table(table)
