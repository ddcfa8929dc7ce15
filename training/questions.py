"""The questions, each from fit to figures: what comes next, will they buy, how do they feel, where do they answer.

Each function fits on the train slice, calibrates on the next, reports on the latest, and writes its predictor's folder
into the bundle. Raises what `pipeline.NOT_TRAINED` lists where the data cannot support the question.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.sequence import encode_sequences
from models.features.vocabulary import Vocabulary
from models.insight import ReleasePolicy, probability
from models.journey.event import SECOND, Micros
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.measured import MeasuredFeeling, MeasuredNextTouchpoint, MeasuredPurchase
from models.predictors.baseline import majority, repeat_last
from models.predictors.feedback import FeedbackPredictor
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.purchase import PurchasePredictor
from models.predictors.stacking import FEELING, NEXT_TOUCHPOINT
from training import calibrate, evaluate, plots
from training.behaviour.suite import rates, reader_of, run_suite
from training.bgnbd import repeat_buying
from training.channel import fit_channels
from training.config import TrainConfig
from training.console import Reporter
from training.data import TrainingData, labelled
from training.errors import TooLittleData
from training.examples import landmarks
from training.feedback import fit_feedback
from training.feedback_baseline import fit_tfidf_baseline
from training.feedback_labels import NotEnoughLabels
from training.feelings import feelings_out_of_fold
from training.markov import fit_baselines
from training.next_touchpoint import fit_next_touchpoint
from training.purchase import fit_logistic, fit_purchase
from training.reference import keep_features, keep_words
from training.splits import CALIBRATION, TEST, TRAIN, Slice, for_landmarks, latest_touchpoints, of_texts
from training.stacking import FEELINGS_FILE, FOLD_FILE, FeelingsOutOfFold, NextOutOfFold, Stack

M = TypeVar("M")
LEAST_TEST_CASES = 20
LEAST_CUSTOMERS = 20
"""A likelihood is learned from some customers and stopped by others; fewer than these cannot be parted."""
POLICY = ReleasePolicy()
"""Figures are reported under the default policy; an operator's own is applied when serving."""


@dataclass(frozen=True)
class Answered(Generic[M]):
    """What was measured for the bundle (None where not trained), and the figures of the report."""

    measured: M | None
    figures: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What every question is given: settings, data, where pictures go, randomness, and somebody who watches.

    In the folder `checkpoints` a question may keep how far it is, to go on from there if the run is stopped.
    """

    config: TrainConfig
    data: TrainingData
    pictures: Path
    rng: np.random.Generator
    reporter: Reporter
    checkpoints: Path | None = None

    @property
    def apart(self) -> Path | None:
        """Where predictors of what comes next stay that did not learn from some customers, to be asked about these."""
        return self.checkpoints / "apart" if self.checkpoints else None


def next_touchpoint(asking: Asked, folder: Path) -> Answered[MeasuredNextTouchpoint]:
    """What comes next, and when."""
    config, rng = asking.config, asking.rng
    journeys = _journeys(asking.data)
    test = latest_touchpoints(journeys)
    vocabulary = Vocabulary.of(journeys.seen_at(np.full(len(journeys), test.since - 1)))
    fit = fit_next_touchpoint(
        journeys, vocabulary, test.since, config.horizon_seconds, config.next_touchpoint, config.seed, folder,
        asking.reporter.say, checkpoints=asking.checkpoints, apart=asking.apart,
    )  # fmt: skip
    predictor = NextTouchpointPredictor.load(folder)
    measured = calibrate.calibrate_next_touchpoint(fit.out_of_fold)
    asked = evaluate.ask_steps(journeys, predictor, test, rng)
    _enough(len(asked.label), "touchpoints")
    chance = measured.chance(predictor.predict(asked.seen, asked.as_of).distribution, asked.seen.lengths)
    simple = fit_baselines(journeys, vocabulary, test.since)
    rows = encode_sequences(asked.seen, asked.as_of, vocabulary, 4)
    base = majority(simple.markov, len(rows.lengths))
    baselines = {
        "majority": base,
        "repeat_last": repeat_last(rows.tokens, rows.lengths, base, simple.again),
        **{f"markov_{order}": simple.markov.predict(rows.tokens, rows.lengths, order) for order in (1, 2, 3)},
    }
    sets = measured.sets_of(chance, asked.seen, POLICY.coverage)
    figures = evaluate.next_touchpoint_figures(chance, sets, baselines, asked, rng)
    figures |= {"examples": fit.examples, "mixture": list(fit.mixture.weights), "calibration_n": measured.n}
    figures |= {"half_life_days": _days(fit.half_life_seconds), "beats_base_rate": measured.base_rate is None}
    figures |= {"parity": _parity(fit.parity)}
    correct = chance.argmax(axis=1) == asked.label
    plots.reliability(asking.pictures / "next_touchpoint.png", "Next touchpoint", chance.max(axis=1), correct)
    plots.beside_baselines(asking.pictures / "next_touchpoint_baselines.png", "Next touchpoint", figures)
    return Answered(measured, figures)


def purchase(target: Target, asking: Asked, folder: Path) -> Answered[MeasuredPurchase]:
    """How likely the target is within its horizon."""
    config, rng = asking.config, asking.rng
    journeys = _journeys(asking.data)
    if not any(target.matches(name) for name in journeys.names):
        raise TooLittleData(f"no touchpoint in the log is {' or '.join(target.touchpoints)}")
    slices = for_landmarks(journeys, target.horizon_seconds)
    since, until = slices.train.since, slices.calibration.since
    vocabulary = Vocabulary.of(_known_before(journeys, until))
    stack = _stack(asking, folder)
    fit = fit_purchase(
        journeys, target, vocabulary, since, until, config.purchase, config.seed, folder, asking.reporter.say, stack
    )
    predictor = PurchasePredictor.load(folder)
    earlier = calibrate.ask_purchase(predictor, _ask(journeys, target, slices.calibration, stack, rng), stack)
    measured = calibrate.calibrate_purchase(earlier, rng)
    asked = _ask(journeys, target, slices.test, stack, rng)
    _enough(len(asked.happened), "moments")
    _both(target, asked.happened)
    latest = calibrate.ask_purchase(predictor, asked, stack)
    keep_features(predictor, journeys, stack, folder, config.seed)
    chance = measured.calibrator.apply(latest.raw)
    baselines = {
        "base_rate": np.full(len(chance), predictor.base_rate),
        "logistic_regression": fit_logistic(journeys, target, vocabulary, since, until, config.seed, config.purchase)(
            asked.seen, asked.as_of
        ),
        **repeat_buying(journeys, target, until, asked.seen, asked.as_of),
    }
    figures = evaluate.purchase_figures(chance, measured.interval(chance, latest.lengths), baselines, asked, rng)
    figures |= {"examples": fit.examples, "calibrator": measured.calibrator.name, "calibration_n": measured.n}
    figures |= {"stacked": list(fit.sources), "tuned": fit.tuned.to_dict() if fit.tuned else None}
    figures |= {"recent_share": fit.recent_share, "parity": _parity(fit.parity)}
    shipped = calibrate.brought_up_to_date(measured, earlier, latest, rng)
    figures |= {"drift": round(shipped.drift, 4), "promise_held": shipped.held}
    title, picture = f"Purchase: {target.name}", asking.pictures / f"purchase_{target.name}.png"
    plots.reliability(picture, title, chance, asked.happened)
    plots.beside_baselines(picture.with_stem(f"{picture.stem}_baselines"), title, figures)
    return Answered(shipped, figures)


def _stack(asking: Asked, folder: Path) -> Stack:
    """Who is asked beside behaviour, out of fold: those of whom the settings name that could be taught."""
    served, apart, wanted = folder.parent.parent / "next_touchpoint", asking.apart, asking.config.purchase.stack
    following = feelings = None
    if NEXT_TOUCHPOINT in wanted and apart is not None and (apart / FOLD_FILE).is_file() and served.is_dir():
        following = NextOutOfFold.load(apart, NextTouchpointPredictor.load(served))
    if FEELING in wanted and asking.checkpoints is not None and asking.data.feedback is not None:
        feelings = _feelings(asking, asking.data.feedback, asking.checkpoints / "feelings")
    return Stack(following, feelings)


def _feelings(asking: Asked, feedback: pd.DataFrame, folder: Path) -> FeelingsOutOfFold | None:
    """Read once for all targets, and kept; None where the texts do not support it."""
    if (folder / FEELINGS_FILE).is_file():
        return FeelingsOutOfFold.load(folder)
    shutil.rmtree(folder, ignore_errors=True)
    config = asking.config
    try:
        found = feelings_out_of_fold(
            feedback, _journeys(asking.data).customers, config.feeling, config.seed, folder, asking.reporter.say
        )
    except (TooLittleData, NotEnoughLabels) as refusal:
        asking.reporter.say(f"not stacked on feelings: {refusal}")
        return None
    found.save(folder)
    return found


def _ask(
    journeys: Journeys, target: Target, part: Slice, stack: Stack, rng: np.random.Generator
) -> evaluate.AskedLandmarks:
    """Moments of those customers about whom everybody can be asked out of fold."""
    asked = evaluate.ask_landmarks(journeys, target, part, rng)
    kept = np.flatnonzero(stack.knows(asked.customer))
    if len(kept) == len(asked.customer):
        return asked
    return evaluate.AskedLandmarks(asked.seen.take(kept), asked.as_of[kept], asked.happened[kept], asked.customer[kept])


def base_rates(targets: Sequence[Target], journeys: Journeys, seed: int) -> dict[str, float | None]:
    """How often each target follows a random moment of a customer: all that can be told where nothing was learned.

    None where no moment is followed for the whole horizon.
    """
    end = int(journeys.occurred_at.max(initial=0))
    found: dict[str, float | None] = {}
    for target in targets:
        until = end - target.horizon_seconds * SECOND + 1
        rows, as_of = landmarks(journeys, 0, until, np.random.default_rng(seed))
        came = target.outcome(journeys.take(rows), as_of, end)
        found[target.name] = probability(float(came.mean())) if len(rows) else None
    return found


def feeling(asking: Asked, folder: Path) -> Answered[MeasuredFeeling]:
    """How a text feels."""
    config, rng, feedback = asking.config, asking.rng, asking.data.feedback
    if feedback is None:
        raise TooLittleData("no feedback file was given")
    frame = labelled(feedback)
    part = of_texts(frame, config.seed)
    train, calibration, test = (frame[part == name].reset_index(drop=True) for name in (TRAIN, CALIBRATION, TEST))
    _enough(len(calibration), "labelled texts", CALIBRATION)
    _enough(len(test), "labelled texts")
    settings = replace(config.feeling, seed=config.seed)
    fit = fit_feedback(train, settings, folder, progress=asking.reporter.advance)
    predictor = FeedbackPredictor.load(folder)
    keep_words(predictor, calibration, folder, config.seed)
    measured = calibrate.calibrate_feeling(predictor, calibration)
    label = calibrate.polarity_codes(test)
    found = calibrate.read(predictor.predict(list(test["text"])), measured.temperature, test, predictor.language)
    channels = calibrate.channels(test)
    rules = {name: measured.rule(POLICY.alpha, POLICY.delta, str(name)) for name in np.unique(channels)}
    passes = np.array([rules[name].releases(found.score[i : i + 1])[0] for i, name in enumerate(channels)])
    released = passes & calibrate.unflagged(found)
    simple = fit_tfidf_baseline(train, test, least_texts=config.feeling.least_texts)
    figures = evaluate.feeling_figures(
        found.polarity, label, released, {"majority": simple.majority, "tfidf": simple.tfidf}, rng
    )
    figures |= {"examples": fit.texts, "heads": list(fit.heads), "weak_labels": fit.weak_labels}
    figures |= {"calibration_n": len(calibration), "calibration_unflagged": len(measured.table)}
    figures |= {"parity": _parity(fit.parity)}
    correct = found.polarity.argmax(axis=1) == label
    plots.reliability(asking.pictures / "feeling.png", "Feeling", found.score, correct)
    plots.beside_baselines(asking.pictures / "feeling_baselines.png", "Feeling", figures)
    if predictor.language == "en":
        figures |= {"behaviour": rates(run_suite(reader_of(predictor)))}
    return Answered(measured, figures)


def preferred_channel(asking: Asked, folder: Path) -> Answered[None]:
    """Where customers answer: what those of a segment do, which a customer's own answers are shrunk to."""
    journeys = _journeys(asking.data)
    return Answered(None, fit_channels(journeys, int(journeys.known_at.max()), folder))


def _journeys(data: TrainingData) -> Journeys:
    if data.assembled is None or not len(data.assembled.journeys.code):
        raise TooLittleData("no events file was given" if data.assembled is None else "the log holds no touchpoints")
    return data.assembled.journeys


def _known_before(journeys: Journeys, until: Micros) -> Journeys:
    """What of the journeys was seen before `until`. Raises TooLittleData where that is next to nobody."""
    known = journeys.seen_at(np.full(len(journeys), until - 1))
    customers = int((known.lengths > 0).sum())
    if customers < LEAST_CUSTOMERS:
        raise TooLittleData(
            f"{customers} customers were seen before the calibration slice; {LEAST_CUSTOMERS} are needed to learn from"
        )
    return known


def _days(seconds: float) -> float | None:
    """None: what happened long ago counts as much as what happened last."""
    return None if math.isinf(seconds) else round(seconds / 86_400, 1)


def _parity(apart: float) -> float:
    """How far the exported graph was seen to answer from what was fitted, in two digits."""
    return float(f"{apart:.1e}")


def _enough(cases: int, what: str, part: str = TEST) -> None:
    if cases < LEAST_TEST_CASES:
        raise TooLittleData(
            f"{cases} {what} fall into the {part} slice; {LEAST_TEST_CASES} are needed to measure anything"
        )


def _both(target: Target, happened: NDArray[np.int8]) -> None:
    if not 0 < happened.sum() < len(happened):
        raise TooLittleData(
            f"{target.name} followed {happened.sum()} of {len(happened)} moments of the test slice; without both "
            "outcomes nothing can be measured"
        )
