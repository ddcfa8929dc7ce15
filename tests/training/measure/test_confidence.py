"""Measuring confidence on scored tables whose coverage and mistakes are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.measure.confidence import ConfidenceMeasurement, measure_confidence
from training.measure.figures import MeasureError


def quiet(line: str) -> None:
    """Nobody watches."""


def written(path: Path, rows: list[dict[str, object]]) -> ConfidenceMeasurement:
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return ConfidenceMeasurement(path)


def test_sets_are_covered_by_group(tmp_path: Path) -> None:
    rows = [{"label": "a", "set": "a|b" if row % 4 else "b", "group": "chat" if row < 40 else "call"}
            for row in range(80)]  # fmt: skip
    told = measure_confidence(written(tmp_path / "t.jsonl", [dict(row) for row in rows]), quiet)
    assert told["coverage"]["value"] == 0.75
    assert told["mean_set_size"]["value"] == 1.75
    assert set(told["coverage_by_group"]) == {"chat", "call"}
    assert told["coverage_by_group"]["chat"]["coverage"]["n"] == 40


def test_sets_made_of_probabilities_cover_customers_they_were_not_measured_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for row in range(3000):
        chance = rng.dirichlet([1.0, 1.0, 1.0])
        label = "abc"[int(rng.choice(3, p=chance))]
        rows.append({"customer_id": row // 3, "label": label, "probabilities": dict(zip("abc", chance, strict=True))})
    told = measure_confidence(written(tmp_path / "t.jsonl", rows), quiet)
    assert abs(told["coverage"]["value"] - 0.9) < 0.03
    assert told["coverage"]["n"] < 2000
    assert told["ece"]["value"] < 0.04


def test_what_was_released_is_counted(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"wrong": int(row % 10 == 0), "released": row < 50} for row in range(100)]
    told = measure_confidence(written(tmp_path / "t.jsonl", rows), quiet)
    assert (told["selective_error"]["value"], told["selective_error"]["n"]) == (0.1, 50)
    assert told["release_rate"]["value"] == 0.5


def test_a_rule_is_measured_on_half_and_tried_on_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    score = rng.uniform(0.5, 1.0, 4000)
    rows: list[dict[str, object]] = [
        {"score": float(one), "wrong": int(rng.random() > 0.5 + one / 2), "group": "chat"} for one in score
    ]
    told = measure_confidence(written(tmp_path / "t.jsonl", rows), quiet)
    assert told["selective_error"]["value"] < 0.07
    assert 0.1 < told["release_rate"]["value"] < 0.6
    assert told["release_rate"]["n"] < 2300


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"wrong": 1}, "needed: covered"),
        ({"wrong": 2, "released": 1}, "row 1: wrong is '2'"),
        ({"wrong": 1, "score": "high"}, "row 1: score is 'high'"),
        ({"label": "a", "probabilities": {"a": 0.5}}, "add up to 1"),
    ],
)
def test_a_table_that_cannot_be_measured_is_refused_in_words(
    tmp_path: Path, row: dict[str, object], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        measure_confidence(written(tmp_path / "t.jsonl", [row, row]), quiet)
