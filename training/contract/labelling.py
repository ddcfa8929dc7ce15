"""Labels: a mix that moved of late, answers that contradict each other, copies, and words on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from models.journey.event import Micros
from training.contract.finding import Finding, rows_of
from training.data import labelled
from training.feedback_labels import polarity_codes
from training.golden import key_of
from training.policies import ContractPolicy
from training.splits import TEST, TRAIN, of_texts

SHOWN = ("feedback_id", "said_at", "polarity", "rating", "text")
NEGATIVE, POSITIVE = 0, 2
LATE_SHARE = 0.2


def of_labels(feedback: pd.DataFrame, seed: int, since: Micros | None, policy: ContractPolicy) -> Iterator[Finding]:
    """Every finding about labelled texts; `since` is when the champion's data ended, if anything is live."""
    frame = labelled(feedback)
    if len(frame) < policy.least_cases:
        return
    frame = frame.assign(code=polarity_codes(frame), key=[key_of(text) for text in frame["text"]])
    yield from _shift(frame, since, policy)
    yield from _contradictions(frame, policy)
    yield from _stars(frame, policy)
    yield from _repeats(frame, seed, policy)


def _late(frame: pd.DataFrame, since: Micros | None, policy: ContractPolicy) -> pd.Series[bool] | None:
    """Which rows are new: since the champion's data, else the latest fifth; None where too few, or no times."""
    if "said_at" not in frame or frame["said_at"].isna().any():
        return None
    said = frame["said_at"].astype("int64")
    for late in ([said > since] if since is not None else []) + [said >= said.quantile(1 - LATE_SHARE)]:
        if min(int(late.sum()), int((~late).sum())) >= policy.least_cases:
            return late
    return None


def _shift(frame: pd.DataFrame, since: Micros | None, policy: ContractPolicy) -> Iterator[Finding]:
    """Total variation between the classes of the latest labels and of those before."""
    late = _late(frame, since, policy)
    if late is None:
        return
    then, now = (np.bincount(frame["code"][rows], minlength=4) / rows.sum() for rows in (~late, late))
    moved = float(np.abs(now - then).sum() / 2)
    if moved > policy.label_shift_share:
        most = int(np.argmax(now - then))
        rows = rows_of(frame[late & (frame["code"] == most)].sort_values("said_at", ascending=False), *SHOWN)
        told = f"{moved:.0%} of the latest {int(late.sum())} labels moved to other classes"
        fix = "Look whether labels are still given as before; set contract.label_shift_share where the world changed."
        yield Finding("label shift", "stop", told, fix, rows)


def _contradictions(frame: pd.DataFrame, policy: ContractPolicy) -> Iterator[Finding]:
    """The same words, here positive and there negative."""
    sure = frame[frame["code"].isin([NEGATIVE, POSITIVE])]
    both = sure.groupby("key")["code"].transform("nunique") > 1
    share = float(both.sum()) / len(frame)
    if share > policy.contradictions_share:
        told = f"{int(both.sum())} labelled texts ({share:.1%}) are positive here and negative there, word for word"
        rows = rows_of(sure[both].sort_values("key"), *SHOWN)
        yield Finding("contradictions", "stop", told, "Look who gave these labels; leave out the wrong ones.", rows)


def _stars(frame: pd.DataFrame, policy: ContractPolicy) -> Iterator[Finding]:
    """Labels that say the opposite of the stars beside them."""
    if "rating" not in frame or "polarity" not in frame:
        return
    both = frame[frame["rating"].notna() & frame["polarity"].notna()]
    if len(both) < policy.least_cases:
        return
    against = ((both["code"] == NEGATIVE) & (both["rating"] >= 4)) | (
        (both["code"] == POSITIVE) & (both["rating"] <= 2)
    )
    if against.mean() > policy.stars_against_label_share:
        told = f"{against.mean():.0%} of {len(both)} texts with stars carry a label that says the opposite"
        rows = rows_of(both[against], *SHOWN)
        yield Finding("labels against stars", "stop", told, "Look whether labels or stars are turned round.", rows)


def _repeats(frame: pd.DataFrame, seed: int, policy: ContractPolicy) -> Iterator[Finding]:
    """Copies, which make a figure look surer than it is; and, which must never be, the same words on two sides."""
    copies = frame.duplicated("key")
    if copies.mean() > policy.repeats_share:
        often = frame.assign(times=frame.groupby("key")["key"].transform("size"))
        rows = rows_of(often.sort_values("times", ascending=False).drop_duplicates("key"), "times", *SHOWN)
        told = f"{copies.mean():.0%} of the labelled texts are copies of another"
        yield Finding("repeats", "stop", told, "Leave copies out; set contract.repeats_share where it is so.", rows)
    part = of_texts(frame, seed)
    split = frame.assign(part=part)
    sides = split[split["part"].isin([TRAIN, TEST])].groupby("key")["part"].nunique()
    if (sides > 1).any():
        rows = rows_of(split[split["key"].isin(sides[sides > 1].index)].sort_values("key"), "part", *SHOWN)
        yield Finding("repeats across splits", "stop", f"{int((sides > 1).sum())} texts are learned and tested on",
                      "This is a fault of the split; report it.", rows)  # fmt: skip
