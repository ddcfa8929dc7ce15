"""What is served answers as what was fitted: at every split of every tree, at the net's limits; and a lie is caught.

Each export proves itself on random inputs, and the feeling's is tried in tests/training/test_feedback.py; here are the
inputs where two runtimes part first.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier

from models.features.vocabulary import PADDING, UNKNOWN, Vocabulary
from models.nets.next_touchpoint import LastOnly, NetShape, NextTouchpointNet
from models.predictors.predictor import open_session
from training import export
from training.export import ParityError, export_boosting, export_next_touchpoint

Features = NDArray[np.float32]
VOCABULARY = Vocabulary(("dealer.visit", "web.configure", "web.visit"), ("sale", "convenience", "convenience"))
LENGTH = 12


def awkward_features(rows: int, seed: int) -> Features:
    """Columns that make splits fall badly: neighbouring floats, ties, seconds of years, cents, and a constant."""
    rng = np.random.default_rng(seed)
    close = np.float32(1.0) + rng.integers(0, 40, rows) * np.spacing(np.float32(1.0))
    counts = rng.poisson(2.0, rows)
    seconds = rng.exponential(3e7, rows)
    tiny = rng.normal(0, 1e-30, rows)
    cents = rng.integers(-500, 500, rows) / 100
    return np.stack([close, counts, seconds, tiny, cents, np.ones(rows)], axis=1).astype(np.float32)


def boosted() -> tuple[HistGradientBoostingClassifier, Features]:
    """A boosting that splits on every column but the constant one."""
    x = awkward_features(4_000, seed=1)
    parts = (x[:, 0] > 1.000002, x[:, 1] > 2, x[:, 2] > 1.5e7, x[:, 3] > 0, x[:, 4] > 0.07)
    happened = np.random.default_rng(2).random(len(x)) < np.mean(parts, axis=0)
    return HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(x, happened.astype(np.int8)), x


def splits(boosting: HistGradientBoostingClassifier) -> list[tuple[int, float]]:
    """(feature, split) of every inner node, as scikit-learn learned it: in float64."""
    nodes = [tree.nodes for trees in boosting._predictors for tree in trees]
    inner = [tree[tree["is_leaf"] == 0] for tree in nodes]
    return [
        (int(f), float(t)) for tree in inner for f, t in zip(tree["feature_idx"], tree["num_threshold"], strict=True)
    ]


def around(boosting: HistGradientBoostingClassifier, rows: Features) -> Features:
    """For every split, rows on the float nearest to it and one and two floats to either side."""
    moved = []
    for number, (feature, split) in enumerate(splits(boosting)):
        value = np.nextafter(np.nextafter(np.float32(split), np.float32(-np.inf)), np.float32(-np.inf))
        for _ in range(5):
            row = rows[number % len(rows)].copy()
            row[feature] = value
            moved.append(row)
            value = np.nextafter(value, np.float32(np.inf))
    return np.array(moved)


def test_boosting_answers_as_scikit_learn_did_around_every_split(tmp_path: Path) -> None:
    boosting, x = boosted()
    learned = deepcopy(boosting)  # the export rounds the splits of what it is given
    export_boosting(boosting, x, tmp_path / "boosting.onnx", np.random.default_rng(0))
    rows = around(learned, awkward_features(1_000, seed=3))
    assert {feature for feature, _ in splits(learned)} == {0, 1, 2, 3, 4}
    session = open_session(tmp_path / "boosting.onnx", 1)
    for asked in (rows, rows[:1], awkward_features(2_000, seed=4), -rows):
        served = session.run(["probabilities"], {"features": asked})[0][:, 1]
        np.testing.assert_allclose(served, learned.predict_proba(asked)[:, 1], rtol=0, atol=1e-6)


def test_splits_that_were_not_rounded_down_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def round_to_nearest(boosting: HistGradientBoostingClassifier) -> list[tuple[int, np.float32]]:
        return [(feature, np.float32(split)) for feature, split in splits(boosting)]

    boosting, x = boosted()
    monkeypatch.setattr(export, "_round_thresholds_down", round_to_nearest)
    with pytest.raises(ParityError, match="between scikit-learn and ONNX"):
        export_boosting(boosting, x, tmp_path / "boosting.onnx", np.random.default_rng(0))


@pytest.fixture(scope="module", params=["recurrent", "attention"])
def net(request: pytest.FixtureRequest) -> LastOnly:
    """A net of random weights, dropout and all, as the export finds it after training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = NetShape(kind=request.param, length=LENGTH, width=16, layers=2, heads=2, gap_components=3, dropout=0.5)
        return LastOnly(NextTouchpointNet(VOCABULARY, shape)).train()


@pytest.fixture(scope="module")
def graph(net: LastOnly, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    export_next_touchpoint(net.net, VOCABULARY, LENGTH, path, np.random.default_rng(0))
    return path


TOKENS, LOG_GAPS = range(PADDING + 1, VOCABULARY.size), (0.0, np.log1p(1.0), 20.0, 1e4)


@pytest.mark.parametrize("length", [1, 2, LENGTH])
def test_the_net_answers_as_torch_did_at_its_limits(length: int, net: LastOnly, graph: Path) -> None:
    """Every touchpoint (the unknown too) with no gap, one second, its highest scale and far beyond, in every length."""
    kinds = [(token, gap) for token in TOKENS for gap in LOG_GAPS]
    tokens = np.array([[token] * length for token, _ in kinds], dtype=np.int64)
    log_gaps = np.array([[gap] * length for _, gap in kinds], dtype=np.float32)
    lengths = np.arange(len(kinds)) % length + 1
    compare(net, graph, tokens, log_gaps, lengths)


def test_what_pads_a_journey_changes_nothing(net: LastOnly, graph: Path) -> None:
    tokens, log_gaps = np.full((1, LENGTH), UNKNOWN), np.full((1, LENGTH), 3.0, dtype=np.float32)
    padded_otherwise = tokens.copy(), log_gaps.copy()
    padded_otherwise[0][:, 5:], padded_otherwise[1][:, 5:] = VOCABULARY.size - 1, 17.0
    one = compare(net, graph, tokens, log_gaps, np.array([5]))
    np.testing.assert_allclose(compare(net, graph, *padded_otherwise, np.array([5])), one, rtol=0, atol=1e-6)


def compare(net: LastOnly, graph: Path, tokens: Any, log_gaps: Any, lengths: Any) -> NDArray[np.float32]:
    """Both answer the same; returns the logits."""
    with torch.no_grad():
        fitted = net.eval()(*map(torch.from_numpy, (tokens, log_gaps, lengths)))
    served = open_session(graph, 1).run(None, {"tokens": tokens, "log_gaps": log_gaps, "lengths": lengths})
    for ours, theirs in zip(fitted, served, strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=0, atol=1e-4)
    return np.asarray(served[0])


def test_a_graph_that_answers_otherwise_is_caught(
    net: LastOnly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_another(graph: onnx.ModelProto, path: Path) -> None:
        (bias,) = (one for one in graph.graph.initializer if one.name.endswith("next_head.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-3), bias.name))
        path.write_bytes(graph.SerializeToString())

    monkeypatch.setattr(export, "write_graph", write_another)
    with pytest.raises(ParityError, match="logits differ by"):
        export_next_touchpoint(net.net, VOCABULARY, LENGTH, tmp_path / "net.onnx", np.random.default_rng(0))
