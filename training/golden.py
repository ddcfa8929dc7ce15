"""The golden set: cases that people settled, kept apart from all learning, by which each challenger is read.

    golden/cases.jsonl      feedback_id, key of the words, text, answer, what the model had said, why it is here

It is frozen: a case that is in it is never changed and never taught, nor are words that are the same. It grows from
adjudicated cases, dangerous mistakes first, and loses only those whose customers were erased or opted out.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from models.features.text import content_hash
from models.predictors.feedback import POLARITIES
from training.checkpoint import write_whole
from training.policies import LabelPolicy

FOLDER, FILE = "golden", "cases.jsonl"
COLUMNS = ("feedback_id", "key", "text", "answer", "model_answer", "danger", "because")


@dataclass(frozen=True, slots=True)
class Grown:
    """What became of the golden set: how many joined, how many had to be forgotten, how many there are."""

    joined: int
    forgotten: int
    size: int

    def to_dict(self) -> dict[str, int]:
        return {"joined": self.joined, "forgotten": self.forgotten, "size": self.size}


def key_of(text: str) -> str:
    """What makes two texts one, wherever they must not be on two sides.

    >>> key_of("So  good!") == key_of("so good!")
    True
    """
    return content_hash(text.lower())


def path_of(root: Path) -> Path:
    return root / FOLDER / FILE


def read_golden(root: Path) -> pd.DataFrame | None:
    """The cases, oldest first, with COLUMNS; None where there are none."""
    try:
        lines = path_of(root).read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return pd.DataFrame([json.loads(line) for line in lines], columns=list(COLUMNS)) if lines else None


def apart(frame: pd.DataFrame, golden: pd.DataFrame | None) -> NDArray[np.bool_]:
    """(n,) which rows of texts may teach: those whose words are in no golden case."""
    if golden is None:
        return np.ones(len(frame), dtype=np.bool_)
    kept = set(golden["key"])
    return np.array([key_of(text) not in kept for text in frame["text"]], dtype=np.bool_)


def grow(root: Path, verdicts: pd.DataFrame | None, known: set[str], policy: LabelPolicy) -> Grown:
    """Let adjudicated cases join, and forget those whose feedback is not `known` any more (erased, opted out).

    `verdicts` as the service exports them, each with its text. What joins is what a person answered otherwise than the
    model, or what two readers could not settle (`given_as` says adjudication).
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / FOLDER).mkdir(exist_ok=True)
    with FileLock(root / FOLDER / ".lock"):
        before = read_golden(root)
        kept = [] if before is None else [one for one in before.to_dict("records") if one["feedback_id"] in known]
        forgotten = (0 if before is None else len(before)) - len(kept)
        have = {one["key"] for one in kept}
        new = [
            one
            for one in ([] if verdicts is None else candidates(verdicts))
            if one["key"] not in have and one["feedback_id"] in known
        ]
        room = max(0, min(int(policy.golden_grow), int(policy.golden_most) - len(kept)))
        joined = _first_of_each(new)[:room]
        if joined or forgotten:
            rows = [json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n" for one in [*kept, *joined]]
            write_whole(path_of(root), "".join(rows).encode())
    return Grown(len(joined), forgotten, len(kept) + len(joined))


def candidates(verdicts: pd.DataFrame) -> list[dict[str, Any]]:
    """Adjudicated cases, the most dangerous mistake first.

    >>> frame = pd.DataFrame({"feedback_id": ["a", "b"], "text": ["fine", "I will sue"],
    ...                       "answer": ["positive", "negative"], "model_answer": ["neutral", "positive"]})
    >>> [one["feedback_id"] for one in candidates(frame)]
    ['b', 'a']
    """
    found = []
    for row in verdicts.to_dict("records"):
        overturned = row["answer"] != row.get("model_answer")
        if row["answer"] in POLARITIES and (overturned or row.get("given_as") == "adjudication"):
            found.append(
                {
                    "feedback_id": str(row["feedback_id"]), "key": key_of(row["text"]), "text": row["text"],
                    "answer": row["answer"], "model_answer": row.get("model_answer"), "danger": _danger(row),
                    "because": "overturned" if overturned else "adjudicated",
                }
            )  # fmt: skip
    return sorted(found, key=lambda one: (-one["danger"], one["feedback_id"]))


def _danger(row: Mapping[Hashable, Any]) -> float:
    """How bad acting on what the model said would have been: harm unseen, anger taken for joy, and how sure it was."""
    flags = row.get("flags")
    urgent = isinstance(flags, list | tuple | np.ndarray) and "urgent" in flags
    said, right, sure = row.get("model_answer"), row["answer"], row.get("model_confidence")
    worst = said == "positive" and right == "negative"
    bad = right in ("negative", "mixed") and said in ("positive", "neutral")
    confidence = float(sure) if isinstance(sure, int | float) and sure == sure else 0.5
    overturned = float(said != right)
    return round(4.0 * float(urgent) + 2.0 * float(worst) + float(bad) + confidence * overturned, 4)


def _first_of_each(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the same words one case."""
    return list({one["key"]: one for one in reversed(rows)}.values())[::-1]
