"""What a challenger is judged by: recent data, and what people said of reviewed and of golden cases. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from models.journey.eventlog import Table
from training.data import DataError, TrainingData
from training.golden import read_golden


@dataclass(frozen=True)
class Evidence:
    """`verdicts` has feedback_id, text, answer and what else the service exports; None where there are none."""

    data: TrainingData
    verdicts: pd.DataFrame | None = None
    golden: pd.DataFrame | None = None


def evidence(root: Path, data: TrainingData, verdicts: Path | None) -> Evidence:
    """Of this data and these verdicts, with the golden set that is kept under `root`. Raises DataError."""
    return Evidence(data, None if verdicts is None else reviewed(verdicts, data.feedback), read_golden(root))


def reviewed(path: Path, feedback: pd.DataFrame | None) -> pd.DataFrame:
    """Verdicts with the words that they are about; those whose words are not known are left out.

    Raises DataError where a column is missing.
    """
    frame = pd.DataFrame(list(Table(path).rows()) if path.stat().st_size else [])
    if frame.empty:
        return pd.DataFrame({"feedback_id": [], "text": [], "answer": []})
    for column in ("feedback_id", "answer"):
        if column not in frame:
            raise DataError(f"{path}: no column {column!r}; export it with `python -m service export`")
    frame["feedback_id"] = frame["feedback_id"].astype(str)
    if "text" not in frame:
        if feedback is None:
            raise DataError(f"{path}: no column 'text', and no feedback to find the words in")
        words = feedback.drop_duplicates("feedback_id").set_index("feedback_id")
        for column in ("text", "channel", "rating", "said_at"):
            if column in words and column not in frame:
                frame[column] = frame["feedback_id"].map(words[column])
    if "decided_at" in frame:
        frame = frame.sort_values("decided_at", kind="stable")
    has_words = frame["text"].map(lambda text: isinstance(text, str) and bool(text.strip()))
    return frame[has_words].drop(columns=["said_at"], errors="ignore").reset_index(drop=True)
