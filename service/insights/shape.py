"""An insight as the answer a marketing tool gets: the public dictionary, with the state of the review, and its bytes.

Concludes nothing and stores nothing (conclude.py does).
"""

from __future__ import annotations

from typing import Any

import msgspec

from models.insight import Insight
from models.journey.event import SECOND, Micros, format_time, parse_time


def answer_of(
    insight: Insight, due_hours: int | None, *, provisional: bool = False, read_by: Micros | None = None
) -> dict[str, Any]:
    """The public shape. A feeling that waits says until when it should be read; None: no case was opened for it.

    `read_by`: where people cannot keep up, when one is likely to have read it.
    """
    shown = insight.to_dict(provisional=provisional)
    if insight.feeling.waiting and due_hours is not None:
        due_at = parse_time(insight.feeling.about["said_at"]) + due_hours * 3600 * SECOND
        late = {"expected_by": format_time(read_by)} if read_by is not None and read_by > due_at else {}
        shown["feeling"]["review"] = {"status": "open", "due_at": format_time(due_at), **late}
    return shown


def body_of(insight: Insight, due_hours: int, *, provisional: bool = False, read_by: Micros | None = None) -> bytes:
    """The answer as JSON, ready to be sent."""
    return msgspec.json.encode(answer_of(insight, due_hours, provisional=provisional, read_by=read_by))
