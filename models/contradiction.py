"""Where words and behaviour say different things: praise and a return, a complaint and another purchase soon after.

Pure: looks at one conclusion about words and the journey around them. Such an answer is never released unread, and one
that was released is opened again when the behaviour comes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from models.insight import Conclusion, Decision, Flag, most_severe_first
from models.journey.event import DAY, Micros
from models.journey.journeys import Journeys

CODE = "words_contradict_behaviour"
WINDOW: Micros = 14 * DAY
"""Behaviour further from the words than this is about something else."""
AGAINST_PRAISE = ("*.return", "*.order_cancel", "refund.*", "*.unsubscribe")
AGAINST_COMPLAINT = ("*.purchase",)

Seen = Sequence[tuple[str, Micros]]
"""Touchpoints of one customer by name and moment, in order of time, as they were known at the moment asked."""


def seen_in(journeys: Journeys, row: int, as_of: Micros) -> Seen:
    """The touchpoints of one journey that had happened and were known at a moment."""
    own = slice(int(journeys.starts[row]), int(journeys.starts[row + 1]))
    known = (journeys.occurred_at[own] <= as_of) & (journeys.known_at[own] <= as_of)
    names = [journeys.names[code] for code in journeys.code[own][known]]
    return list(zip(names, journeys.occurred_at[own][known].tolist(), strict=True))


def contradiction(answer: str, said_at: Micros, seen: Seen) -> tuple[str, Micros] | None:
    """The touchpoint that speaks against these words, if there is one.

    Praise: whatever is sent back, cancelled or refunded within fourteen days before or after it. A complaint: a
    purchase within fourteen days after it by somebody who had bought before; who buys for the first time had nothing to
    complain of but the way there.

    >>> contradiction("positive", 5 * DAY, [("web.purchase", 1 * DAY), ("web.return", 9 * DAY)])
    ('web.return', 777600000000)
    >>> contradiction("negative", 5 * DAY, [("web.purchase", 9 * DAY)]) is None
    True
    """
    if answer == "positive":
        near = [one for one in seen if abs(one[1] - said_at) <= WINDOW]
        return next((one for one in near if _is(one[0], AGAINST_PRAISE)), None)
    if answer == "negative":
        bought = [one for one in seen if _is(one[0], AGAINST_COMPLAINT)]
        again = (one for one in bought if said_at < one[1] <= said_at + WINDOW)
        return next(again, None) if any(at <= said_at for _, at in bought) else None
    return None


def with_behaviour(concluded: Conclusion, said_at: Micros, seen: Seen) -> Conclusion:
    """The same conclusion, or the one that a person must look at since the journey speaks against it.

    What the model abstains from, what waits for a person for another reason and what a person answered stays as it is,
    but for the flag on what waits.
    """
    open_to_it = concluded.decided_by == "model" and concluded.decision is not Decision.ABSTAIN
    if not open_to_it or any(flag.code == CODE for flag in concluded.flags):
        return concluded
    found = contradiction(str(concluded.answer), said_at, seen)
    if found is None:
        return concluded
    said = {"positive": "Praise", "negative": "A complaint"}[str(concluded.answer)]
    days = round(abs(found[1] - said_at) / DAY)
    when = "on the same day" if days == 0 else f"{days} day{'s' if days > 1 else ''} {_side(found[1], said_at)}"
    flag = Flag(CODE, f"{said}, and {found[0]} {when}.")
    return replace(concluded, flags=most_severe_first([*concluded.flags, flag]), decision=Decision.REVIEW)


def _side(at: Micros, said_at: Micros) -> str:
    return "later" if at > said_at else "before"


def _is(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
