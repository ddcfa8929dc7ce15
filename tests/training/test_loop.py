"""The loop: stopped after any epoch it goes on to the same bits, and learns in bfloat16 where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.checkpoint import Checkpoint, CheckpointError
from training.compute import Compute
from training.loop import Schedule, TrainingLog, train

SCHEDULE = Schedule(epochs=6, learning_rate=1e-2, weight_decay=0.01, patience=6, warmup_steps=5)


class Stopped(Exception):
    """Somebody stopped the process."""


class Watcher:
    """Keeps what it is told, and stops the process after so many epochs."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.lines: list[str] = []
        self._stop_after = stop_after

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if len([line for line in self.lines if "learned" in line]) == self._stop_after:
            raise Stopped


def _net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))


def _batches(rng: np.random.Generator) -> Iterator[Tensor]:
    for _ in range(5):
        yield torch.from_numpy(rng.normal(size=(32, 4)).astype(np.float32))


def _loss(net: nn.Module, batch: Tensor) -> Tensor:
    said: Tensor = net(batch)
    return (said.float() - batch.prod(1, keepdim=True)).square().mean()


def _held_out_loss(net: nn.Module) -> float:
    with torch.no_grad():
        return float(_loss(net, next(_batches(np.random.default_rng(99)))))


def _learn(watcher: Watcher, checkpoint: Path | None) -> tuple[nn.Module, TrainingLog, np.random.Generator]:
    net, rng = _net(), np.random.default_rng(5)
    return net, train(net, _batches, _loss, _held_out_loss, SCHEDULE, rng, watcher, checkpoint=checkpoint), rng


@pytest.mark.parametrize("epochs", [1, 3, 6])
def test_a_fit_that_was_stopped_goes_on_to_the_same_bits(epochs: int, tmp_path: Path) -> None:
    net, log, rng = _learn(Watcher(), None)
    drawn, torch_drawn = rng.random(), torch.rand(1)
    with pytest.raises(Stopped):
        _learn(Watcher(epochs), tmp_path / "net.safetensors")
    torch.manual_seed(8)  # whatever else a new process draws first
    watcher = Watcher()
    again, log_again, rng_again = _learn(watcher, tmp_path / "net.safetensors")
    assert watcher.lines[0] == f"goes on after epoch {epochs}"
    assert len(watcher.lines) == 1 + 6 - epochs
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    assert (log.train_losses, log.held_out_losses) == (log_again.train_losses, log_again.held_out_losses)
    assert log.best_epoch == log_again.best_epoch
    assert (rng_again.random(), torch.rand(1)) == (drawn, torch_drawn)  # what is trained next begins the same
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_fit_that_was_over_is_not_repeated(tmp_path: Path) -> None:
    _learn(Watcher(), tmp_path / "net.safetensors")
    watcher = Watcher()
    _learn(watcher, tmp_path / "net.safetensors")
    assert watcher.lines == ["goes on after epoch 6"]


def test_it_stops_when_held_out_data_stops_improving() -> None:
    worse = iter([3.0, 2.0, 2.5, 2.4, 2.1, 1.0])
    schedule = Schedule(epochs=6, learning_rate=1e-2, weight_decay=0.0, patience=2)
    rng = np.random.default_rng(5)
    log = train(_net(), _batches, _loss, lambda net: next(worse), schedule, rng, lambda line: None)
    assert (log.best_epoch, log.held_out_losses) == (2, (3.0, 2.0, 2.5, 2.4))


def test_a_loss_that_is_no_number_is_said() -> None:
    def loss(net: nn.Module, batch: Tensor) -> Tensor:
        return _loss(net, batch) * float("nan")

    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train(_net(), _batches, loss, None, SCHEDULE, np.random.default_rng(5), lambda line: None)


def test_a_damaged_or_foreign_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"net\.safetensors: is damaged"):
        _learn(Watcher(), path)
    Checkpoint({"weight": torch.ones(2)}, {"pi": 0.1 + 0.2}).write(path)
    found = Checkpoint.read(path)
    assert found is not None
    assert found.numbers == {"pi": 0.1 + 0.2}
    path.write_bytes(path.read_bytes().replace(b"checkpoint 1", b"checkpoint 9"))
    with pytest.raises(CheckpointError, match="checkpoint 9"):
        Checkpoint.read(path)
    assert Checkpoint.read(tmp_path / "none") is None


def test_in_bfloat16_weights_and_their_average_stay_in_float32(tmp_path: Path) -> None:
    half = Compute(torch.device("cpu"), bfloat16=True)
    seen: list[torch.dtype] = []

    def loss(net: nn.Module, batch: Tensor) -> Tensor:
        with half.autocast():
            said: Tensor = net(batch)
        seen.append(said.dtype)
        return (said.float() - batch.prod(1, keepdim=True)).square().mean()

    net, path = _net(), tmp_path / "net.safetensors"
    train(net, _batches, loss, None, SCHEDULE, np.random.default_rng(5), lambda line: None, checkpoint=path)
    assert set(seen) == {torch.bfloat16}
    saved = Checkpoint.read(path)
    assert saved is not None
    kept = {name: one.dtype for name, one in saved.tensors.items() if not name.startswith("random")}
    assert set(kept.values()) == {torch.float32}
    assert {one.dtype for one in net.parameters()} == {torch.float32}


def test_a_gpu_that_is_not_there_is_refused_and_auto_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Compute.on("auto") == Compute(torch.device("cpu"))
    with pytest.raises(ValueError, match="device 'cuda': this PyTorch sees no GPU"):
        Compute.on("cuda")
    with pytest.raises(ValueError, match="device 'tpu' is not known; allowed are auto, cpu, cuda"):
        Compute.on("tpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("bfloat16", [True, False])
def test_auto_takes_a_gpu_and_bfloat16_where_it_can(bfloat16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    assert Compute.on("auto") == Compute(torch.device("cuda"), bfloat16)
    assert Compute.on("cpu") == Compute(torch.device("cpu"))
