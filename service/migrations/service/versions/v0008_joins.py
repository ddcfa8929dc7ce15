"""Claims on ids and the splits that undo them have tables of their own; what joined each id moves there.

Only the claims that stood were kept before: `python -m service rebuild` finds all in the log.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOVE = """
    INSERT INTO joins (id, owner, rule, occurred_at, told_at, known_at, message_id)
    SELECT id, joined_to, CASE substr(id, 1, 2) WHEN 'u:' THEN 'alias' ELSE 'anonymousId' END, joined_at, joined_at,
        joined_at, coalesce(message_id, '')
    FROM identities WHERE joined_to IS NOT NULL"""
MOVE_BACK = """
    UPDATE identities SET joined_to = joins.owner, joined_at = joins.known_at, message_id = joins.message_id
    FROM joins WHERE joins.id = identities.id AND joins.refused IS NULL"""


def upgrade() -> None:
    op.create_table(
        "joins",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("owner", sa.String(), primary_key=True, index=True),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("refused", sa.String()),
    )
    op.create_index("joins_refused", "joins", ["refused"], sqlite_where=sa.text("refused IS NOT NULL"))
    op.create_table(
        "splits",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("owner", sa.String(), primary_key=True, index=True),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.execute(MOVE)
    op.drop_index("ix_identities_joined_to", "identities")
    for column in ("joined_to", "joined_at", "message_id"):
        op.drop_column("identities", column)
    op.add_column("identities", sa.Column("shared_at", sa.BigInteger()))
    op.create_index("identities_shared", "identities", ["id"], sqlite_where=sa.text("shared_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("identities_shared", "identities")
    op.drop_column("identities", "shared_at")
    op.add_column("identities", sa.Column("joined_to", sa.String()))
    op.add_column("identities", sa.Column("joined_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("identities", sa.Column("message_id", sa.String()))
    op.create_index("ix_identities_joined_to", "identities", ["joined_to"])
    op.execute(MOVE_BACK)
    op.drop_table("splits")
    op.drop_table("joins")
