"""Count what followed what: the Markov model that a net is mixed with, the baselines of a report, and how fast the past
goes out of date.

Counting only: nets are the part of `training/next_touchpoint.py`, and how counts answer that of
`models/predictors/baseline.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.journey.event import SECOND, Micros
from models.journey.journeys import Ints, Journeys
from models.predictors.baseline import MAX_ORDER, EmpiricalGaps, Floats, InterpolatedMarkov
from training.errors import TooLittleData
from training.examples import NextSteps, next_steps

HALF_LIVES = (math.inf, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
"""Of the time that the log spans: from "nothing goes out of date" on."""
_ORIGINS = (0.7, 0.775, 0.85, 0.925)  # shares of the examples after which the walk stops and looks ahead
_ORDER = 2  # of the models that are only there to find the half-life


@dataclass(frozen=True)
class NextBaselines:
    """What a report sets beside us: Markov up to order 3, the chance that a touchpoint repeats, observed gaps."""

    markov: InterpolatedMarkov
    again: float
    gaps: EmpiricalGaps


def fit_baselines(journeys: Journeys, vocabulary: Vocabulary, until: Micros) -> NextBaselines:
    """The baselines for a report, from what occurred before `until`."""
    steps = next_steps(journeys, vocabulary, until)
    rows = np.flatnonzero(steps.asks_what)
    if not len(rows):
        raise TooLittleData("no touchpoint was followed by another; baselines need journeys of two touchpoints")
    last, following = steps.token[rows], steps.next_token[rows]
    gaps = EmpiricalGaps.fit(last, steps.wait_seconds[rows], len(vocabulary.touchpoints))
    again = (float((last == following).sum()) + 1) / (len(rows) + 2)
    return NextBaselines(fit_markov(steps, vocabulary, MAX_ORDER), again, gaps)


def fit_markov(steps: NextSteps, vocabulary: Vocabulary, order: int) -> InterpolatedMarkov:
    """Count, by their weights, what followed each history, and what journeys began with."""
    rows = np.flatnonzero(steps.asks_what)
    tokens, lengths = steps.histories(rows, order)
    start = steps.starts[:-1][steps.lengths > 0]
    start = start[
        (vocabulary.named(steps.token[start]) >= FIRST_TOUCHPOINT) & (steps.asks_when[start] | steps.asks_what[start])
    ]
    return InterpolatedMarkov.fit(
        np.concatenate([tokens, np.zeros((len(start), order), dtype=np.int64)]),
        np.concatenate([lengths, np.zeros(len(start), dtype=np.int64)]),
        np.concatenate([steps.next_token[rows], steps.token[start]]),
        len(vocabulary.touchpoints),
        order,
        np.concatenate([steps.weight[rows], steps.weight[start]]).astype(np.float64),
        vocabulary.fallback,
    )


def answers(markov: InterpolatedMarkov, steps: NextSteps, rows: Ints, order: int | None = None) -> Floats:
    """(S, K) what it says about these steps (S,)."""
    return markov.predict(*steps.histories(rows, markov.order), order)


def half_life(journeys: Journeys, vocabulary: Vocabulary, until: Micros) -> float:
    """The half-life in seconds after which what happened should count half as much; infinite where the world is steady.

    Walks forward through the latest 30 % of the examples: counts what was known at each of four moments, the recent
    past more, and asks what came until the next (rolling origin: Tashman 2000, doi:10.1016/S0169-2070(00)00065-0). Of
    the half-lives whose loss lies within one standard error of the best, the longest: forgetting must pay.
    """
    steps = next_steps(journeys, vocabulary, until)
    asked = np.flatnonzero(steps.asks_what)
    at = steps.next_at[asked]
    span_seconds = (int(at.max()) - int(at.min())) / SECOND
    lives = [share * span_seconds for share in HALF_LIVES]
    edges = [int(np.quantile(at, share, method="lower")) for share in _ORIGINS] + [until]
    losses: list[list[Floats]] = [[] for _ in lives]
    for since, to in pairwise(edges):
        past, ahead = next_steps(journeys, vocabulary, since), next_steps(journeys, vocabulary, to, since)
        rows = np.flatnonzero(ahead.asks_what)
        if not past.asks_what.any() or not len(rows):
            continue
        picked = (np.arange(len(rows)), ahead.next_token[rows] - FIRST_TOUCHPOINT)
        for each, life in zip(losses, lives, strict=True):
            markov = fit_markov(past.faded(life, since), vocabulary, _ORDER)
            each.append(-np.log(answers(markov, ahead, rows)[picked]))
    return lives[_longest_of_the_best([np.concatenate(each) if each else np.zeros(1) for each in losses])]


def _longest_of_the_best(losses: list[Floats]) -> int:
    """The first of these paired losses (n,) that is worse than the best by no more than one standard error."""
    best = min(losses, key=lambda each: float(each.mean()))
    for number, each in enumerate(losses):
        worse = each - best
        if worse.mean() <= worse.std() / math.sqrt(len(worse)):
            return number
    raise AssertionError("the best is never worse than itself")
