"""Teach purchase likelihood: a mixture over behaviour at random moments, exported to ONNX and proven equal.

Learns from landmarks whose whole horizon lies before `until`, so no label reaches into a later slice. How the mixture
is fitted is in `crossfit.py`, how its settings are found in `purchase_tuning.py`. Calibration and tests are not here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence.metrics import binary_log_losses
from models.features.behaviour import behaviour, features_of
from models.features.vocabulary import Vocabulary
from models.journey.event import SECOND, Micros
from models.journey.journeys import Ints, Journeys
from models.journey.target import HAPPENED, Target
from models.predictors.purchase import ABOUT_FILE, BOOSTING_FILE, FORMAT_VERSION, TREES_FILE, Logistic, Usual
from models.predictors.stacking import MONOTONE, NEXT_TOUCHPOINT, SOURCES, stacked, stacked_features
from training.crossfit import BoostingConfig, Learned, cross_fit, regress
from training.errors import TooLittleData
from training.examples import landmarks
from training.export import export_boosting, trees_of
from training.loop import Progress
from training.purchase_tuning import Tuned, tune
from training.splits import in_folds
from training.stacking import NOBODY, Stack

Features = NDArray[np.float32]
Labels = NDArray[np.int8]
Reals = NDArray[np.float64]

AHEAD = 0.25
"""The latest part of the time, by examples, on which shares of the past are tried."""
RECENT_SHARES = (1.0, 0.5, 0.25)
_LANDMARKS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class PurchaseConfig:
    """How purchase likelihood is learned.

    per_month          landmarks drawn per customer and 30 days
    most_examples      more landmarks than this are thinned at random
    minimum_positives  fewer purchases (or fewer moments without one) than this are refused as too little data
    stack              whose answers stand beside behaviour, out of fold: next_touchpoint, feeling
    trials             so many settings of the boosting are tried (Optuna); 0 takes them as they are
    boosting           settings of the boosting
    """

    per_month: int = 4
    most_examples: int = 200_000
    minimum_positives: int = 50
    stack: tuple[str, ...] = (NEXT_TOUCHPOINT,)
    trials: int = 0
    boosting: BoostingConfig = field(default_factory=BoostingConfig)

    def __post_init__(self) -> None:
        for name in ("per_month", "most_examples", "minimum_positives"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.trials < 0:
            raise ValueError(f"trials {self.trials} must be at least 0")
        foreign = [one for one in self.stack if one not in SOURCES]
        if foreign:
            raise ValueError(f"stack names {foreign[0]!r}; allowed: {', '.join(SOURCES)}")


@dataclass(frozen=True)
class Landmarks:
    """Moments with what was seen and what happened: S examples.

    rows (S,) customers, as_of (S,) microseconds, features (S, F) float32, happened (S,) 1 or 0; the features are those
    of behaviour, then those that the `sources` add. lengths (S,) touchpoints seen by then.
    """

    rows: Ints
    as_of: Ints
    features: Features
    happened: Labels
    lengths: Ints
    sources: tuple[str, ...] = ()

    def only(self, kept: NDArray[np.bool_]) -> Landmarks:
        """Some of them (S,)."""
        return Landmarks(
            self.rows[kept],
            self.as_of[kept],
            self.features[kept],
            self.happened[kept],
            self.lengths[kept],
            self.sources,
        )

    def latest(self, share: float) -> Landmarks:
        """This share of them, by moment."""
        return (
            self if share >= 1 or not len(self.as_of) else self.only(self.as_of >= np.quantile(self.as_of, 1 - share))
        )


@dataclass(frozen=True)
class HeldOut:
    """What was said of moments (S,) by models that did not learn from their customer or their time, what happened, and
    how many touchpoints were seen by then.
    """

    raw: Reals
    happened: Labels
    customer: Ints
    lengths: Ints


@dataclass(frozen=True)
class PurchaseFit:
    """What was learned, from how many examples, and the log-losses on held-out customers at later moments."""

    examples: int
    positives: int
    base_rate: float
    recent_share: float  # of the moments, the latest, that taught
    rounds: int
    sources: tuple[str, ...]
    held_out: dict[str, float]
    out_of_fold: HeldOut
    tuned: Tuned | None
    seconds: float
    parity: float  # the largest difference of a probability that was found between boosting and export


@dataclass(frozen=True)
class LogisticBaseline:
    """What a report sets beside us: logistic regression on the logs of the same features. Called as we are asked."""

    vocabulary: Vocabulary
    base_rate: float
    logistic: Logistic

    def __call__(self, seen: Journeys, as_of: Ints) -> NDArray[np.float64]:
        """(C,) probability for journeys already cut by `seen_at(as_of)`; an empty journey gets the base rate."""
        if not len(seen):
            return np.empty(0)
        given = self.logistic.predict(behaviour(seen, as_of, self.vocabulary))
        return np.where(seen.lengths > 0, given, self.base_rate)


def purchase_examples(
    journeys: Journeys,
    target: Target,
    vocabulary: Vocabulary,
    since: Micros,
    until: Micros,
    rng: np.random.Generator,
    per_month: int = 1,
    most: int | None = None,
    stack: Stack = NOBODY,
) -> Landmarks:
    """Landmarks in [since, until] whose horizon ends by `until`, with features as of then and what happened.

    With a `stack` they are of those customers alone about whom its predictors can be asked out of fold.
    """
    rows, as_of = landmarks(journeys, since, until - target.horizon_seconds * SECOND + 1, rng, per_month)
    apart = stack.knows(rows)
    rows, as_of = rows[apart], as_of[apart]
    if most is not None and len(rows) > most:
        kept = np.sort(rng.choice(len(rows), most, replace=False))
        rows, as_of = rows[kept], as_of[kept]
    width = len(features_of(vocabulary)) + len(stacked_features(stack.sources))
    features = np.empty((len(rows), width), dtype=np.float32)
    happened, lengths = np.empty(len(rows), dtype=np.int8), np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _LANDMARKS_AT_ONCE):
        part = slice(start, start + _LANDMARKS_AT_ONCE)
        taken, moment = journeys.take(rows[part]), as_of[part]
        seen = taken.seen_at(moment)
        behaved = behaviour(seen, moment, vocabulary)
        features[part, : behaved.shape[1]] = behaved
        if stack.sources:
            features[part, behaved.shape[1] :] = stacked(target, stack.sources, stack.said(seen, moment, rows[part]))
        happened[part], lengths[part] = target.outcome(taken, moment, until), seen.lengths
    return Landmarks(rows, as_of, features, happened, lengths, stack.sources)


def fit_purchase(
    journeys: Journeys,
    target: Target,
    vocabulary: Vocabulary,
    since: Micros,
    until: Micros,
    config: PurchaseConfig,
    seed: int,
    out: Path,
    progress: Progress,
    stack: Stack = NOBODY,
    *,
    ahead: bool = True,
) -> PurchaseFit:
    """Learn from landmarks in [since, until - horizon] and write the predictor's files into the folder `out`.

    `ahead` says that what will be asked lies after `until`: then only the latest landmarks teach, where looking ahead
    from the past shows that this is better. Raises TooLittleData where the target (almost) never or always happens.
    """
    began = time.monotonic()
    rng = np.random.default_rng(seed)
    examples = purchase_examples(
        journeys, target, vocabulary, since, until, rng, config.per_month, config.most_examples, stack
    )
    positives = int((examples.happened == HAPPENED).sum())
    _refuse_too_little(target, len(examples.happened), positives, config)
    recent = recent_share(examples, target, config) if ahead else 1.0
    examples = examples.latest(recent)
    x, y = examples.features, examples.happened
    positives = int((y == HAPPENED).sum())
    progress(f"{target.name}: {len(y)} moments, {positives} followed by it ({positives / len(y):.2%})")
    fold = _folds(examples.rows, config.boosting.folds, rng)
    constraints = [0] * len(features_of(vocabulary)) + [
        MONOTONE.get(one.name, 0) for one in stacked_features(stack.sources)
    ]
    tuned = tune(x, y, fold, config.boosting, config.trials, seed, constraints, progress) if config.trials else None
    boosting = tuned.config if tuned else config.boosting
    # Other customers, at the later moments: what serving will be asked is later still.
    late = examples.as_of >= np.median(examples.as_of)
    learned = cross_fit(x, y, fold, boosting, seed, constraints=constraints, counted=late)
    progress(f"held out: {', '.join(f'{name} {loss:.4f}' for name, loss in learned.held_out.items())}")
    out.mkdir(parents=True, exist_ok=True)
    parity = export_boosting(learned.boosting, x, out / BOOSTING_FILE, rng)
    trees_of(learned.boosting).save(out / TREES_FILE)
    _write_about(out, target, vocabulary, config, examples, learned)
    said = HeldOut(learned.said, y, examples.rows, examples.lengths)
    return PurchaseFit(
        len(y),
        positives,
        positives / len(y),
        recent,
        learned.rounds,
        stack.sources,
        learned.held_out,
        said,
        tuned,
        time.monotonic() - began,
        parity,
    )


def recent_share(examples: Landmarks, target: Target, config: PurchaseConfig) -> float:
    """The share of the examples, the latest ones, that would have foretold the latest quarter of the time best.

    A logistic regression walks ahead once: it learns from each share of what was over before that quarter began. Of
    the shares within one standard error of the best the largest is taken, so a steady world forgets nothing.
    """
    since = np.quantile(examples.as_of, 1 - AHEAD)
    over = examples.as_of < since - target.horizon_seconds * SECOND
    asked = examples.as_of >= since
    past = examples.only(over)
    losses = {}
    for share in RECENT_SHARES:
        known = past.latest(share)
        if min(int(known.happened.sum()), int((1 - known.happened).sum())) < config.minimum_positives:
            break
        said = regress(known.features, known.happened).predict(examples.features[asked])
        losses[share] = binary_log_losses(said, examples.happened[asked])
    if not losses:
        return 1.0
    best = min(losses.values(), key=lambda loss: float(loss.mean()))
    customers = max(1, len(np.unique(examples.rows[asked])))  # a customer's moments are alike: they count once
    return next(
        share for share, loss in losses.items() if (loss - best).mean() <= (loss - best).std() / np.sqrt(customers)
    )


def _write_about(
    out: Path,
    target: Target,
    vocabulary: Vocabulary,
    config: PurchaseConfig,
    examples: Landmarks,
    learned: Learned,
) -> None:
    """Write what the predictor must know beside the boosting."""
    names = [one.name for one in (*features_of(vocabulary), *stacked_features(examples.sources))]
    positives = int((examples.happened == HAPPENED).sum())
    about: Mapping[str, Any] = {
        "format_version": FORMAT_VERSION,
        "target": target.to_dict(),
        "vocabulary": vocabulary.to_dict(),
        "sources": list(examples.sources),
        "features": names,
        "minimum_positives": config.minimum_positives,
        "base_rate": positives / len(examples.happened),
        "n": len(examples.happened),
        "positives": positives,
        "boosting_weight": learned.boosting_weight,
        "logistic": learned.logistic.to_dict(),
        "usual": Usual.of(examples.features).to_dict(),
    }
    (out / ABOUT_FILE).write_text(json.dumps(about, indent=1, ensure_ascii=False), "utf-8")


def fit_logistic(
    journeys: Journeys,
    target: Target,
    vocabulary: Vocabulary,
    since: Micros,
    until: Micros,
    seed: int,
    config: PurchaseConfig | None = None,
) -> LogisticBaseline:
    """Logistic regression on the very examples that `fit_purchase` learns from with this seed. Raises TooLittleData."""
    config = config or PurchaseConfig()
    examples = purchase_examples(
        journeys, target, vocabulary, since, until, np.random.default_rng(seed), config.per_month, config.most_examples
    )
    positives = int((examples.happened == HAPPENED).sum())
    _refuse_too_little(target, len(examples.happened), positives, config)
    return LogisticBaseline(
        vocabulary, positives / len(examples.happened), regress(examples.features, examples.happened)
    )


def _refuse_too_little(target: Target, n: int, positives: int, config: PurchaseConfig) -> None:
    wanted, horizon = ", ".join(target.touchpoints), f"{target.horizon_seconds / 86_400:g} days"
    if n == 0:
        raise TooLittleData(
            f"{target.name}: no journey is followed for the whole horizon of {horizon}; send more history"
        )
    if positives < config.minimum_positives:
        raise TooLittleData(
            f"{target.name}: {wanted} followed {positives} of {n} moments within {horizon}; "
            f"at least {config.minimum_positives} are needed to learn from"
        )
    if n - positives < config.minimum_positives:
        raise TooLittleData(
            f"{target.name}: {wanted} followed all but {n - positives} of {n} moments within {horizon}; "
            f"at least {config.minimum_positives} without it are needed to tell them apart: take a shorter horizon"
        )


def _folds(rows: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """(S,) a fold for each example: all of a customer's in one, and about as many examples in each."""
    customers, place, counts = np.unique(rows, return_inverse=True, return_counts=True)
    return in_folds(np.arange(len(customers)), counts.astype(np.float64), folds, rng)[place]
