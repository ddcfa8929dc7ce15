"""Losses: pure functions of what a net said and what happened, with masks handed in. They fit nothing.

All are in nats for each example, so that they can be added, and compared with an entropy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from models.predictors.gap import MAX_LOG_SIGMA, MIN_LOG_SIGMA


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` where `mask` is true; 0 where it is nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(…,) minus the log probability of each target, for logits (…, K)."""
    flat = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1), reduction="none")
    return flat.view(target.shape)


def gap_loss(parameters: Tensor, log_gap: Tensor, log_entry: Tensor, censored: Tensor) -> Tensor:
    """(…,) minus the log-likelihood of gaps under a mixture of normals over log1p seconds and a share that never comes.

    Args:
        parameters: (…, 3M+1) as `GapMixture.of` reads them.
        log_gap: (…,) log1p seconds to the next touchpoint, or to the end of observation where censored.
        log_entry: (…,) log1p seconds to when we began to look: the gap was known to be longer (delayed entry).
        censored: (…,) true where observation ended first: then only "longer than this" is known.

    Censoring and delayed entry as in Klein & Moeschberger 2003, "Survival analysis", section 3.5.
    """
    components = (parameters.shape[-1] - 1) // 3
    weight, mean, log_sigma = torch.split(parameters, [components + 1, components, components], dim=-1)
    log_weight = weight.log_softmax(-1)
    log_sigma = log_sigma.clamp(MIN_LOG_SIGMA, MAX_LOG_SIGMA)
    scale = torch.exp(-log_sigma)

    def log_survival(log_seconds: Tensor) -> Tensor:
        outlasted = torch.special.log_ndtr((mean - log_seconds.unsqueeze(-1)) * scale)
        return torch.logsumexp(torch.cat([log_weight[..., :-1] + outlasted, log_weight[..., -1:]], -1), -1)

    z = (log_gap.unsqueeze(-1) - mean) * scale
    density = log_weight[..., :-1] - 0.5 * z.square() - log_sigma - 0.5 * math.log(2 * math.pi)
    came = torch.logsumexp(density, -1)
    entered = torch.where(log_entry > 0, log_survival(log_entry), 0.0)
    return entered - torch.where(censored, log_survival(log_gap), came)


def emotion_loss(logits: Tensor, label: Tensor, kind: str) -> Tensor:
    """(n,) the sum over emotions of a yes-or-no loss, for logits and labels (n, K).

    `bce` is the cross-entropy; `focal` weighs it by (1 - p)^2 (Lin et al. 2017, "Focal loss for dense object
    detection"); `asymmetric` weighs easy "no"s by p^2 alone (Ridnik et al. 2021, "Asymmetric loss for multi-label
    classification"). Raises ValueError for another kind.
    """
    each = functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
    if kind == "bce":
        return each.sum(-1)
    chance = logits.detach().sigmoid()
    missed = label * (1 - chance) + (1 - label) * chance
    if kind == "focal":
        return (4.0 * missed.square() * each).sum(-1)
    if kind == "asymmetric":
        return ((label + (1 - label) * missed.square().clamp(min=0.05)) * each).sum(-1)
    raise ValueError(f"emotions: {kind!r} is no loss; allowed are bce, asymmetric, focal.")


def readers_loss(logits: Tensor, shares: Tensor, levels: Tensor) -> Tensor:
    """(n,) how badly logits (n, K) tell the distribution of single ratings, the shares (n, K) of K levels.

    Cross-entropy for the whole, squared errors of the mean and of the spread so that these two, which are what is
    answered, are told well.
    """
    told = logits.softmax(-1)
    means = [(one * levels).sum(-1) for one in (told, shares)]
    spreads = [((one * (levels - mean[:, None]).square()).sum(-1) + 1e-4).sqrt()
               for one, mean in zip((told, shares), means, strict=True)]  # fmt: skip
    whole = functional.cross_entropy(logits, shares, reduction="none")
    return whole + 0.5 * (means[0] - means[1]).square() + (spreads[0] - spreads[1]).square()


def ordinal_loss(score: Tensor, stars: Tensor, cuts: Tensor) -> Tensor:
    """(n,) minus the log probability of stars 1..K+1 given scores, for K cuts between them, in order.

    The proportional odds model (McCullagh 1980, "Regression models for ordinal data").
    """
    ordered = torch.cat([cuts[:1], cuts[:1] + functional.softplus(cuts[1:] - cuts[:-1]).cumsum(0)])
    above = torch.sigmoid(1.5 * (score[:, None] - ordered))  # (n, K): chance of more stars than each cut
    steps = torch.cat([torch.ones_like(above[:, :1]), above, torch.zeros_like(above[:, :1])], 1)
    chance = steps[:, :-1] - steps[:, 1:]
    rank = (stars.long() - 1).clamp(0, len(cuts))
    return -chance.gather(1, rank[:, None])[:, 0].clamp(min=1e-6).log()
