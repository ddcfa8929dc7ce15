"""What is true of two bundles: their losses on customers that neither has met, in the weeks after they were made.

The made-up company has as many customers as one likes to draw. What was planted in the company that is learned from is
planted here too where the world itself has changed; faults of an export are not. So it can be told afterwards whether
a challenger was worse, by more cases than any gate has. Takes no part in training or in judging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

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
from models.predictors.feedback import POLARITIES
from training.evaluate import ask_landmarks, ask_steps
from training.gate.cases import Floats, Spoken, likelihoods, over, polarities
from training.splits import Slice

Score = Literal["log-loss", "Brier"]
STEPS_DAYS, MOMENTS_DAYS = 28, 7
"""What comes in these days after an export is asked; likelihoods of moments in these, their horizons following."""
TEXTS_DAYS = 60


@dataclass(frozen=True, slots=True)
class Truth:
    """By how much the challenger's mean loss is above the champion's, with its 95 % interval; log-loss is in nats."""

    question: str
    cases: int
    mean: float
    low: float
    high: float
    score: Score = "log-loss"
    decides: bool = True
    """False where it is a part of what another line tells."""

    def __str__(self) -> str:
        asked = self.question if self.score == "log-loss" else self.score
        return f"{asked} {self.mean:+.4f} ({self.low:+.4f} .. {self.high:+.4f})"


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
        self, events: pd.DataFrame, feedback: pd.DataFrame, champion: LoadedBundle, challenger: LoadedBundle,
        since: Micros,
    ) -> list[Truth]:  # fmt: skip
        """Of every question that both answer, after `since`."""
        journeys, found = self.journeys(events), list[Truth]()
        if champion.next_touchpoint and challenger.next_touchpoint:
            found += _steps(champion, challenger, journeys, since)
        for name, target in challenger.targets.items():
            if name in champion.purchase and name in challenger.purchase:
                found += _moments(champion, challenger, journeys, target, since)
        if champion.feedback and challenger.feedback:
            found += _texts(champion, challenger, feedback, since)
        return found


def _steps(champion: LoadedBundle, challenger: LoadedBundle, journeys: Journeys, since: Micros) -> list[Truth]:
    vocabulary = Vocabulary.of(journeys)
    asked = ask_steps(journeys, Spoken(vocabulary), Slice(since, since + STEPS_DAYS * DAY), np.random.default_rng(0))
    came = [vocabulary.touchpoints[code] for code in asked.label]
    told, known = [], np.ones(len(came), dtype=np.bool_)
    for bundle in (champion, challenger):
        predictor, measured = bundle.next_touchpoint, bundle.measured.next_touchpoint
        assert predictor is not None
        assert measured is not None
        words = predictor.vocabulary.touchpoints
        chance = measured.chance(predictor.predict(asked.seen, asked.as_of).distribution, asked.seen.lengths)
        told.append(over(vocabulary.touchpoints, words, chance))
        known &= np.isin(came, words)
    rows = np.flatnonzero(known)  # what came has a name in both
    said, label, customer = [one[rows] for one in told], asked.label[rows], asked.customer[rows]
    logs, squares = ([loss(one, label) for one in said] for loss in (metrics.log_losses, metrics.brier_losses))
    return [_truth("next touchpoint", logs, customer), _truth("next touchpoint", squares, customer, "Brier")]


def _moments(
    champion: LoadedBundle, challenger: LoadedBundle, journeys: Journeys, target: Target, since: Micros
) -> list[Truth]:
    asked = ask_landmarks(journeys, target, Slice(since, since + MOMENTS_DAYS * DAY), np.random.default_rng(0))
    said = [likelihoods(one, asked.seen, asked.as_of, target.name) for one in (champion, challenger)]
    logs, squares = (
        [loss(one, asked.happened) for one in said] for loss in (metrics.binary_log_losses, metrics.brier_losses)
    )
    question = f"purchase: {target.name}"
    return [_truth(question, logs, asked.customer), _truth(question, squares, asked.customer, "Brier")]


def _texts(champion: LoadedBundle, challenger: LoadedBundle, feedback: pd.DataFrame, since: Micros) -> list[Truth]:
    """Of all texts since some weeks before: nobody learned from any of them. Sarcastic ones are told apart, too."""
    said_at = feedback["said_at"].astype("datetime64[us, UTC]").astype(np.int64).to_numpy()
    asked = feedback[(said_at >= since - TEXTS_DAYS * DAY) & feedback["polarity"].isin(POLARITIES)]
    label = np.array([POLARITIES.index(one) for one in asked["polarity"]], dtype=np.int64)
    customer = pd.factorize(asked["user_id"])[0].astype(np.int64)
    said = [polarities(one, list(asked["text"])) for one in (champion, challenger)]
    logs, squares = ([loss(one, label) for one in said] for loss in (metrics.log_losses, metrics.brier_losses))
    found = [_truth("feeling", logs, customer), _truth("feeling", squares, customer, "Brier")]
    sarcastic = np.flatnonzero(asked["sarcastic"])
    if len(sarcastic):
        apart = _truth("feeling in sarcasm", [one[sarcastic] for one in logs], customer[sarcastic])
        found.append(replace(apart, decides=False))
    return found


def _truth(question: str, losses: Sequence[Floats], customer: np.ndarray, score: Score = "log-loss") -> Truth:
    """Of losses of the champion and of the challenger."""
    champion, challenger = losses
    found = metrics.paired_bootstrap(challenger, champion, customer, np.random.default_rng(0), 500)
    return Truth(question, len(customer), found.mean, found.low, found.high, score)
