"""Measuring feelings: made-up answers whose scores are known, and the bundle of a small run as it is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.predictors.feedback import EMOTIONS, NUANCES, FeelingPrediction
from tests.trained import Trained
from training.measure.feedback import FeedbackMeasurement, Read, measure_feedback, polarity_codes, report
from training.measure.figures import MeasureError

pytest_plugins = ["tests.trained"]
TASKS = {"polarity": "polarity", "emotion": "emotions", "intensity": "intensity"}


def quiet(line: str) -> None:
    """Nobody watches."""


def asked(task: str) -> FeedbackMeasurement:
    return FeedbackMeasurement(Path("texts.csv"), "text", "label", task)


def told_of(task: str, labels: list[Any], **numbers: np.ndarray) -> dict[str, Any]:
    """The report on texts with these labels, where the predictor gave these numbers."""
    n = len(labels)
    polarity = numbers.pop("polarity", np.tile([0.4, 0.3, 0.2, 0.1], (n, 1)))
    prediction = FeelingPrediction(
        polarity=polarity,
        emotions=numbers.get("emotions"),
        nuance=numbers.get("nuance"),
        intensity_mean=numbers.get("intensity_mean"),
        intensity_spread=numbers.get("intensity_spread"),
        truncated=np.zeros(n, bool),
        tokens=np.full(n, 5),
    )
    rows = [{"text": f"words number {row} of many", "label": label} for row, label in enumerate(labels)]
    read = Read([str(row["text"]) for row in rows], labels, rows, prediction, polarity, "en")
    return report(read, asked(task), np.random.default_rng(0))


def test_labels_are_names_or_stars_or_mean_ratings() -> None:
    assert polarity_codes(["negative", "Neutral"])[1] == 3
    assert polarity_codes(["mixed", "neutral"])[1] == 4
    assert polarity_codes(["1", "3", "5"])[0].tolist() == [0, 1, 2]
    assert polarity_codes([-0.5, -0.4, 0.4, 0.5])[0].tolist() == [0, 1, 1, 2]
    with pytest.raises(MeasureError, match=r"label 'great'"):
        polarity_codes(["great"])
    with pytest.raises(MeasureError, match=r"-4\.\.4"):
        polarity_codes([70.5])


def test_mixed_counts_as_neutral_among_three_classes_and_is_told_apart() -> None:
    polarity = np.array([[0.1, 0.1, 0.1, 0.7], [0.8, 0.1, 0.1, 0.0], [0.1, 0.2, 0.6, 0.1]])
    told = told_of("polarity", ["neutral", "negative", "positive"], polarity=polarity)
    assert told["accuracy"]["value"] == told["macro_f1"]["value"] == 1.0
    assert abs(told["log_loss"]["value"] + np.mean(np.log([0.8, 0.8, 0.6]))) < 1e-5
    assert told["mixed"]["answered"]["value"] == pytest.approx(1 / 3, abs=1e-5)
    assert told["mixed"]["labelled"] == {"negative": 0, "neutral": 1, "positive": 0}
    four = told_of("polarity", ["neutral", "mixed", "positive"], polarity=polarity)
    assert four["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-5)


def test_emotions_are_each_their_own_question() -> None:
    chance = np.full((3, 28), 0.1)
    chance[0, EMOTIONS.index("joy")] = chance[1, EMOTIONS.index("anger")] = 0.9
    told = told_of("emotion", [["joy"], "anger, love", ["neutral"]], emotions=chance)
    assert told["emotions"]["joy"] == {"f1": 1.0, "n": 1}
    assert told["macro_f1"]["value"] == pytest.approx(0.5)
    with pytest.raises(MeasureError, match="'happy' is no emotion"):
        told_of("emotion", [["happy"], ["joy"]], emotions=chance[:2])


def test_intensity_and_the_raters_spread_are_correlated_on_any_scale() -> None:
    rng = np.random.default_rng(0)
    ratings = [[float(mean - spread), float(mean + spread)] for mean, spread in rng.uniform(0.1, 2, (60, 2))]
    mean, spread = np.mean(ratings, axis=1), np.std(ratings, axis=1)
    told = told_of("intensity", ratings, intensity_mean=3 * mean - 2, intensity_spread=spread**3)
    assert told["pearson"]["value"] == pytest.approx(1.0)
    assert told["spread_spearman"]["value"] == pytest.approx(1.0)


def test_raters_disagree_from_two_thirds_on() -> None:
    told = told_of("disagreement", [0, 0.3333, 0.6666667, 1.0], intensity_spread=np.array([0.1, 0.2, 0.9, 0.8]))
    assert (told["positives"], told["auc"]["value"], told["score"]) == (2, 1.0, "intensity_spread")


def test_sarcasm_is_scored_by_the_nuance_head() -> None:
    nuance = np.full((4, 6), 0.1)
    nuance[:, NUANCES.index("ironic")] = [0.5, 0.1, 0.2, 0.4]
    told = told_of("sarcasm", ["1", "0", "0", "1"], nuance=nuance)
    assert (told["auc"]["value"], told["flag"]["recall"]["n"]) == (1.0, 2)
    with pytest.raises(MeasureError, match="label 'maybe'"):
        told_of("sarcasm", ["maybe", "1"], nuance=nuance)


def test_a_head_that_was_not_trained_cannot_be_measured() -> None:
    with pytest.raises(MeasureError, match="not trained on emotions"):
        told_of("emotion", [["joy"], ["anger"]])


@pytest.mark.parametrize("task", TASKS)
def test_the_bundle_answers_as_it_is(trained: Trained, company: Path, task: str) -> None:
    wanted = FeedbackMeasurement(company / "feedback.parquet", "text", TASKS[task], task, bundle=trained.report.folder)
    told = measure_feedback(wanted, quiet)
    assert told["bundle"] == trained.report.digest
    assert told["n"] > 100
    json.dumps(told)


def test_nothing_live_and_a_missing_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("text,label\ngood,positive\nbad,negative\n", "utf-8")
    with pytest.raises(MeasureError, match="nothing is live"):
        measure_feedback(FeedbackMeasurement(path, "text", "label", "polarity", tmp_path), quiet)
    with pytest.raises(MeasureError, match=r"--label 'stars'.*it has text, label"):
        measure_feedback(FeedbackMeasurement(path, "text", "stars", "polarity", tmp_path), quiet)
