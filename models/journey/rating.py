"""A rating on whatever scale it was given: five stars, 0 to 10 as in a Net Promoter Score, 1 to 100; and as stars.

Says nothing of words. Stars, the scale that models know, are the nearest place on 1 to 5.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

STARS = "1-5"
_SCALE = re.compile(r"(-?\d{1,6})-(-?\d{1,6})")


def is_scale(text: str) -> bool:
    """Whether this names a worst and a best.

    >>> is_scale("0-10"), is_scale("6-1"), is_scale("5"), is_scale("5-5")
    (True, True, False, False)
    """
    found = _SCALE.fullmatch(text)
    return found is not None and int(found[1]) != int(found[2])


@dataclass(frozen=True, slots=True)
class Rating:
    """A number between the worst and the best of its scale, which may run downwards: "6-1" is a German school mark.

    >>> Rating.of(9, "0-10").stars, Rating.of(2, "6-1").stars, Rating.of(4).stars
    (5, 4, 4)
    """

    value: float
    worst: int
    best: int

    @classmethod
    def of(cls, value: float, scale: str = STARS) -> Rating:
        """Raises ValueError for a scale that is none, and for a value outside it."""
        found = _SCALE.fullmatch(scale)
        if found is None or not is_scale(scale):
            raise ValueError(f"scale {scale[:40]!r}; allowed: worst-best, such as 1-5, 0-10 or 1-100")
        worst, best = int(found[1]), int(found[2])
        if not min(worst, best) <= value <= max(worst, best):
            raise ValueError(f"rating {value:g} lies outside its scale {scale}")
        return cls(value, worst, best)

    @property
    def share(self) -> float:
        """0 for the worst, 1 for the best."""
        return (self.value - self.worst) / (self.best - self.worst)

    @property
    def stars(self) -> int:
        """The nearest of 1 to 5 stars; halfway counts as the better."""
        return math.floor(1.5 + 4 * self.share)
