"""The loop: shuffled batches, one optimiser, an average of the weights, and a stop when held-out data stops improving.

Knows neither journeys nor heads: a batch is whatever `loss` takes. With a checkpoint, a loop that was killed goes on as
if it had not been.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from training.checkpoint import Checkpoint

Progress: TypeAlias = Callable[[str], None]
"""Takes one line of text for whoever watches."""

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to learn: AdamW after a short warm-up, and weights averaged over about the last 1 / (1 - average) steps.

    Averaged weights need no falling learning rate, so learning can stop at any epoch, and go on (Morales-Brotons et al.
    2024, "Exponential moving average of weights in deep learning").
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    patience: int
    average: float = 0.99
    warmup_steps: int = 50


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """What happened: the mean loss of each epoch, in training and held out, and which epoch was kept."""

    train_losses: tuple[float, ...]
    held_out_losses: tuple[float, ...]
    best_epoch: int
    seconds: float


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use so many threads meanwhile. Sums come out the same to the bit only for the same number."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    net: nn.Module,
    batches: Callable[[np.random.Generator], Iterable[Batch]],
    loss: Callable[[nn.Module, Batch], Tensor],
    held_out_loss: Callable[[nn.Module], float] | None,
    schedule: Schedule,
    rng: np.random.Generator,
    progress: Progress,
    *,
    checkpoint: Path | None = None,
) -> TrainingLog:
    """Train `net` in place and leave it, in eval mode, with the averaged weights of the best epoch.

    With `held_out_loss` it stops `patience` epochs after the best one; without, it trains all and keeps the last. With
    the path of a `checkpoint` it writes there after each epoch all that the rest depends on, the state of `rng` and of
    torch's randomness with it, and goes on from there where one is found: on the processor, to the same bits.
    Raises FloatingPointError if the loss stops being a number, CheckpointError for a checkpoint that cannot be read.
    """
    began = time.monotonic()
    learning = _Learning(net, schedule, rng)
    saved = Checkpoint.read(checkpoint) if checkpoint is not None else None
    if saved is not None:
        learning.restore(saved)
        progress(f"goes on after epoch {learning.epoch}")
    before = learning.seconds
    while learning.epoch < schedule.epochs and learning.epoch - learning.best_epoch < schedule.patience:
        learning.pass_over(batches(rng), loss)
        now = held_out_loss(learning.averaged) if held_out_loss is not None else -float(learning.epoch)
        learning.judge(now, held_out_loss is not None)
        learning.seconds = before + time.monotonic() - began
        if checkpoint is not None:
            learning.saved().write(checkpoint)
        told = f"epoch {learning.epoch}: {learning.train_losses[-1]:.4f} learned"
        progress(told + (f", {now:.4f} held out" if held_out_loss else ""))
    net.load_state_dict(learning.best)
    net.eval()
    return TrainingLog(
        tuple(learning.train_losses), tuple(learning.held_out_losses), learning.best_epoch, learning.seconds
    )


class _Learning:
    """All that changes while a net learns; what of it is kept between epochs is what a checkpoint holds."""

    def __init__(self, net: nn.Module, schedule: Schedule, rng: np.random.Generator) -> None:
        self.net, self.schedule, self.rng = net, schedule, rng
        self.averaged = copy.deepcopy(net).eval()
        self.best = copy.deepcopy(self.averaged.state_dict())
        self.optimiser = torch.optim.AdamW(
            net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
        )
        self.train_losses: list[float] = []
        self.held_out_losses: list[float] = []
        self.best_loss, self.best_epoch, self.step, self.seconds = float("inf"), 0, 0, 0.0

    @property
    def epoch(self) -> int:
        """How many were finished."""
        return len(self.train_losses)

    def pass_over(self, batches: Iterable[Batch], loss: Callable[[nn.Module, Batch], Tensor]) -> None:
        self.net.train()
        losses: list[Tensor] = []
        for batch in batches:
            self.step += 1
            self.optimiser.param_groups[0]["lr"] = self.schedule.learning_rate * min(
                1.0, self.step / self.schedule.warmup_steps
            )
            losses.append(self._learn(loss(self.net, batch)))
        self.train_losses.append(float(torch.stack(losses).double().mean()))
        if not np.isfinite(self.train_losses[-1]):
            raise FloatingPointError(f"the loss is {self.train_losses[-1]} in epoch {self.epoch}; lower learning_rate")

    def _learn(self, value: Tensor) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        average = min(self.schedule.average, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.net.parameters()), 1.0 - average)
        return value.detach()

    def judge(self, now: float, measured: bool) -> None:
        """Keep the averaged weights where they are the best so far."""
        self.held_out_losses += [now] if measured else []
        if now < self.best_loss:
            self.best, self.best_loss = copy.deepcopy(self.averaged.state_dict()), now
            self.best_epoch = self.epoch

    def saved(self) -> Checkpoint:
        states = {"net": self.net.state_dict(), "averaged": self.averaged.state_dict(), "best": self.best}
        tensors = {f"{part}.{name}": one for part, state in states.items() for name, one in state.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": one for name, one in state.items()}
        tensors["random"] = torch.get_rng_state()
        if _on_gpu(self.net):
            tensors["random_gpu"] = torch.cuda.get_rng_state()
        return Checkpoint(tensors, {**{name: getattr(self, name) for name in _NUMBERS}, "rng": state_of(self.rng)})

    def restore(self, saved: Checkpoint) -> None:
        self.net.load_state_dict(saved.part("net."))
        self.averaged.load_state_dict(saved.part("averaged."))
        self.best = saved.part("best.")
        states: dict[int, dict[str, Tensor]] = {}
        for name, one in saved.part("optimiser.").items():
            index, _, field = name.partition(".")
            states.setdefault(int(index), {})[field] = one
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        torch.set_rng_state(saved.tensors["random"])
        if _on_gpu(self.net):
            torch.cuda.set_rng_state(saved.tensors["random_gpu"])
        for name in _NUMBERS:
            setattr(self, name, saved.numbers[name])
        self.rng.bit_generator.state = saved.numbers["rng"]


_NUMBERS = ("train_losses", "held_out_losses", "best_loss", "best_epoch", "step", "seconds")


def state_of(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a generator as JSON can hold it, to be given back to `rng.bit_generator.state`."""
    return dict(rng.bit_generator.state)


def _on_gpu(net: nn.Module) -> bool:
    return next(net.parameters()).is_cuda
