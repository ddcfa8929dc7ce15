"""What is concluded of many customers at once, in columns; row by row they are insights.

Concludes nothing (bundle.py does) and decides nothing. Whoever writes many insights down takes the columns; whoever
answers about one takes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.conclude import not_trained
from models.decided import Decided
from models.insight import Behind, Conclusion, Insight, JourneySummary, ModelVersion
from models.journey.journeys import Ints

SILENT = {"feedback_id": None, "said_at": None, "channel": None}
"""What a feeling is about where nothing was said."""


@dataclass(frozen=True)
class Concluded:
    """C customers, each as of `as_of` (C,). `behind` makes what the probabilities were made of when it is asked for:
    only who keeps them to check them later needs it.
    """

    customers: tuple[str, ...]
    as_of: Ints
    model: ModelVersion
    journeys: Sequence[JourneySummary]
    following: Decided
    purchases: tuple[Decided, ...]
    feelings: Decided
    behind: Callable[[], Sequence[tuple[Behind, ...]]]

    @classmethod
    def of(cls, insights: Sequence[Insight], model: ModelVersion) -> Self:
        """From rows by one model: each is decided in its own way."""
        each = [[one.next_touchpoint for one in insights], [one.feeling for one in insights]]
        targets = zip(*(one.purchase for one in insights), strict=True)
        following, feelings, *purchases = (Decided.each(one) for one in [*each, *targets])
        names, summaries = tuple(one.customer_id for one in insights), [one.journey for one in insights]
        behind, as_of = [one.behind for one in insights], np.array([one.as_of for one in insights], dtype=np.int64)
        return cls(names, as_of, model, summaries, following, tuple(purchases), feelings, lambda: behind)

    def insights(self, *, behind: bool = True) -> list[Insight]:
        """One for each customer, with what stands behind it unless nobody will check it."""
        purchases = zip(*(one.rows() for one in self.purchases), strict=True) if self.purchases else [()] * len(self)
        rows = zip(self.customers, self.as_of.tolist(), self.journeys, self.following.rows(), purchases,
                   self.feelings.rows(), self.behind() if behind else [()] * len(self), strict=True)  # fmt: skip
        return [Insight(customer, at, self.model, *rest) for customer, at, *rest in rows]

    def __len__(self) -> int:
        return len(self.customers)


def felt(feelings: Sequence[Conclusion | None]) -> Decided:
    """The latest feeling of each customer; None stands for who has said nothing."""
    return Decided.each([one or _NOTHING_SAID for one in feelings])


_NOTHING_SAID = not_trained("feeling", SILENT, "no_feedback")
