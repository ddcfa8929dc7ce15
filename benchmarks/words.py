"""Real words in the mouths of a made-up company's customers, for `benchmarks/month.py --with-feelings`.

Made-up texts are so alike that counting words reads them better than any encoder does with few labels, and no bundle
with feelings would ever go live. So what customers say is drawn from tweets to airlines, whose labels a crowd gave and
which the shipped encoder never saw, and sarcasm from tweets that their authors call sarcastic. Half of them is what
the company is told, the other half what customers say that nobody learned from. No row of either is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.features.text import content_hash
from models.journey.eventlog import Table

LEAST_CONFIDENCE = 0.6
"""What the crowd agreed on less is left out."""


@dataclass(frozen=True)
class Words:
    """Texts of each polarity, and sarcastic ones."""

    by_polarity: Mapping[str, list[str]]
    sarcastic: list[str]


def read_words(data: Path) -> tuple[Words, Words]:
    """To learn from, and to be asked afterwards. Raises EventLogError where the data sets are not there."""
    airline = [
        (str(row["airline_sentiment"]), str(row["text"]))
        for row in Table(data / "text" / "airline_tweets" / "train.csv").rows()
        if float(row["airline_sentiment_confidence"] or 0) >= LEAST_CONFIDENCE
    ]
    told = [str(row["tweet"]) for row in Table(data / "text" / "sarcasm" / "train.csv").rows() if _is_true(row)]
    return _half(airline, told, 0), _half(airline, told, 1)


def _is_true(row: Mapping[str, object]) -> bool:
    return str(row["sarcastic"]) in ("1", "1.0") and bool(str(row["tweet"] or "").strip())


def _half(airline: list[tuple[str, str]], sarcastic: list[str], half: int) -> Words:
    """Words that are the same lie in one half."""

    def mine(texts: Iterator[str]) -> list[str]:
        return [one for one in dict.fromkeys(texts) if int(content_hash(one.lower())[:8], 16) % 2 == half]

    names = sorted({name for name, _ in airline})
    return Words({name: mine(text for one, text in airline if one == name) for name in names}, mine(iter(sarcastic)))


def spoken(feedback: pd.DataFrame, words: Words, rng: np.random.Generator) -> pd.DataFrame:
    """The same customers at the same moments with the same polarity and stars, in real words; "mixed" has none.

    Each text is said once while there are enough. Emotions, intensity and nuance were those of the words before.
    """
    frame = feedback[feedback["polarity"].isin(list(words.by_polarity))].reset_index(drop=True)
    text = frame["text"].astype(object).to_numpy().copy()
    for name, every in words.by_polarity.items():
        rows = np.flatnonzero(frame["polarity"] == name)
        order = np.concatenate([rng.permutation(len(every)) for _ in range(1 + len(rows) // len(every))])
        text[rows] = [every[one] for one in order[: len(rows)]]
    return frame.assign(text=text, emotions=None, intensity=np.float32("nan"), nuance=None, sarcastic=False)
