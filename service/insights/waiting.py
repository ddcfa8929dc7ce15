"""What stands beside a conclusion that waits for a person, so that the queue of cases is one index: its place and what
it is filtered by. And what the place is made of: how often people overturned the model, by flag.

The formula is models/queue.py's. Knows nothing of claims and reviewers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from models.insight import Conclusion
from models.journey.event import Micros
from models.queue import chance_of_overturning, lot_of, place_in_queue, stake, words_key
from service.database import holds_nothing, metadata
from service.events.folded import feedback, touchpoints
from service.promises.store import stake as stake_of

overturns = Table(
    "overturns",
    metadata,
    Column("flag", String, primary_key=True),
    Column("answered", Integer, nullable=False),
    Column("overturned", Integer, nullable=False),
    **holds_nothing("counts of verdicts by flag"),
)
"""Cases with this flag for which people named a feeling, and those of them for which the model had named another."""

COLUMNS = ("place", "waiting_since", "channel", "language", "flags", "urgent", "lot", "words_key")
"""Columns of `conclusions` that are null but where a person is to look: the model wants one, or the lot does."""

_SPENT = select(func.sum(touchpoints.c.amount_minor)).where(touchpoints.c.customer_id == bindparam("customer_id"))
_SAID = select(
    feedback.c.channel, feedback.c.language, feedback.c.text, _SPENT.scalar_subquery().label("spent_minor")
).where(feedback.c.feedback_id == bindparam("subject"))


def beside(
    connection: Connection, customer_id: str, subject: str, conclusion: Conclusion, since: Micros
) -> dict[str, Any]:
    """The columns for a conclusion; `since` is when these words first waited."""
    if not is_read(conclusion):
        return dict.fromkeys(COLUMNS)
    said = connection.execute(_SAID, {"customer_id": customer_id, "subject": subject}).first()
    codes = [flag.code for flag in conclusion.flags]
    chance = chance_of_overturning(conclusion.details.get("confidence"), _seen(connection, codes))
    worth = stake((said.spent_minor or 0) if said else 0, *stake_of(connection))
    urgent, blind = "urgent" in codes, conclusion.drawn
    return {
        "place": place_in_queue(since, chance, worth, urgent=urgent, blind=blind), "waiting_since": since,
        "channel": said.channel if said else None, "language": said.language if said else None,
        "flags": listed(["drawn_at_random"] if blind else codes), "urgent": urgent, "lot": lot_of(subject, blind=blind),
        "words_key": words_key(said.text) if said else None,
    }  # fmt: skip


def is_read(conclusion: Conclusion) -> bool:
    """Whether a person is to look: it waits for one, or was released and drawn to be read blind."""
    return conclusion.waiting or (conclusion.drawn and conclusion.decided_by == "model")


def listed(codes: Sequence[str]) -> str:
    """Flags in one text, with a space on both sides of each: ` urgent polite_anger `."""
    return f" {' '.join(codes)} "


def count_verdict(connection: Connection, codes: Sequence[str], *, overturned: bool, by: int = 1) -> None:
    """Somebody named a feeling where the model had these flags; `by` is -1 where it is taken back."""
    for code in dict.fromkeys(codes):
        row = {"answered": by, "overturned": by if overturned else 0}
        new = insert(overturns).values(flag=code, **row)
        more: Mapping[str, Any] = {name: overturns.c[name] + step for name, step in row.items()}
        connection.execute(new.on_conflict_do_update(index_elements=["flag"], set_=more))


def _seen(connection: Connection, codes: Sequence[str]) -> list[tuple[int, int]]:
    found = connection.execute(select(overturns).where(overturns.c.flag.in_(codes)))
    return [(row.answered, row.overturned) for row in found]
