"""Peers for the next touchpoint: plain nets of our width and length, boosting, counting contexts, nearest sessions.

Each takes what was asked of the learning log and of the test log and answers (n, K) probabilities. All learn from the
whole learning log; what stops by held-out data holds out its latest part. None is tuned beyond its usual settings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import torch
from torch import Tensor, nn

from models.features.sequence import Sequences
from models.features.vocabulary import Vocabulary
from models.journey.journeys import Journeys
from models.predictors.next_touchpoint import softmax
from training.batches import StepBatch, StepBatches
from training.examples import next_steps
from training.loop import Schedule, torch_threads, train
from training.losses import cross_entropy, masked_mean
from training.measure.asked import Asked
from training.measure.figures import Floats

WIDTH, LENGTH = 64, 64
HELD_OUT = 0.15


@dataclass(frozen=True)
class Task:
    """The learning log, what is asked of it (n,), and what is asked of the test log (m,)."""

    journeys: Journeys
    vocabulary: Vocabulary
    learn: Asked
    ask: Asked
    seed: int

    @property
    def kinds(self) -> int:
        return len(self.vocabulary.touchpoints)

    def base(self) -> Floats:
        return np.asarray(
            (np.bincount(self.learn.label, minlength=self.kinds) + 1) / (len(self.learn.label) + self.kinds)
        )


def variable_order_markov(task: Task, longest: int = 8) -> Floats:
    """Contexts up to eight touchpoints long, each blended into the next shorter one (Witten-Bell, as in PPM)."""
    rows, asked = (one.sequences(task.vocabulary, longest) for one in (task.learn, task.ask))
    counts: dict[tuple[int, ...], np.ndarray] = defaultdict(lambda: np.zeros(task.kinds))
    for row, label in enumerate(task.learn.label):
        for context in _contexts(rows, row):
            counts[context][label] += 1
    answer = np.tile(task.base(), (len(asked.lengths), 1))
    for row in range(len(answer)):
        for context in _contexts(asked, row):
            if context not in counts:
                break
            count = counts[context]
            different = np.count_nonzero(count)
            answer[row] = (count + different * answer[row]) / (count.sum() + different)
    return answer


def _contexts(rows: Sequences, row: int) -> list[tuple[int, ...]]:
    """The last touchpoint, the last two, and so on."""
    tokens = rows.tokens[row, : rows.lengths[row]].tolist()
    return [tuple(tokens[-size:]) for size in range(1, len(tokens) + 1)]


def session_neighbours(task: Task, neighbours: int = 100) -> Floats:
    """What followed the journeys most like this one so far, the latest touchpoints weighing most (V-SKNN: Ludewig &
    Jannach 2018, doi:10.1007/s11257-018-9209-6)."""
    known, asked = (
        _decayed(one.sequences(task.vocabulary, 10), task.vocabulary.size) for one in (task.learn, task.ask)
    )
    following = np.eye(task.kinds)[task.learn.label]
    answer = np.empty((len(asked), task.kinds))
    for start in range(0, len(asked), 500):
        alike = asked[start : start + 500] @ known.T
        near = np.argpartition(-alike, min(neighbours, len(known) - 1), axis=1)[:, :neighbours]
        weight = np.take_along_axis(alike, near, axis=1)
        answer[start : start + 500] = np.einsum("in,ink->ik", weight, following[near])
    answer += 2 * task.base()
    return np.asarray(answer / answer.sum(axis=1, keepdims=True))


def _decayed(rows: Sequences, size: int) -> Floats:
    """(n, V) unit vectors; a touchpoint counts for 1 over how far back it is, the last one also by itself."""
    found = np.zeros((len(rows.lengths), size))
    each = np.arange(len(rows.lengths))
    for back in range(1, rows.tokens.shape[1] + 1):
        there = rows.lengths >= back
        found[each[there], rows.tokens[each[there], rows.lengths[there] - back]] += 1 / back
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))


def boosting(task: Task) -> Floats:
    """LightGBM on the last five touchpoints, the last three gaps, how often each kind came and how many there were."""
    x, asked = (
        _columns(one.sequences(task.vocabulary, LENGTH), task.vocabulary.size) for one in (task.learn, task.ask)
    )
    at = task.learn.steps.next_at[task.learn.index]
    late = at > np.quantile(at, 1 - HELD_OUT)
    y = task.learn.label
    settings = {
        "objective": "multiclass", "num_class": task.kinds, "learning_rate": 0.05, "num_leaves": 15,
        "min_data_in_leaf": 20, "num_threads": 1, "seed": task.seed, "verbose": -1, "deterministic": True,
    }  # fmt: skip
    early = lightgbm.Dataset(x[~late], y[~late], categorical_feature=[0, 1, 2, 3, 4])
    stop = lightgbm.Dataset(x[late], y[late], reference=early)
    first = lightgbm.train(
        settings, early, 400, valid_sets=[stop], callbacks=[lightgbm.early_stopping(20, verbose=False)]
    )
    whole = lightgbm.Dataset(x, y, categorical_feature=[0, 1, 2, 3, 4])
    return np.asarray(lightgbm.train(settings, whole, max(1, first.best_iteration)).predict(asked), dtype=np.float64)


def _columns(rows: Sequences, size: int) -> Floats:
    each, parts = np.arange(len(rows.lengths)), []
    for back in range(1, 6):
        there = rows.lengths >= back
        at = np.where(there, rows.lengths - back, 0)
        parts.append(np.where(there, rows.tokens[each, at], 0).astype(np.float64))
    for back in range(1, 4):
        there = rows.lengths >= back
        parts.append(np.where(there, rows.log_gaps[each, np.where(there, rows.lengths - back, 0)], -1.0))
    counts = np.stack([(rows.tokens == token).sum(axis=1) for token in range(1, size)], axis=1)
    return np.column_stack([*parts, rows.lengths, counts])


class Gru(nn.Module):
    """GRU4Rec as it is commonly simplified: embedding, one GRU, a softmax over kinds (Hidasi et al. 2016)."""

    def __init__(self, size: int, kinds: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, WIDTH, padding_idx=0)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.dropout, self.head = nn.Dropout(0.2), nn.Linear(WIDTH, kinds)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden: Tensor = self.gru(self.dropout(self.embedding(tokens)))[0]
        logits: Tensor = self.head(self.dropout(hidden))
        return logits


class SasRec(nn.Module):
    """Causal self-attention over touchpoints and places, softmax over kinds (Kang & McAuley 2018)."""

    def __init__(self, size: int, kinds: int) -> None:
        super().__init__()
        self.embedding, self.place = nn.Embedding(size, WIDTH, padding_idx=0), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, 0.2, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.dropout, self.head = nn.Dropout(0.2), nn.Linear(WIDTH, kinds)

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        later = torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1)
        hidden = self.dropout(self.embedding(tokens) + self.place.weight[:length])
        logits: Tensor = self.head(self.layers(hidden, mask=later))
        return logits


def gru(task: Task) -> Floats:
    return _net(task, lambda: Gru(task.vocabulary.size, task.kinds))


def sasrec(task: Task) -> Floats:
    return _net(task, lambda: SasRec(task.vocabulary.size, task.kinds))


def _net(task: Task, made: Callable[[], nn.Module]) -> Floats:
    """Fit with a part held out that says when to stop, go on over everything, and answer."""
    at = task.learn.steps.next_at[task.learn.index]
    split, end = int(np.quantile(at, 1 - HELD_OUT)), int(at.max()) + 1
    early, late = (
        next_steps(task.journeys, task.vocabulary, split),
        next_steps(task.journeys, task.vocabulary, end, split),
    )
    held, rng = list(StepBatches(late, LENGTH).in_order()), np.random.default_rng(task.seed)
    asked = max(1, int(late.asks_what.sum()))

    def held_out(net: nn.Module) -> float:
        with torch.no_grad():
            total = sum(float(_losses(net, batch)[batch.asks_what].double().sum()) for batch in held)
        return total / asked

    with torch_threads(1):
        torch.manual_seed(task.seed)
        net, quiet = made(), lambda line: None
        log = _fit(net, StepBatches(early, LENGTH), held_out, Schedule(24, 2e-3, 0.01, 3), rng, quiet)
        whole = StepBatches(next_steps(task.journeys, task.vocabulary, end), LENGTH)
        _fit(net, whole, None, Schedule(max(1, round(log.best_epoch / 4)), 2e-3, 0.01, 3), rng, quiet)
        return _answers(net.eval(), task.ask.sequences(task.vocabulary, LENGTH))


def _fit(net: nn.Module, batches: StepBatches, held_out: Any, plan: Schedule, rng: Any, quiet: Any) -> Any:
    def loss(module: nn.Module, batch: StepBatch) -> Tensor:
        return masked_mean(_losses(module, batch), batch.asks_what)

    return train(net, lambda rng: batches.shuffled(64, rng), loss, held_out, plan, rng, quiet)


def _losses(net: nn.Module, batch: StepBatch) -> Tensor:
    return cross_entropy(net(batch.tokens), batch.target)


def _answers(net: nn.Module, rows: Sequences) -> Floats:
    parts = []
    with torch.no_grad():
        for start in range(0, len(rows.lengths), 256):
            tokens, lengths = rows.tokens[start : start + 256], rows.lengths[start : start + 256]
            logits = net(torch.from_numpy(tokens[:, : int(lengths.max())])).numpy()
            parts.append(logits[np.arange(len(lengths)), lengths - 1])
    return softmax(np.concatenate(parts))


PEERS: dict[str, Callable[[Task], Floats]] = {
    "variable_order_markov": variable_order_markov,
    "session_neighbours": session_neighbours,
    "lightgbm": boosting,
    "gru": gru,
    "sasrec": sasrec,
}
