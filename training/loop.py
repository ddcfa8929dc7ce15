"""The loop: shuffled batches, one optimiser, an average of the weights, and a stop when held-out data stops improving.

Knows neither journeys nor heads: a batch is whatever `loss` takes. Saves nothing.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

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
) -> TrainingLog:
    """Train `net` in place and leave it, in eval mode, with the averaged weights of the best epoch.

    With `held_out_loss` it stops `patience` epochs after the best one; without, it trains all and keeps the last.
    Raises FloatingPointError if the loss stops being a number.
    """
    began = time.monotonic()
    optimiser = torch.optim.AdamW(net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    averaged = copy.deepcopy(net).eval()
    best, best_loss, best_epoch = copy.deepcopy(averaged.state_dict()), float("inf"), 0
    train_losses: list[float] = []
    held_out_losses: list[float] = []
    step = 0
    for epoch in range(1, schedule.epochs + 1):
        net.train()
        sums: list[float] = []
        for batch in batches(rng):
            step += 1
            optimiser.param_groups[0]["lr"] = schedule.learning_rate * min(1.0, step / schedule.warmup_steps)
            sums.append(_step(net, averaged, optimiser, loss, batch, min(schedule.average, step / (step + 10))))
        train_losses.append(float(np.mean(sums)))
        if not np.isfinite(train_losses[-1]):
            raise FloatingPointError(f"the loss is {train_losses[-1]} in epoch {epoch}; lower learning_rate")
        now = held_out_loss(averaged) if held_out_loss is not None else -float(epoch)
        held_out_losses += [now] if held_out_loss is not None else []
        progress(f"epoch {epoch}: {train_losses[-1]:.4f} learned" + (f", {now:.4f} held out" if held_out_loss else ""))
        if now < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(averaged.state_dict()), now, epoch
        elif epoch - best_epoch >= schedule.patience:
            break
    net.load_state_dict(best)
    net.eval()
    return TrainingLog(tuple(train_losses), tuple(held_out_losses), best_epoch, time.monotonic() - began)


def _step(
    net: nn.Module,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[nn.Module, Batch], Tensor],
    batch: Batch,
    average: float,
) -> float:
    optimiser.zero_grad(set_to_none=True)
    value = loss(net, batch)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), list(net.parameters()), 1.0 - average)
    return float(value.detach())
