"""Thresholds: what the contract of the data, the gate, the watch over drift and the labels of people go by.

Each field is a number that somebody may have to defend, with what it means; all can be set in the TOML of a run under
the name of the record (`[gate]`, `[contract]`, `[drift]`, `[labels]`). Decides nothing and reads no file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


class PolicyError(ValueError):
    """A threshold lies outside what is allowed; the message names it."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """Numbers that must not be negative; names that hold `share` lie between 0 and 1."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            most = 1.0 if "share" in one.name else float("inf")
            if isinstance(value, int | float) and not 0 <= value <= most:
                raise PolicyError(f"{one.name} {value}; allowed: 0 to {most:g}")


@dataclass(frozen=True, slots=True)
class GatePolicy(_Checked):
    """What a challenger must show beside the champion on the same recent cases.

    behind_days                the data may end so much before what either learned from does; 0 asks for nothing
    draws                      bootstrap draws over customers, for every interval
    worse_nats                 its mean log-loss is worse where it is above the champion's by more than this …
    worse_brier                its Brier score by more than this …
    luck_share                 … and where so large a loss comes by luck in at most this share of draws (one-sided)
    worse_ece                  its ECE may lie outside its band and above the champion's by so much; by more where luck
                               explains it, or log-loss and Brier score are both surely lower
    segment_worse_nats         in no channel and no stage may its log-loss be above by more than this …
    segment_error_share        … where luck would refuse in at most this share of judgements (Holm over all of them)
    least_segment_cases        smaller channels and stages are reported and decide nothing
    least_segment_customers    those of fewer customers neither
    least_cases                a question with fewer recent cases is reported and decides nothing
    unnamed_share              of recent cases the champion alone may have a name for what came in at most this share
    coverage_lost_share        sets may cover less than promised by so much, beyond noise
    behaviour_lost_share       of a capability's sentences the champion may have read more by so much, of the whole
                               suite's by half of it; more where luck_share explains it
    latency_ms                 an insight of one customer takes at most this of the processor's time, in the median
    size_mb                    the folder of the bundle is at most this, in 10^6 bytes
    replay_more_mistakes       of what people overturned, it may release so many more wrongly than the champion
    review_load_growth         it may send so many times the champion's cases to people; 0 asks for nothing
    golden_lost_share          of the golden set it may read so much less rightly than the champion
    texts_at_most              of recent texts and of past reviews, the latest so many are looked at
    """

    behind_days: float = 1.0
    draws: int = 500
    worse_nats: float = 0.01
    worse_brier: float = 0.005
    luck_share: float = 0.1
    worse_ece: float = 0.02
    segment_worse_nats: float = 0.05
    segment_error_share: float = 0.05
    least_segment_cases: int = 100
    least_segment_customers: int = 30
    least_cases: int = 100
    unnamed_share: float = 0.005
    coverage_lost_share: float = 0.02
    behaviour_lost_share: float = 0.05
    latency_ms: float = 50.0
    size_mb: float = 200.0
    replay_more_mistakes: int = 0
    review_load_growth: float = 1.5
    golden_lost_share: float = 0.02
    texts_at_most: int = 2000


@dataclass(frozen=True, slots=True)
class ContractPolicy(_Checked):
    """What data must be like before anything is learned from it.

    least_of_before_share      of the champion's customers, texts and touchpoints (and of each that came often) so many
                               must still be there
    stale_days                 the newest event may be so old; 0 asks for nothing
    behind_days                it may be so much older than the newest that the champion knows; 0 asks for nothing
    future_minutes             clocks may be ahead by so much
    burst_times                a day with so many times the touchpoints of the median day is a burst
    silent_share               the last seven days may not fall below so much of the median seven
    label_shift_share          of the latest labels so many may have moved to another class (total variation)
    rate_shift_times           a target may happen so many times as often, or as rarely, as the champion was told
    contradictions_share       of the labelled texts so many may carry labels that contradict each other
    stars_against_label_share  of texts with stars and a label so many may say the opposite
    repeats_share              of the labelled texts so many may be copies of another
    leak_auc                   one feature alone may tell a target so well
    leak_word_share            one word may stand in so much of a class while it stands in no other
    least_cases                a check on fewer cases than this is not made
    """

    least_of_before_share: float = 0.5
    stale_days: float = 0.0
    behind_days: float = 1.0
    future_minutes: float = 60.0
    burst_times: float = 20.0
    silent_share: float = 0.1
    label_shift_share: float = 0.25
    rate_shift_times: float = 3.0
    contradictions_share: float = 0.02
    stars_against_label_share: float = 0.25
    repeats_share: float = 0.5
    leak_auc: float = 0.99
    leak_word_share: float = 0.5
    least_cases: int = 200


@dataclass(frozen=True, slots=True)
class DriftPolicy(_Checked):
    """When retraining is advised.

    false_share                of the shifts that are told, so many are false alarms on average (Benjamini & Hochberg)
    least_distance_share       a smaller shift (distance of distributions, 0 to 1) is told and advises nothing
    least_miss_share           likelihoods whose error is less than this share of what is rarer, coming or not, neither
    least_cases                windows with fewer cases are not compared
    recent_days                the latest so many days are compared with the last that the champion learned from
    old_days                   advised where the champion's newest event is older than this; 0 never advises by age
    """

    false_share: float = 0.05
    least_distance_share: float = 0.1
    least_miss_share: float = 0.15
    least_cases: int = 100
    recent_days: float = 28.0
    old_days: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelPolicy(_Checked):
    """How people's verdicts teach.

    verdict_weight             a verdict counts as so many labels from elsewhere
    most_propensity_weight     a verdict that came to a person by rare chance counts at most so many times that
    golden_grow                at most so many adjudicated cases join the golden set at once
    golden_most                the golden set grows no further than this
    """

    verdict_weight: float = 5.0
    most_propensity_weight: float = 10.0
    golden_grow: int = 50
    golden_most: int = 2000
