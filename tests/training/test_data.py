"""Files in: what is used, what is refused with its row and column, and how people's verdicts win."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from models.journey.event import SECOND
from models.journey.eventlog import EventLogError
from models.journey.touchpoint import Catalogue
from training.data import VERDICT_WEIGHT, DataError, exported, labelled, load, read_feedback, with_verdicts


def _csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _verdict(feedback_id: str, answer: str | None, at: str, **more: Any) -> dict[str, Any]:
    return {"feedback_id": feedback_id, "answer": answer, "decided_at": at, **more}


def _jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_columns_are_found_by_name_by_alias_and_by_mapping(tmp_path: Path) -> None:
    rows = [{"Review Text": "good", "Rating": 5, "timestamp": "2026-01-01T00:00:01Z", "user_id": "u", "text": "no"}]
    frame = read_feedback(_csv(tmp_path / "f.csv", rows), {"text": "Review Text"})
    assert list(frame.columns) == ["customer_id", "said_at", "text", "rating", "feedback_id", "weight"]
    assert frame["text"].tolist() == ["good"]
    assert frame["said_at"].tolist() == [1_767_225_601 * SECOND]
    assert frame["rating"].tolist() == [5.0]
    assert frame["feedback_id"].tolist() == ["f-000000000"]


def test_two_names_for_one_column_of_ours_take_the_first(tmp_path: Path) -> None:
    frame = read_feedback(_csv(tmp_path / "f.csv", [{"text": "a", "stars": 1, "Rating": 5}]))
    assert frame["rating"].tolist() == [1.0]


def test_one_column_may_be_two_of_ours(tmp_path: Path) -> None:
    path = _csv(tmp_path / "f.csv", [{"words": "a"}])
    frame = read_feedback(path, {"text": "words", "feedback_id": "words"})
    assert (frame["text"].tolist(), frame["feedback_id"].tolist()) == (["a"], ["a"])


def test_rows_without_words_are_left_out_and_empty_cells_say_nothing(tmp_path: Path) -> None:
    rows = [
        {"text": "  ", "polarity": "wonderful", "said_at": "never"},
        {"text": "fine", "polarity": "", "said_at": ""},
        {"text": "bad", "polarity": "negative", "said_at": "2026-01-01"},
    ]
    frame = read_feedback(_csv(tmp_path / "f.csv", rows))
    assert frame["text"].tolist() == ["fine", "bad"]
    assert frame["said_at"].isna().tolist() == [True, False]
    assert labelled(frame)["text"].tolist() == ["bad"]


def test_times_are_read_as_in_an_event_log(tmp_path: Path) -> None:
    said = ["1970-01-01", "1970-01-01T00:00:02+00:00", "1970-01-01 01:00:00+01:00", 3, 4.5]
    frame = read_feedback(_jsonl(tmp_path / "f.jsonl", [{"text": "a", "said_at": at} for at in said]))
    assert frame["said_at"].tolist() == [0, 2 * SECOND, 0, 3 * SECOND, 4_500_000]


def test_emotions_are_a_list_or_words_with_commas(tmp_path: Path) -> None:
    rows = [{"text": "a", "emotions": value} for value in (["joy"], "joy, anger", [], None)]
    assert read_feedback(_jsonl(tmp_path / "f.jsonl", rows))["emotions"].tolist() == [
        ["joy"],
        ["joy", "anger"],
        [],
        None,
    ]


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("rating", "6", "row 3: rating '6'; allowed: 1 to 5"),
        ("rating", "five", "row 3: rating 'five'; allowed: 1 to 5"),
        ("intensity", "-5", "row 3: intensity '-5'; allowed: -4 to 4"),
        ("polarity", "happy", "row 3: polarity 'happy'; allowed: negative, "),
        ("nuance", "sly", "row 3: nuance 'sly'; allowed: "),
        ("emotions", "joy,bliss", "row 3: emotions 'bliss'; allowed: "),
        ("said_at", "yesterday", "row 3: said_at 'yesterday' is no ISO 8601 time"),
    ],
)
def test_a_wrong_cell_is_named_with_its_row_in_the_file(
    column: str, value: str, complaint: str, tmp_path: Path
) -> None:
    rows = [{"text": "", column: ""}, {"text": "a", column: ""}, {"text": "b", column: value}]
    path = _csv(tmp_path / "f.csv", rows)
    with pytest.raises(DataError, match=f"{path}: {complaint}"):
        read_feedback(path)


def test_wrong_columns_name_those_that_there_are(tmp_path: Path) -> None:
    path = _csv(tmp_path / "f.csv", [{"Review": "a", "Stars": 1}])
    with pytest.raises(DataError, match="no column for text; it has Review, Stars; name it with --map-feedback"):
        read_feedback(path)
    with pytest.raises(DataError, match="no column 'Words'; it has Review, Stars"):
        read_feedback(path, {"text": "Words"})
    with pytest.raises(DataError, match="cannot map to 'txt'; allowed: feedback_id, "):
        read_feedback(path, {"txt": "Review"})


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"text\n"])
def test_a_file_that_cannot_be_read_or_is_empty_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.raises((EventLogError, DataError), match=r"f\.csv"):
        read_feedback(path)


def test_a_verdict_takes_the_place_of_label_and_stars_and_weighs_more(tmp_path: Path) -> None:
    frame = read_feedback(_jsonl(tmp_path / "f.jsonl", [
        {"feedback_id": "a", "text": "one", "polarity": "positive", "rating": 5},
        {"feedback_id": "b", "text": "two", "polarity": "positive", "rating": 5},
        {"feedback_id": "c", "text": "three", "rating": 4},
    ]))  # fmt: skip
    verdicts = _jsonl(
        tmp_path / "v.jsonl", [_verdict("a", "negative", "2026-01-01"), _verdict("x", "mixed", "2026-01-01")]
    )
    judged, used = with_verdicts(frame, verdicts)
    assert used == 1
    assert judged["polarity"].tolist()[:2] == ["negative", "positive"]
    assert judged["rating"].isna().tolist() == [True, False, False]
    assert judged["weight"].tolist() == [VERDICT_WEIGHT, 1.0, 1.0]
    assert frame["polarity"].tolist()[0] == "positive"


def test_cannot_tell_takes_the_label_away(tmp_path: Path) -> None:
    frame = read_feedback(_jsonl(tmp_path / "f.jsonl", [
        {"feedback_id": "a", "text": "one", "polarity": "positive", "rating": 5},
        {"feedback_id": "b", "text": "two", "rating": 2},
    ]))  # fmt: skip
    judged, used = with_verdicts(frame, _jsonl(tmp_path / "v.jsonl", [_verdict("a", "cannot_tell", "2026-01-01")]))
    assert used == 1
    assert labelled(judged)["feedback_id"].tolist() == ["b"]


@pytest.mark.parametrize("latest_first", [True, False])
def test_the_latest_verdict_stands(latest_first: bool, tmp_path: Path) -> None:
    frame = read_feedback(_csv(tmp_path / "f.csv", [{"feedback_id": 7, "text": "one"}]))
    rows = [_verdict("7", "negative", "2026-01-01T00:00:00Z"), _verdict("7", "mixed", "2026-01-02T00:00:00Z")]
    judged, used = with_verdicts(frame, _jsonl(tmp_path / "v.jsonl", rows[::-1] if latest_first else rows))
    assert (judged["polarity"].tolist(), used) == (["mixed"], 1)


def test_what_a_verdict_says_of_emotions_and_intensity_stands_too(tmp_path: Path) -> None:
    frame = read_feedback(_jsonl(tmp_path / "f.jsonl", [
        {"feedback_id": "a", "text": "one", "intensity": 3, "emotions": ["joy"]},
        {"feedback_id": "b", "text": "two", "intensity": 2, "emotions": ["joy"]},
        {"feedback_id": "c", "text": "three", "intensity": 1, "emotions": ["joy"]},
    ]))  # fmt: skip
    verdicts = _jsonl(tmp_path / "v.jsonl", [
        _verdict("a", "negative", "2026-01-01", emotions=["anger"], intensity=-4),
        _verdict("b", "negative", "2026-01-01", emotions=[], intensity=None),
    ])  # fmt: skip
    judged, _ = with_verdicts(frame, verdicts)
    assert judged["intensity"].fillna(0).tolist() == [-4, 0, 1]
    assert [names if isinstance(names, list) else None for names in judged["emotions"]] == [["anger"], None, ["joy"]]


def test_verdicts_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"feedback_id": ["a"], "text": ["one"], "weight": [1.0]})
    with pytest.raises(DataError, match="no column 'decided_at'"):
        with_verdicts(frame, _jsonl(tmp_path / "v.jsonl", [{"feedback_id": "a", "answer": "mixed"}]))
    with pytest.raises(DataError, match=r"row 1: answer 'meh'; allowed: negative, .*cannot_tell"):
        with_verdicts(frame, _jsonl(tmp_path / "v.jsonl", [_verdict("a", "meh", "2026-01-01")]))
    with pytest.raises(EventLogError, match="no such file"):
        with_verdicts(frame, tmp_path / "nowhere.parquet")
    (tmp_path / "none.csv").write_text("")
    assert with_verdicts(frame, tmp_path / "none.csv")[1] == 0


def test_there_must_be_something_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --events, --feedback or both"):
        load(None, None, None, Catalogue.default(), {}, {})
    events = _csv(tmp_path / "e.csv", [{"user_id": "a", "event": "Page Viewed", "timestamp": "2026-01-01"}])
    with pytest.raises(DataError, match="--verdicts needs --feedback"):
        load(events, None, tmp_path / "v.jsonl", Catalogue.default(), {}, {})
    data = load(events, None, None, Catalogue.default(), {}, {})
    assert data.assembled is not None
    assert data.feedback is None
    assert list(data.digests) == ["events"]
    assert len(data.digests["events"]) == 64


def test_an_export_is_taken_whole_but_for_files_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no events"):
        exported(tmp_path)
    full, none = pa.table({"a": [1]}), pa.table({"a": pa.array([], pa.int64())})
    pa.parquet.write_table(full, tmp_path / "events.parquet")
    pa.parquet.write_table(none, tmp_path / "feedback.parquet")
    assert exported(tmp_path) == (tmp_path / "events.parquet", None, None)
    (tmp_path / "feedback.parquet").write_text("damaged")
    pa.parquet.write_table(full, tmp_path / "verdicts.parquet")
    assert exported(tmp_path)[1:] == (tmp_path / "feedback.parquet", tmp_path / "verdicts.parquet")
