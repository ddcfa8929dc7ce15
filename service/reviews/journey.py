"""A journey as a reviewer reads it: one line for each touchpoint or run of equal ones, in time relative to the words.

Pure; where the touchpoints come from is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.journey.event import DAY, SECOND, Micros
from models.journey.touchpoint import STAGES

BEFORE, AFTER = 10, 4
"""At most so many lines are shown before and after the words."""

_UNITS = ((365 * DAY, 2, "year"), (30 * DAY, 2, "month"), (7 * DAY, 2, "week"), (DAY, 1, "day"),
          (3600 * SECOND, 1, "hour"), (60 * SECOND, 1, "minute"))  # fmt: skip
"""How long, from how many on it is used, and its name: a person says 10 days and 6 weeks, not 1 week and 1 month."""


@dataclass(frozen=True, slots=True)
class Step:
    """One touchpoint as it is stored: its name, its stage, when it was, and whether the company reached out."""

    name: str
    stage: str
    occurred_at: Micros
    contact: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """One line: what happened, how often in a row, and when as seen from the words. `now` marks the words."""

    what: str
    stage: str
    when: str
    times: int = 1
    contact: bool = False
    now: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """The lines in order of time; `earlier` and `later` count the touchpoints around them that are not shown."""

    moments: tuple[Moment, ...]
    earlier: int = 0
    later: int = 0

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that occur, in their order."""
        return tuple(stage for stage in STAGES if any(moment.stage == stage for moment in self.moments))

    @property
    def has_contact(self) -> bool:
        return any(moment.contact for moment in self.moments)


def span(microseconds: Micros) -> str:
    """How long, in the unit that a person would choose.

    >>> span(0), span(90 * SECOND), span(10 * DAY), span(45 * DAY)
    ('a moment', '1 minute', '10 days', '6 weeks')
    """
    for size, least, unit in _UNITS:
        if microseconds >= least * size:
            count = microseconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "a moment"


def timeline(steps: Sequence[Step], said_at: Micros, words_name: str | None = None) -> Timeline:
    """Lines around the moment of the words. Equal touchpoints in a row become one line with a count.

    A touchpoint at the very moment of the words that names them (`words_name`, "chat.message") is the words and is not
    shown twice. Steps may come in any order.

    >>> t = timeline([Step("web.visit", "convenience", 0), Step("web.visit", "convenience", SECOND)], 2 * DAY)
    >>> [(m.what, m.times, m.when) for m in t.moments]
    [('web · visit', 2, '1 day before'), ('These words', 1, '')]
    """
    ordered = sorted(steps, key=lambda one: one.occurred_at)
    others = [one for one in ordered if (one.occurred_at, one.name) != (said_at, words_name)]
    before = _lines([one for one in others if one.occurred_at <= said_at], said_at)
    after = _lines([one for one in others if one.occurred_at > said_at], said_at)
    if not before and not after:
        return Timeline(())
    words = Moment("These words", "", "", now=True)
    return Timeline(
        (*before[-BEFORE:], words, *after[:AFTER]),
        earlier=sum(line.times for line in before[:-BEFORE]),
        later=sum(line.times for line in after[AFTER:]),
    )


def _lines(steps: Sequence[Step], said_at: Micros) -> list[Moment]:
    lines: list[Moment] = []
    for step in steps:
        line = _line(step, said_at)
        last = lines[-1] if lines else None
        if last and (last.what, last.stage, last.contact) == (line.what, line.stage, line.contact):
            lines[-1] = replace(line, times=last.times + 1)
        else:
            lines.append(line)
    return lines


def _line(step: Step, said_at: Micros) -> Moment:
    channel, _, action = step.name.replace("_", " ").partition(".")
    distance = abs(step.occurred_at - said_at)
    if distance < 60 * SECOND:
        when = "just before" if step.occurred_at <= said_at else "just after"
    else:
        when = f"{span(distance)} {'before' if step.occurred_at < said_at else 'later'}"
    return Moment(f"{channel} · {action}" if action else channel, step.stage, when, contact=step.contact)
