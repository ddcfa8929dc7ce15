"""How people feel, beside peers: `python -m benchmarks.feedback [--data FOLDER] [--out mlruns | --bundle DIR]`.

Ours is the published predictor, not refitted. TF-IDF and frozen MiniLM learn from the set's own learning part, which is
more than ours was given; VADER learns nothing. Without a published bundle the peers alone are measured.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from benchmarks.report import about, merged, of_run, options, shown, table, write
from models.bundle import BundleError
from models.confidence import metrics
from models.features.text import encode_texts, load_tokenizer
from models.journey.eventlog import Table
from models.nets.feedback import MINILM, load_encoder
from training.loop import torch_threads
from training.measure import figures
from training.measure.feedback import (
    DISAGREE,
    FeedbackMeasurement,
    measure_feedback,
    polarity_codes,
    published,
)
from training.measure.figures import Floats, MeasureError
from training.measure.purchase import ranking

MOST_LEARNED, MOST_ASKED = 4_000, 2_000
_STEADY = 0.05
"""VADER's own border of neutral."""


@dataclass(frozen=True)
class TextSet:
    """A labelled set: its file, its columns, what is asked of it."""

    file: str
    text: str
    label: str
    task: str


SETS = {
    "airline_tweets": TextSet("airline_tweets/train.csv", "text", "airline_sentiment", "polarity"),
    "clothing_reviews": TextSet("clothing_reviews/train.csv", "Review Text", "Rating", "polarity"),
    "rated tweets": TextSet("rated_sentences/tweets.jsonl", "text", "mean", "polarity"),
    "rated movies": TextSet("rated_sentences/movies.jsonl", "text", "mean", "intensity"),
    "emobank": TextSet("emobank/train.csv", "text", "V", "intensity"),
    "review_disagreement": TextSet("review_disagreement/validation.csv", "text", "disagreement_rate", "disagreement"),
    "sarcasm": TextSet("sarcasm/train.csv", "tweet", "sarcastic", "sarcasm"),
}
NOTES = (
    "How people feel. Every text is its own case; intervals are 95 %, by bootstrap. A random sample of each set is cut",
    "once more into what peers may learn from and what is asked; of three classes, our `mixed` counts as neutral. The",
    "cuts are made from the open learning parts, so these are not the results on the sealed test parts.",
)
Peer = Callable[[list[str], NDArray[Any], list[str], str], Floats]
"""(texts and labels to learn from, texts asked, task) -> (n, 3) probabilities for polarity, else a score (n,)."""


def run(one: TextSet, chosen: Any, scratch: Path) -> dict[str, Any]:
    """Ours where a bundle is published, and the peers."""
    began = time.monotonic()
    rows = [row for row in Table(chosen.data / "text" / one.file).rows() if str(row[one.text] or "").strip()]
    rows = [row for row in rows if row[one.label] not in (None, "")]
    order = np.random.default_rng(chosen.seed).permutation(len(rows))
    size = min(MOST_ASKED, len(rows) // 5)
    asked, learned = ([rows[i] for i in part] for part in (order[:size], order[size : size + MOST_LEARNED]))
    told: dict[str, Any] = {"task": one.task, "n": len(asked), "ours": _ours(one, asked, chosen, scratch)}
    labels = [_labels(part, one) for part in (learned, asked)]
    texts = [[str(row[one.text]) for row in part] for part in (learned, asked)]
    told["peers"] = {}
    for name, peer in PEERS.items():
        sys.stderr.write(f"  {name}\n")
        answer = peer(texts[0], labels[0], texts[1], one.task)
        told["peers"][name] = _scores(answer, labels[1], one.task, np.random.default_rng(chosen.seed))
    return {"about": about(), "seconds": round(time.monotonic() - began), **told}


def _ours(one: TextSet, asked: list[dict[str, Any]], chosen: Any, scratch: Path) -> dict[str, Any] | None:
    path = scratch / "asked.jsonl"
    pd.DataFrame(asked).to_json(path, orient="records", lines=True)
    wanted = FeedbackMeasurement(path, one.text, one.label, one.task, chosen.out, chosen.bundle, seed=chosen.seed)
    try:
        published(wanted)
        return measure_feedback(wanted, lambda line: None)
    except (MeasureError, BundleError) as refusal:
        sys.stderr.write(f"  ours left out: {refusal}\n")
        return None


def _labels(rows: list[dict[str, Any]], one: TextSet) -> NDArray[Any]:
    given = [row[one.label] for row in rows]
    if one.task == "polarity":
        return polarity_codes(given)[0]
    numbers = np.array([float(cell) for cell in given])
    return numbers if one.task == "intensity" else (numbers >= DISAGREE).astype(np.int64)


def _scores(answer: Floats, label: NDArray[Any], task: str, rng: np.random.Generator) -> dict[str, Any]:
    each = np.arange(len(label))
    if task == "polarity":
        said = answer.argmax(axis=1)
        return {
            "accuracy": figures.mean(said == label, each, rng),
            "macro_f1": figures.redrawn(lambda i: metrics.macro_f1(said[i], label[i]), each, rng),
        }
    if task == "intensity":
        return {"pearson": figures.redrawn(lambda i: float(np.corrcoef(answer[i], label[i])[0, 1]), each, rng)}
    return ranking(answer, label, each, rng)


def vader(texts: list[str], labels: NDArray[Any], asked: list[str], task: str) -> Floats:
    """The lexicon's compound score; for disagreement its weakness, for sarcasm its strength."""
    analyzer = SentimentIntensityAnalyzer()
    compound = np.array([analyzer.polarity_scores(text)["compound"] for text in asked])
    if task == "polarity":
        return np.eye(3)[np.where(compound <= -_STEADY, 0, np.where(compound >= _STEADY, 2, 1))]
    return -np.abs(compound) if task == "disagreement" else compound


def tfidf(texts: list[str], labels: NDArray[Any], asked: list[str], task: str) -> Floats:
    """Words and pairs of words, with a linear model."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return _linear(words.fit_transform(texts), labels, words.transform(asked), task, strength=8.0)


def minilm(texts: list[str], labels: NDArray[Any], asked: list[str], task: str) -> Floats:
    """Frozen all-MiniLM-L6-v2, mean pooling, with a linear model."""
    return _linear(_embedded(texts), labels, _embedded(asked), task, strength=1.0)


def _linear(x: Any, labels: NDArray[Any], asked: Any, task: str, strength: float) -> Floats:
    if task == "intensity":
        return np.asarray(Ridge(alpha=1.0).fit(x, labels).predict(asked))
    model = LogisticRegression(C=strength, max_iter=2000).fit(x, labels)
    answer = np.zeros((asked.shape[0], max(3, int(labels.max()) + 1)))
    answer[:, model.classes_] = model.predict_proba(asked)
    return answer if task == "polarity" else answer[:, 1]


def _embedded(texts: list[str]) -> Floats:
    encoder, serialised = load_encoder(MINILM)
    encoded = encode_texts(load_tokenizer(serialised, 96), texts)
    ids, mask = torch.from_numpy(encoded.input_ids), torch.from_numpy(encoded.attention_mask)
    lengths, found = encoded.attention_mask.sum(axis=1), np.empty((len(texts), encoder.config.hidden_size))
    order = np.argsort(lengths, kind="stable")
    with torch_threads(1), torch.inference_mode():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            width = int(lengths[rows].max())
            seen = mask[rows, :width].unsqueeze(-1).float()
            hidden = encoder(input_ids=ids[rows, :width], attention_mask=mask[rows, :width]).last_hidden_state
            found[rows] = ((hidden * seen).sum(1) / seen.sum(1)).numpy()
    return found


PEERS: dict[str, Peer] = {"vader": vader, "tfidf": tfidf, "minilm_frozen": minilm}


def markdown(name: str, told: Mapping[str, Any]) -> str:
    """One set as a table."""
    keys = list(next(iter(told["peers"].values())))
    everybody = {**({"**ours**": told["ours"]} if told["ours"] else {}), **told["peers"]}
    rows = [[who, *(shown(one.get(key)) for key in keys)] for who, one in everybody.items()]
    missing = "" if told["ours"] else " No bundle was published, so ours is missing."
    return table(name, ("model", *keys), rows, f"n = {told['n']}, {told['task']}.{missing} {of_run(told)}")


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--out", type=Path, default=Path("mlruns"), help="folder of versions/ and live/")
    parser.add_argument("--bundle", type=Path, help="folder of a bundle that answers instead")
    chosen, found = parser.parse_args(), {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen.only or SETS:
            file = chosen.data / "text" / SETS[name].file
            if not file.is_file():
                sys.stderr.write(f"skipped {name}: {file} is not there\n")
                continue
            sys.stderr.write(f"{name}\n")
            found[name] = run(SETS[name], chosen, Path(scratch))
    every = merged("feedback", found)
    write("feedback", "How people feel", NOTES, every, [markdown(name, one) for name, one in every.items()])


if __name__ == "__main__":
    main()
