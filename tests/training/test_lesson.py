"""A net's lesson in bfloat16, as a GPU would multiply: the same loss but for rounding, and gradients in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.features.vocabulary import Vocabulary
from models.journey.touchpoint import STAGES
from models.nets.next_touchpoint import Kind, NetShape, NextTouchpointNet
from training.batches import StepBatches
from training.compute import Compute
from training.examples import NextSteps
from training.next_touchpoint import NextTouchpointConfig, lesson

VOCABULARY = Vocabulary(("web.a", "web.b", "web.c"), (STAGES[0],) * 3)
CUSTOMERS, LENGTH = 40, 6


def _steps() -> NextSteps:
    rng = np.random.default_rng(1)
    n = CUSTOMERS * LENGTH
    ends = np.arange(n) % LENGTH == LENGTH - 1
    token = rng.integers(2, 5, n)
    waits = rng.exponential(86_400.0, n)
    return NextSteps(
        starts=np.arange(CUSTOMERS + 1) * LENGTH,
        token=token,
        log_gap=np.log1p(waits).astype(np.float32),
        next_token=np.where(ends, 0, np.roll(token, -1)),
        next_at=np.arange(n),
        wait_seconds=waits,
        entry_seconds=np.zeros(n),
        asks_what=~ends,
        asks_when=np.ones(n, dtype=np.bool_),
        weight=np.ones(n, dtype=np.float32),
    )


@pytest.mark.parametrize("kind", ["recurrent", "attention"])
def test_a_lesson_in_bfloat16_is_the_same_but_for_rounding(kind: Kind) -> None:
    torch.manual_seed(2)
    shape = NetShape(kind=kind, length=8, width=16, dropout=0.0)
    net, config = NextTouchpointNet(VOCABULARY, shape), NextTouchpointConfig(shape, hidden_share=0.0)
    (batch,) = StepBatches(_steps(), 8).in_order()
    losses = {}
    for bfloat16 in (False, True):
        compute = Compute(torch.device("cpu"), bfloat16)
        net.zero_grad()
        value = lesson(VOCABULARY, config, compute)(net, batch)
        value.backward()  # type: ignore[no-untyped-call]
        losses[bfloat16] = value
        gradients = [one.grad for one in net.parameters() if one.grad is not None]
        assert gradients
        assert all(each.dtype == torch.float32 and bool(torch.isfinite(each).all()) for each in gradients)
    assert losses[True].dtype == torch.float32
    assert losses[True].item() == pytest.approx(losses[False].item(), rel=0.02)
    assert losses[True].item() != losses[False].item()


def test_a_batch_stays_where_it_is_if_it_is_there_already() -> None:
    (batch,) = StepBatches(_steps(), 8).in_order()
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    assert moved.tokens.device == moved.weight.device == torch.device("meta")
    assert moved.rows is batch.rows
