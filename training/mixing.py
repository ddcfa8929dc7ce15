"""Mix nets and counts: how far each is trusted, learned on customers that neither learned from.

What both say of customers held out decides the order of the Markov model and the shares of the mixture, and is handed
on to calibrate by. Fits no net (`training/next_touchpoint.py`) and calibrates nothing (`training/calibrate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.journey.journeys import Ints
from models.nets.next_touchpoint import NextTouchpointNet
from models.predictors.baseline import Floats
from models.predictors.next_touchpoint import MixtureWeights, softmax
from training.batches import StepBatches
from training.examples import NextSteps
from training.markov import answers, fit_markov

UP_TO = (1, 2, 4, 8, 16)
"""Journeys of at most so many touchpoints share a mixture weight."""
_SHARE_PRIOR = 50.0  # examples' worth of the common share in each bucket
MOST_HELD_OUT = 200_000  # examples are plenty to mix and calibrate by


@dataclass(frozen=True)
class OutOfFold:
    """What was said of customers whose journeys were not learned from, and what came.

    chance (n, K)     mixed, not calibrated
    label (n,)        index of what came
    weight (n,)       at most 1: how much like the cases to come
    customer (n,)     whose case it is (or whose group's): cases of one are alike
    last (n,)         name of the touchpoint before; empty where learning knows none
    luck (n,)         0..1, to break ties by
    base_chance (n,)  what the base rate of the others gave to what came
    base_rate (K,)    of everybody
    """

    chance: Floats
    label: Ints
    weight: Floats
    customer: Ints
    last: NDArray[np.str_]
    luck: Floats
    base_chance: Floats
    base_rate: Floats


@dataclass(frozen=True)
class Folds:
    """Steps to learn from, and for each net which customers it must not see: `fold` (C,) numbers them.

    Customers of one `group` (C,), such as a device, are alike, and in one fold.
    """

    steps: NextSteps
    fold: Ints
    group: Ints
    nets: int

    def learned(self, number: int) -> NextSteps:
        return self.steps.of_customers(self.fold != number)

    def held(self, number: int) -> NextSteps:
        return self.steps.of_customers(self.fold == number)


@dataclass(frozen=True)
class Mixed:
    """The Markov order and the shares that suit customers held out; weighted log-losses there, in nats; what was said.

    held_out  of the net, markov and mixture
    """

    order: int
    weights: MixtureWeights
    held_out: dict[str, float]
    out_of_fold: OutOfFold


def mixed(
    nets: list[NextTouchpointNet],
    folds: Folds,
    vocabulary: Vocabulary,
    length: int,
    markov_order: int,
    rng: np.random.Generator,
) -> Mixed:
    """How nets and counts suit customers that they did not learn from: net i those outside fold i."""
    by_net, by_markov, by_base, rows = [], [], [], []
    for number, net in enumerate(nets):
        held = folds.held(number)
        row, chance = _answers(net, held, length)
        if len(row) > MOST_HELD_OUT:
            kept = np.sort(rng.choice(len(row), MOST_HELD_OUT, replace=False))
            row, chance = row[kept], chance[kept]
        markov = fit_markov(folds.learned(number), vocabulary, markov_order)
        rows.append(row)
        by_net.append(chance)
        by_base.append(markov.base[folds.steps.next_token[row] - FIRST_TOUCHPOINT])
        by_markov.append(np.stack([answers(markov, held, row, order) for order in range(1, markov.order + 1)]))
    row, net_says, markov_says = np.concatenate(rows), np.concatenate(by_net), np.concatenate(by_markov, axis=1)
    label, weight = folds.steps.next_token[row] - FIRST_TOUCHPOINT, folds.steps.weight[row].astype(np.float64)
    picked = (np.arange(len(row)), label)
    order = 1 + int(np.argmax([np.average(np.log(each[picked]), weights=weight) for each in markov_says]))
    counts_say = markov_says[order - 1]
    lengths = folds.steps.histories(row, length)[1]
    mixture = mix(net_says[picked], counts_say[picked], lengths, weight)
    share = mixture.of(lengths)[:, None]
    said = {"net": net_says, "markov": counts_say, "mixture": share * net_says + (1 - share) * counts_say}
    losses = {name: float(-np.average(np.log(each[picked]), weights=weight)) for name, each in said.items()}
    names = np.array(["", "", *vocabulary.touchpoints, *("" for _ in vocabulary.channels)])
    owner = np.searchsorted(folds.steps.starts, row, side="right") - 1
    out_of_fold = OutOfFold(
        said["mixture"], label, weight, folds.group[owner], names[folds.steps.token[row]], rng.random(len(row)),
        np.concatenate(by_base), fit_markov(folds.steps, vocabulary, 1).base,
    )  # fmt: skip
    return Mixed(order, mixture, losses, out_of_fold)


def _answers(net: NextTouchpointNet, steps: NextSteps, length: int) -> tuple[Ints, Floats]:
    """The steps (S,) that ask what comes next, and what the net says (S, K)."""
    rows, logits = [], []
    with torch.no_grad():
        for batch in StepBatches(steps, length).in_order():
            asked = batch.asks_what.numpy()
            rows.append(batch.rows[asked])
            logits.append(net(batch.tokens, batch.log_gaps)[0].numpy()[asked])
    return np.concatenate(rows), softmax(np.concatenate(logits))


def mix(by_net: Floats, by_markov: Floats, lengths: Ints, weight: Floats) -> MixtureWeights:
    """The shares that make held-out data most likely, by EM, each bucket drawn towards the share of all.

    `by_net` and `by_markov` (S,) are the probabilities that each gave to what happened, `lengths` (S,) what was known,
    `weight` (S,) how much each case counts.
    """
    everywhere = _mixing_share(by_net, by_markov, weight, 0.5, 2.0)
    bucket = MixtureWeights(UP_TO, (0.0,) * (len(UP_TO) + 1)).bucket(lengths)
    parts = [np.flatnonzero(bucket == b) for b in range(len(UP_TO) + 1)]
    shares = (_mixing_share(by_net[p], by_markov[p], weight[p], everywhere, _SHARE_PRIOR) for p in parts)
    return MixtureWeights(UP_TO, tuple(round(share, 6) for share in shares))


def _mixing_share(by_net: Floats, by_markov: Floats, weight: Floats, prior: float, strength: float) -> float:
    share = prior
    for _ in range(200):
        net = share * by_net / (share * by_net + (1 - share) * by_markov)
        share = float(((weight * net).sum() + strength * prior) / (weight.sum() + strength))
    return share
