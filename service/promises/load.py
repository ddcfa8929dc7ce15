"""Can people keep up? How many minutes of reading a day brings, beside the minutes that the policy has for it.

Pure numbers. Where people cannot keep up nothing is released for it: conclusions wait, and say how long.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf
from typing import Any

from models.journey.event import DAY, Micros
from models.policy import Policy


@dataclass(frozen=True, slots=True)
class Load:
    """What reviewers face. ``waiting`` readings are open now, ``a_day`` more come; each takes ``seconds``."""

    waiting: int
    a_day: float
    seconds: float
    minutes_a_day: float

    @property
    def needed_minutes(self) -> float:
        """Minutes of reading that a day brings.

        >>> load = Load(waiting=240, a_day=60, seconds=30, minutes_a_day=60)
        >>> load.needed_minutes, load.keeps_up, load.days_to_clear, load.days_to_read
        (30.0, True, 4.0, 2.0)
        """
        return self.a_day * self.seconds / 60

    @property
    def keeps_up(self) -> bool:
        return self.needed_minutes <= self.minutes_a_day

    @property
    def days_to_read(self) -> float:
        """Until what waits now has been read, if nothing that comes later goes before it."""
        return self._days(self.minutes_a_day)

    @property
    def days_to_clear(self) -> float:
        """Until nothing waits any more, with what comes meanwhile; infinite where more comes than is read."""
        return self._days(self.minutes_a_day - self.needed_minutes)

    def _days(self, minutes: float) -> float:
        if not self.waiting:
            return 0.0
        return self.waiting * self.seconds / 60 / minutes if minutes > 0 else inf

    def read_by(self, now: Micros) -> Micros | None:
        """When somebody is likely to have read what comes in now; None where nobody reads."""
        days = self.days_to_read
        return None if isinf(days) else now + int(days * DAY)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: days are null where they never end."""
        cleared, read = (None if isinf(days) else round(days, 2) for days in (self.days_to_clear, self.days_to_read))
        return {
            "waiting": self.waiting, "readings_a_day": round(self.a_day, 2), "seconds_a_case": self.seconds,
            "minutes_needed_a_day": round(self.needed_minutes, 1), "minutes_a_day": self.minutes_a_day,
            "keeps_up": self.keeps_up, "days_to_clear": cleared, "days_to_read": read,
        }  # fmt: skip


def load_of(policy: Policy, waiting: int, came: int, days: float, readings_a_case: float) -> Load:
    """The load where ``came`` cases came in so many days, each read so often."""
    a_day = came * readings_a_case / max(days, 1.0)
    return Load(round(waiting * readings_a_case), a_day, policy.seconds_a_case, policy.minutes_a_day)
