"""From a fitted net or boosting to ONNX, and the proof that both say the same. Trains nothing and chooses nothing.

The graph is stripped of the exporter's notes (they hold paths of this machine), so that the same weights give the same
bytes.
"""

from __future__ import annotations

import logging
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn

from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.nets.next_touchpoint import Ensemble, LastOnly, NextTouchpointNet
from models.predictors.predictor import open_session
from models.predictors.trees import Trees

_OPSET = 20


class ParityError(RuntimeError):
    """What was exported answers otherwise than what was fitted: a fault, so nothing may be published."""


def export_next_touchpoint(
    net: NextTouchpointNet | Ensemble, vocabulary: Vocabulary, length: int, path: Path, rng: np.random.Generator
) -> float:
    """Write the net as ONNX with batch and length left open; gives the largest difference that was found of a logit.

    Raises ParityError beyond 1e-4.
    """
    net = deepcopy(net).eval()  # the export would otherwise put the net back into training mode
    learned, served = LastOnly(net).eval(), LastOnly(_with_onnx_recurrence(net)).eval()
    example = _random_journeys(vocabulary, 3, min(5, length), rng)
    rows, columns = torch.export.Dim("customers"), torch.export.Dim("touchpoints", max=max(2, length))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            served,
            example,
            dynamo=True,
            opset_version=_OPSET,
            input_names=["tokens", "log_gaps", "lengths"],
            output_names=["logits", "gap"],
            dynamic_shapes={
                "tokens": {0: rows, 1: columns},
                "log_gaps": {0: rows, 1: columns},
                "lengths": {0: rows},
            },
            verbose=False,
        )
    if program is None:
        raise ParityError("the exporter gave no graph")
    write_graph(program.model_proto, path)
    session, furthest = open_session(path, 1), 0.0
    for customers, columns_there in ((1, 1), (1, length), (7, max(1, length // 2)), (64, length)):
        tokens, log_gaps, lengths = _random_journeys(vocabulary, customers, columns_there, rng)
        with torch.no_grad():
            fitted = learned(tokens, log_gaps, lengths)
        feed = {"tokens": tokens.numpy(), "log_gaps": log_gaps.numpy(), "lengths": lengths.numpy()}
        for name, ours, theirs in zip(("logits", "gap"), fitted, session.run(None, feed), strict=True):
            apart = float(np.abs(ours.numpy() - theirs).max())
            if not apart <= 1e-4:
                raise ParityError(f"{path.name}: {name} differ by {apart:.2g} between torch and ONNX; 1e-4 is allowed")
            furthest = max(furthest, apart)
    return furthest


class _OnnxRecurrence(nn.Module):
    """A fitted nn.GRU told as the GRU operator of ONNX, which the exporter would else unroll touchpoint by touchpoint.

    forward (B, L, width) -> (B, L, width), None. ONNX orders the gates update, reset, new; torch reset, update, new
    (onnx.ai/onnx/operators/onnx__GRU.html, linear_before_reset = 1).
    """

    def __init__(self, memory: nn.GRU) -> None:
        super().__init__()
        self.layers, self.width = memory.num_layers, memory.hidden_size
        for layer in range(memory.num_layers):
            kernel, recurrent, kernel_bias, recurrent_bias = (
                self._gates(getattr(memory, f"{name}_l{layer}"))
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            self.register_buffer(f"kernel_{layer}", kernel[None])
            self.register_buffer(f"recurrent_{layer}", recurrent[None])
            self.register_buffer(f"bias_{layer}", torch.cat([kernel_bias, recurrent_bias])[None])

    def _gates(self, weight: Tensor) -> Tensor:
        reset, update, new = torch.chunk(weight.detach(), 3)
        return torch.cat([update, reset, new])

    def forward(self, hidden: Tensor) -> tuple[Tensor, None]:
        state = hidden.transpose(0, 1)  # (L, B, width)
        for layer in range(self.layers):
            weights = [getattr(self, f"{name}_{layer}") for name in ("kernel", "recurrent", "bias")]
            told: Tensor = torch.onnx.ops.symbolic(
                "GRU",
                (state, *weights),
                {"hidden_size": self.width, "linear_before_reset": 1},
                dtype=state.dtype,
                shape=(state.shape[0], 1, state.shape[1], self.width),
                version=_OPSET,
            )
            state = told.squeeze(1)
        return state.transpose(0, 1), None


def _with_onnx_recurrence(net: NextTouchpointNet | Ensemble) -> NextTouchpointNet | Ensemble:
    """A copy of the net in which every nn.GRU is the operator of ONNX: it can be exported, and does not run."""
    told = deepcopy(net)
    for module in list(told.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GRU):
                setattr(module, name, _OnnxRecurrence(child))
    return told


def export_boosting(
    boosting: HistGradientBoostingClassifier, features: NDArray[np.float32], path: Path, rng: np.random.Generator
) -> float:
    """Write the boosting as ONNX (features -> label, probabilities), batch left open; gives the largest difference.

    Splits lie in float64 between two float32 values; here they become the float32 just below, which sorts every float32
    feature the same way, in scikit-learn as in ONNX. Raises ParityError beyond 1e-6 on rows seen, random rows, or rows
    that sit on the splits.
    """
    thresholds = _round_thresholds_down(boosting)
    width = features.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, on booleans that the converter hands on as integers
        graph = convert_sklearn(
            boosting,
            name="purchase",
            initial_types=[("features", FloatTensorType([None, width]))],
            options={id(boosting): {"zipmap": False}},
            target_opset={"": 18, "ai.onnx.ml": 3},
        )
    write_graph(graph, path)
    session, furthest = open_session(path, 1), 0.0
    seen = features[rng.integers(0, len(features), 2_000)]
    for rows in (seen, _random_rows(features, rng), _rows_on_splits(seen, thresholds, rng)):
        ours = boosting.predict_proba(rows)[:, 1]
        apart = float(np.abs(ours - session.run(["probabilities"], {"features": rows})[0][:, 1]).max())
        if not apart <= 1e-6:
            raise ParityError(f"{path.name}: {apart:.2g} apart between scikit-learn and ONNX; 1e-6 is allowed")
        furthest = max(furthest, apart)
    return furthest


def trees_of(boosting: HistGradientBoostingClassifier) -> Trees:
    """The trees of a boosting that was exported, with the counts that ONNX does not keep."""
    nodes = [tree.nodes for trees in boosting._predictors for tree in trees]
    sizes = np.array([len(one) for one in nodes], dtype=np.int64)
    roots = np.cumsum(sizes) - sizes
    whole = np.concatenate(nodes)
    offset, leaf = np.repeat(roots, sizes), whole["is_leaf"].astype(np.bool_)
    return Trees(
        roots=roots,
        feature=np.where(leaf, -1, whole["feature_idx"].astype(np.int64)),
        threshold=np.where(leaf, 0, whole["num_threshold"]).astype(np.float32),
        left=np.where(leaf, -1, whole["left"].astype(np.int64) + offset),
        right=np.where(leaf, -1, whole["right"].astype(np.int64) + offset),
        value=np.where(leaf, whole["value"], 0.0),
        count=whole["count"].astype(np.float64),
        base=float(np.ravel(boosting._baseline_prediction)[0]),
    )


def _round_thresholds_down(boosting: HistGradientBoostingClassifier) -> list[tuple[int, np.float32]]:
    """Make every split a float32, in place; gives (feature, split) of each."""
    splits = []
    for trees in boosting._predictors:
        for tree in trees:
            inner = tree.nodes["is_leaf"] == 0
            exact = tree.nodes["num_threshold"][inner]
            nearest = exact.astype(np.float32)
            below = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
            tree.nodes["num_threshold"][inner] = below
            splits += list(zip(tree.nodes["feature_idx"][inner].tolist(), below, strict=True))
    return splits


def _random_rows(features: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    low, high = features.min(axis=0), features.max(axis=0)
    return rng.uniform(low - 1, high + 1, (2_000, features.shape[1])).astype(np.float32)


def _rows_on_splits(
    rows: NDArray[np.float32], splits: list[tuple[int, np.float32]], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Rows with one feature exactly on, just above or just below a split."""
    moved = rows.copy()
    for row in moved if splits else ():
        feature, split = splits[int(rng.integers(len(splits)))]
        beside = (np.float32(-np.inf), split, np.float32(np.inf))[int(rng.integers(3))]
        row[feature] = np.nextafter(split, beside)
    return moved


def write_graph(graph: onnx.ModelProto, path: Path) -> None:
    """Write an ONNX graph without notes, checked."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer,
                 *graph.graph.input, *graph.graph.output, *graph.functions):  # fmt: skip
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _random_journeys(
    vocabulary: Vocabulary, customers: int, length: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Journeys of random touchpoints (unknown ones too), gaps and lengths, padded on the right."""
    lengths = rng.integers(1, length + 1, customers)
    lengths[0] = length
    there = np.arange(length) < lengths[:, None]
    tokens = np.where(there, rng.integers(FIRST_TOUCHPOINT - 1, vocabulary.size, (customers, length)), 0)
    log_gaps = np.where(there, rng.uniform(0, 18, (customers, length)), 0).astype(np.float32)
    return torch.from_numpy(tokens), torch.from_numpy(log_gaps), torch.from_numpy(lengths)
