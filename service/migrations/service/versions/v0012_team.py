"""The team: reviewers with roles and passwords; sessions are theirs. Verdicts tell how they came about, under which
policy, and what took their place."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Before, a verdict that was not final was one of two readings; the one that agreed with it was the other, and any other
# final verdict beside a reading was an adjudicator's.
OTHERS = """
    SELECT count(*) FROM verdicts o
    WHERE o.subject = verdicts.subject AND o.verdict_id != verdicts.verdict_id AND NOT o.final AND o.undone_at IS NULL
"""
FILL = f"""
UPDATE verdicts SET given_as = CASE
    WHEN NOT final THEN 'reading'
    WHEN ({OTHERS}) = 1 AND ({OTHERS} AND o.answer = verdicts.answer) = 1 THEN 'reading'
    WHEN ({OTHERS}) > 0 THEN 'adjudication'
    ELSE 'single' END
"""  # noqa: S608 - own names


def upgrade() -> None:
    op.create_table(
        "reviewers",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("known_as", sa.String(), nullable=False, unique=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger()),
    )
    op.create_table(
        "tries",
        sa.Column("try_id", sa.String(), primary_key=True),
        sa.Column("known_as", sa.String(), nullable=False, index=True),
        sa.Column("address", sa.String(), nullable=False, index=True),
        sa.Column("at", sa.BigInteger(), nullable=False, index=True),
    )
    op.drop_table("sessions")  # everybody signs in anew, by a password of their own
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, index=True),
        sa.Column("signed_in_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
    )
    op.add_column("verdicts", sa.Column("given_as", sa.String(), nullable=False, server_default="single"))
    op.add_column("verdicts", sa.Column("policy_digest", sa.String()))
    op.add_column("verdicts", sa.Column("superseded_by", sa.String()))
    op.execute(FILL)
    op.create_index("verdicts_decided", "verdicts", ["decided_at"])


def downgrade() -> None:
    op.drop_index("verdicts_decided", "verdicts")
    for name in ("superseded_by", "policy_digest", "given_as"):
        op.drop_column("verdicts", name)
    op.drop_table("sessions")
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(), primary_key=True),
        sa.Column("key_id", sa.String(), nullable=False, index=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("signed_in_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
    )
    op.drop_table("tries")
    op.drop_table("reviewers")
