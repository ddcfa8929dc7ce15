"""The same recent cases, and what champion and challenger say of each: next touchpoints, likelihoods, feelings.

The cases are those that a run on this data would keep for its test: the latest steps, the latest moments that a whole
horizon follows, the latest texts. Each is asked as serving would ask. Nothing is compared here (compare.py does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import LoadedBundle
from models.features.vocabulary import Vocabulary
from models.insight import ReleasePolicy
from models.journey.journeys import Ints, Journeys
from models.journey.target import Target
from training.calibrate import channels
from training.data import TrainingData, labelled
from training.evaluate import ask_landmarks, ask_steps
from training.feedback_labels import polarity_codes
from training.policies import GatePolicy
from training.splits import TEST, LogTooShort, Slice, for_landmarks, latest_touchpoints, of_texts

Floats = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Cases:
    """n cases of one question: what each bundle says, (n, K) or (n,), and what came, `label` (n,).

    `customer` (n,) is who each is about, `segments` the parts in which nobody may lose: {"channel": (n,) names, …};
    `named` says which of all recent cases are among these n, `sets` whether the sets held what came.
    """

    question: str
    champion: Floats
    challenger: Floats
    label: Ints
    customer: Ints
    segments: Mapping[str, Names]
    named: Named | None = None
    sets: Sets | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """How many recent cases there are, and of how many each alone has a name for what came."""

    cases: int
    champion_alone: int
    challenger_alone: int


@dataclass(frozen=True)
class Sets:
    """Of all recent cases (m,): whether the set that each would serve held what came."""

    champion: NDArray[np.bool_]
    challenger: NDArray[np.bool_]


def all_cases(
    champion: LoadedBundle, challenger: LoadedBundle, data: TrainingData, policy: GatePolicy, rng: np.random.Generator
) -> Iterator[Cases]:
    """Of every question that both can answer and of which the data holds cases."""
    journeys = data.assembled.journeys if data.assembled else None
    if journeys is not None and len(journeys.code):
        if champion.next_touchpoint and challenger.next_touchpoint:
            yield _steps(champion, challenger, journeys, rng)
        for name, target in challenger.targets.items():
            if name in champion.purchase and name in challenger.purchase and champion.targets.get(name) == target:
                found = _moments(champion, challenger, journeys, target, rng)
                if found is not None:
                    yield found
    if data.feedback is not None and champion.feedback and challenger.feedback:
        yield _texts(champion, challenger, data.feedback, policy)


def _steps(champion: LoadedBundle, challenger: LoadedBundle, journeys: Journeys, rng: np.random.Generator) -> Cases:
    """Of what both have a name for: what one has never heard of it gives no chance at all, and whatever was put in the
    place of that would decide the comparison. What one alone can name is counted instead.
    """
    everything = Spoken(Vocabulary.of(journeys))
    asked = ask_steps(journeys, everything, latest_touchpoints(journeys), rng)
    names = everything.vocabulary.touchpoints
    came = [names[code] for code in asked.label]
    theirs, ours = (_following(one, asked.seen, asked.as_of, came) for one in (champion, challenger))
    rows = np.flatnonzero(theirs.knows & ours.knows)
    named = Named(len(came), int((theirs.knows & ~ours.knows).sum()), int((ours.knows & ~theirs.knows).sum()))
    parts = {kind: part[rows] for kind, part in _parts(asked.seen).items()}
    return Cases(
        "next touchpoint", over(names, theirs.words, theirs.chance[rows]), over(names, ours.words, ours.chance[rows]),
        asked.label[rows], asked.customer[rows], parts, named, Sets(theirs.covered, ours.covered),
    )  # fmt: skip


@dataclass(frozen=True)
class Spoken:
    """Stands in for a predictor where only the words matter: every touchpoint of the log can be what came."""

    vocabulary: Vocabulary


@dataclass(frozen=True)
class _Following:
    """What a bundle says comes next, (n, M) over its `words`; (n,) whether it has a word for what came, and whether its
    set held it.
    """

    words: tuple[str, ...]
    chance: Floats
    knows: NDArray[np.bool_]
    covered: NDArray[np.bool_]


def _following(bundle: LoadedBundle, seen: Journeys, as_of: Ints, came: list[str]) -> _Following:
    """As it would be served."""
    predictor, measured = bundle.next_touchpoint, bundle.measured.next_touchpoint
    assert predictor is not None
    words = predictor.vocabulary.touchpoints
    column = {name: number for number, name in enumerate(words)}
    knows = np.array([name in column for name in came], dtype=np.bool_)
    chance = predictor.predict(seen, as_of).distribution
    covered = np.ones(len(came), dtype=np.bool_)
    if measured is not None:
        chance = measured.chance(chance, seen.lengths)
        inside = measured.sets_of(chance, seen, ReleasePolicy().coverage)
        covered = knows & inside[np.arange(len(came)), [column.get(name, 0) for name in came]]
    return _Following(words, chance, knows, covered)


def over(names: tuple[str, ...], known: tuple[str, ...], chance: Floats) -> Floats:
    """A distribution (n, M) over `known` as one over `names`; what is not known has no chance.

    >>> over(("a", "b", "c"), ("b", "a"), np.array([[0.3, 0.7]])).tolist()
    [[0.7, 0.3, 0.0]]
    """
    column = {name: number for number, name in enumerate(known)}
    here = [(place, column[name]) for place, name in enumerate(names) if name in column]
    told = np.zeros((len(chance), len(names)))
    told[:, [place for place, _ in here]] = chance[:, [own for _, own in here]]
    return np.asarray(told / np.maximum(told.sum(axis=1, keepdims=True), 1e-12), dtype=np.float64)


def _moments(
    champion: LoadedBundle, challenger: LoadedBundle, journeys: Journeys, target: Target, rng: np.random.Generator
) -> Cases | None:
    """Latest moments that a whole horizon follows; None where the log is too short for any."""
    try:
        test: Slice = for_landmarks(journeys, target.horizon_seconds).test
    except LogTooShort:
        return None
    asked = ask_landmarks(journeys, target, test, rng)
    theirs, ours = (likelihoods(one, asked.seen, asked.as_of, target.name) for one in (champion, challenger))
    label = asked.happened.astype(np.int64)
    return Cases(f"purchase: {target.name}", theirs, ours, label, asked.customer, _parts(asked.seen))


def likelihoods(bundle: LoadedBundle, seen: Journeys, as_of: Ints, target: str) -> Floats:
    """(n,) the calibrated probability of a target, as it would be served to somebody whose words say nothing."""
    predictor, measured = bundle.purchase[target], (bundle.measured.purchase or {})[target]
    raw = predictor.predict(seen, as_of, bundle.said(seen, as_of, [None] * len(seen)))
    return np.asarray(measured.calibrator.apply(raw), dtype=np.float64)


def _texts(champion: LoadedBundle, challenger: LoadedBundle, feedback: pd.DataFrame, policy: GatePolicy) -> Cases:
    frame = labelled(feedback)
    part = of_texts(frame, int(challenger.manifest["learned_from"].get("seed", 0)))
    frame = frame[part == TEST].reset_index(drop=True)
    frame = latest(frame, policy.texts_at_most)
    theirs, ours = (polarities(one, list(frame["text"])) for one in (champion, challenger))
    who = frame["customer_id"] if "customer_id" in frame else frame["feedback_id"]
    customer = pd.factorize(who.astype(str))[0].astype(np.int64)
    return Cases("feeling", theirs, ours, polarity_codes(frame), customer, {"channel": channels(frame)})


def polarities(bundle: LoadedBundle, texts: list[str]) -> Floats:
    """(n, 4) calibrated, as it would be served."""
    assert bundle.feedback is not None
    said = bundle.feedback.predict(texts).polarity
    measured = bundle.measured.feeling
    return said if measured is None else np.asarray(measured.temperature.apply(said), dtype=np.float64)


def latest(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, the latest where the file tells when they were said, else the last."""
    if "said_at" in frame and frame["said_at"].notna().all():
        frame = frame.sort_values("said_at", kind="stable")
    return frame.tail(most).reset_index(drop=True)


def _parts(seen: Journeys) -> dict[str, Names]:
    """The channel and the stage of each journey's last touchpoint; empty journeys are a part of their own."""
    ends = zip(seen.starts[1:] - 1, seen.lengths, strict=True)
    stages = [seen.stages[seen.code[end]] if length else "" for end, length in ends]
    told = {"channel": list(seen.last_channels), "stage": stages}
    return {name: np.array([one or "none yet" for one in values], dtype=np.str_) for name, values in told.items()}
