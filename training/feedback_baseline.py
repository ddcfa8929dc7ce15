"""What a feeling net has to beat: TF-IDF with logistic regression, and always answering the shares of the past.

It measures polarity alone; it exports nothing.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from models.features.text import normalise
from models.predictors.feedback import POLARITIES
from training.feedback_labels import read_labels


@dataclass(frozen=True, slots=True)
class FeedbackBaselines:
    """(n, 4) probabilities of each text of the test part, from TF-IDF and from the shares of the training part."""

    tfidf: NDArray[np.float64]
    majority: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PolarityScore:
    """How good polarity probabilities are on n texts: macro-F1 over the polarities that occur, log-loss in nats."""

    macro_f1: float
    log_loss: float
    accuracy: float
    n: int


def fit_tfidf_baseline(train: pd.DataFrame, test: pd.DataFrame, *, least_texts: int = 40) -> FeedbackBaselines:
    """Fit the baselines on one frame (columns as for `fit_feedback`) and answer every row of the other.

    TF-IDF of words and word pairs (seen twice, sublinear), logistic regression with C = 8. Each polarity keeps at
    least a millionth of probability, so that a polarity never seen costs much and not everything.

    Raises:
        NotEnoughLabels: as `fit_feedback`.
    """
    labels = read_labels(train, least_texts)
    codes, weight = labels.labels["polarity"].argmax(axis=1), labels.weights["polarity"]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=200_000)
    try:
        words = vectorizer.fit_transform([normalise(text).text for text in labels.texts])
    except ValueError:  # no word occurs twice: nothing but the shares can be said
        words = None
    counts = np.bincount(codes, weights=weight, minlength=len(POLARITIES))
    majority = np.tile(_kept_above_zero(counts[None, :] / counts.sum()), (len(test), 1))
    if words is None:
        return FeedbackBaselines(majority, majority)
    model = LogisticRegression(C=8.0, max_iter=2_000).fit(words, codes, sample_weight=weight)
    answered = np.zeros((len(test), len(POLARITIES)))
    if len(test):
        texts = [normalise(text).text if isinstance(text, str) else "" for text in test["text"]]
        answered[:, model.classes_] = model.predict_proba(vectorizer.transform(texts))
    return FeedbackBaselines(_kept_above_zero(answered), majority)


def score_polarity(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> PolarityScore:
    """Score (n, 4) probabilities against (n,) polarity codes, all of them 0..3.

    >>> score_polarity(np.array([[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0]]), np.array([0, 2]))
    PolarityScore(macro_f1=1.0, log_loss=0.346..., accuracy=1.0, n=2)
    """
    if len(codes) == 0 or len(codes) != len(probabilities) or codes.min() < 0:
        raise ValueError(f"codes: {len(codes)} for {len(probabilities)} texts; give one polarity code 0..3 for each.")
    answered = probabilities.argmax(axis=1)
    given = np.clip(probabilities[np.arange(len(codes)), codes], 1e-12, 1.0)
    f1 = f1_score(codes, answered, labels=np.unique(codes), average="macro", zero_division=0)
    return PolarityScore(float(f1), float(-np.log(given).mean()), float((answered == codes).mean()), len(codes))


def _kept_above_zero(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.maximum(probabilities, 1e-6)
    shares: NDArray[np.float64] = kept / kept.sum(axis=1, keepdims=True)
    return shares
