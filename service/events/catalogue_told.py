"""What `python -m service catalogue check` says: a table of rules, and below it what to look at.

Knows rich; the numbers come from catalogue_report.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from models.journey.rule import Rule, template
from models.journey.touchpoint import CatalogueError
from service.events.catalogue_report import Report

SHOWN = 20
_WIDE = 44


def mistakes_told(error: CatalogueError) -> dict[str, Any]:
    """What is wrong with a file, for programs."""
    listed = [{"line": one.line, "rule": one.rule, "key": one.key, "message": one.said} for one in error.mistakes]
    return {"valid": False, "mistakes": listed or [{"line": None, "rule": None, "key": None, "message": str(error)}]}


def rules_table(report: Report) -> Table:
    """The rules that took something, in their order."""
    table = Table("rule", "line", "takes", "touchpoint", "stage")
    table.add_column("events", justify="right")
    table.add_column("share", justify="right")
    for one in report.rules:
        if one.events:
            rule = one.rule
            becomes = f"{_short(rule.channel)}.{_short(rule.action)}"
            cells = (str(rule.number), str(rule.line), _takes(rule), becomes, rule.stage, f"{one.events:,}",
                     f"{one.share:.1%}")  # fmt: skip
            table.add_row(*(Text(cell) for cell in cells))
    return table


def remarks(report: Report) -> Iterator[str]:
    """Lines below the table: rules without work, and events without a rule."""
    if report.events and report.never:
        yield f"{_many(len(report.never), 'rule')} took nothing: {_numbers([rule.number for rule in report.never])}"
    for one in report.shadowed:
        what = "is" if one.whole else f"never gets {', '.join(map(repr, one.names))}:"
        yield f"line {one.rule.line}: rule {one.rule.number} {what} taken by rule {_numbers(one.by)}"
    if report.unmapped:
        count = sum(one.events for one in report.unmapped)
        share = f"{count / max(report.events, 1):.1%}"
        yield f"{_many(count, 'event')} ({share}) without a rule; paste what is right above the last one:"
    for event in report.unmapped[:SHOWN]:
        if event.suggestion is None:
            yield f"# {event.events:,} of further names"
        else:
            yield f"{event.suggestion.rule}  # {_many(event.events, 'event')}; {event.suggestion.why}"
    if len(report.unmapped) > SHOWN:
        yield f"# and {len(report.unmapped) - SHOWN} names more: --json lists them"


def _takes(rule: Rule) -> str:
    """Kinds, names and conditions, cut short."""
    names = [] if rule.events is None else [*sorted(rule.events.exact), *rule.events.patterns]
    parts = [*sorted(rule.kinds), ", ".join(names), *(path for path, _ in rule.where)]
    said = " ".join(part for part in parts if part) or "everything else"
    return said if len(said) <= _WIDE else f"{said[: _WIDE - 1]}…"


def _short(word: str) -> str:
    return "{…}" if template(word) else word


def _numbers(numbers: Sequence[int]) -> str:
    """
    >>> _numbers([1, 2, 3, 5, 8, 9])
    '1-3, 5, 8, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    spans = (f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return ", ".join(spans)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
