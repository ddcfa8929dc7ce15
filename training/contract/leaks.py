"""Leakage: a feature that alone knows the answer, or a word that stands in one class of texts and in no other.

Nothing that serving knows foretells so well; what does was written after the fact, or by it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd

from models.confidence.metrics import auc
from models.features.behaviour import behaviour, features_of
from models.features.text import normalise
from models.features.vocabulary import Vocabulary
from models.journey.event import format_time
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.predictors.feedback import POLARITIES
from training.contract.finding import MOST_ROWS, Finding, rows_of
from training.data import labelled
from training.evaluate import ask_landmarks
from training.feedback_labels import polarity_codes
from training.policies import ContractPolicy
from training.splits import LogTooShort, Slice, for_landmarks

MOST_MOMENTS = 5_000


def of_features(
    journeys: Journeys, targets: tuple[Target, ...], policy: ContractPolicy, rng: np.random.Generator
) -> Iterator[Finding]:
    """Features of behaviour, each ranked alone against what came."""
    vocabulary = Vocabulary.of(journeys)
    names = [one.name for one in features_of(vocabulary)]
    for target in targets:
        try:
            slices = for_landmarks(journeys, target.horizon_seconds)
        except LogTooShort:
            continue
        asked = ask_landmarks(journeys, target, Slice(slices.train.since, slices.calibration.until), rng)
        rows = np.sort(rng.permutation(len(asked.happened))[:MOST_MOMENTS])
        happened = asked.happened[rows]
        if min(int(happened.sum()), int((1 - happened).sum())) < 20 or len(rows) < policy.least_cases:
            continue
        seen, as_of = asked.seen.take(rows), asked.as_of[rows]
        features = behaviour(seen, as_of, vocabulary)
        for number, name in enumerate(names):
            column = features[:, number].astype(np.float64)
            known = ~np.isnan(column)
            told = auc(np.where(known, column, column[known].min(initial=0.0) - 1.0), happened)
            told = max(told, 1 - told)
            if told >= policy.leak_auc:
                shown = [
                    {"customer_id": seen.customers[row], "as_of": format_time(int(as_of[row])),
                     name: float(column[row]), "happened": bool(happened[row])}
                    for row in np.argsort(-column, kind="stable")[:MOST_ROWS]
                ]  # fmt: skip
                yield Finding(
                    "leakage", "stop", f"{name} alone tells {target.name} with an AUC of {told:.3f}",
                    "Look whether it is written after the fact; leave it out, or set contract.leak_auc.", shown,
                )  # fmt: skip


def of_words(feedback: pd.DataFrame, policy: ContractPolicy) -> Iterator[Finding]:
    """Words that most texts of one class hold and no other text does."""
    frame = labelled(feedback)
    if len(frame) < policy.least_cases:
        return
    codes = polarity_codes(frame)
    sizes = np.bincount(codes, minlength=len(POLARITIES))
    holding: dict[str, Counter[int]] = defaultdict(Counter)
    for text, code in zip(frame["text"], codes.tolist(), strict=True):
        for word in set(normalise(text.lower()).text.split()):
            holding[word][code] += 1
    for word, by in sorted(holding.items()):
        (code, count) = by.most_common(1)[0]
        often = count >= policy.leak_word_share * sizes[code] and count >= policy.least_cases / 4
        if often and sum(by.values()) == count and count < len(frame):
            rows = rows_of(frame[frame["text"].str.contains(word, case=False, regex=False)], "feedback_id", "text")
            told = f"{word!r:.40} stands in {count} of {sizes[code]} {POLARITIES[code]} texts and in no other"
            yield Finding(
                "leakage", "stop", told, "Take out what tells the label, or set contract.leak_word_share.", rows
            )
