"""Data in: logs, labelled texts and verdicts, read from files into what the fits take. Says what is wrong with a file.

Does not split (splits.py) and does not fit. Labels come in three strengths: a person's verdict, a given label, stars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from models.journey.assembly import Assembled, assemble
from models.journey.event import SECOND, Micros, micros, parse_time
from models.journey.eventlog import EventLogError, Table, read_events, read_rules
from models.journey.touchpoint import Catalogue
from models.predictors.feedback import EMOTIONS, NUANCES, POLARITIES
from models.review import ANSWERS
from training.golden import apart
from training.labels import answers_of, with_answers
from training.policies import LabelPolicy

FEEDBACK_COLUMNS = (
    "feedback_id", "customer_id", "said_at", "channel", "text", "rating", "polarity", "emotions", "intensity", "nuance",
)  # fmt: skip
ALIASES = {"user_id": "customer_id", "timestamp": "said_at", "stars": "rating", "Rating": "rating", "review": "text"}
VERDICT_WEIGHT = LabelPolicy().verdict_weight
"""A person who read the text on purpose counts as five labels from elsewhere."""


class DataError(ValueError):
    """A file cannot be used for training; the message names file, row, column, value and what is allowed."""


@dataclass(frozen=True)
class TrainingData:
    """Everything that a training run reads, with the sha256 of each file it came from."""

    assembled: Assembled | None
    feedback: pd.DataFrame | None
    digests: Mapping[str, str]
    verdicts_used: int = 0


def exported(folder: Path) -> tuple[Path | None, Path | None, Path | None]:
    """Events, feedback and verdicts of a folder that the service exported; a file without rows is left out.

    Raises DataError where the folder holds none of the first two, or nothing in them.
    """
    events, feedback, verdicts = (folder / f"{name}.parquet" for name in ("events", "feedback", "verdicts"))
    if not events.is_file() and not feedback.is_file():
        fix = "write it with `python -m service export`"
        raise DataError(f"{folder} holds no events.parquet and no feedback.parquet; {fix}")
    found = [path if path.is_file() and _has_rows(path) else None for path in (events, feedback, verdicts)]
    if found[0] is None and found[1] is None:
        raise DataError(f"{folder} holds no event and nothing that anybody said; export as of a later moment")
    return found[0], found[1], found[2]


def _has_rows(path: Path) -> bool:
    try:
        return bool(pa.parquet.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return True  # the reader will say what is wrong with it


def load(
    events: Path | None,
    feedback: Path | None,
    verdicts: Path | None,
    catalogue: Catalogue,
    event_columns: Mapping[str, str],
    feedback_columns: Mapping[str, str],
    labels: LabelPolicy = LabelPolicy(),
    golden: pd.DataFrame | None = None,
) -> TrainingData:
    """Read what was given; words of a `golden` case are left out, nothing learns from them.

    Raises EventLogError or DataError; nothing is written.
    """
    if events is None and feedback is None:
        raise DataError("nothing to learn from: give --events, --feedback or both")
    assembled = assemble(read_events(events, event_columns), catalogue, read_rules(events)) if events else None
    frame = read_feedback(feedback, feedback_columns) if feedback else None
    used = 0
    if verdicts is not None:
        if frame is None:
            raise DataError("--verdicts needs --feedback: a verdict is about a text")
        frame, used = with_verdicts(frame, verdicts, labels, readings_beside(verdicts))
    digests = {} if golden is None else {"golden": hashlib.sha256("\n".join(golden["key"]).encode()).hexdigest()}
    if frame is not None:
        frame = frame[apart(frame, golden)].reset_index(drop=True)
    files = {"events": events, "feedback": feedback, "verdicts": verdicts, "readings": readings_beside(verdicts)}
    return TrainingData(assembled, frame, {name: sha256(path) for name, path in files.items() if path} | digests, used)


def read_feedback(path: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read texts with whatever labels stand beside them; rows without words are left out.

    `columns` is {ours: the file's}. Result columns: FEEDBACK_COLUMNS that were found, and `weight` (1.0); `said_at` is
    Int64 microseconds, `emotions` a list or None. Raises EventLogError or DataError naming row and column.
    """
    raw = pd.DataFrame(list(Table(path).rows()))
    if raw.empty:
        raise EventLogError(f"{path}: holds no rows")
    chosen = _chosen(path, list(raw.columns), columns or {})
    frame = pd.DataFrame({ours: raw[chosen[ours]] for ours in FEEDBACK_COLUMNS if ours in chosen})
    frame["text"] = frame["text"].fillna("").astype(str)
    frame = frame[frame["text"].str.strip() != ""].copy()  # rows keep their number in the file until all is checked
    _check(path, frame)
    frame = frame.reset_index(drop=True)
    if "feedback_id" not in frame:
        frame["feedback_id"] = [f"{path.stem}-{row:09d}" for row in range(len(frame))]
    frame["feedback_id"] = frame["feedback_id"].astype(str)
    frame["weight"] = 1.0
    return frame


def _chosen(path: Path, present: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """{ours: the file's}: the mapping wins over our own names, these over aliases."""
    for ours, theirs in columns.items():
        if ours not in FEEDBACK_COLUMNS:
            raise DataError(f"cannot map to {ours!r}; allowed: {', '.join(FEEDBACK_COLUMNS)}")
        if theirs not in present:
            raise DataError(f"{path}: no column {theirs!r}; it has {', '.join(present)}")
    chosen = dict(columns)
    free = [column for column in present if column not in columns.values()]
    for names in ({name: name for name in FEEDBACK_COLUMNS}, ALIASES):
        for column in free:
            if column in names and names[column] not in chosen:
                chosen[names[column]] = column
    if "text" not in chosen:
        raise DataError(
            f"{path}: no column for text; it has {', '.join(present)}; name it with --map-feedback text=COLUMN"
        )
    return chosen


def _check(path: Path, frame: pd.DataFrame) -> None:
    """Turn the columns, in place, into what `read_feedback` promises; an empty cell says nothing."""
    readers: dict[str, Callable[[Any], Any]] = {
        "said_at": _moment,
        "rating": partial(_number, 1, 5),
        "intensity": partial(_number, -4, 4),
        "polarity": partial(_name, POLARITIES),
        "nuance": partial(_name, NUANCES),
        "emotions": _emotions,
    }
    dtypes = {"said_at": "Int64", "rating": "float64", "intensity": "float64"}
    for column in [name for name in readers if name in frame]:
        read = []
        for row, cell in zip(frame.index, frame[column].tolist(), strict=True):
            try:
                read.append(None if _is_empty(cell) else readers[column](cell))
            except (ValueError, OverflowError) as error:
                raise DataError(f"{path}: row {row + 1}: {column} {error}") from None
        frame[column] = pd.Series(read, index=frame.index, dtype=dtypes.get(column, "object"))


def _is_empty(cell: Any) -> bool:
    return cell is None or cell is pd.NaT or cell == "" or (isinstance(cell, float) and cell != cell)


def _moment(cell: Any) -> Micros:
    """Numbers are seconds since 1970, as in an event log."""
    if isinstance(cell, datetime):
        return micros(cell if cell.tzinfo else cell.replace(tzinfo=UTC))
    if isinstance(cell, int | float):
        return round(cell * SECOND)
    return parse_time(str(cell))


def _number(low: float, high: float, cell: Any) -> float:
    try:
        number = float(cell)
    except (ValueError, TypeError):
        number = float("nan")
    if not low <= number <= high:
        raise ValueError(f"{cell!r:.40}; allowed: {low:g} to {high:g}")
    return number


def _name(allowed: tuple[str, ...], cell: Any) -> str:
    if cell not in allowed:
        raise ValueError(f"{cell!r:.40}; allowed: {', '.join(allowed)}")
    return str(cell)


def _emotions(cell: Any) -> list[str]:
    """Emotions as a list, or as text with commas."""
    if not isinstance(cell, str | list | tuple):
        raise ValueError(f"{cell!r:.40}; give names, with commas between them")
    names = cell.split(",") if isinstance(cell, str) else map(str, cell)
    return [_name(EMOTIONS, name.strip()) for name in names if name.strip()]


def readings_beside(verdicts: Path | None) -> Path | None:
    """The readings that decided nothing alone, as the service exports them beside its verdicts; None where none are."""
    path = None if verdicts is None else verdicts.with_name("readings.parquet")
    return path if path is not None and path.is_file() and _has_rows(path) else None


def with_verdicts(
    frame: pd.DataFrame, path: Path, policy: LabelPolicy = LabelPolicy(), readings: Path | None = None
) -> tuple[pd.DataFrame, int]:
    """Let people's verdicts take the place of whatever label a text had; "cannot_tell" takes the label away.

    The latest verdict of each reader on a text stands; where readers disagree the text teaches each answer by its share
    (labels.py); `readings` are those who disagreed before a case was settled. Where a verdict also names emotions or an
    intensity, they stand too. `chosen` says which texts a flag or a person chose, and no lot. Returns the frame and how
    many texts have a verdict. Raises EventLogError or DataError.
    """
    empty = path.is_file() and not path.stat().st_size
    verdicts = pd.DataFrame() if empty else pd.DataFrame(list(Table(path).rows()))
    if verdicts.empty:
        return frame, 0
    for column in ("feedback_id", "answer", "decided_at"):
        if column not in verdicts:
            raise DataError(f"{path}: no column {column!r}; export it with `python -m service export`")
    foreign = verdicts[~verdicts["answer"].isin(ANSWERS)]
    if len(foreign):
        row, answer = foreign.index[0] + 1, foreign["answer"].iloc[0]
        raise DataError(f"{path}: row {row}: answer {answer!r}; allowed: {', '.join(ANSWERS)}")
    settled = verdicts["feedback_id"].astype(str)
    if readings is not None:
        more = pd.DataFrame(list(Table(readings).rows()))
        more = more[more["feedback_id"].astype(str).isin(set(settled)) & more["answer"].isin(ANSWERS)]
        verdicts = pd.concat([verdicts, more], ignore_index=True)
    readers: dict[str, Callable[[Any], Any]] = {"emotions": _emotions_told, "intensity": _intensity_told}
    told, used = with_answers(
        frame, answers_of(verdicts, policy), {name: read for name, read in readers.items() if name in verdicts}
    )
    lot = verdicts["drawn"] if "drawn" in verdicts else pd.Series(False, index=verdicts.index)
    fairly = set(verdicts["feedback_id"][lot.fillna(False).astype(bool)])
    return told.assign(chosen=told["feedback_id"].isin(set(verdicts["feedback_id"]) - fairly)), used


def _emotions_told(cell: Any) -> list[str] | None:
    """What a verdict names; where it names none, nobody said."""
    return None if _is_empty(cell) else _emotions(cell) or None


def _intensity_told(cell: Any) -> float:
    return float("nan") if _is_empty(cell) else float(cell)


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that say how the text feels: a polarity, or stars."""
    has = pd.Series(False, index=frame.index)
    for column in ("polarity", "rating"):
        if column in frame:
            has |= frame[column].notna()
    return frame[has].reset_index(drop=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
