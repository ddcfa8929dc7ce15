"""What a challenger would have made of items that people have reviewed, and how much it would ask them to read.

Of each item that a verdict is about, both bundles conclude the words again: which flags come and go, what people
overturned and would now be released unread, and of recent words how many would go to people. A verdict that the
challenger learned from flatters it; the golden set is what nobody learns from (golden.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.bundle import LoadedBundle
from models.insight import Conclusion, Decision, ReleasePolicy
from models.journey.assembly import Feedback
from models.journey.event import DAY
from models.predictors.feedback import POLARITIES
from training.gate.cases import latest
from training.gate.check import Check, judged, not_asked
from training.policies import GatePolicy

MOST_ROWS = 50
"""So many items are listed in a report, by id alone: a report is kept, and words may have to be forgotten."""
LEAST_CHANCE = 1e-3


@dataclass(frozen=True)
class Replayed:
    """Conclusions of both bundles about the same words, in order."""

    champion: Sequence[Conclusion]
    challenger: Sequence[Conclusion]


def concluded(bundle: LoadedBundle, frame: pd.DataFrame) -> list[Conclusion]:
    """What a bundle concludes of words, stars shown to it as when serving."""
    words = [
        Feedback(
            str(row["feedback_id"]), "", 0, 0, _text(row.get("channel")) or "unknown", str(row["text"]), _stars(row)
        )
        for row in frame.to_dict("records")
    ]  # fmt: skip
    return bundle.conclude_feedback(words, ReleasePolicy())


def _text(cell: Any) -> str | None:
    return cell if isinstance(cell, str) and cell else None


def _stars(row: Mapping[Hashable, Any]) -> int | None:
    rating = row.get("rating")
    return None if rating is None or rating != rating else round(float(rating))


def replayed(
    champion: LoadedBundle, challenger: LoadedBundle, verdicts: pd.DataFrame | None, policy: GatePolicy
) -> Iterator[Check]:
    """Of past reviewed items: what would be released though people overturned it, and which flags come and go.

    `verdicts` is as the service exports them: feedback_id, text, channel, rating, answer, model_answer, flags, …
    """
    judgeable = None if verdicts is None else verdicts[verdicts["answer"].isin(POLARITIES)]
    if judgeable is None or judgeable.empty or champion.feedback is None or challenger.feedback is None:
        yield not_asked("feeling", "replay", "no reviewed items to replay")
        return
    frame = latest(judgeable.drop_duplicates("feedback_id", keep="last"), policy.texts_at_most)
    both = Replayed(concluded(champion, frame), concluded(challenger, frame))
    yield _released(frame, both, policy)
    yield _flags(frame, both)


def _released(frame: pd.DataFrame, both: Replayed, policy: GatePolicy) -> Check:
    """Items that people overturned and that would now go out unread, with the answer that people said is wrong."""
    truth = frame["answer"].tolist()
    ours, theirs = (_wrongly(found, truth) for found in (both.challenger, both.champion))
    told = (
        f"would release {len(ours)} of {len(frame)} reviewed items with another answer than people gave; the champion "
        f"{len(theirs)}; at most {policy.replay_more_mistakes} more"
    )
    chance = frame["chance_of_review"] if "chance_of_review" in frame else pd.Series(1.0, index=frame.index)
    weight = 1.0 / np.clip(chance.fillna(1.0).to_numpy(dtype=np.float64), LEAST_CHANCE, 1.0)
    figures = {
        "reviewed": len(frame),
        "overturned_then": _overturned(frame),
        "challenger": len(ours),
        "champion": len(theirs),
        "challenger_weighted_share": round(float(weight[ours].sum() / weight.sum()), 5),
        "rows": [_told(frame, row, both) for row in ours[:MOST_ROWS]],
    }
    return judged("feeling", "replay", len(ours) <= len(theirs) + policy.replay_more_mistakes, told, **figures)


def _overturned(frame: pd.DataFrame) -> int:
    """How many of these a person answered otherwise than the model that served then."""
    return int((frame["model_answer"] != frame["answer"]).sum()) if "model_answer" in frame else 0


def _wrongly(found: Sequence[Conclusion], truth: Sequence[str]) -> list[int]:
    return [
        row
        for row, (one, right) in enumerate(zip(found, truth, strict=True))
        if one.decision is Decision.AUTO and one.answer != right
    ]


def _told(frame: pd.DataFrame, row: int, both: Replayed) -> dict[str, Any]:
    one = frame.iloc[row]
    return {
        "feedback_id": str(one["feedback_id"]), "people": one["answer"],
        "challenger": both.challenger[row].answer, "champion": both.champion[row].answer,
        "champion_decision": both.champion[row].decision.value,
    }  # fmt: skip


def _flags(frame: pd.DataFrame, both: Replayed) -> Check:
    added, removed = Counter[str](), Counter[str]()
    for ours, theirs in zip(both.challenger, both.champion, strict=True):
        mine, before = ({flag.code for flag in one.flags} for one in (ours, theirs))
        added.update(mine - before)
        removed.update(before - mine)
    decided = Counter(
        f"{theirs.decision.value} to {ours.decision.value}"
        for ours, theirs in zip(both.challenger, both.champion, strict=True)
        if ours.decision is not theirs.decision
    )
    told = f"{sum(added.values())} flags added, {sum(removed.values())} removed over {len(frame)} reviewed items"
    figures = {"added": dict(added), "removed": dict(removed), "decisions": dict(decided)}
    return not_asked("feeling", "flags", told, **figures)


def forecast(
    champion: LoadedBundle, challenger: LoadedBundle, feedback: pd.DataFrame | None, policy: GatePolicy
) -> Check:
    """How many cases a day each bundle would send to people, by the words of late."""
    if feedback is None or feedback.empty or champion.feedback is None or challenger.feedback is None:
        return not_asked("feeling", "review load", "no recent words to forecast by")
    frame = latest(feedback, policy.texts_at_most)
    ours, theirs = (_share_to_people(concluded(one, frame)) for one in (challenger, champion))
    days = _days(frame)
    a_day = len(frame) / days if days else None
    growth = ours / theirs if theirs else (1.0 if not ours else float("inf"))
    told = f"{ours:.1%} of {len(frame)} recent texts to people; the champion {theirs:.1%}"
    if a_day is not None:
        told += f": {ours * a_day:.1f} a day after {theirs * a_day:.1f}"
    figures: dict[str, Any] = {"challenger": round(ours, 5), "champion": round(theirs, 5), "texts": len(frame)}
    figures |= {"cases_a_day": None if a_day is None else round(ours * a_day, 2)}
    passed = not policy.review_load_growth or growth <= policy.review_load_growth
    return judged("feeling", "review load", passed, f"{told}; at most {policy.review_load_growth:g} times", **figures)


def _share_to_people(found: Sequence[Conclusion]) -> float:
    return float(np.mean([one.waiting for one in found]))


def _days(frame: pd.DataFrame) -> float | None:
    """How long these words took to be said; None where that is not told."""
    if "said_at" not in frame or frame["said_at"].isna().any():
        return None
    span = float(frame["said_at"].max() - frame["said_at"].min()) / DAY
    return span if span >= 1.0 else None
