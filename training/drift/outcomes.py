"""What became of answers: outcomes beside the likelihoods that were told, and verdicts beside what the model had read.

A likelihood is judged when its horizon has passed, so its window is that of the outcome and not that of the moment at
which it was told. It needs no window before: of what is told as 20 % a fifth should come, whoever the
customers are. Only what the champion has not learned from counts. One case a customer. Compares nothing (shift.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from models.bundle import LoadedBundle
from models.journey.event import SECOND, Micros, parse_time
from models.journey.journeys import Journeys
from models.journey.target import HAPPENED, Target
from models.predictors.feedback import POLARITIES
from training.drift.shift import Shift, of_names, of_told
from training.drift.windows import Windows, moments
from training.evaluate import ask_landmarks
from training.gate.cases import likelihoods
from training.policies import DriftPolicy
from training.splits import Slice


def of_outcomes(bundle: LoadedBundle, journeys: Journeys, spans: Windows, learned_until: Micros | None,
                policy: DriftPolicy, rng: np.random.Generator) -> Iterator[Shift]:  # fmt: skip
    """Of each target: what the champion would have told beside what came since it learned, and how often it came.

    `learned_until` is the newest moment that the champion knew; where none is, all of the recent window counts.
    """
    unknown = spans.now.since if learned_until is None else max(spans.now.since, learned_until + 1)
    for name in bundle.purchase:
        target = bundle.targets[name]
        horizon = target.horizon_seconds * SECOND
        asked = ask_landmarks(journeys, target, Slice(unknown - horizon, spans.now.until - horizon), rng)
        rows = one_each(asked.customer, rng)
        if len(rows) >= policy.least_cases:
            told = likelihoods(bundle, asked.seen, asked.as_of, name)
            yield of_told(f"likelihood of {name}", told[rows], asked.happened[rows], rng)
        earlier = [_came(journeys, target, span, rng) for span in (spans.before, spans.now)]
        if min(map(len, earlier)) >= policy.least_cases:
            yield of_names("labels", f"{name} came", earlier)


def one_each(customer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random row of each customer."""
    mixed = rng.permutation(len(customer))
    _, first = np.unique(np.asarray(customer)[mixed], return_index=True)
    return np.sort(mixed[first])


def _came(journeys: Journeys, target: Target, span: Slice, rng: np.random.Generator) -> list[str]:
    """Whether it came, for moments whose horizon ends in the span."""
    horizon, end = target.horizon_seconds * SECOND, int(journeys.occurred_at.max())
    if span.until - horizon <= int(journeys.occurred_at.min()):
        return []
    asked = moments(journeys, Slice(span.since - horizon, span.until - horizon), rng)
    outcome = target.outcome(journeys.take(asked.row), asked.as_of, end)
    return ["yes" if one == HAPPENED else "no" for one in outcome]


def of_forecasts(
    frame: pd.DataFrame, digest: str, spans: Windows, policy: DriftPolicy, rng: np.random.Generator
) -> Iterator[Shift]:
    """Likelihoods that this bundle served and whose horizon ended in the recent window, beside what came.

    What another bundle told is no reason to replace this one.
    """
    if frame.empty:
        return
    known = frame[frame["happened"].notna() & (frame["digest"] == digest)]
    due = np.array([parse_time(str(one)) for one in known["due_at"]], dtype=np.int64)
    recent = known[(due >= spans.now.since) & (due < spans.now.until)]
    for name, of_target in recent.groupby("definition", sort=True):
        one = _of_each(of_target, rng)
        if len(one) >= policy.least_cases:
            told, came = one["probability"].to_numpy(dtype=np.float64), one["happened"].to_numpy(dtype=np.int8)
            yield of_told(f"likelihood of {name}, as served", told, came, rng)


def of_verdicts(
    frame: pd.DataFrame, digest: str, spans: Windows, policy: DriftPolicy, rng: np.random.Generator
) -> Iterator[Shift]:
    """What people answer, and how often they overturn the model: now that bundle alone, before whichever was live."""
    if frame.empty:
        return
    decided = np.array([parse_time(str(one)) for one in frame["decided_at"]], dtype=np.int64)
    parts = [frame[(decided >= span.since) & (decided < span.until)] for span in (spans.before, spans.now)]
    answers = [_of_each(one, rng)["answer"].tolist() for one in parts]
    if min(map(len, answers)) >= policy.least_cases:
        yield of_names("labels", "verdicts", answers)
    if not {"model_answer", "digest"} <= set(frame):
        return
    before, now = (one[one["model_answer"].notna() & one["answer"].isin(POLARITIES)] for one in parts)
    read = [_of_each(one, rng) for one in (before, now[now["digest"] == digest])]
    if min(map(len, read)) >= policy.least_cases:
        changed = [(one["answer"] != one["model_answer"]).tolist() for one in read]
        overturned = [["overturned" if one else "confirmed" for one in part] for part in changed]
        yield of_names("calibration", "verdicts against the model", overturned)


def _of_each(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One random row of each customer."""
    who = frame["customer_id" if "customer_id" in frame else "feedback_id"]
    return frame.iloc[one_each(who.to_numpy(dtype=np.str_), rng)]
