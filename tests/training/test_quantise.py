"""An encoder in int8 hears what the whole one hears, or is not kept."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from models.predictors.feedback import POOLED
from models.predictors.predictor import open_session
from training import quantise as quantising
from training.export import ParityError, write_graph
from training.quantise import Feed, parity, quantise


class _Lookup(nn.Module):
    """Words, two wide layers with one channel that reaches far, and their mean: what makes quantising hard."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 192)
        self.first, self.second = nn.Linear(192, 192), nn.Linear(192, 192)
        with torch.no_grad():
            self.words.weight[:, 7] *= 40.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.second(torch.tanh(self.first(self.words(input_ids))))
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled: Tensor = (hidden * mask).sum(1) / mask.sum(1)
        return pooled


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("graph") / "whole.onnx"
    example = (torch.ones((2, 4), dtype=torch.int64), torch.ones((2, 4), dtype=torch.int64))
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(
            _Lookup().eval(), example, input_names=["input_ids", "attention_mask"], output_names=[POOLED], dynamo=True,
            dynamic_shapes={"input_ids": shape, "attention_mask": shape}, opset_version=20, verbose=False,
        )  # fmt: skip
    assert program is not None
    write_graph(program.model_proto, file)
    return file


def _feeds(seed: int) -> list[Feed]:
    rng = np.random.default_rng(seed)
    return [{"input_ids": rng.integers(0, 50, (8, width)), "attention_mask": np.ones((8, width), dtype=np.int64)}
            for width in (3, 5, 9)]  # fmt: skip


def test_int8_is_smaller_and_hears_the_same(whole: Path, tmp_path: Path) -> None:
    found = quantise(whole, tmp_path / "small.onnx", _feeds(1), _feeds(2))
    assert found.mean_cosine >= 0.99
    assert found.n == 24
    kinds = {
        tensor.data_type
        for tensor in onnx.load(str(tmp_path / "small.onnx")).graph.initializer
        if len(tensor.dims) == 2
    }
    assert onnx.TensorProto.INT8 in kinds
    assert (tmp_path / "small.onnx").stat().st_size < whole.stat().st_size


def test_a_graph_hears_as_itself(whole: Path) -> None:
    assert parity(whole, whole, _feeds(3)).least_cosine == pytest.approx(1)


def test_int8_that_hears_otherwise_is_not_kept(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantising, "LEAST_COSINE", 1.01)
    with pytest.raises(ParityError, match="hears texts with a cosine"):
        quantise(whole, tmp_path / "small.onnx", _feeds(1), _feeds(2))
    assert not (tmp_path / "small.onnx").exists()


def test_each_layer_is_one_step_with_its_bias_and_reads_no_other_text_of_a_batch(whole: Path, tmp_path: Path) -> None:
    quantise(whole, tmp_path / "small.onnx", _feeds(1), _feeds(2))
    nodes = onnx.load(str(tmp_path / "small.onnx")).graph.node
    steps = [node for node in nodes if node.op_type == "MatMulIntegerToFloat"]
    assert len(steps) == 2
    assert all(node.input[6] for node in steps)
    assert "DequantizeLinear" not in {node.op_type for node in nodes}
    session, feed = open_session(tmp_path / "small.onnx", 1), _feeds(3)[2]
    together = session.run([POOLED], feed)[0]
    for row in range(len(together)):
        alone = session.run([POOLED], {name: ids[row : row + 1] for name, ids in feed.items()})[0]
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)
