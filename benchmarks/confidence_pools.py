"""Scored texts with the truth, for `benchmarks.confidence`: where they come from and what scores them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from models.journey.eventlog import Table
from models.predictors.feedback import POLARITIES, FeedbackPredictor
from training.simulator import simulate

LEARNED = {"simulator": 300, "rated_sentences": 3_000}
ASKED, CUSTOMERS = 12_000, 12_000


@dataclass(frozen=True)
class Pool:
    """Scored texts with the truth: calibrated chances (n, K), label (n,), group (n,)."""

    prob: NDArray[np.float64]
    label: NDArray[np.int64]
    group: NDArray[np.str_]

    @property
    def score(self) -> NDArray[np.float64]:
        return np.asarray(self.prob.max(axis=1), dtype=np.float64)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return np.asarray(self.prob.argmax(axis=1) != self.label, dtype=np.bool_)


def simulated(chosen: Any) -> tuple[list[str], NDArray[np.int64], NDArray[np.str_]]:
    """What made-up customers say, with the polarity it was made of, by channel."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(CUSTOMERS, chosen.seed, Path(folder))
        rows = list(Table(Path(folder) / "feedback.parquet").rows())
    label = np.array([POLARITIES.index(row["polarity"]) for row in rows])
    return [row["text"] for row in rows], label, np.array([row["channel"] for row in rows])


def rated(chosen: Any) -> tuple[list[str], NDArray[np.int64], NDArray[np.str_]]:
    """Sentences with the polarity of the mean of their readers, by source; nobody rates mixed apart."""
    found = [
        (str(row["text"]), float(row["mean"]), source)
        for source in ("movies", "news", "tweets")
        for row in Table(chosen.data / "text" / "rated_sentences" / f"{source}.jsonl").rows()
    ]
    mean = np.array([one[1] for one in found])
    label = np.where(mean <= -0.5, 0, np.where(mean >= 0.5, 2, 1))
    return [one[0] for one in found], label, np.array([one[2] for one in found])


def linear(texts: list[str], label: NDArray[np.int64], learn: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """(rows asked, their chances): TF-IDF and logistic regression that learned from some other texts."""
    order = rng.permutation(len(texts))
    learned, asked = order[:learn], order[learn : learn + ASKED]
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=8.0, max_iter=2000).fit(
        words.fit_transform([texts[i] for i in learned]), label[learned]
    )
    prob = np.zeros((len(asked), len(POLARITIES)))
    prob[:, model.classes_] = model.predict_proba(words.transform([texts[i] for i in asked]))
    return asked, prob


def of_bundle(texts: list[str], folder: Path, three: bool, rng: np.random.Generator) -> tuple[Any, Any]:
    """(rows asked, their chances) by the net of a bundle; where nobody can say mixed, it counts as neutral."""
    asked = rng.permutation(len(texts))[:ASKED]
    prob = FeedbackPredictor.load(folder / "feedback", threads=1).predict([texts[i] for i in asked]).polarity.copy()
    if three:
        prob[:, 1] += prob[:, 3]
        prob[:, 3] = 0.0
    return asked, prob


SOURCES: dict[str, Callable[[Any], tuple[list[str], NDArray[np.int64], NDArray[np.str_]]]] = {
    "simulator": simulated,
    "rated_sentences": rated,
}


def pools(chosen: Any) -> dict[str, Callable[[], Pool]]:
    """Every pool that can be made, by name."""

    def made(source: str, net: bool) -> Pool:
        rng = np.random.default_rng(chosen.seed)
        texts, label, group = SOURCES[source](chosen)
        if net:
            asked, prob = of_bundle(texts, chosen.bundle, source == "rated_sentences", rng)
        else:
            asked, prob = linear(texts, label, LEARNED[source], rng)
        return Pool(prob, label[asked], group[asked])

    found = {f"{name}, linear": (lambda name=name: made(name, net=False)) for name in SOURCES}
    if chosen.bundle:
        found |= {f"{name}, net": (lambda name=name: made(name, net=True)) for name in SOURCES}
    return found
