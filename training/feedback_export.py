"""From a fitted feeling net to the files that serve it: ONNX, its int8 form with proof, and heads put in afterwards.

It fits nothing. Besides the logits of each head the graph tells `pooled`, the vector that the heads read.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.nets.feedback import FeedbackNet
from models.predictors.feedback import POOLED
from models.predictors.predictor import open_session
from training.export import ParityError, write_graph
from training.quantise import Feed

PARITY = 1e-4
"""Largest difference between a logit of the net and of its export that is accepted, for the same vector."""
_OPSET = 20


class _WithPooled(nn.Module):
    """The net as it is exported: the logits of each head, then the vector that they read."""

    def __init__(self, net: FeedbackNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        pooled = self.net.pooled(input_ids, attention_mask)
        return (*self.net.told(pooled), pooled)


def export_feedback(net: FeedbackNet, file: Path) -> None:
    """Write the net as one ONNX file: input_ids and attention_mask (n, t) in, each head's logits and `pooled` out."""
    told = _WithPooled(net).eval()
    net.encoder.set_attn_implementation("eager")  # its graph has fewer nodes than that of fused attention
    # Two tensors, not one given twice: the exporter would take the inputs for one and the same.
    example = (torch.ones((2, 8), dtype=torch.int64), torch.ones((2, 8), dtype=torch.int64))
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it can do without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            told,
            example,
            input_names=["input_ids", "attention_mask"],
            output_names=[*net.names, POOLED],
            dynamic_shapes={"input_ids": shape, "attention_mask": shape},
            dynamo=True,
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise ParityError("the exporter gave no graph")
    write_graph(program.model_proto, file)


def put_heads(net: FeedbackNet, file: Path) -> None:
    """Replace the heads in an exported graph by those of the net. Raises ParityError where the graph lacks one."""
    graph = onnx.load(str(file))
    weights = {one.name: one for one in graph.graph.initializer}
    for name, tensor in net.heads.named_parameters():
        key = f"net.heads.{name}"
        if key not in weights:
            raise ParityError(f"{file.name} has no weights {key!r} to replace")
        weights[key].CopyFrom(numpy_helper.from_array(tensor.detach().numpy().astype(np.float32), key))
    write_graph(graph, file)


def export_parity(net: FeedbackNet, file: Path, feeds: Sequence[Feed], *, whole: bool) -> float:
    """The largest difference of a logit between the net and its export; raises ParityError above `PARITY`.

    `whole` compares from the texts on; otherwise both heads read the vector of the export (the int8 encoder has its own
    proof, see `training/quantise.py`).
    """
    session, difference = open_session(file, 1), 0.0
    net.eval()
    for feed in feeds:
        *exported, pooled = session.run([*net.names, POOLED], feed)
        with torch.inference_mode():
            if whole:
                pooled = net.pooled(torch.from_numpy(feed["input_ids"]), torch.from_numpy(feed["attention_mask"]))
            fitted = net.told(torch.as_tensor(pooled))
        gaps = [float(np.abs(one.numpy() - other).max()) for one, other in zip(fitted, exported, strict=True)]
        difference = max(difference, *gaps)
    if not difference <= PARITY:
        raise ParityError(f"the export differs from the net by {difference:.2g}, allowed is {PARITY:g}.")
    return difference
