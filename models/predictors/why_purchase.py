"""Why a purchase is likely or not: the features that moved this probability most, in words with their values.

The answer is a mixture, w * boosting + (1 - w) * regression, and each part is explained exactly in its own log-odds:
the boosting by TreeSHAP (`trees.py`), the regression by weight * (log value - mean log value), which is what Shapley
values of a linear model are. Each part's features then share the part's own way from what it says of nobody in
particular to what it says here, in proportion to their log-odds. So all effects add up to the probability, before it
is calibrated, less what is said of nobody in particular. What moved an answer is not what would move a customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features.behaviour import NEVER_DAYS
from models.journey.journeys import Ints, Journeys
from models.predictors.purchase import PurchasePredictor, log_features
from models.predictors.stacking import Said

Floats = NDArray[np.float64]

MOST_MOVED = 5
LEAST_EFFECT = 0.00005
"""A smaller change of the probability is none, as probabilities are told to four digits."""


@dataclass(frozen=True, slots=True)
class MovedBy:
    """A feature with its value here, what is usual among those learned from, and how far it moved the probability."""

    feature: str
    value: float
    usual: float
    effect: float
    words: str


@dataclass(frozen=True, slots=True)
class WhyPurchase:
    """`because` holds the strongest first; `expected` is what would be said of nobody in particular, not calibrated."""

    expected: float
    because: tuple[MovedBy, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "expected": round(self.expected, 4),
            "because": [
                {
                    "feature": one.feature,
                    "value": round(one.value, 4),
                    "usual": round(one.usual, 4),
                    "effect": round(one.effect, 4),
                    "words": one.words,
                }
                for one in self.because
            ],
        }


def why_purchase(predictor: PurchasePredictor, seen: Journeys, as_of: Ints, said: Said | None = None) -> WhyPurchase:
    """Why one journey, already cut by `seen_at(as_of)` (1,), gets its probability; `said` as `predict` takes it.

    Raises ValueError for an empty journey, or more than one.
    """
    if len(seen) != 1 or not seen.lengths[0]:
        raise ValueError(f"one journey with touchpoints can be explained; there are {len(seen)}: {seen.lengths}")
    row = predictor.features(seen, as_of, said)[0]
    expected, effect = effects(predictor, row)
    strongest = [int(i) for i in np.argsort(-np.abs(effect), kind="stable")[:MOST_MOVED]]
    names, usual = predictor.feature_names, predictor.usual.median
    values = dict(zip(names, row.tolist(), strict=True))
    typical = dict(zip(names, usual.tolist(), strict=True))
    moved = (
        MovedBy(names[i], float(row[i]), float(usual[i]), float(effect[i]), in_words(names[i], values, typical))
        for i in strongest
        if abs(effect[i]) >= LEAST_EFFECT
    )
    return WhyPurchase(expected, tuple(moved))


def effects(predictor: PurchasePredictor, row: NDArray[np.float32]) -> tuple[float, Floats]:
    """What the mixture says of nobody in particular, and how far each feature (F,) of a row (F,) moved it from there.

    The two add up to what it says of the row, to rounding.
    """
    regression, weight = predictor.logistic, predictor.boosting_weight
    by_trees, start = predictor.trees.moved(row), predictor.trees.expected
    by_regression = regression.weights * (log_features(row[None, :])[0] - predictor.usual.mean_log)
    begin = float(regression.weights @ predictor.usual.mean_log) + regression.intercept
    expected = weight * _sigmoid(start) + (1 - weight) * _sigmoid(begin)
    return expected, weight * by_trees * _slope(start, by_trees) + (1 - weight) * by_regression * _slope(
        begin, by_regression
    )


def in_words(name: str, values: dict[str, float], usual: dict[str, float]) -> str:
    """A feature as a person would say it.

    >>> in_words("touchpoints_7d", {"touchpoints_7d": 3.0, "own_rhythm_days": 30.0}, {"touchpoints_7d": 0.0})
    '3 touchpoints in 7 days, usually 1 in 30 days'
    >>> in_words("days_since:dealer.visit", {"days_since:dealer.visit": 2.0}, {"days_since:dealer.visit": 3650.0})
    'last dealer.visit 2 days ago; most people: never'
    """
    value, typical = values[name], usual[name]
    kind, _, what = name.partition(":")
    if name in ("touchpoints_7d", "touchpoints_30d", "touchpoints_90d") and values["own_rhythm_days"] < NEVER_DAYS:
        days = int(name.split("_")[1].removesuffix("d"))
        own = 30.0 / max(values["own_rhythm_days"], 1 / 24)
        return f"{_count(value)} touchpoints in {days} days, usually {_count(own)} in 30 days"
    if name == "silence_in_rhythms" and values["own_rhythm_days"] < NEVER_DAYS:
        silent, rhythm = values["days_since_last"], values["own_rhythm_days"]
        return f"silent for {_days(silent)}, usually {_days(rhythm)} between touchpoints"
    if name.startswith("days_since") or name in ("own_rhythm_days", "feeling:days_since"):
        said = _SINCE.get(name, f"last {what}")
        if value >= NEVER_DAYS:
            return f"{said}: never; most people: {_ago(typical)}"
        return f"{said} {_ago(value)}; most people: {_ago(typical)}"
    if kind == "next":
        comes = _NEXT.get(what, f"a touchpoint of stage {what}")
        return f"chance that {comes} comes next: {_chance(value)}; most people: {_chance(typical)}"
    said = _KINDS[kind].format(what) if kind in _KINDS else _GENERAL.get(name, name.replace("_", " "))
    return f"{said}: {_count(value)}; most people: {_count(typical)}"


_SINCE = {
    "days_since_last": "last touchpoint",
    "days_since_first": "first touchpoint",
    "days_since_paid": "last paid",
    "days_since_contact": "last contacted by the company",
    "own_rhythm_days": "usual gap between touchpoints: one",
    "feeling:days_since": "last said something",
}
_NEXT = {"target": "what is asked for", "nothing": "nothing"}
_KINDS = {
    "stage": "touchpoints in stage {}",
    "channel": "touchpoints on {}",
    "count": "times {}",
    "feeling": "mood: {}",
}
_GENERAL = {
    "touchpoints_7d": "touchpoints in 7 days",
    "touchpoints_30d": "touchpoints in 30 days",
    "touchpoints_90d": "touchpoints in 90 days",
    "tempo_change": "tempo of 7 days against that of 30",
    "silence_in_rhythms": "silence against the usual gap",
    "session_depth": "touchpoints in a visit",
    "last_session_depth": "touchpoints in the latest visit",
    "last_gap_in_rhythms": "latest gap against the usual one",
    "channel_entropy": "spread over channels, in nats",
    "handoffs": "changes of channel",
    "stage_reached": "furthest stage, of 3",
    "weekend_share": "share on weekends",
    "office_share": "share in office hours",
    "contacts_30d": "contacts by the company in 30 days",
    "contacts_answered": "contacts answered",
    "amount": "money in all",
    "amount_90d": "money in 90 days",
    "amount_last": "money the last time",
    "paid_touchpoints": "touchpoints with money",
}


def _chance(nats: float) -> str:
    return "below 0.1%" if nats > -np.log(0.001) else f"{np.exp(-nats):.1%}"


def _count(value: float) -> str:
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def _days(value: float) -> str:
    if value >= NEVER_DAYS:
        return "never"
    if value < 1:
        return f"{_count(value * 24)} hours"
    return f"{_count(value)} days"


def _ago(value: float) -> str:
    return "never" if value >= NEVER_DAYS else f"{_days(value)} ago"


def _sigmoid(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(log_odds, -40, 40))))


def _slope(start: float, moved: Floats) -> float:
    """Probability moved for each unit of log-odds moved, from `start` by all of `moved` (F,) together."""
    all_of_them = float(moved.sum())
    if abs(all_of_them) < 1e-6:
        return _sigmoid(start) * (1 - _sigmoid(start))
    return (_sigmoid(start + all_of_them) - _sigmoid(start)) / all_of_them
