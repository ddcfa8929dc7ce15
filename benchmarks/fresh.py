"""What is true of two bundles: their losses on customers that neither has met, in the weeks after they were made.

The made-up company has as many customers as one likes to draw. What was planted in the company that is learned from is
planted here too where the world itself has changed; faults of an export are not. So it can be told afterwards whether
a challenger was worse, by more cases than any gate has. Takes no part in training or in judging.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from models.bundle import LoadedBundle
from models.confidence import metrics
from models.features.vocabulary import Vocabulary
from models.journey.assembly import assemble
from models.journey.event import DAY, Micros
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.journey.touchpoint import Catalogue
from training.evaluate import ask_landmarks, ask_steps
from training.gate.cases import Floats, Spoken, likelihoods
from training.splits import Slice

STEPS_DAYS, MOMENTS_DAYS = 28, 7
"""What comes in these days after an export is asked; likelihoods of moments in these, their horizons following."""


@dataclass(frozen=True, slots=True)
class Truth:
    """By how much the challenger's mean log-loss is above the champion's, in nats, with its 95 % interval."""

    question: str
    cases: int
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.question} {self.mean:+.4f} ({self.low:+.4f} .. {self.high:+.4f})"


@dataclass
class Fresh:
    """Customers that nobody learns from; `scratch` is a folder to write in."""

    scratch: Path
    _read: tuple[int, Journeys] | None = field(default=None, repr=False)

    def journeys(self, events: pd.DataFrame) -> Journeys:
        """Read as any log is; the same frame once."""
        if self._read is None or self._read[0] != id(events):
            path = self.scratch / "fresh.parquet"
            events.to_parquet(path)
            self._read = id(events), assemble(read_events(path), Catalogue.default()).journeys
        return self._read[1]

    def told(
        self, events: pd.DataFrame, champion: LoadedBundle, challenger: LoadedBundle, since: Micros
    ) -> list[Truth]:
        """Of every question that both answer, after `since`."""
        journeys, found = self.journeys(events), []
        if champion.next_touchpoint and challenger.next_touchpoint:
            found.append(_steps(champion, challenger, journeys, since))
        for name, target in challenger.targets.items():
            if name in champion.purchase and name in challenger.purchase:
                found.append(_moments(champion, challenger, journeys, target, since))
        return found


def _steps(champion: LoadedBundle, challenger: LoadedBundle, journeys: Journeys, since: Micros) -> Truth:
    vocabulary = Vocabulary.of(journeys)
    asked = ask_steps(journeys, Spoken(vocabulary), Slice(since, since + STEPS_DAYS * DAY), np.random.default_rng(0))
    came = [vocabulary.touchpoints[code] for code in asked.label]
    lost = []
    for bundle in (champion, challenger):
        predictor, measured = bundle.next_touchpoint, bundle.measured.next_touchpoint
        assert predictor is not None
        assert measured is not None
        column = {name: number for number, name in enumerate(predictor.vocabulary.touchpoints)}
        chance = measured.chance(predictor.predict(asked.seen, asked.as_of).distribution, asked.seen.lengths)
        given = [chance[row, column[name]] if name in column else np.nan for row, name in enumerate(came)]
        lost.append(-np.log(np.array(given, dtype=np.float64)))
    rows = np.flatnonzero(~np.isnan(lost[0] + lost[1]))  # those that both have a name for
    return _truth("next touchpoint", lost[1][rows], lost[0][rows], asked.customer[rows])


def _moments(
    champion: LoadedBundle, challenger: LoadedBundle, journeys: Journeys, target: Target, since: Micros
) -> Truth:
    asked = ask_landmarks(journeys, target, Slice(since, since + MOMENTS_DAYS * DAY), np.random.default_rng(0))
    lost = [
        metrics.binary_log_losses(likelihoods(one, asked.seen, asked.as_of, target.name), asked.happened)
        for one in (champion, challenger)
    ]
    return _truth(f"purchase: {target.name}", lost[1], lost[0], asked.customer)


def _truth(question: str, ours: Floats, theirs: Floats, customer: np.ndarray) -> Truth:
    found = metrics.paired_bootstrap(ours, theirs, customer, np.random.default_rng(0), 500)
    return Truth(question, len(ours), found.mean, found.low, found.high)
