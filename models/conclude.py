"""From a prediction and what was measured about it to a conclusion: the answer, its flags, its decision, its promise.

Pure: no file is read and no net is run here. One definition, used when serving and when measuring what serving would
do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence.risk import ReleaseRule
from models.decided import NextTouchpoints, Purchases
from models.insight import (
    Conclusion,
    Decision,
    Flag,
    JourneySummary,
    Promise,
    ReleasePolicy,
    decision_by_flags,
    flags,
    probabilities,
    probability,
)
from models.journey.assembly import Feedback
from models.journey.event import DAY, format_duration, format_time, parse_time
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.measured import (
    LEAST_CALIBRATION_CASES,
    LEAST_COVERAGE_CASES,
    MeasuredFeeling,
    MeasuredNextTouchpoint,
    MeasuredPurchase,
    last_touchpoints,
)
from models.predictors.channel import ChannelPreference, nothing_preferred
from models.predictors.emotions import ekman
from models.predictors.feedback import EMOTIONS, POLARITIES, FeelingPrediction, text_flags
from models.predictors.predictor import NextTouchpointPrediction
from models.predictors.stacking import Feelings

EMOTION_SHOWN_FROM = 0.3
"""Where nothing was measured of emotions, they are told from this probability on."""
GROUP_SHOWN_FROM = 0.2
"""Rarer groups of emotions are left out."""

Floats = NDArray[np.float64]


def not_trained(kind: Any, about: dict[str, Any], code: str = "not_trained", **details: Any) -> Conclusion:
    """We do not know, and say so; `details` holds the base rate where there is one."""
    return Conclusion(kind, Decision.ABSTAIN, flags([code]), None, details, about)


def conclude_next_touchpoints(
    prediction: NextTouchpointPrediction,
    touchpoints: Sequence[str],
    seen: Journeys,
    horizon_seconds: int,
    measured: MeasuredNextTouchpoint,
    policy: ReleasePolicy,
) -> NextTouchpoints:
    """What is concluded of each row of the prediction, whose journeys are `seen`.

    A journey without touchpoints gets the base rate and `abstain`, and so does everybody where the model knows no more.
    """
    chance = measured.chance(prediction.distribution, seen.lengths)
    inside, sets = measured.sets_of(chance, seen, policy.coverage), measured.set_for(policy.coverage)
    enough = measured.n >= LEAST_COVERAGE_CASES
    common = [] if enough else ["too_little_data"]
    common += [] if measured.base_rate is None else ["no_better_than_base_rate"]
    about = {"horizon": format_duration(horizon_seconds)}

    def decided(empty: bool, group: str) -> Conclusion:
        found = flags((["no_history"] if empty else []) + common)
        promise = Promise("coverage", {"at_least": policy.coverage}, group, sets.n[group], enough)
        return Conclusion("next_touchpoint", decision_by_flags(found), found, None, {}, about, promise)

    groups = map(sets.group_of, last_touchpoints(seen))
    ways, way = _distinct(zip((seen.lengths == 0).tolist(), groups, strict=True), decided)
    order = np.argsort(-chance, axis=1, kind="stable")
    return NextTouchpoints(ways, way, tuple(touchpoints), order, chance, inside, prediction.none_within_horizon,
                           prediction.expected_in_seconds)  # fmt: skip


def conclude_purchases(
    raw: Floats,
    target: Target,
    base_rate: float,
    lengths: NDArray[np.int64],
    measured: MeasuredPurchase,
    feelings: Sequence[Conclusion | None],
) -> Purchases:
    """What is concluded of each raw probability (C,). A likely buyer whose anger waits to be read goes to a person."""
    calibrated = measured.calibrator.apply(raw)
    low, high = measured.interval(calibrated, lengths)
    enough = measured.n >= LEAST_CALIBRATION_CASES
    promise = Promise("calibration", {"within": "interval"}, "all", measured.n, enough and measured.held)
    about = purchase_about(target, base_rate)
    common = [] if enough else ["too_little_data"]
    common += [] if measured.held else ["promise_failed"]

    def decided(empty: bool, anger: bool) -> Conclusion:
        found = flags((["no_history"] if empty else []) + common + (["anger_waiting"] if anger else []))
        return Conclusion("purchase", decision_by_flags(found), found, None, {}, about, promise)

    likely = (calibrated > base_rate).tolist()
    anger = [more and _anger_waiting(one) for more, one in zip(likely, feelings, strict=True)]
    ways, way = _distinct(zip((lengths == 0).tolist(), anger, strict=True), decided)
    told = (np.array(probabilities(one)) for one in (calibrated, low, high, 1 - (high - low)))
    return Purchases(ways, way, *told)


def _distinct(
    cases: Iterable[tuple[Any, ...]], decided: Callable[..., Conclusion]
) -> tuple[tuple[Conclusion, ...], NDArray[np.int64]]:
    """Each distinct case decided once, and which of them every row (C,) is."""
    numbers: dict[tuple[Any, ...], int] = {}
    way = np.array([numbers.setdefault(case, len(numbers)) for case in cases], dtype=np.int64)
    return tuple(decided(*case) for case in numbers), way


def purchase_about(target: Target, base_rate: float | None) -> dict[str, Any]:
    """What was asked: the definition, its horizon and how often it happens to anybody."""
    horizon = format_duration(target.horizon_seconds)
    return {
        "definition": target.name,
        "horizon": horizon,
        "base_rate": None if base_rate is None else probability(base_rate),
    }


def latest_feelings(feelings: Sequence[Conclusion | None], as_of: NDArray[np.int64]) -> Feelings:
    """What is known of the mood of each customer (C,): zeros where nothing was said, or nothing can be concluded."""
    found = Feelings.none(len(as_of))
    for row, one in enumerate(feelings):
        if one is None or "distribution" not in one.details or not one.about.get("said_at"):
            continue
        told = {each["polarity"]: each["probability"] for each in one.details["distribution"]}
        found.polarity[row] = [told.get(polarity, 0.0) for polarity in POLARITIES]
        found.days_since[row] = max(0, int(as_of[row]) - parse_time(one.about["said_at"])) / DAY
    return found


def _anger_waiting(feeling: Conclusion | None) -> bool:
    return feeling is not None and feeling.waiting and feeling.answer == "negative"


def feeling_about(feedback: Feedback) -> dict[str, Any]:
    """Which words a feeling was concluded from."""
    said_at = format_time(feedback.said_at)
    return {"feedback_id": feedback.feedback_id, "said_at": said_at, "channel": feedback.channel}


@dataclass(frozen=True)
class ReadFeedback:
    """Feedback as it was read: calibrated polarity (n, 4), the flags of each text, and the raw prediction."""

    polarity: Floats
    codes: list[list[str]]
    prediction: FeelingPrediction

    @property
    def score(self) -> Floats:
        """(n,) confidence in the likeliest polarity: what release is decided by."""
        likeliest: Floats = self.polarity.max(axis=1)
        return likeliest


def read_feedback(
    prediction: FeelingPrediction,
    calibrated: Floats,
    texts: Sequence[str],
    ratings: Sequence[int | None],
    language: str,
) -> ReadFeedback:
    """Add to the flags of the words those that need more: the calibrated margin, the stars, the length."""
    prediction = replace(prediction, polarity=calibrated)
    codes = text_flags(prediction, texts, expected_language=language)
    for row, rating in enumerate(ratings):
        answer = POLARITIES[int(calibrated[row].argmax())]
        if rating is not None and (answer, rating > 3, rating < 3) in (
            ("negative", True, False),
            ("positive", False, True),
        ):
            codes[row].append("stars_contradict_words")
        if prediction.truncated[row]:
            codes[row].append("truncated")
    return ReadFeedback(calibrated, codes, prediction)


def conclude_feelings(
    feedback: Sequence[Feedback], read: ReadFeedback, measured: MeasuredFeeling, policy: ReleasePolicy
) -> list[Conclusion]:
    """One conclusion for each text: flags over scores, then the threshold that the promise on this channel allows."""
    rules = {one: measured.rule(policy.alpha, policy.delta, one) for one in {one.channel for one in feedback}}
    promises = {channel: feeling_promise(rule, measured) for channel, rule in rules.items()}
    return [_feeling(one, read, row, rules[one.channel], promises[one.channel]) for row, one in enumerate(feedback)]


def feeling_promise(rule: ReleaseRule, measured: MeasuredFeeling) -> Promise:
    """The promise of released feelings in this group, and whether the labels support it."""
    table = measured.table
    n = len(table) if rule.group == "all" else int((table.group == rule.group).sum())
    terms = {"at_most_wrong": rule.alpha, "confidence": round(1 - rule.delta, 6)}
    return Promise("selective_risk", terms, rule.group, n, rule.threshold is not None)


def _feeling(one: Feedback, read: ReadFeedback, row: int, rule: ReleaseRule, promise: Promise) -> Conclusion:
    score = float(read.polarity[row].max())
    codes = list(read.codes[row])
    if rule.threshold is None:
        codes.append("no_promise")
    elif score < rule.threshold:
        codes.append("below_threshold")
    found = flags(codes)
    decision = decision_by_flags(found)
    if rule.threshold is None:
        text = (
            f"Not enough random labels yet to promise anything: {rule.n_more_needed} more without a mistake would do."
        )
        found = tuple(Flag(flag.code, text) if flag.code == "no_promise" else flag for flag in found)
    about = feeling_about(one)
    if decision is Decision.ABSTAIN:
        return Conclusion("feeling", decision, found, None, {}, about, promise)
    answer = POLARITIES[int(read.polarity[row].argmax())]
    return Conclusion("feeling", decision, found, answer, _feeling_details(read, row), about, promise)


def _feeling_details(read: ReadFeedback, row: int) -> dict[str, Any]:
    order = np.argsort(-read.polarity[row], kind="stable")
    details: dict[str, Any] = {
        "confidence": probability(read.polarity[row, order[0]]),
        "distribution": [{"polarity": POLARITIES[i], "probability": probability(read.polarity[row, i])} for i in order],
        "emotions": [],
        "emotion_set": [],
        "emotion_groups": [],
        "intensity": None,
    }
    emotions, mean, spread = read.prediction.emotions, read.prediction.intensity_mean, read.prediction.intensity_spread
    if emotions is not None:
        details |= _emotion_details(read.prediction, row, emotions)
    if mean is not None and spread is not None:
        details["intensity"] = {"mean": round(float(mean[row]), 2), "spread": round(float(spread[row]), 2)}
    return details


def _emotion_details(prediction: FeelingPrediction, row: int, emotions: Floats) -> dict[str, Any]:
    """What is felt, what cannot be ruled out, and the groups of Ekman that are likely."""
    felt, possible = prediction.emotions_felt, prediction.emotions_possible
    likeliest = np.argsort(-emotions[row], kind="stable")
    shown = emotions[row] >= EMOTION_SHOWN_FROM if felt is None else felt[row]
    groups = sorted(ekman(emotions[row : row + 1]).items(), key=lambda group: -group[1][0])
    return {
        "emotions": [
            {"emotion": EMOTIONS[i], "probability": probability(emotions[row, i])} for i in likeliest if shown[i]
        ],
        "emotion_set": [] if possible is None else [EMOTIONS[i] for i in likeliest if possible[row, i]],
        "emotion_groups": [
            {"group": name, "probability": probability(chance[0])}
            for name, chance in groups
            if chance[0] >= GROUP_SHOWN_FROM
        ],
    }


def summarise(seen: Journeys, preferences: Sequence[ChannelPreference] | None = None) -> list[JourneySummary]:
    """What is known of each journey itself; `preferences` holds where each customer answers, if that was learned."""
    unknown = [nothing_preferred("not_trained")] * len(seen)
    summaries = []
    for row, prefers in enumerate(unknown if preferences is None else preferences):
        first, end = int(seen.starts[row]), int(seen.starts[row + 1])
        preference = prefers.channel, prefers.to_dict()
        if first == end:
            summaries.append(JourneySummary(0, None, None, None, *preference))
            continue
        times = int(seen.occurred_at[first]), int(seen.occurred_at[end - 1])
        last = seen.code[end - 1]
        channel = seen.names[last].partition(".")[0]
        summaries.append(JourneySummary(end - first, *times, seen.stages[last], *preference, channel))
    return summaries
