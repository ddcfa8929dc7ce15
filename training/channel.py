"""How customers answer, channel by channel and segment by segment: the priors behind a customer's preferred channel.

Fits the beta and Dirichlet priors of `models.predictors.channel` by maximum likelihood (Minka 2000, "Estimating a
Dirichlet distribution", the fixed point of section 3, for the beta-binomial too). Decides nothing about a customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from models.features.answers import Answers, answers
from models.journey.event import Micros
from models.journey.journeys import Ints, Journeys
from models.predictors.channel import ANY_CHANNEL, EVERYBODY, ChannelPredictor, Segment
from training.errors import TooLittleData

LEAST_CUSTOMERS = 20
"""A channel, or a segment, of fewer customers gets no prior of its own."""
CUSTOMERS_AT_ONCE = 50_000
MOST_ROUNDS = 2_000
LEAST_WEIGHT, MOST_WEIGHT = 0.02, 1e4

Histogram: TypeAlias = dict[int, int]
"""How many customers have each count."""
Floats = NDArray[np.float64]


@dataclass
class _Kind:
    """Counts in categories (answered or not; channels), as a histogram over customers for each and for their sum."""

    each: dict[str, Histogram] = field(default_factory=dict)
    total: Histogram = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    customers: int = 0

    def add(self, counts: Mapping[str, Ints]) -> None:
        """`counts` (C,) by category; customers without any are no evidence."""
        total = np.sum(list(counts.values()), axis=0)
        for name, column in counts.items():
            _tally(self.each.setdefault(name, {}), column[column > 0])
            self.sums[name] = self.sums.get(name, 0) + int(column.sum())
        _tally(self.total, total[total > 0])
        self.customers += int((total > 0).sum())

    def weights(self) -> dict[str, float]:
        """The Dirichlet distribution of the shares; one imagined case of each category keeps all of them possible."""
        each = {name: _with_one(histogram) for name, histogram in self.each.items() if histogram or self.customers}
        total = dict(self.total)
        total[1] = total.get(1, 0) + len(each)
        return fit_dirichlet(each, total)


def fit_channels(journeys: Journeys, until: Micros, folder: Path) -> dict[str, Any]:
    """Fit to what was seen until then, write the folder that `ChannelPredictor.load` reads, and tell the counts.

    Raises TooLittleData where fewer than 20 customers were reached and answered, or came.
    """
    responses: dict[tuple[str, str], _Kind] = {}
    visits: dict[str, _Kind] = {}
    for first in range(0, len(journeys), CUSTOMERS_AT_ONCE):
        rows = np.arange(first, min(first + CUSTOMERS_AT_ONCE, len(journeys)), dtype=np.int64)
        as_of = np.full(len(rows), until, dtype=np.int64)
        _count(answers(journeys.take(rows).seen_at(as_of), as_of), responses, visits)
    everybody = visits.get(EVERYBODY, _Kind()).customers, responses.get((EVERYBODY, ANY_CHANNEL), _Kind()).customers
    if max(everybody) < LEAST_CUSTOMERS:
        raise TooLittleData(f"{max(everybody)} customers were reached or came; {LEAST_CUSTOMERS} are needed")
    segments = {}
    for name in sorted({segment for segment, _ in responses} | set(visits)):
        segment = _segment(name, responses, visits.get(name, _Kind()))
        if name == EVERYBODY or segment.visits:
            segments[name] = segment
    folder.mkdir(parents=True, exist_ok=True)
    ChannelPredictor(segments).save(folder)
    return {"segments": {name: one.customers for name, one in segments.items()}, "channels": _told(responses, segments)}


def _count(found: Answers, responses: dict[tuple[str, str], _Kind], visits: dict[str, _Kind]) -> None:
    stages = np.array(found.stage, dtype=object)
    for segment in (EVERYBODY, *sorted(set(found.stage) - {""})):
        rows = np.arange(len(stages)) if segment == EVERYBODY else np.flatnonzero(stages == segment)
        contacts, answered = found.contacts[rows], found.answered[rows]
        for column, channel in enumerate(found.channels):
            if contacts[:, column].any():
                counts = {"answered": answered[:, column], "not": contacts[:, column] - answered[:, column]}
                responses.setdefault((segment, channel), _Kind()).add(counts)
                responses.setdefault((segment, ANY_CHANNEL), _Kind()).add(counts)
        came = {name: found.visits[rows, i] for i, name in enumerate(found.channels) if found.visits[rows, i].any()}
        if came:
            visits.setdefault(segment, _Kind()).add(came)


def _segment(name: str, responses: Mapping[tuple[str, str], _Kind], visits: _Kind) -> Segment:
    shapes = {}
    for (segment, channel), kind in sorted(responses.items()):
        if segment == name and kind.customers >= LEAST_CUSTOMERS:
            weights = kind.weights()
            shapes[channel] = (weights["answered"], weights["not"])
    came = visits.weights() if visits.customers >= LEAST_CUSTOMERS else {}
    return Segment(visits.customers, shapes, dict(sorted(came.items())))


def _told(responses: Mapping[tuple[str, str], _Kind], segments: Mapping[str, Segment]) -> dict[str, Any]:
    """For people: contacts, answers and the shape of the prior, for each channel on which everybody is reached."""
    told = {}
    for channel, (a, b) in segments[EVERYBODY].responses.items():
        kind = responses[EVERYBODY, channel]
        told[channel] = {
            "customers": kind.customers, "contacts": sum(kind.sums.values()), "answered": kind.sums["answered"],
            "rate": round(a / (a + b), 4), "worth_contacts": round(a + b, 2),
        }  # fmt: skip
    return told


def fit_dirichlet(each: Mapping[str, Histogram], total: Histogram) -> dict[str, float]:
    """The weights of the Dirichlet-multinomial that is likeliest, from how many customers have which count.

    `each`: category -> {count above 0: customers}, `total`: {sum of a customer: customers}.

    >>> even = {5: 40, 10: 40}
    >>> weights = fit_dirichlet({"heads": even, "tails": even}, {10: 40, 15: 80})
    >>> round(weights["heads"] / weights["tails"], 3)
    1.0
    """
    columns = {name: _arrays(histogram) for name, histogram in each.items()}
    sums, times = _arrays(total)
    weights = dict.fromkeys(columns, 1.0)
    for _ in range(MOST_ROUNDS):
        whole = sum(weights.values())
        below = float((times * (digamma(sums + whole) - digamma(whole))).sum())
        new = {}
        for name, (counts, customers) in columns.items():
            above = float((customers * (digamma(counts + weights[name]) - digamma(weights[name]))).sum())
            new[name] = float(np.clip(weights[name] * above / below, LEAST_WEIGHT, MOST_WEIGHT))
        moved = max((abs(new[name] / weights[name] - 1) for name in new), default=0.0)
        weights = new
        if moved < 1e-6 or sum(weights.values()) > MOST_WEIGHT:
            break
    return weights


def _arrays(histogram: Histogram) -> tuple[Floats, Floats]:
    ordered = sorted(histogram.items())
    return np.array([n for n, _ in ordered], dtype=np.float64), np.array([m for _, m in ordered], dtype=np.float64)


def _tally(histogram: Histogram, counts: Ints) -> None:
    for count, customers in zip(*(one.tolist() for one in np.unique(counts, return_counts=True)), strict=True):
        histogram[count] = histogram.get(count, 0) + customers


def _with_one(histogram: Histogram) -> Histogram:
    return {**histogram, 1: histogram.get(1, 0) + 1}
