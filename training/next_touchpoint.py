"""Teach the next touchpoint: nets and a Markov model from journeys before a moment, mixed, exported and proven equal.

Each net stops by customers that it did not learn from; what the nets and counts say of customers held out decides how
far each is trusted, and is handed on to calibrate by. So everything teaches, and nothing is judged by what it was
taught. What is recent counts more, as far as looking ahead from the past shows that it should. No test here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from models.features.vocabulary import PADDING, UNKNOWN, Vocabulary
from models.journey.event import Micros
from models.journey.journeys import Ints, Journeys
from models.nets.next_touchpoint import Ensemble, NetShape, NextTouchpointNet
from models.predictors.baseline import MAX_ORDER, InterpolatedMarkov
from models.predictors.gap import LONGEST_SECONDS
from models.predictors.next_touchpoint import (
    ABOUT_FILE,
    FORMAT_VERSION,
    LEVELS,
    MARKOV_FILE,
    NET_FILE,
    MixtureWeights,
)
from training.batches import StepBatch, StepBatches
from training.compute import Compute, DeviceName, check_device
from training.errors import TooLittleData
from training.examples import NextSteps, next_steps
from training.export import export_next_touchpoint
from training.loop import Progress, Schedule, TrainingLog, torch_threads, train
from training.losses import cross_entropy, gap_loss, masked_mean
from training.markov import fit_markov, half_life
from training.mixing import MOST_HELD_OUT, Folds, OutOfFold, mixed
from training.splits import in_folds
from training.stacking import FOLD_FILE


@dataclass(frozen=True, slots=True)
class NextTouchpointConfig:
    """How the next touchpoint is learned.

    shape             the net's kind and size
    markov_order      highest of the Markov model it is mixed with, 1 to 3; the best on customers held out is taken
    epochs, patience  at most so many; stop when held-out loss has not improved for `patience`
    batch_windows     journeys (or windows of long ones) in a step
    learning_rate, weight_decay  of AdamW
    gap_share         how much the time loss counts against the touchpoint loss
    hidden_share      share of touchpoints shown as their channel alone or as unknown, so that these mean something
    minimum_examples  fewer are refused as too little data
    members           so many nets answer as one, each held out from its own share of the customers
    few_examples      with more examples one net is enough, held out from an eighth of the customers
    threads           of torch; so small a net is fastest on one, by far where cores are shared
    device            "auto" (a GPU where there is one), "cpu" or "cuda"; a GPU multiplies in bfloat16 where it can
    """

    shape: NetShape = field(default_factory=NetShape)
    markov_order: int = 3
    epochs: int = 40
    patience: int = 3
    batch_windows: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    gap_share: float = 1.0
    hidden_share: float = 0.04
    minimum_examples: int = 100
    members: int = 4
    few_examples: int = 200_000
    threads: int = 1
    device: DeviceName = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.markov_order <= MAX_ORDER:
            raise ValueError(f"markov_order {self.markov_order} must be from 1 to {MAX_ORDER}")
        for name in ("epochs", "patience", "batch_windows", "minimum_examples", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.members < 2:
            raise ValueError(f"members {self.members} must be at least 2; few_examples = 0 asks for one net")
        if not 0 <= self.hidden_share < 1:
            raise ValueError(f"hidden_share {self.hidden_share} must be at least 0 and below 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate {self.learning_rate} must be above 0")
        check_device(self.device)


@dataclass(frozen=True)
class NextTouchpointFit:
    """What was learned: examples, the log of each net, how they are mixed, and held-out losses in nats."""

    examples: int
    half_life_seconds: float
    logs: tuple[TrainingLog, ...]
    mixture: MixtureWeights
    held_out: dict[str, float]  # weighted log-loss on customers held out: net, markov, mixture
    out_of_fold: OutOfFold
    seconds: float
    parity: float  # the largest difference of a logit that was found between net and export


def fit_next_touchpoint(
    journeys: Journeys,
    vocabulary: Vocabulary,
    until: Micros,
    horizon_seconds: int,
    config: NextTouchpointConfig,
    seed: int,
    out: Path,
    progress: Progress,
    *,
    groups: Ints | None = None,
    ahead: bool = True,
    checkpoints: Path | None = None,
    apart: Path | None = None,
) -> NextTouchpointFit:
    """Learn from what occurred before `until` and write the predictor's files into the folder `out`.

    Customers of one group (C,) are held out together. `ahead` says that what will be asked lies after `until`, so that
    what is recent may count more; else others are asked about at the same time. In the folder `checkpoints`, where one
    is named, each net is kept as of its last epoch; a fit that was killed, asked the same again, goes on from there.
    In the folder `apart`, predictor i is written that did not learn from fold i, and which customers (C,) that is, to
    be asked out of fold (`training/stacking.py`). Raises TooLittleData where there is nothing to tell apart or too
    little to learn from.
    """
    began = time.monotonic()
    steps = next_steps(journeys, vocabulary, until)
    _refuse_too_little(steps, vocabulary, config)
    life = half_life(journeys, vocabulary, until) if ahead else math.inf
    rng = np.random.default_rng(seed)
    folds = _folds(steps.faded(life, until), groups, config, rng)
    progress(f"next touchpoint: {int(steps.asks_what.sum())} examples, {_told(life)}")
    with torch_threads(config.threads):
        torch.manual_seed(seed)
        base = fit_markov(folds.steps, vocabulary, 1)
        nets = [_new_net(steps, base, vocabulary, config) for _ in range(folds.nets)]
        logs = [
            _fit_net(net, folds, number, vocabulary, config, rng, progress, checkpoints)
            for number, net in enumerate(nets)
        ]
        found = mixed(nets, folds, vocabulary, config.shape.length, config.markov_order, rng)
        progress(f"held out: {', '.join(f'{name} {loss:.4f}' for name, loss in found.held_out.items())}")
        out.mkdir(parents=True, exist_ok=True)
        net = nets[0] if len(nets) == 1 else Ensemble(nets).eval()
        parity = export_next_touchpoint(net, vocabulary, config.shape.length, out / NET_FILE, rng)
    fit_markov(folds.steps, vocabulary, found.order).save(out / MARKOV_FILE)
    _write_about(steps, vocabulary, horizon_seconds, config, found.weights, out)
    if apart is not None:
        for number, one in enumerate(nets):
            folder = apart / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            export_next_touchpoint(one.eval(), vocabulary, config.shape.length, folder / NET_FILE, rng)
            fit_markov(folds.learned(number), vocabulary, found.order).save(folder / MARKOV_FILE)
            _write_about(steps, vocabulary, horizon_seconds, config, found.weights, folder)
        save_file({"fold": folds.fold}, apart / FOLD_FILE)
    examples, seconds = int(steps.asks_what.sum()), time.monotonic() - began
    return NextTouchpointFit(
        examples, life, tuple(logs), found.weights, found.held_out, found.out_of_fold, seconds, parity
    )


def _told(life_seconds: float) -> str:
    return "nothing goes out of date" if math.isinf(life_seconds) else f"half-life {life_seconds / 86_400:.0f} days"


def _folds(steps: NextSteps, groups: Ints | None, config: NextTouchpointConfig, rng: np.random.Generator) -> Folds:
    """Customers in as many shares as nets; where one net is enough, in eighths, or less where that is very many."""
    examples, customers = int(steps.asks_what.sum()), len(steps.lengths)
    few = examples < config.few_examples
    parts = config.members if few else max(8, -(-examples // MOST_HELD_OUT))
    asks = steps.asks_what.astype(np.float64)
    asked = np.add.reduceat(np.append(asks, 0.0), steps.starts[:-1]) * (steps.lengths > 0)
    group = np.arange(customers) if groups is None else groups
    fold = in_folds(group, asked, parts, rng)
    filled = int((np.bincount(fold, weights=asked, minlength=parts) > 0).sum())
    if filled < parts:
        raise TooLittleData(
            f"the touchpoints that were followed by another belong to {filled} customers or groups of them; at least "
            f"{parts} are needed to learn from some and measure on others"
        )
    return Folds(steps, fold, group, config.members if few else 1)


def _refuse_too_little(steps: NextSteps, vocabulary: Vocabulary, config: NextTouchpointConfig) -> None:
    kinds = len(np.unique(steps.next_token[steps.asks_what]))
    if len(vocabulary.touchpoints) < 2 or kinds == 1:
        raise TooLittleData(
            "only one kind of touchpoint ever comes next, so there is nothing to tell apart; "
            "send events of more kinds, or name them apart in the catalogue"
        )
    examples = int(steps.asks_what.sum())
    if examples < config.minimum_examples:
        raise TooLittleData(
            f"{examples} touchpoints were followed by another; at least {config.minimum_examples} are needed to learn "
            "what comes next: send more journeys, or longer ones"
        )


def _new_net(
    steps: NextSteps, markov: InterpolatedMarkov, vocabulary: Vocabulary, config: NextTouchpointConfig
) -> NextTouchpointNet:
    net = NextTouchpointNet(vocabulary, config.shape)
    log_waits = np.log1p(steps.wait_seconds[steps.asks_what])
    levels = (np.arange(config.shape.gap_components) + 0.5) / config.shape.gap_components
    net.begin_at(torch.tensor(markov.base).float(), torch.tensor(np.quantile(log_waits, levels)).float())
    return net


def _fit_net(
    net: NextTouchpointNet,
    folds: Folds,
    number: int,
    vocabulary: Vocabulary,
    config: NextTouchpointConfig,
    rng: np.random.Generator,
    progress: Progress,
    checkpoints: Path | None,
) -> TrainingLog:
    """Train on all but one fold, and stop by that one. The net is left on the processor, in float32."""
    compute = Compute.on(config.device)
    batches = StepBatches(folds.learned(number), config.shape.length)
    log = train(
        net.to(compute.device),
        lambda rng: batches.shuffled(config.batch_windows, rng),
        lesson(vocabulary, config, compute),
        _held_out_loss(folds.held(number), config, compute),
        Schedule(config.epochs, config.learning_rate, config.weight_decay, config.patience),
        rng,
        lambda line: progress(f"net {number + 1} of {folds.nets}, {line}"),
        checkpoint=checkpoints / f"net_{number + 1}.safetensors" if checkpoints else None,
    )
    net.cpu()
    return log


def lesson(
    vocabulary: Vocabulary, config: NextTouchpointConfig, compute: Compute
) -> Callable[[nn.Module, StepBatch], Tensor]:
    """The loss of a batch as a net learns by it: what comes and when, a few touchpoints hidden at random."""
    channel_of = torch.from_numpy(vocabulary.fallback)

    def loss(net: nn.Module, batch: StepBatch) -> Tensor:
        drawn, there = torch.rand(batch.tokens.shape), batch.tokens != PADDING
        shown = torch.where(drawn < config.hidden_share, channel_of[batch.tokens], batch.tokens)
        shown = shown.masked_fill((drawn < config.hidden_share / 2) & there, UNKNOWN)
        shown, batch = shown.to(compute.device), batch.to(compute.device)
        with compute.autocast():
            said = net(shown, batch.log_gaps)
        what, when = _losses(said, batch)
        return masked_mean(what, batch.asks_what) + config.gap_share * masked_mean(when, batch.asks_when)

    return loss


def _losses(said: tuple[Tensor, Tensor], batch: StepBatch) -> tuple[Tensor, Tensor]:
    """Of what a net said, in float32 however it was multiplied: what comes (B, L) and when (B, L)."""
    logits, gap_parameters = (one.float() for one in said)
    when = gap_loss(gap_parameters, batch.log_wait, batch.log_entry, batch.censored)
    return cross_entropy(logits, batch.target) * batch.weight, when * batch.weight


def _held_out_loss(held: NextSteps, config: NextTouchpointConfig, compute: Compute) -> Callable[[nn.Module], float]:
    """The loss of a net in float32, as it is served."""
    parts = [batch.to(compute.device) for batch in StepBatches(held, config.shape.length).in_order()]
    n_what, n_when = max(1, int(held.asks_what.sum())), max(1, int(held.asks_when.sum()))

    def held_out_loss(module: nn.Module) -> float:
        total = 0.0
        with torch.no_grad():
            for batch in parts:
                what, when = _losses(module(batch.tokens, batch.log_gaps), batch)
                total += float(what[batch.asks_what].double().sum()) / n_what
                total += float(when[batch.asks_when].double().sum()) / n_when * config.gap_share
        return total

    return held_out_loss


def _write_about(
    steps: NextSteps,
    vocabulary: Vocabulary,
    horizon_seconds: int,
    config: NextTouchpointConfig,
    mixture: MixtureWeights,
    out: Path,
) -> None:
    none, expected = _base_rates(steps, horizon_seconds)
    about = {
        "format_version": FORMAT_VERSION,
        "vocabulary": vocabulary.to_dict(),
        "horizon_seconds": horizon_seconds,
        "length": config.shape.length,
        "mixture": asdict(mixture),
        "base": {"none_within_horizon": none, "expected_in_seconds": expected},
    }
    (out / ABOUT_FILE).write_text(json.dumps(about, indent=1, ensure_ascii=False), "utf-8")


def _base_rates(steps: NextSteps, horizon_seconds: int) -> tuple[float, list[float]]:
    """For somebody of whom nothing is known: how long all waits were, ended or not (Kaplan & Meier 1958)."""
    rows = np.flatnonzero(steps.asks_when)
    rows = rows[np.lexsort((steps.censored[rows], steps.wait_seconds[rows]))]
    waits, ended = steps.wait_seconds[rows], ~steps.censored[rows]
    survival = np.cumprod(1 - ended / np.arange(len(rows), 0, -1))
    at = int(np.searchsorted(waits, horizon_seconds, side="right"))
    none = float(survival[at - 1]) if at else 1.0
    reached = [np.flatnonzero(survival <= 1 - level) for level in LEVELS]
    return none, [float(waits[r[0]]) if len(r) else LONGEST_SECONDS for r in reached]
