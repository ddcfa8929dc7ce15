"""Indexes that find the calls that say who somebody is, for the names in them are masked in that person's words."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

IDS = ("user_id", "anonymous_id")


def upgrade() -> None:
    for id in IDS:
        op.create_index(f"log_identify_{id}", "log", [id], sqlite_where=sa.text("kind = 'identify'"))


def downgrade() -> None:
    for id in IDS:
        op.drop_index(f"log_identify_{id}", "log")
