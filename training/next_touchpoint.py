"""Teach the next touchpoint: net and Markov model from journeys before a moment, mixed, exported and proven equal.

Everything is learned from touchpoints before `until`. The latest part of that time decides when the net stops and how
far it is trusted against the Markov model; then both learn that part as well. No calibration and no test here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.features.vocabulary import FIRST_TOUCHPOINT, PADDING, UNKNOWN, Vocabulary
from models.journey.event import Micros
from models.journey.journeys import Ints, Journeys
from models.nets.next_touchpoint import Ensemble, NetShape, NextTouchpointNet
from models.predictors.baseline import MAX_ORDER, EmpiricalGaps, Floats, InterpolatedMarkov
from models.predictors.gap import LONGEST_SECONDS
from models.predictors.next_touchpoint import (
    ABOUT_FILE,
    FORMAT_VERSION,
    LEVELS,
    MARKOV_FILE,
    NET_FILE,
    MixtureWeights,
    softmax,
)
from training.batches import StepBatch, StepBatches
from training.errors import TooLittleData
from training.examples import NextSteps, next_steps
from training.export import export_next_touchpoint
from training.loop import Progress, Schedule, TrainingLog, torch_threads, train
from training.losses import cross_entropy, gap_loss, masked_mean

UP_TO = (1, 2, 4, 8, 16)
"""Journeys of at most so many touchpoints share a mixture weight."""
_MORE = 0.25  # so many epochs more with the held-out part in: as good as beginning anew, in a fifth of the time
_WEIGHT_PRIOR = 50.0  # examples' worth of the common weight in each bucket


@dataclass(frozen=True, slots=True)
class NextTouchpointConfig:
    """How the next touchpoint is learned.

    shape             the net's size
    markov_order      highest of the Markov model it is mixed with, 1 to 3; the best on held-out time is taken
    epochs, patience  at most so many; stop when held-out loss has not improved for `patience`
    batch_windows     journeys (or windows of long ones) in a step
    learning_rate, weight_decay  of AdamW
    gap_share         how much the time loss counts against the touchpoint loss
    hidden_share      share of touchpoints shown as unknown in training, so that unknown ones mean something
    held_out_share    latest share of the examples, kept to stop by and to mix by
    minimum_examples  fewer are refused as too little data
    members, few_examples  so many nets answer as one where there are fewer examples than this; else one does
    threads           of torch; so small a net is fastest on one, by far where cores are shared
    """

    shape: NetShape = field(default_factory=NetShape)
    markov_order: int = 2
    epochs: int = 24
    patience: int = 3
    batch_windows: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    gap_share: float = 0.3
    hidden_share: float = 0.02
    held_out_share: float = 0.15
    minimum_examples: int = 100
    members: int = 4
    few_examples: int = 20_000
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.markov_order <= MAX_ORDER:
            raise ValueError(f"markov_order {self.markov_order} must be from 1 to {MAX_ORDER}")
        for name in ("epochs", "patience", "batch_windows", "minimum_examples", "members", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        for name in ("held_out_share", "hidden_share"):
            if not 0 <= getattr(self, name) < 1 or (name == "held_out_share" and not self.held_out_share):
                raise ValueError(f"{name} {getattr(self, name)} must be between 0 and 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate {self.learning_rate} must be above 0")


@dataclass(frozen=True)
class NextTouchpointFit:
    """What was learned: examples, the log of the (first) net, how it is mixed, and held-out losses in nats."""

    examples: int
    log: TrainingLog
    mixture: MixtureWeights
    held_out: dict[str, float]  # log-loss on the held-out part: net, markov, mixture
    seconds: float


@dataclass(frozen=True)
class NextBaselines:
    """What a report sets beside us: Markov up to order 3, the chance that a touchpoint repeats, observed gaps."""

    markov: InterpolatedMarkov
    again: float
    gaps: EmpiricalGaps


def fit_next_touchpoint(
    journeys: Journeys,
    vocabulary: Vocabulary,
    until: Micros,
    horizon_seconds: int,
    config: NextTouchpointConfig,
    seed: int,
    out: Path,
    progress: Progress,
) -> NextTouchpointFit:
    """Learn from what occurred before `until` and write the predictor's files into the folder `out`.

    Raises TooLittleData where there is nothing to tell apart or too little to learn from.
    """
    began = time.monotonic()
    steps = next_steps(journeys, vocabulary, until)
    _refuse_too_little(steps, vocabulary, config)
    rng = np.random.default_rng(seed)
    with torch_threads(config.threads):
        torch.manual_seed(seed)
        split = _split_at(steps, config.held_out_share)
        early, late = next_steps(journeys, vocabulary, split), next_steps(journeys, vocabulary, until, since=split)
        progress(f"next touchpoint: {int(steps.asks_what.sum())} examples, {int(late.asks_what.sum())} held out")
        order = _best_order(fit_markov(early, vocabulary, config.markov_order), late)
        markov = fit_markov(early, vocabulary, order)
        members = config.members if int(steps.asks_what.sum()) < config.few_examples else 1
        nets = [_new_net(early, markov, vocabulary, config) for _ in range(members)]
        logs = [_fit_net(net, early, late, config, config.epochs, rng, progress) for net in nets]
        net = nets[0] if members == 1 else Ensemble(nets).eval()
        mixture, held_out = _fit_mixture(net, markov, late, config)
        progress(f"held out: {', '.join(f'{name} {loss:.4f}' for name, loss in held_out.items())}; now on all")
        markov = fit_markov(steps, vocabulary, order)
        for each, log in zip(nets, logs, strict=True):
            _fit_net(each, steps, None, config, max(1, round(log.best_epoch * _MORE)), rng, progress)
        out.mkdir(parents=True, exist_ok=True)
        export_next_touchpoint(net, vocabulary, config.shape.length, out / NET_FILE, rng)
    markov.save(out / MARKOV_FILE)
    _write_about(steps, vocabulary, horizon_seconds, config, mixture, out)
    return NextTouchpointFit(int(steps.asks_what.sum()), logs[0], mixture, held_out, time.monotonic() - began)


def fit_baselines(journeys: Journeys, vocabulary: Vocabulary, until: Micros) -> NextBaselines:
    """The baselines for a report, from what occurred before `until`."""
    steps = next_steps(journeys, vocabulary, until)
    rows = np.flatnonzero(steps.asks_what)
    if not len(rows):
        raise TooLittleData("no touchpoint was followed by another; baselines need journeys of two touchpoints")
    last, following = steps.token[rows], steps.next_token[rows]
    gaps = EmpiricalGaps.fit(last, steps.wait_seconds[rows], len(vocabulary.touchpoints))
    again = (float((last == following).sum()) + 1) / (len(rows) + 2)
    return NextBaselines(fit_markov(steps, vocabulary, MAX_ORDER), again, gaps)


def fit_markov(steps: NextSteps, vocabulary: Vocabulary, order: int) -> InterpolatedMarkov:
    """Count what followed each history, and what journeys began with."""
    rows = np.flatnonzero(steps.asks_what)
    tokens, lengths = steps.histories(rows, order)
    first = steps.token[steps.starts[:-1][steps.lengths > 0]]
    first = first[first >= FIRST_TOUCHPOINT]
    return InterpolatedMarkov.fit(
        np.concatenate([tokens, np.zeros((len(first), order), dtype=np.int64)]),
        np.concatenate([lengths, np.zeros(len(first), dtype=np.int64)]),
        np.concatenate([steps.next_token[rows], first]),
        len(vocabulary.touchpoints),
        order,
    )


def _best_order(markov: InterpolatedMarkov, late: NextSteps) -> int:
    """The order, at most the fitted one, under which held-out examples are most likely."""
    rows = np.flatnonzero(late.asks_what)
    tokens, lengths = late.histories(rows, markov.order)
    picked = (np.arange(len(rows)), late.next_token[rows] - FIRST_TOUCHPOINT)
    orders = range(1, markov.order + 1)
    return max(orders, key=lambda k: float(np.log(markov.predict(tokens, lengths, k)[picked]).sum()))


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


def _split_at(steps: NextSteps, share: float) -> Micros:
    """The moment after which the latest `share` of the examples fell."""
    return int(np.quantile(steps.next_at[steps.asks_what], 1 - share, method="lower"))


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
    steps: NextSteps,
    late: NextSteps | None,
    config: NextTouchpointConfig,
    epochs: int,
    rng: np.random.Generator,
    progress: Progress,
) -> TrainingLog:
    """Train on `steps`; stop by `late` where given, else after exactly these epochs."""
    batches = StepBatches(steps, config.shape.length)

    def loss(module: nn.Module, batch: StepBatch) -> Tensor:
        hidden = (torch.rand(batch.tokens.shape) < config.hidden_share) & (batch.tokens != PADDING)
        what, when = _losses(module, batch, batch.tokens.masked_fill(hidden, UNKNOWN))
        return masked_mean(what, batch.asks_what) + config.gap_share * masked_mean(when, batch.asks_when)

    return train(
        net,
        lambda rng: batches.shuffled(config.batch_windows, rng),
        loss,
        None if late is None else _held_out_loss(late, config),
        Schedule(epochs, config.learning_rate, config.weight_decay, config.patience),
        rng,
        progress,
    )


def _losses(module: nn.Module, batch: StepBatch, tokens: Tensor) -> tuple[Tensor, Tensor]:
    logits, gap_parameters = module(tokens, batch.log_gaps)
    when = gap_loss(gap_parameters, batch.log_wait, batch.log_entry, batch.censored)
    return cross_entropy(logits, batch.target), when


def _held_out_loss(late: NextSteps, config: NextTouchpointConfig) -> Callable[[nn.Module], float]:
    parts = list(StepBatches(late, config.shape.length).in_order())
    n_what, n_when = max(1, int(late.asks_what.sum())), max(1, int(late.asks_when.sum()))

    def held_out_loss(module: nn.Module) -> float:
        total = 0.0
        with torch.no_grad():
            for batch in parts:
                what, when = _losses(module, batch, batch.tokens)
                total += float(what[batch.asks_what].double().sum()) / n_what
                total += float(when[batch.asks_when].double().sum()) / n_when * config.gap_share
        return total

    return held_out_loss


def _fit_mixture(
    net: NextTouchpointNet | Ensemble, markov: InterpolatedMarkov, late: NextSteps, config: NextTouchpointConfig
) -> tuple[MixtureWeights, dict[str, float]]:
    """The weight of the net by how much is known, on held-out examples, and the log-losses there."""
    rows, logits = [], []
    with torch.no_grad():
        for batch in StepBatches(late, config.shape.length).in_order():
            asked = batch.asks_what.numpy()
            rows.append(batch.rows[asked])
            logits.append(net(batch.tokens, batch.log_gaps)[0].numpy()[asked])
    row = np.concatenate(rows)
    target = late.next_token[row] - FIRST_TOUCHPOINT
    tokens, lengths = late.histories(row, config.shape.length)
    pick = (np.arange(len(row)), target)
    by_net, by_markov = softmax(np.concatenate(logits))[pick], markov.predict(tokens, lengths)[pick]
    mixture = mix(by_net, by_markov, lengths)
    weight = mixture.of(lengths)
    mixed = weight * by_net + (1 - weight) * by_markov
    losses = {"net": by_net, "markov": by_markov, "mixture": mixed}
    return mixture, {name: float(-np.log(given).mean()) for name, given in losses.items()}


def mix(by_net: Floats, by_markov: Floats, lengths: Ints) -> MixtureWeights:
    """The weights that make held-out data most likely, by EM, each bucket drawn towards the weight of all.

    `by_net` and `by_markov` (S,) are the probabilities that each gave to what happened, `lengths` (S,) what was known.
    """
    everywhere = _mixing_weight(by_net, by_markov, 0.5, 2.0)
    bucket = MixtureWeights(UP_TO, (0.0,) * (len(UP_TO) + 1)).bucket(lengths)
    parts = [np.flatnonzero(bucket == b) for b in range(len(UP_TO) + 1)]
    weights = (_mixing_weight(by_net[part], by_markov[part], everywhere, _WEIGHT_PRIOR) for part in parts)
    return MixtureWeights(UP_TO, tuple(round(weight, 6) for weight in weights))


def _mixing_weight(by_net: Floats, by_markov: Floats, prior: float, strength: float) -> float:
    weight = prior
    for _ in range(200):
        share = weight * by_net / (weight * by_net + (1 - weight) * by_markov)
        weight = float((share.sum() + strength * prior) / (len(share) + strength))
    return weight


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
