"""People's verdicts as labels: latest first, weighted for the chance that they were asked, disagreement kept.

A verdict takes the place of whatever label its text had. Where several stand about one text and disagree, the text
teaches each answer by its share: a soft label. Reads verdicts that data.py has checked; fits nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.predictors.feedback import POLARITIES
from training.policies import LabelPolicy

Floats = NDArray[np.float64]
NUMBERS = ("rating", "intensity")


def propensity_weights(chance: Floats, most: float) -> Floats:
    """(n,) how much each verdict counts for others like it that nobody read, 1 on average.

    One over the chance of review (Horvitz & Thompson 1952), cut at `most` times the smallest, since one rare draw must
    not outvote all others (truncated weights: Ionides 2008), and scaled to a mean of 1. A missing chance counts as 1.

    >>> propensity_weights(np.array([1.0, 1.0, 0.5, np.nan]), 10).round(2).tolist()
    [0.8, 0.8, 1.6, 0.8]
    """
    sure = np.clip(np.where(np.isnan(chance), 1.0, chance), 1e-6, 1.0)
    weight = np.minimum(1.0 / sure, most / sure.max(initial=1e-6))
    return np.asarray(weight / weight.mean(), dtype=np.float64) if len(weight) else weight


def answers_of(verdicts: pd.DataFrame, policy: LabelPolicy) -> pd.DataFrame:
    """One row for each text and answer: feedback_id, answer, weight; what else the latest verdict of that answer says.

    Of one reader the latest verdict on a text stands. Weights of one text add up to what its verdict counts.
    """
    ordered = verdicts.assign(feedback_id=verdicts["feedback_id"].astype(str)).sort_values("decided_at", kind="stable")
    reader = ["feedback_id", "reviewer"] if "reviewer" in ordered else ["feedback_id"]
    if "reviewer" in ordered:
        ordered["reviewer"] = ordered["reviewer"].fillna("").astype(str)
    stands = ordered.drop_duplicates(reader, keep="last")
    final = stands.groupby("feedback_id")["answer"].transform("size")
    each = stands.groupby(["feedback_id", "answer"], sort=False)["answer"].transform("size")
    latest = stands.assign(share=each / final).drop_duplicates(["feedback_id", "answer"], keep="last")
    chance = pd.to_numeric(latest["chance_of_review"], errors="coerce") if "chance_of_review" in latest else None
    given = np.full(len(latest), np.nan) if chance is None else chance.to_numpy(dtype=np.float64, na_value=np.nan)
    weight = propensity_weights(given, policy.most_propensity_weight) * latest["share"].to_numpy(dtype=np.float64)
    return latest.assign(weight=policy.verdict_weight * weight).drop(columns="share").reset_index(drop=True)


def with_answers(frame: pd.DataFrame, answers: pd.DataFrame, more: dict[str, Any]) -> tuple[pd.DataFrame, int]:
    """Texts with people's answers in place of their labels; a text with two answers becomes two rows of its weight.

    `more` reads the further columns that an answer may fill, by name. "cannot_tell" takes a label away. Gives the
    frame, in the order it had, and how many texts have an answer.
    """
    frame = frame.copy()
    for column in ("polarity", "rating", *more):
        before = frame[column] if column in frame else pd.Series(None, index=frame.index, dtype=object)
        frame[column] = before.astype("float64") if column in NUMBERS else before.astype(object)
    judged = frame["feedback_id"].isin(set(answers["feedback_id"]))
    place = frame.reset_index(names="place")[["feedback_id", "place"]]
    told = answers.merge(place, on="feedback_id", how="inner")
    rows = frame.loc[told["place"]].copy()
    rows["polarity"] = told["answer"].where(told["answer"].isin(POLARITIES), None).astype(object).to_numpy()
    rows["rating"] = np.nan
    rows["weight"] = told["weight"].to_numpy(dtype=np.float64)
    for name, read in more.items():
        cells = [read(cell) for cell in told[name]] if name in told else [None] * len(told)
        rows[name] = pd.Series(cells, index=rows.index, dtype="float64" if name in NUMBERS else object)
    whole = pd.concat([frame[~judged], rows]).sort_index(kind="stable")
    return whole.reset_index(drop=True), int(judged.sum())
