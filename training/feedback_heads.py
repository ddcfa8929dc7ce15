"""Fit heads on the vectors of a frozen encoder: quick, and never far from what they knew where labels are few.

The heads start from a prior (the shipped ones, or nothing) and are held to it by a spring; how stiff it is, is chosen
by cross-validation over what they say of polarity. Anchors, texts with what the heads said of them before, keep them
from unlearning the rest ("rehearsal"; Robins 1995, with soft labels as in Li and Hoiem 2016, "Learning without
forgetting"). It knows no encoder.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.nets.feedback import FeedbackNet, FeelingTargets, feeling_loss

SPRINGS = (math.inf, 300.0, 30.0, 3.0, 0.3)
"""Stiffness in units of texts, stiffest first; infinitely stiff heads stay as they were."""
_FOLDS = 5
_MOST_JUDGED = 2_000
_ROUNDS = 60
_REHEARSAL = 0.5


@dataclass(frozen=True, slots=True)
class HeadsFit:
    """How the heads were fitted: the spring that was chosen, and the loss of polarity of each on texts held out."""

    spring: float
    losses: dict[float, float]


def fit_heads(
    net: FeedbackNet,
    pooled: Tensor,
    targets: FeelingTargets,
    rng: np.random.Generator,
    anchors: tuple[Tensor, FeelingTargets] | None = None,
) -> HeadsFit:
    """Fit the heads of `net` that `targets` has labels for, in place.

    Args:
        net: whose heads are fitted; its encoder is not asked.
        pooled: (n, d) a vector a text; targets: the labels of the same n texts.
        rng: draws the folds.
        anchors: other vectors and what is known of them (`rehearsed`); without any the heads know nothing yet, and
            staying as they are is no choice.
    """
    springs = SPRINGS if anchors else SPRINGS[1:]
    rows = rng.permutation(len(pooled))[:_MOST_JUDGED]
    fold = np.arange(len(rows)) % _FOLDS
    losses = {}
    for spring in springs:
        sums = 0.0
        for held in range(_FOLDS):
            inside, outside = (torch.from_numpy(rows[part]) for part in (fold != held, fold == held))
            if len(inside) and len(outside):
                trial = _fitted(net, *_joined(pooled[inside], _polarity(targets.rows(inside)), anchors), spring)
                sums += _polarity_loss(trial, pooled[outside], targets.rows(outside))
        losses[spring] = sums / _FOLDS
    chosen = min(losses, key=lambda spring: losses[spring])  # of equals the stiffest
    net.heads.load_state_dict(_fitted(net, *_joined(pooled, targets, anchors), chosen).heads.state_dict())
    return HeadsFit(chosen, losses)


def _fitted(net: FeedbackNet, pooled: Tensor, targets: FeelingTargets, spring: float) -> FeedbackNet:
    """A copy of the net's heads (its encoder shared), fitted under a spring."""
    trial = copy.copy(net)
    trial._modules = {**net._modules, "heads": copy.deepcopy(net.heads)}
    if math.isinf(spring):
        return trial
    names = tuple(name for name in trial.names if name in targets.labels)
    free = [weight for name in names for weight in trial.heads[name].parameters()]
    prior = [weight.detach().clone() for weight in free]
    optimizer = torch.optim.LBFGS(free, max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        outputs = tuple(trial.heads[name](pooled) for name in names)
        loss = feeling_loss(outputs, names, targets)
        for weight, before in zip(free, prior, strict=True):
            loss = loss + spring / (2 * len(pooled)) * (weight - before).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return trial


def _polarity(targets: FeelingTargets) -> FeelingTargets:
    """The labels of polarity alone, which is all that springs are judged by."""
    return FeelingTargets({"polarity": targets.labels["polarity"]}, {"polarity": targets.weights["polarity"]})


def _polarity_loss(net: FeedbackNet, pooled: Tensor, targets: FeelingTargets) -> float:
    with torch.inference_mode():
        return float(feeling_loss((net.heads["polarity"](pooled),), ("polarity",), targets))


def rehearsed(net: FeedbackNet, pooled: Tensor, names: tuple[str, ...]) -> tuple[Tensor, FeelingTargets]:
    """Anchors: vectors (n, d) with what the heads `names` say of them now, as labels to keep."""
    with torch.inference_mode():
        told = dict(zip(net.names, net.told(pooled), strict=True))
    soft = {"polarity": torch.softmax, "nuance": torch.softmax}
    labels = {}
    for name in names:
        if name in soft:
            labels[name] = soft[name](told[name], -1)
        else:
            labels[name] = told[name].sigmoid() if name == "emotions" else told[name]
    return pooled, FeelingTargets(labels, {name: torch.ones(len(pooled)) for name in names})


def _joined(
    pooled: Tensor, targets: FeelingTargets, anchors: tuple[Tensor, FeelingTargets] | None
) -> tuple[Tensor, FeelingTargets]:
    """Texts and anchors together; all anchors count for `_REHEARSAL` of the texts."""
    if anchors is None:
        return pooled, targets
    others, known = anchors
    share = _REHEARSAL * len(pooled) / len(others)
    labels = {
        name: torch.cat([_wide(label, known.labels[name]), known.labels[name]])
        for name, label in targets.labels.items()
    }
    weights = {name: torch.cat([weight, share * known.weights[name]]) for name, weight in targets.weights.items()}
    return torch.cat([pooled, others]), FeelingTargets(labels, weights)


def _wide(label: Tensor, other: Tensor) -> Tensor:
    """The label with as many columns as the other; what it does not know is NaN."""
    return functional.pad(label, (0, other.shape[1] - label.shape[1]), value=math.nan)
