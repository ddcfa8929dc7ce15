"""The queue's place and filters beside each conclusion that waits, readings that decide nothing alone, and counts."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WAITING = "superseded_at IS NULL AND decision = 'review' AND decided_by = 'model'"
NEW = {
    "place": sa.BigInteger, "waiting_since": sa.BigInteger, "channel": sa.String, "language": sa.String,
    "flags": sa.String, "urgent": sa.Boolean, "lot": sa.Float, "words_key": sa.String,
}  # fmt: skip
QUEUE = ["place", "conclusion_id", "subject", "kind", "channel", "language", "version", "flags", "lot"]

# What waits gets its place by urgency, doubt and wait; what people overturned and what is at stake come in with its
# next conclusion. None of it is read twice: nobody was told so when it came.
FILL = f"""
UPDATE conclusions SET
    waiting_since = concluded_at,
    place = concluded_at
        - CAST(604800000000 * 0.2 * (1 - coalesce(json_extract(stored, '$.details.confidence'), 0.5)) AS INTEGER)
        - CASE WHEN instr(stored, '["urgent"') > 0 THEN 3196800000000 ELSE 0 END,
    channel = (SELECT f.channel FROM feedback f WHERE f.feedback_id = subject),
    language = (SELECT f.language FROM feedback f WHERE f.feedback_id = subject),
    flags = (SELECT ' ' || coalesce(group_concat(json_extract(value, '$[0]'), ' '), '') || ' '
             FROM json_each(stored, '$.flags')),
    urgent = instr(stored, '["urgent"') > 0,
    lot = 1.0
WHERE {WAITING}
"""  # noqa: S608 - own names
COUNT = """
INSERT INTO overturns (flag, answered, overturned)
SELECT value, count(*), sum(answer != coalesce(model_answer, ''))
FROM (SELECT * FROM verdicts WHERE undone_at IS NULL AND answer != 'cannot_tell' AND json_valid(verdicts.flags)) v,
     json_each(v.flags)
GROUP BY value
"""


def upgrade() -> None:
    op.create_table(
        "overturns",
        sa.Column("flag", sa.String(), primary_key=True),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("overturned", sa.Integer(), nullable=False),
    )
    op.execute(COUNT)
    for name, kind in NEW.items():
        op.add_column("conclusions", sa.Column(name, kind()))
    op.execute(FILL)
    op.drop_index("conclusions_waiting", "conclusions")
    op.create_index("conclusions_waiting", "conclusions", ["waiting_since", "conclusion_id"],
                    sqlite_where=sa.text(WAITING))  # fmt: skip
    op.create_index("conclusions_queue", "conclusions", QUEUE, sqlite_where=sa.text(WAITING))
    op.drop_index("conclusions_urgent", "conclusions")
    op.create_index("conclusions_urgent", "conclusions", ["urgent"], sqlite_where=sa.text(WAITING))
    op.create_index("conclusions_alike", "conclusions", ["words_key"], sqlite_where=sa.text(WAITING))
    op.drop_index("ix_claims_subject", "claims")
    op.create_index("claims_held", "claims", ["subject", "until", "reviewer"],
                    sqlite_where=sa.text("ended_at IS NULL"))  # fmt: skip
    op.create_index("claims_ended", "claims", ["subject", "ending", "reviewer"])
    op.add_column("verdicts", sa.Column("final", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("verdicts", sa.Column("given_with", sa.String()))
    op.drop_index("verdicts_standing", "verdicts")
    op.create_index("verdicts_standing", "verdicts", ["subject"], unique=True,
                    sqlite_where=sa.text("undone_at IS NULL AND final"))  # fmt: skip
    op.create_index("verdicts_readings", "verdicts", ["subject", "reviewer"],
                    sqlite_where=sa.text("undone_at IS NULL AND NOT final"))  # fmt: skip


def downgrade() -> None:
    for index, table in (
        ("verdicts_readings", "verdicts"), ("verdicts_standing", "verdicts"), ("claims_ended", "claims"),
        ("claims_held", "claims"),
        ("conclusions_alike", "conclusions"), ("conclusions_queue", "conclusions"),
        ("conclusions_urgent", "conclusions"), ("conclusions_waiting", "conclusions"),
    ):  # fmt: skip
        op.drop_index(index, table)
    for name in ("given_with", "final"):
        op.drop_column("verdicts", name)
    for name in NEW:
        op.drop_column("conclusions", name)
    op.drop_table("overturns")
    op.create_index("verdicts_standing", "verdicts", ["subject"], unique=True,
                    sqlite_where=sa.text("undone_at IS NULL"))  # fmt: skip
    op.create_index("ix_claims_subject", "claims", ["subject"])
    op.create_index("conclusions_urgent", "conclusions", ["concluded_at", "conclusion_id"],
                    sqlite_where=sa.text(WAITING + " AND instr(stored, '[\"urgent\"') > 0"))  # fmt: skip
    op.create_index("conclusions_waiting", "conclusions", ["concluded_at", "conclusion_id"],
                    sqlite_where=sa.text(WAITING))  # fmt: skip
