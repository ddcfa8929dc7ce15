"""One thing that the gate looked at: whether it speaks for the challenger, what is told of it, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["passed", "failed", "not_asked"]


@dataclass(frozen=True)
class Check:
    """`not_asked` where there was too little to look at: it is reported, and decides nothing.

    `name` is what was looked at ("log-loss"), `about` the question or the part of the bundle ("next touchpoint").
    """

    about: str
    name: str
    outcome: Outcome
    told: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"about": self.about, "name": self.name, "outcome": self.outcome, "told": self.told,
                "figures": dict(self.figures)}  # fmt: skip


def judged(about: str, name: str, passed: bool, told: str, **figures: Any) -> Check:
    """A check that decides.

    >>> judged("bundle", "size", True, "12 MB of 200 MB").outcome
    'passed'
    """
    return Check(about, name, "passed" if passed else "failed", told, figures)


def not_asked(about: str, name: str, told: str, **figures: Any) -> Check:
    """A check that nothing could be decided by."""
    return Check(about, name, "not_asked", told, figures)
