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
