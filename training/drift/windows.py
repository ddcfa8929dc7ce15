"""What the champion meets: journeys, likelihoods and feelings, in the window before and in the recent one.

Journeys grow as a log does, so each moment looks back equally far: else every log would seem to drift. One moment a
customer and window. What became of answers is outcomes.py's; compares nothing (shift.py does).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import LoadedBundle
from models.features.behaviour import behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.event import DAY, LATEST, Micros
from models.journey.journeys import Ints, Journeys
from models.predictors.feedback import POLARITIES
from training.data import labelled
from training.drift.shift import Shift, of_names, of_numbers
from training.feedback_labels import polarity_codes
from training.gate.cases import likelihoods, polarities
from training.policies import DriftPolicy
from training.splits import Slice

BACK_DAYS = 60
MOST_TEXTS = 2000


@dataclass(frozen=True, slots=True)
class Windows:
    """`before` and `now`, moments from (included) and until (excluded)."""

    before: Slice
    now: Slice


def windows(journeys: Journeys | None, feedback: pd.DataFrame | None, known_until: Micros | None,
            policy: DriftPolicy) -> Windows | None:  # fmt: skip
    """The latest days, and as many days at the end of what the champion learned from (or just before, if it knows all).

    Windows of one length: in a longer one, those come too who do little, and that alone would look like drift.
    """
    moments = [journeys.occurred_at] if journeys is not None and len(journeys.code) else []
    if feedback is not None and "said_at" in feedback:
        said = feedback["said_at"].dropna().to_numpy(dtype=np.int64)
        moments += [said] if len(said) else []
    if not moments:
        return None
    start, end = min(int(one.min()) for one in moments), max(int(one.max()) for one in moments) + 1
    length = int(policy.recent_days * DAY)
    since = end - length
    known = since if known_until is None else min(since, known_until + 1)
    return Windows(Slice(known - length, known), Slice(since, end)) if known - length >= start else None


def of_journeys(
    bundle: LoadedBundle, journeys: Journeys, spans: Windows, policy: DriftPolicy, rng: np.random.Generator
) -> Iterator[Shift]:
    """Touchpoints, features of behaviour, and what the champion says of the same journeys."""
    asked = [moments(journeys, span, rng) for span in (spans.before, spans.now)]
    if min(len(one.as_of) for one in asked) < policy.least_cases:
        return
    drawn = [one_touchpoint_each(journeys, span, rng) for span in (spans.before, spans.now)]
    yield of_names("inputs", "touchpoints", drawn)
    yield of_names("inputs", "channels", [[name.partition(".")[0] for name in some] for some in drawn])
    vocabulary = Vocabulary.of(journeys)
    features = [behaviour(one.seen, one.as_of, vocabulary) for one in asked]
    for number, feature in enumerate(features_of(vocabulary)):
        yield of_numbers("inputs", feature.name, [np.nan_to_num(one[:, number], nan=-1.0) for one in features])
    if bundle.next_touchpoint is not None:
        said = [bundle.next_touchpoint.predict(one.seen, one.as_of).distribution.max(axis=1) for one in asked]
        yield of_numbers("predictions", "confidence in the next touchpoint", said)
    for name in bundle.purchase:
        told = [likelihoods(bundle, one.seen, one.as_of, name) for one in asked]
        yield of_numbers("predictions", f"likelihood of {name}", told)


@dataclass(frozen=True)
class Asked:
    """A moment of each of some customers, by their `row` in the log, and what of the last `BACK_DAYS` was seen."""

    seen: Journeys
    as_of: Ints
    row: Ints


def moments(journeys: Journeys, span: Slice, rng: np.random.Generator) -> Asked:
    """A random moment of each customer who did something in the span, of its part that can look back equally far."""
    since = max(span.since, int(journeys.occurred_at.min()) + BACK_DAYS * DAY)
    inside = (journeys.occurred_at >= since) & (journeys.occurred_at < span.until)
    rows = np.unique(journeys.owner[inside])
    as_of = rng.integers(since, max(span.until, since + 1), len(rows))
    taken = journeys.take(rows)
    back = np.repeat(as_of - BACK_DAYS * DAY, taken.lengths)
    hidden = replace(taken, known_at=np.where(taken.occurred_at < back, LATEST, taken.known_at))
    seen = hidden.seen_at(as_of)
    some = np.flatnonzero(seen.lengths > 0)
    return Asked(seen.take(some), as_of[some], rows[some])


def one_touchpoint_each(journeys: Journeys, span: Slice, rng: np.random.Generator) -> list[str]:
    """The name of one random touchpoint of each customer in the span."""
    inside = rng.permutation(np.flatnonzero((journeys.occurred_at >= span.since) & (journeys.occurred_at < span.until)))
    _, first = np.unique(journeys.owner[inside], return_index=True)
    return [journeys.names[code] for code in journeys.code[inside[first]]]


def of_words(
    bundle: LoadedBundle, feedback: pd.DataFrame, spans: Windows, policy: DriftPolicy, rng: np.random.Generator
) -> Iterator[Shift]:
    """Length of texts, what the champion reads in them, and what labels say."""
    if "said_at" not in feedback:
        return
    parts = [_said(feedback, span, rng) for span in (spans.before, spans.now)]
    if min(map(len, parts)) >= policy.least_cases:
        yield of_numbers(
            "inputs", "words of a text", [np.array([len(text.split()) for text in one["text"]]) for one in parts]
        )
        if bundle.feedback is not None:
            read = [polarities(bundle, list(one["text"])) for one in parts]
            names = [[POLARITIES[code] for code in one.argmax(axis=1)] for one in read]
            yield of_names("predictions", "feelings read", names)
            yield of_numbers("predictions", "confidence in feelings", [one.max(axis=1) for one in read])
    told = [_said(labelled(feedback), span, rng) for span in (spans.before, spans.now)]
    if min(map(len, told)) < policy.least_cases:
        return
    codes = [polarity_codes(one) for one in told]
    yield of_names("labels", "feelings labelled", [[POLARITIES[code] for code in one] for one in codes])
    if bundle.feedback is not None:
        chance = [polarities(bundle, list(one["text"])) for one in told]
        loss = [_losses(one, code) for one, code in zip(chance, codes, strict=True)]
        yield of_numbers("calibration", "loss of feelings", loss)


def _losses(chance: NDArray[np.float64], code: Ints) -> NDArray[np.float64]:
    return -np.log(np.maximum(chance[np.arange(len(code)), code], 1e-12))


def _said(feedback: pd.DataFrame, span: Slice, rng: np.random.Generator) -> pd.DataFrame:
    """One text of each customer in the span."""
    inside = feedback[(feedback["said_at"] >= span.since) & (feedback["said_at"] < span.until)]
    mixed = inside.iloc[rng.permutation(len(inside))]
    who = "customer_id" if "customer_id" in mixed else "feedback_id"
    return mixed.drop_duplicates(who).head(MOST_TEXTS).reset_index(drop=True)
