"""Measure how people feel: the published predictor, as it is, on labelled texts. Nothing is fitted.

A bundle answers; its temperature is applied as it is when serving. Or the reader that comes with the product does, as
it is without texts of one's own. What each task asks of the label column, and which
of our numbers answers it, is in `TASKS` and in the function of the task.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.bundle import BundleError, LoadedBundle, load_bundle
from models.confidence import metrics
from models.journey.eventlog import Table
from models.journey.journeys import Ints
from models.ledger import bundle_folder, current
from models.nets.feedback import EncoderNotFoundError
from models.predictors.feedback import (
    EMOTIONS,
    INTENSITY_LIMIT,
    NUANCES,
    POLARITIES,
    FeedbackPredictor,
    FeelingPrediction,
    text_flags,
)
from training.feedback import build_start
from training.loop import Progress
from training.measure import figures
from training.measure.figures import Figure, Floats, MeasureError
from training.measure.purchase import ranking
from training.pretrained import PRETRAINED

TASKS = ("polarity", "emotion", "intensity", "disagreement", "sarcasm")
THREE = POLARITIES[:3]
STRONG = 0.5
"""A mean rating at least so far from 0 is positive or negative; nearer, neutral."""
DISAGREE = 2 / 3 - 1e-6
EMOTION_FROM = 0.5
_OF_STARS = {1: 0, 2: 0, 3: 1, 4: 2, 5: 2}
_YES = {"1": 1, "true": 1, "yes": 1, "1.0": 1, "0": 0, "false": 0, "no": 0, "0.0": 0}


@dataclass(frozen=True)
class FeedbackMeasurement:
    """What to measure: texts and labels of a file, by the live bundle under `out` or the one in `bundle`.

    `shipped`: the reader that comes with the product answers, built anew; no bundle is asked.
    `spread` names the column with the raters' standard deviation; without it `ratings` or `std` are taken if there.
    """

    test: Path
    text: str
    label: str
    task: str
    out: Path = Path("mlruns")
    bundle: Path | None = None
    spread: str | None = None
    seed: int = 7
    shipped: bool = False


@dataclass(frozen=True)
class Read:
    """Labelled texts with what the predictor says of them; `polarity` (n, 4) is calibrated."""

    texts: list[str]
    labels: list[Any]
    rows: list[dict[str, Any]]
    prediction: FeelingPrediction
    polarity: Floats
    language: str

    @property
    def each(self) -> Ints:
        """(n,) texts come without customers: each stands for itself."""
        return np.arange(len(self.texts))


def measure_feedback(asked_for: FeedbackMeasurement, progress: Progress) -> dict[str, Any]:
    """The whole measurement as figures. Raises EventLogError, MeasureError, BundleError and LedgerError."""
    if asked_for.task not in TASKS:
        raise MeasureError(f"--task {asked_for.task!r}; allowed: {', '.join(TASKS)}")
    texts, labels, rows = read_texts(asked_for)
    if asked_for.shipped:
        progress("building the reader that comes with the product")
        predictor, name = shipped_reader(), "shipped"
        progress(f"reading {len(texts)} texts")
        prediction = predictor.predict(texts)
        polarity = prediction.polarity
    else:
        bundle = published(asked_for)
        if bundle.feedback is None or bundle.measured.feeling is None:
            raise MeasureError(f"bundle {bundle.digest[:12]} was not trained on feelings; train one with --feedback")
        predictor, name = bundle.feedback, bundle.digest
        progress(f"reading {len(texts)} texts")
        prediction = predictor.predict(texts)
        polarity = bundle.measured.feeling.temperature.apply(prediction.polarity)
    read = Read(texts, labels, rows, prediction, polarity, predictor.language)
    told = {"task": asked_for.task, "bundle": name, "n": len(texts)}
    return told | report(read, asked_for, np.random.default_rng(asked_for.seed))


def shipped_reader() -> FeedbackPredictor:
    """The reader of feelings that comes with the product, built as it serves. Raises MeasureError."""
    with tempfile.TemporaryDirectory(prefix="reader-") as scratch:
        try:
            build_start(PRETRAINED, Path(scratch) / "reader")
        except EncoderNotFoundError as error:
            raise MeasureError(f"--shipped: {error}") from None
        return FeedbackPredictor.load(Path(scratch) / "reader")


def report(read: Read, asked_for: FeedbackMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """The figures of one task."""
    reports: dict[str, Callable[[Read, FeedbackMeasurement, np.random.Generator], dict[str, Any]]] = {
        "polarity": polarity_report,
        "emotion": emotion_report,
        "intensity": intensity_report,
        "disagreement": disagreement_report,
        "sarcasm": sarcasm_report,
    }
    return reports[asked_for.task](read, asked_for, rng)


def published(asked_for: FeedbackMeasurement) -> LoadedBundle:
    """The bundle named, or the live one. Raises BundleError, LedgerError and MeasureError."""
    if asked_for.bundle is not None:
        return load_bundle(asked_for.bundle)
    entry = current(asked_for.out)
    if entry is None:
        raise MeasureError(f"--out {asked_for.out}: nothing is live there; train first, or name a folder with --bundle")
    folder = bundle_folder(asked_for.out, entry.digest)
    if not folder.is_dir():
        raise BundleError(f"versions/{entry.digest[:12]} is live but not there; train again")
    return load_bundle(folder)


def read_texts(asked_for: FeedbackMeasurement) -> tuple[list[str], list[Any], list[dict[str, Any]]]:
    """Texts with their labels; rows without words or a label are left out. Raises EventLogError, MeasureError."""
    rows = list(Table(asked_for.test).rows())
    if not rows:
        raise MeasureError(f"{asked_for.test}: holds no rows")
    named = {"--text": asked_for.text, "--label": asked_for.label, "--spread": asked_for.spread}
    for option, name in named.items():
        if name is not None and name not in rows[0]:
            raise MeasureError(f"{option} {name!r}: {asked_for.test} has no such column; it has {', '.join(rows[0])}")
    kept = [row for row in rows if str(row[asked_for.text] or "").strip() and row[asked_for.label] not in (None, "")]
    if len(kept) < 2:
        raise MeasureError(
            f"{asked_for.test}: {len(kept)} rows have words and a label; 2 are needed to measure anything"
        )
    return [str(row[asked_for.text]) for row in kept], [row[asked_for.label] for row in kept], kept


# -- polarity ----------------------------------------------------------------------------------------------------------


def polarity_codes(labels: Sequence[Any]) -> tuple[Ints, int]:
    """(n,) index into `POLARITIES`, and how many classes the labels tell apart: 4 where `mixed` is among them, else 3.

    Names of polarities; whole numbers 1..5 are stars (1 and 2 negative, 3 neutral, 4 and 5 positive); other numbers are
    mean ratings on -4..4, negative up to -0.5 and positive from 0.5.

    >>> polarity_codes(["negative", "positive", "mixed"]), polarity_codes([-2.5, 0.2, 0.5])
    ((array([0, 2, 3]), 4), (array([0, 1, 2]), 3))
    """
    words = [str(label).strip().lower() for label in labels]
    if all(word in POLARITIES for word in words):
        codes = np.array([POLARITIES.index(word) for word in words], dtype=np.int64)
        return codes, 4 if 3 in codes else 3
    numbers = _numbers(labels, f"{', '.join(POLARITIES)}, stars 1 to 5, or mean ratings")
    if np.isin(numbers, list(_OF_STARS)).all():
        return np.array([_OF_STARS[int(star)] for star in numbers], dtype=np.int64), 3
    _within(numbers, INTENSITY_LIMIT)
    return np.where(numbers <= -STRONG, 0, np.where(numbers >= STRONG, 2, 1)).astype(np.int64), 3


def polarity_report(read: Read, asked_for: FeedbackMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """Where the labels know three classes, our `mixed` counts as neutral, and is also reported apart."""
    label, classes = polarity_codes(read.labels)
    answer = read.polarity.argmax(axis=1)
    mixed = answer == POLARITIES.index("mixed")
    chance = read.polarity if classes == 4 else folded(read.polarity)
    answered = answer if classes == 4 else np.where(mixed, THREE.index("neutral"), answer)
    shares = np.bincount(label, minlength=classes) / len(label)
    base = np.tile(shares, (len(label), 1))
    told = of_classes(chance, answered, label, read.each, rng) | {
        "classes": list(POLARITIES[:classes]),
        "mixed": {
            "answered": figures.mean(mixed, read.each, rng),
            "labelled": {name: int((mixed & (label == code)).sum()) for code, name in enumerate(POLARITIES[:classes])},
        },
    }
    ours, theirs = metrics.log_losses(chance, label), metrics.log_losses(base, label)
    told["baselines"] = {
        "base_rate": {
            "accuracy": figures.mean(label == shares.argmax(), read.each, rng),
            "log_loss": figures.mean(theirs, read.each, rng),
            "difference": {"log_loss": figures.difference(ours, theirs, read.each, rng)},
        }
    }
    return told


def folded(polarity: Floats) -> Floats:
    """(n, 3) of (n, 4): mixed counts as neutral."""
    three = polarity[:, :3].copy()
    three[:, THREE.index("neutral")] += polarity[:, POLARITIES.index("mixed")]
    return three


def of_classes(chance: Floats, answered: Ints, label: Ints, each: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """Figures of probabilities (n, K) and answers (n,) for labels (n,)."""
    right = answered == label
    return {
        "accuracy": figures.mean(right, each, rng),
        "macro_f1": figures.redrawn(lambda i: metrics.macro_f1(answered[i], label[i]), each, rng),
        "log_loss": figures.mean(metrics.log_losses(chance, label), each, rng),
        **figures.ece(chance[np.arange(len(chance)), answered], right, each, rng),
    }


# -- emotion -----------------------------------------------------------------------------------------------------------


def emotion_report(read: Read, asked_for: FeedbackMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """Each of 28 emotions is its own yes or no, answered as it is served: from where it was measured to be answered
    best, or from a probability of one half where nothing was measured."""
    chance = read.prediction.emotions
    if chance is None:
        raise MeasureError("the bundle was not trained on emotions; train it on texts labelled with them")
    truth = _many_hot(read.labels)
    felt = read.prediction.emotions_felt
    said = chance >= EMOTION_FROM if felt is None else felt
    some = np.flatnonzero(truth.any(axis=0))

    def macro(index: Ints) -> float:
        return float(np.mean(_f1(said[index][:, some], truth[index][:, some])))

    def micro(index: Ints) -> float:
        return float(_f1(said[index].reshape(-1, 1), truth[index].reshape(-1, 1))[0])

    losses = metrics.binary_log_losses(chance.ravel(), truth.ravel()).reshape(chance.shape)
    top = chance.argmax(axis=1)
    cells = np.repeat(read.each, len(EMOTIONS))
    return {
        "accuracy": figures.mean(truth[read.each, top], read.each, rng),
        "macro_f1": figures.redrawn(macro, read.each, rng),
        "micro_f1": figures.redrawn(micro, read.each, rng),
        "log_loss": figures.mean(losses.mean(axis=1), read.each, rng),
        **figures.ece(chance.ravel(), truth.ravel(), cells, rng),
        "emotions": {EMOTIONS[k]: {"f1": _of(float(f1)), "n": int(truth[:, k].sum())}
                     for k, f1 in zip(some, _f1(said[:, some], truth[:, some]), strict=True)},
    }  # fmt: skip


def _many_hot(labels: Sequence[Any]) -> NDArray[np.bool_]:
    """(n, 28) from lists of names, or names with commas between them."""
    found = np.zeros((len(labels), len(EMOTIONS)), dtype=np.bool_)
    for row, label in enumerate(labels):
        names = label.split(",") if isinstance(label, str) else list(label)
        for name in (str(one).strip() for one in names):
            if name not in EMOTIONS:
                raise MeasureError(f"label {name!r} is no emotion; allowed: {', '.join(EMOTIONS)}")
            found[row, EMOTIONS.index(name)] = True
    return found


def _f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Floats:
    """(K,) F1 of each column; 0 where a label is there and none was found."""
    size = said.sum(axis=0) + truth.sum(axis=0)
    return np.asarray(2.0 * (said & truth).sum(axis=0) / np.maximum(size, 1), dtype=np.float64)


# -- intensity, disagreement, sarcasm ----------------------------------------------------------------------------------


def intensity_report(read: Read, asked_for: FeedbackMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """Pearson's r of our mean with the raters' mean (on any scale), Spearman's rho of our spread with theirs."""
    mean, spread = read.prediction.intensity_mean, read.prediction.intensity_spread
    if mean is None or spread is None:
        raise MeasureError("the bundle was not trained on intensity; train it on texts with an intensity or stars")
    rated = [np.mean(one) if isinstance(one, list) else one for one in read.labels]
    label = _numbers(rated, "numbers, or lists of single ratings")
    told: dict[str, Any] = {
        "pearson": figures.redrawn(lambda i: correlation(mean[i], label[i]), read.each, rng),
        "spearman": figures.redrawn(lambda i: correlation(rankdata(mean[i]), rankdata(label[i])), read.each, rng),
    }
    theirs = _raters_spread(read, asked_for)
    if theirs is not None:
        told["spread_spearman"] = figures.redrawn(
            lambda i: correlation(rankdata(spread[i]), rankdata(theirs[i])), read.each, rng
        )
    return told


def _raters_spread(read: Read, asked_for: FeedbackMeasurement) -> Floats | None:
    name = asked_for.spread or next((one for one in ("std", "ratings") if one in read.rows[0]), None)
    cells = [row[name] for row in read.rows] if name else read.labels
    if all(isinstance(cell, list) for cell in cells):
        return np.array([np.std(cell) for cell in cells], dtype=np.float64)
    return _numbers(cells, "numbers, or lists of single ratings") if name else None


def disagreement_report(read: Read, asked_for: FeedbackMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """Raters disagree from two thirds on; the score is our spread, or our doubt about the polarity without one."""
    truth = _numbers(read.labels, "shares from 0 to 1") >= DISAGREE
    spread = read.prediction.intensity_spread
    by_spread = spread is not None and not read.prediction.weak_labels
    score = spread if spread is not None and by_spread else 1.0 - read.polarity.max(axis=1)
    return {
        "score": "intensity_spread" if by_spread else "polarity_doubt",
        "positives": int(truth.sum()),
        **ranking(score, truth, read.each, rng),
    }


def sarcasm_report(read: Read, asked_for: FeedbackMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    """The score is the nuance `ironic` (without that head, the flag); the flag `sarcasm_cue` is told by itself."""
    words = [str(label).strip().lower() for label in read.labels]
    wrong = next((word for word in words if word not in _YES), None)
    if wrong is not None:
        raise MeasureError(f"label {wrong!r}; allowed: 1, 0, true, false, yes, no")
    truth = np.array([_YES[word] == 1 for word in words])
    codes = text_flags(read.prediction, read.texts, expected_language=read.language)
    flagged = np.array(["sarcasm_cue" in found for found in codes])
    nuance = read.prediction.nuance
    score = flagged.astype(np.float64) if nuance is None else nuance[:, NUANCES.index("ironic")]
    return {
        "score": "flag" if nuance is None else "nuance_ironic",
        "positives": int(truth.sum()),
        **ranking(score, truth, read.each, rng),
        "flag": {"precision": _share(truth, flagged, rng), "recall": _share(flagged, truth, rng)},
    }


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_], rng: np.random.Generator) -> Figure:
    return figures.mean(what[among], np.flatnonzero(among), rng)


def correlation(one: Floats, other: Floats) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _numbers(labels: Sequence[Any], allowed: str) -> Floats:
    found = np.empty(len(labels))
    for row, label in enumerate(labels):
        try:
            found[row] = float(label)
        except (ValueError, TypeError):
            found[row] = np.nan
        if not np.isfinite(found[row]):
            raise MeasureError(f"label {label!r:.40}; allowed: {allowed}")
    return found


def _within(numbers: Floats, limit: float) -> None:
    if np.abs(numbers).max() > limit:
        raise MeasureError(f"label {numbers[np.abs(numbers).argmax()]:g}; mean ratings lie in -{limit:g}..{limit:g}")


def _of(value: float) -> float:
    return round(value, 6)
