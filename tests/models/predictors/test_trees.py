"""Exact TreeSHAP: equal to Shapley values summed over every subset, on trees small enough to do so."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from models.predictors.predictor import PredictorError
from models.predictors.trees import Trees
from training.export import export_boosting, trees_of

FEATURES = 4


def boosted(seed: int, folder: Path | None = None, rounds: int = 6) -> tuple[HistGradientBoostingClassifier, Trees]:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(400, FEATURES)), 1).astype(np.float32)
    y = x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=400) > 0
    fitted = HistGradientBoostingClassifier(max_iter=rounds, max_leaf_nodes=7, min_samples_leaf=5, random_state=0)
    fitted.fit(x, y)
    if folder is not None:
        export_boosting(fitted, x, folder / "boosting.onnx", rng)
    return fitted, trees_of(fitted)


def expectation(trees: Trees, node: int, row: np.ndarray, known: frozenset[int]) -> float:
    """What a tree says where only some features are known: the branches of the others by how many went there."""
    feature = int(trees.feature[node])
    if feature < 0:
        return float(trees.value[node])
    left, right = int(trees.left[node]), int(trees.right[node])
    if feature in known:
        return expectation(trees, left if row[feature] <= trees.threshold[node] else right, row, known)
    shares = [float(trees.count[child] / trees.count[node]) for child in (left, right)]
    return sum(
        share * expectation(trees, child, row, known) for share, child in zip(shares, (left, right), strict=True)
    )


def by_subsets(trees: Trees, row: np.ndarray) -> np.ndarray:
    said = {
        frozenset(known): sum(expectation(trees, int(root), row, frozenset(known)) for root in trees.roots)
        for size in range(FEATURES + 1)
        for known in combinations(range(FEATURES), size)
    }
    moved = np.zeros(FEATURES)
    for one in range(FEATURES):
        for known in (subset for subset in said if one not in subset):
            weight = factorial(len(known)) * factorial(FEATURES - len(known) - 1) / factorial(FEATURES)
            moved[one] += weight * (said[known | {one}] - said[known])
    return moved


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_what_moved_an_answer_is_what_summing_over_all_subsets_gives(seed: int) -> None:
    _, trees = boosted(seed)
    for row in np.random.default_rng(seed).normal(size=(3, FEATURES)).astype(np.float32):
        np.testing.assert_allclose(trees.moved(row), by_subsets(trees, row), atol=1e-12)


def test_what_moved_an_answer_adds_up_to_it(tmp_path: Path) -> None:
    fitted, trees = boosted(3, tmp_path, rounds=80)
    rows = np.random.default_rng(1).normal(size=(200, FEATURES)).astype(np.float32)
    for row, log_odds in zip(rows, fitted.decision_function(rows), strict=True):
        assert trees.expected + trees.moved(row).sum() == pytest.approx(log_odds, abs=1e-9)
        assert trees.log_odds(row) == pytest.approx(log_odds, abs=1e-9)


def test_trees_are_kept_whole_and_a_damaged_file_is_refused(tmp_path: Path) -> None:
    _, trees = boosted(5)
    path = tmp_path / "trees.safetensors"
    trees.save(path)
    row = np.array([0.3, -1, 2, 0], dtype=np.float32)
    np.testing.assert_array_equal(Trees.load(path).moved(row), trees.moved(row))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PredictorError, match="train the bundle again"):
        Trees.load(path)
    with pytest.raises(PredictorError):
        Trees.load(tmp_path / "nothing.safetensors")
