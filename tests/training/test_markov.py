"""Counting: what is recent counts more where the world changed, and everything counts alike where it did not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.confidence.metrics import log_loss
from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY
from models.journey.journeys import Journeys
from training.examples import next_steps
from training.markov import answers, fit_markov, half_life

AFTER_A = np.array([0.8, 0.2])
END = 400 * DAY


def company(changed_on: int | None, customers: int = 900) -> Journeys:
    """Journeys of two kinds of touchpoint over 400 days; from `changed_on` on, a is followed by b and not by a."""
    rng = np.random.default_rng(5)
    journeys = {}
    for customer in range(customers):
        at, code, steps = int(rng.integers(0, 390)), 0, []
        for _ in range(6):
            steps.append((("web.a", "web.b")[code], at * DAY + customer))
            odds = AFTER_A[::-1] if changed_on is not None and at >= changed_on else AFTER_A
            code = int(rng.choice(2, p=odds)) if code == 0 else 0
            at += 1
        journeys[str(customer)] = steps
    return journeys_of(journeys)


def test_in_a_steady_world_nothing_goes_out_of_date() -> None:
    steady = company(None)
    assert math.isinf(half_life(steady, Vocabulary.of(steady), END))


def test_after_a_change_the_recent_past_counts_more_and_counting_so_is_right_about_what_comes() -> None:
    changed = company(changed_on=330)
    vocabulary = Vocabulary.of(changed)
    life = half_life(changed, vocabulary, 370 * DAY)
    assert life < 200 * 86_400
    past, ahead = next_steps(changed, vocabulary, 370 * DAY), next_steps(changed, vocabulary, END, 370 * DAY)
    rows = np.flatnonzero(ahead.asks_what)
    label = ahead.next_token[rows] - FIRST_TOUCHPOINT
    alike, fading = (
        log_loss(answers(fit_markov(steps, vocabulary, 1), ahead, rows), label)
        for steps in (past, past.faded(life, 370 * DAY))
    )
    assert fading < alike - 0.1


def test_a_lesson_counts_half_as_much_a_half_life_ago() -> None:
    steps = next_steps(company(None, customers=5), Vocabulary(("web.a", "web.b"), ("sale", "sale")), END)
    age_days = (END - steps.next_at) / DAY
    assert steps.faded(10 * 86_400, END).weight == pytest.approx(0.5 ** (age_days / 10), rel=1e-5)
    assert (steps.faded(math.inf, END).weight == 1).all()


def test_steps_of_some_customers_teach_what_these_did_and_nothing_else() -> None:
    journeys = company(None, customers=40)
    steps, some = next_steps(journeys, Vocabulary.of(journeys), END), np.arange(40) < 10
    part = steps.of_customers(some)
    assert part.asks_what.sum() == 50
    alone = journeys.take(np.flatnonzero(some))
    theirs = fit_markov(next_steps(alone, Vocabulary.of(journeys), END), Vocabulary.of(journeys), 2)
    ours = fit_markov(part, Vocabulary.of(journeys), 2)
    rows = np.flatnonzero(steps.asks_what)
    assert answers(ours, steps, rows) == pytest.approx(answers(theirs, steps, rows))
