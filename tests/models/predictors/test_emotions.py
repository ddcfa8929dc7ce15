"""Emotions: calibrated each by itself, answered from its own threshold, not ruled out lightly; answers are kept."""

from __future__ import annotations

import numpy as np
import pytest

from models.predictors.emotions import EKMAN, EMOTIONS, MeasuredEmotions, ekman
from models.predictors.remembered import Remembered
from training.emotion_measure import MISSED, best_threshold, measure_emotions


def _said(rng: np.random.Generator, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are twice as sure, in logits, as they should be."""
    logit = rng.normal(-2.0, 1.5, (n, len(EMOTIONS)))
    felt = rng.random(logit.shape) < 1 / (1 + np.exp(-logit))
    return 1 / (1 + np.exp(-2 * logit)), felt


def test_each_emotion_is_calibrated_and_its_set_keeps_what_is_felt() -> None:
    rng = np.random.default_rng(0)
    measured = MeasuredEmotions.from_dict(measure_emotions(*_said(rng)))
    np.testing.assert_allclose(measured.slope, 0.5, atol=0.1)
    chance, felt = _said(rng)
    calibrated = measured.calibrate(chance)
    assert abs(float(calibrated.mean() - felt.mean())) < 0.01
    kept = measured.possible(calibrated)[felt].mean()
    assert kept > 1 - MISSED - 0.02
    assert (measured.felt(calibrated) <= measured.possible(calibrated)).all()


def test_rare_emotions_are_taken_as_they_are() -> None:
    chance, felt = _said(np.random.default_rng(1), 100)
    felt[:, 3] = False
    told = measure_emotions(chance, felt)
    assert (told["slope"][3], told["intercept"][3], told["possible_from"][3]) == (1.0, 0.0, 0.0)


def test_the_threshold_expects_the_highest_f1() -> None:
    calibrated = np.random.default_rng(2).beta(0.5, 3, 500)
    chosen = best_threshold(calibrated)

    def expected(threshold: float) -> float:
        said = calibrated >= threshold
        return float(2 * calibrated[said].sum() / (said.sum() + calibrated.sum()))

    assert all(expected(chosen) >= expected(other) - 1e-12 for other in calibrated)


def test_what_was_measured_of_other_emotions_is_refused() -> None:
    told = measure_emotions(*_said(np.random.default_rng(3), 200))
    with pytest.raises(ValueError, match="other"):
        MeasuredEmotions.from_dict({**told, "names": ["joy"]})
    with pytest.raises(ValueError, match="one number for each"):
        MeasuredEmotions.from_dict({**told, "slope": [1.0]})


def test_every_emotion_belongs_to_one_group() -> None:
    names = [name for group in EKMAN.values() for name in group]
    assert sorted(names) == sorted(EMOTIONS)
    chance = np.zeros((1, len(EMOTIONS)))
    chance[0, EMOTIONS.index("grief")] = 0.8
    assert {group: float(one[0]) for group, one in ekman(chance).items() if one[0] > 0} == {
        "sadness": pytest.approx(0.8)
    }


def test_the_answer_not_asked_for_longest_is_forgotten_first() -> None:
    known = Remembered[str](2)
    known.keep(["a", "b"], ["A", "B"])
    assert known.find(["a"]) == ["A"]
    known.keep(["c"], ["C"])
    assert known.find(["a", "b", "c"]) == ["A", None, "C"]
    assert len(known) == 2


def test_a_memory_of_nothing_keeps_nothing() -> None:
    known = Remembered[str](0)
    known.keep(["a"], ["A"])
    assert known.find(["a"]) == [None]
    with pytest.raises(ValueError, match="allowed is 0 and more"):
        Remembered[str](-1)
