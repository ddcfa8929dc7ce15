"""Batches of next steps as tensors: journeys cut into windows, those of like length together, so that little is padded.

Gathers from flat columns batch by batch, so a log of any length costs no more memory than its columns. Knows no net.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from models.features.vocabulary import FIRST_TOUCHPOINT
from models.journey.journeys import Ints
from training.examples import NextSteps, windows

_RUN = 16  # batches sorted by length together: enough to pad little, few enough to stay shuffled
_READING = 256  # windows in a batch that is only read


@dataclass(frozen=True)
class StepBatch:
    """B windows of at most L touchpoints, all (B, L). `rows` are indices of the steps, -1 where padded."""

    rows: Ints
    tokens: Tensor
    log_gaps: Tensor
    target: Tensor  # index of the touchpoint that came next; 0 where nothing is asked
    log_wait: Tensor  # log1p seconds until it came, or until observation ended
    log_entry: Tensor  # log1p seconds until it could first be asked
    asks_what: Tensor
    asks_when: Tensor
    censored: Tensor
    weight: Tensor  # how much each position's lesson counts; 1 on average over all batches

    def to(self, device: torch.device) -> StepBatch:
        """The same on a device; `rows` stay where they are."""
        if device == self.tokens.device:
            return self
        moved = {name: one.to(device, non_blocking=True) for name, one in vars(self).items() if name != "rows"}
        return replace(self, **moved)


class StepBatches:
    """All windows of these steps that ask something."""

    def __init__(self, steps: NextSteps, length: int) -> None:
        self._steps = steps
        cut = windows(steps.lengths, length)
        asks = cut.counts & (cut.rows >= 0)
        asks[asks] = (steps.asks_what | steps.asks_when)[cut.rows[asks]]
        asking = np.flatnonzero(asks.any(axis=1))
        self._rows, self._asks = cut.rows[asking], asks[asking]
        self._sizes = (self._rows >= 0).sum(axis=1)
        self._questions = self._asks.sum(axis=1)
        mean = float(steps.weight[steps.asks_when].mean()) if steps.asks_when.any() else 1.0
        self._weight = steps.weight / np.float32(max(mean, 1e-30))

    def shuffled(self, size: int, rng: np.random.Generator) -> Iterator[StepBatch]:
        """Every window once, in random order, about `size` at a time.

        Each batch asks about as many questions, whether its windows are long or short: else the mean loss of a batch
        would count a question in a short journey for more than one in a long journey.
        """
        order = rng.permutation(len(self._rows))
        each = size * self._questions.mean() if len(order) else 1.0
        for start in range(0, len(order), _RUN * size):
            run = order[start : start + _RUN * size]
            run = run[np.argsort(self._sizes[run], kind="stable")]
            asked = np.cumsum(self._questions[run])
            batches = max(1, round(float(asked[-1] / each)))
            ends = np.searchsorted(asked, asked[-1] * np.arange(1, batches) / batches, side="right")
            for part in rng.permutation(batches):
                chosen = np.split(run, ends)[part]
                if len(chosen):
                    yield self.batch(chosen)

    def in_order(self) -> Iterator[StepBatch]:
        """Every window once, short ones first."""
        order = np.argsort(self._sizes, kind="stable")
        for start in range(0, len(order), _READING):
            yield self.batch(order[start : start + _READING])

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, chosen: Ints) -> StepBatch:
        """These windows, by their number, padded to the longest of them."""
        steps, longest = self._steps, int(self._sizes[chosen].max())
        rows, asks = self._rows[chosen, :longest], self._asks[chosen, :longest]
        there = rows >= 0
        return StepBatch(
            rows=rows,
            tokens=torch.from_numpy(np.where(there, steps.token[rows], 0)),
            log_gaps=torch.from_numpy(np.where(there, steps.log_gap[rows], np.float32(0))),
            target=torch.from_numpy(np.maximum(np.where(there, steps.next_token[rows] - FIRST_TOUCHPOINT, 0), 0)),
            log_wait=torch.from_numpy(np.log1p(np.where(there, steps.wait_seconds[rows], 0.0)).astype(np.float32)),
            log_entry=torch.from_numpy(np.log1p(np.where(there, steps.entry_seconds[rows], 0.0)).astype(np.float32)),
            asks_what=torch.from_numpy(asks & steps.asks_what[rows]),
            asks_when=torch.from_numpy(asks & steps.asks_when[rows]),
            censored=torch.from_numpy(there & steps.censored[rows]),
            weight=torch.from_numpy(np.where(there, self._weight[rows], np.float32(0))),
        )
