"""The touchpoints of a log that are asked about, and what came before each. Predicts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.features.sequence import Sequences, encode_sequences
from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.journey.event import SECOND
from models.journey.journeys import Ints, Journeys
from training.examples import NextSteps, next_steps
from training.measure.figures import Floats

_AT_ONCE = 10_000


@dataclass(frozen=True)
class Asked:
    """The touchpoints of a log that are asked about: `label` (n,) in the vocabulary, -1 where learning never saw it.

    index (n,) the step before each; customer (n,) whose it is; wait_seconds (n,) how long it took to come;
    late  how many were left out because something before them was not yet known when they came.
    """

    journeys: Journeys
    steps: NextSteps
    index: Ints
    label: Ints
    customer: Ints
    wait_seconds: Floats
    late: int

    @classmethod
    def of(cls, journeys: Journeys, vocabulary: Vocabulary) -> Asked:
        """Every touchpoint from the second of each journey on."""
        steps = next_steps(journeys, vocabulary, int(journeys.occurred_at.max()) + 1)
        followed = ~steps.censored
        index = np.flatnonzero(steps.asks_when & followed)
        customer = np.searchsorted(steps.starts, index, side="right") - 1
        label = np.maximum(steps.next_token[index] - FIRST_TOUCHPOINT, -1)
        late = int(followed.sum()) - len(index)
        return cls(journeys, steps, index, label, customer, steps.wait_seconds[index], late)

    def histories(self) -> Iterator[tuple[Journeys, Ints]]:
        """What was seen, and the moment of its last touchpoint, some thousand at a time and in order."""
        for start in range(0, len(self.index), _AT_ONCE):
            rows, who = self.index[start : start + _AT_ONCE], self.customer[start : start + _AT_ONCE]
            seen = self.journeys.first(who, rows - self.steps.starts[who] + 1)
            yield seen, seen.occurred_at[seen.starts[1:] - 1]

    def moments(self) -> tuple[list[str], Ints, list[str]]:
        """Whose (n,), the moment of the touchpoint before (n,), and the name of what came (n,)."""
        names, code = self.journeys.names, self.journeys.code
        return (
            [self.journeys.customers[row] for row in self.customer],
            self.journeys.occurred_at[self.index],
            [names[following] for following in code[self.index + 1]],
        )

    def watched_seconds(self) -> Floats:
        """(n,) from the touchpoint before to the end of the log: a gap longer than that would not be asked about."""
        return (int(self.journeys.occurred_at.max()) - self.journeys.occurred_at[self.index]) / SECOND

    def sequences(self, vocabulary: Vocabulary, length: int) -> Sequences:
        """(n, length) the last touchpoints before each asked one, as models take them."""
        parts = [encode_sequences(seen, as_of, vocabulary, length) for seen, as_of in self.histories()]
        names = ("tokens", "log_gaps", "lengths", "silence_seconds")
        return Sequences(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
