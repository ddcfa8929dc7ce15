"""From a text encoder in fp32 to int8, calibrated on texts, and the proof that both hear the same.

Weights get a scale for each output channel, activations one for each tensor, measured on calibration texts (static:
nothing is measured when serving). Channels that reach far are made smaller and their weights larger before, so that few
large ones do not cost all others their precision (Xiao et al. 2023, "SmoothQuant"). Word vectors get a scale for each
word. Each layer becomes one step of ONNX Runtime, its bias included. It fits nothing and chooses no texts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.predictors.feedback import POOLED
from models.predictors.predictor import open_session
from training.export import ParityError, write_graph
from training.processes import scratch

LEAST_COSINE = 0.99
"""Between the pooled vectors of the quantised and of the whole encoder, on average over texts."""
Feed = dict[str, NDArray[np.int64]]
_SMOOTH = 0.7
_FAR = 4.0
"""Inputs are smoothed whose largest channel reaches so many times as far as the middle one: others have no need."""
_LEAST_WEIGHT = 128 * 128
"""Smaller matrices are left as they are: they cost nothing, and heads are the last word."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How alike two encoders hear n texts: the cosine of their pooled vectors on average and at worst."""

    mean_cosine: float
    least_cosine: float
    n: int


def quantise(whole: Path, out: Path, calibration: Sequence[Feed], proof: Sequence[Feed]) -> Parity:
    """Write the int8 form of an fp32 graph that has an output `pooled`.

    Args:
        whole: the fp32 graph; out: the file to write.
        calibration: batches whose activations set the ranges.
        proof: batches, others than those, on which parity is proven.

    Raises ParityError where the mean cosine is below `LEAST_COSINE`; nothing is written then.
    """
    with scratch() as place:
        prepared, smooth, small = (place / f"{name}.onnx" for name in ("prepared", "smooth", "small"))
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(str(prepared))
        layers = _linear_layers(model)
        if not layers:  # too small to be worth it
            out.write_bytes(whole.read_bytes())
            return parity(whole, out, proof)
        _smoothen(model, layers, _reach(model, layers, calibration, place))
        onnx.save(model, str(smooth))
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # it warns that the graph was not prepared: it was
        try:
            quantize_static(
                str(smooth), str(small), _Reader(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
                op_types_to_quantize=["MatMul"], nodes_to_quantize=[node.name for node in layers],
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
            )  # fmt: skip
        finally:
            logging.getLogger().setLevel(level)
        model = onnx.load(str(small))
        _in_one_step(model)
        _quantise_words(model)
        write_graph(model, small)
        found = parity(whole, small, proof)
        if not found.mean_cosine >= LEAST_COSINE:
            raise ParityError(
                f"int8 hears texts with a cosine of {found.mean_cosine:.4f}, at least {LEAST_COSINE} is needed"
            )
        out.write_bytes(small.read_bytes())
    return found


def parity(whole: Path, small: Path, feeds: Sequence[Feed]) -> Parity:
    """The cosine between the pooled vectors of two graphs on batches of texts."""
    sessions = [open_session(file, 1) for file in (whole, small)]
    cosines = []
    for feed in feeds:
        one, other = (np.asarray(session.run([POOLED], feed)[0], dtype=np.float64) for session in sessions)
        cosines.append((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))
    every = np.concatenate(cosines)
    return Parity(float(every.mean()), float(every.min()), len(every))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands batches out one by one."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _weights(model: ModelProto) -> dict[str, onnx.TensorProto]:
    return {one.name: one for one in model.graph.initializer}


def _linear_layers(model: ModelProto) -> list[NodeProto]:
    """The multiplications with a learned matrix."""
    weights = _weights(model)
    return [
        node
        for node in model.graph.node
        if node.op_type == "MatMul"
        and node.input[1] in weights
        and int(np.prod(weights[node.input[1]].dims)) >= _LEAST_WEIGHT
    ]


def _reach(
    model: ModelProto, layers: Sequence[NodeProto], feeds: Sequence[Feed], scratch: Path
) -> dict[str, NDArray[np.float32]]:
    """Input of a layer -> the largest absolute value of each channel over the calibration texts."""
    told = ModelProto()
    told.CopyFrom(model)
    names = list(dict.fromkeys(node.input[0] for node in layers))
    told.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    onnx.save(told, str(scratch / "told.onnx"))
    session = open_session(scratch / "told.onnx", 1)
    found: dict[str, NDArray[np.float32]] = {}
    for feed in feeds:
        for name, value in zip(names, session.run(names, feed), strict=True):
            reach = np.abs(value).max(axis=tuple(range(value.ndim - 1)))
            found[name] = np.maximum(found.get(name, reach), reach)
    return found


def _smoothen(model: ModelProto, layers: Sequence[NodeProto], reach: dict[str, NDArray[np.float32]]) -> None:
    """Divide each layer's input by a factor for each channel and multiply its weights by it: the same answer."""
    weights = _weights(model)
    for name, largest in reach.items():
        if largest.max() < _FAR * np.median(largest):
            continue
        fed = [node for node in layers if node.input[0] == name]
        matrices = {node.name: numpy_helper.to_array(weights[node.input[1]]) for node in fed}
        heavy = np.max([np.abs(matrix).max(axis=1) for matrix in matrices.values()], axis=0)
        factor = np.maximum(largest, 1e-5) ** _SMOOTH / np.maximum(heavy, 1e-5) ** (1 - _SMOOTH)
        factor = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
        scale, smooth = f"{name}_smoother", f"{name}_smooth"
        model.graph.initializer.append(numpy_helper.from_array((1 / factor).astype(np.float32), scale))
        first = next(i for i, node in enumerate(model.graph.node) if node.name == fed[0].name)
        model.graph.node.insert(first, helper.make_node("Mul", [name, scale], [smooth], name=f"{smooth}_mul"))
        for node in fed:
            weight = weights[node.input[1]]
            weight.CopyFrom(numpy_helper.from_array(matrices[node.name] * factor[:, None], weight.name))
            node.input[0] = smooth


def _in_one_step(model: ModelProto) -> None:
    """Write each int8 layer as one node: ONNX Runtime's `MatMulIntegerToFloat`, which adds the bias on the way out.

    Its own fusion of the same nodes leaves the bias to a pass of its own over all activations.
    """
    graph, weights = model.graph, _weights(model)
    made_by = {name: node for node in graph.node for name in node.output}
    gone: set[str] = set()
    whole: dict[str, str] = {}
    for layer in [node for node in graph.node if node.op_type == "MatMul"]:
        told, matrix = (made_by.get(name) for name in layer.input)
        if told is None or matrix is None or {told.op_type, matrix.op_type} != {"DequantizeLinear"}:
            continue
        after = [node for node in graph.node if layer.output[0] in node.input]
        bias = next((one for one in after[0].input if one in weights and len(weights[one].dims) == 1), "")
        added = len(after) == 1 and after[0].op_type == "Add" and bool(bias)
        last = after[0] if added else layer
        activation, weight = (one.input for one in (told, matrix))
        step = helper.make_node(
            "MatMulIntegerToFloat",
            [activation[0], weight[0], activation[1], weight[1], activation[2], weight[2], bias if added else ""],
            [last.output[0]], name=f"{layer.name}_int8", domain="com.microsoft",
        )  # fmt: skip
        graph.node.insert(list(graph.node).index(last), step)
        gone |= {told.name, matrix.name, layer.name, last.name}
        whole[told.output[0]] = made_by[activation[0]].input[0]
    kept = [node for node in graph.node if node.name not in gone]
    for node in kept:  # who reads the same activations otherwise gets them as they were
        node.input[:] = [whole.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _quantise_words(model: ModelProto) -> None:
    """Keep the largest table of vectors that is looked up in int8, with a scale for each row."""
    weights = _weights(model)
    looked_up = [node for node in model.graph.node if node.op_type == "Gather" and node.input[0] in weights]
    looked_up = [node for node in looked_up if len(weights[node.input[0]].dims) == 2]
    if not looked_up:
        return
    node = max(looked_up, key=lambda one: int(np.prod(weights[one.input[0]].dims)))
    name, answer = node.input[0], node.output[0]
    table = numpy_helper.to_array(weights[name])
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-8).astype(np.float32) / 127
    model.graph.initializer.remove(weights[name])
    small = np.clip(np.rint(table / scale), -127, 127).astype(np.int8)
    model.graph.initializer.append(numpy_helper.from_array(small, f"{name}_int8"))
    model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_row_scale"))
    ids, at = node.input[1], list(model.graph.node).index(node)
    node.input[0], node.output[0] = f"{name}_int8", f"{answer}_int8"
    for place, made in enumerate((
        helper.make_node("Gather", [f"{name}_row_scale", ids], [f"{answer}_scale"], name=f"{answer}_scales"),
        helper.make_node("Cast", [f"{answer}_int8"], [f"{answer}_cast"], name=f"{answer}_to_float", to=1),
        helper.make_node("Mul", [f"{answer}_cast", f"{answer}_scale"], [answer], name=f"{answer}_scaled"),
    ), 1):  # fmt: skip
        model.graph.node.insert(at + place, made)
