"""What comes next and when, as a net over touchpoints and the gaps before them: recurrent, or a causal transformer.

Position t sees touchpoints up to t and the gaps before them, never the gap after t. Two heads: logits over the
vocabulary's touchpoints, and the parameters of a gap mixture (`models/predictors/gap.py`). It does not train itself
(`training/next_touchpoint.py`) and does not serve (`models/predictors/next_touchpoint.py` answers from the graph).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.features.vocabulary import FIRST_TOUCHPOINT, Vocabulary
from models.journey.touchpoint import STAGES

Kind = Literal["recurrent", "attention"]
_GAP_CENTRES = 16  # bumps over log1p seconds, 0 (none) to 20 (fifteen years)


@dataclass(frozen=True, slots=True)
class NetShape:
    """What net, and how large. `length` is the most touchpoints it sees, `gap_components` the normals of the mixture,
    `width` the numbers in each of its states and `dropout` the share of them that is hidden while it learns.

    kind    "recurrent": gated recurrent units (Cho et al. 2014; for sessions Hidasi et al. 2016, "GRU4Rec");
            "attention": a causal transformer (for sequences of actions Kang & McAuley 2018, "SASRec")
    layers  of either; heads, of attention alone
    """

    kind: Kind = "recurrent"
    length: int = 64
    width: int = 64
    layers: int = 1
    heads: int = 4
    gap_components: int = 6
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind {self.kind!r} is not known; allowed are {', '.join(get_args(Kind))}")
        for name in ("length", "width", "layers", "heads", "gap_components"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must be at least 0 and below 1")


class _Layer(nn.Module):
    """Pre-norm causal attention and feed-forward (Xiong et al. 2020, "On layer normalization in the transformer")."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.heads, self.rate = shape.heads, shape.dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.mix, self.out = nn.Linear(shape.width, 3 * shape.width), nn.Linear(shape.width, shape.width)
        self.up, self.down = nn.Linear(shape.width, 2 * shape.width), nn.Linear(2 * shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        mixed = self.mix(self.norm_attention(hidden)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, L, width / heads)
        rate = self.rate if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        seen = seen.transpose(1, 2).reshape(batch, length, width)  # (B, L, width)
        hidden = hidden + self.dropout(self.out(seen))
        forward = self.down(functional.gelu(self.up(self.norm_forward(hidden))))
        return cast(Tensor, hidden + self.dropout(forward))


class _Attention(nn.Module):
    """(B, L, width) -> (B, L, width): each position from itself and those before it, which are told apart by place."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.place = nn.Embedding(shape.length, shape.width)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm, self.dropout = nn.LayerNorm(shape.width), nn.Dropout(shape.dropout)
        nn.init.normal_(self.place.weight, std=0.5 * shape.width**-0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.dropout(hidden + self.place.weight[: hidden.shape[1]])
        for layer in self.layers:
            hidden = layer(hidden)
        return cast(Tensor, self.norm(hidden))


class _Recurrence(nn.Module):
    """(B, L, width) -> (B, L, width): each position from itself and a memory of those before it."""

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        between = shape.dropout if shape.layers > 1 else 0.0
        self.memory = nn.GRU(shape.width, shape.width, shape.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return cast(Tensor, self.dropout(self.memory(self.dropout(hidden))[0]))


_BODIES: dict[Kind, type[nn.Module]] = {"attention": _Attention, "recurrent": _Recurrence}


class NextTouchpointNet(nn.Module):
    """forward(tokens (B, L), log_gaps (B, L)) -> logits (B, L, K), gap parameters (B, L, 3M+1), at every position.

    A touchpoint enters as the sum of what it is, its channel, its stage, and the gap before it.
    """

    def __init__(self, vocabulary: Vocabulary, shape: NetShape) -> None:
        super().__init__()
        width = shape.width
        self.touchpoint = nn.Embedding(vocabulary.size, width)
        self.channel = nn.Embedding(1 + len(vocabulary.channels), width)
        self.stage = nn.Embedding(1 + len(STAGES), width)
        self.gap_in = nn.Linear(_GAP_CENTRES, width)
        self.body = _BODIES[shape.kind](shape)
        self.next_head = nn.Linear(width, len(vocabulary.touchpoints))
        self.gap_head = nn.Linear(width, 3 * shape.gap_components + 1)
        self.register_buffer("channel_of", torch.tensor(_channel_of(vocabulary)))
        self.register_buffer("stage_of", torch.tensor(_stage_of(vocabulary)))
        self.register_buffer("centres", torch.linspace(0.0, 20.0, _GAP_CENTRES))
        for table in (self.touchpoint, self.channel, self.stage):
            nn.init.normal_(table.weight, std=0.5 * width**-0.5)

    def begin_at(self, base: Tensor, log_gap_quantiles: Tensor) -> None:
        """Start from what is known without a net: base rates (K,), and quantiles (M,) of the log gaps as means."""
        components = len(log_gap_quantiles)
        with torch.no_grad():
            self.next_head.weight.mul_(0.1)
            self.gap_head.weight.mul_(0.1)
            self.next_head.bias.copy_(base.log())
            self.gap_head.bias[: components + 1] = 0.0
            self.gap_head.bias[components + 1 : 2 * components + 1] = log_gap_quantiles
            self.gap_head.bias[2 * components + 1 :] = 0.0

    def encode(self, tokens: Tensor, log_gaps: Tensor) -> Tensor:
        """(B, L, width): what is known after each touchpoint."""
        channel_of, stage_of, centres = (cast(Tensor, b) for b in (self.channel_of, self.stage_of, self.centres))
        bumps = torch.exp(-((log_gaps.unsqueeze(-1) - centres) / (20.0 / (_GAP_CENTRES - 1))).square())
        hidden = self.touchpoint(tokens) + self.channel(channel_of[tokens]) + self.stage(stage_of[tokens])
        return cast(Tensor, self.body(hidden + self.gap_in(bumps)))

    def forward(self, tokens: Tensor, log_gaps: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encode(tokens, log_gaps)
        return self.next_head(hidden), self.gap_head(hidden)

    def last(self, tokens: Tensor, log_gaps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives at the last touchpoint of each row: logits (B, K), gap parameters (B, 3M+1)."""
        hidden = self.encode(tokens, log_gaps)  # (B, L, width)
        at = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.shape[2])
        last = hidden.gather(1, at).squeeze(1)  # (B, width)
        return self.next_head(last), self.gap_head(last)


class Ensemble(nn.Module):
    """R nets that answer as one: the mean of their distributions, and all their gap components in one mixture.

    On few journeys one net depends on its luck; the mean of several is better than most of them (Lakshminarayanan et
    al. 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles").
    """

    def __init__(self, nets: Sequence[NextTouchpointNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, tokens: Tensor, log_gaps: Tensor) -> tuple[Tensor, Tensor]:
        return _as_one([cast(NextTouchpointNet, net)(tokens, log_gaps) for net in self.nets])

    def last(self, tokens: Tensor, log_gaps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives at the last touchpoint of each row: logits (B, K), gap parameters (B, 3RM+1)."""
        return _as_one([cast(NextTouchpointNet, net).last(tokens, log_gaps, lengths) for net in self.nets])


class LastOnly(nn.Module):
    """A net as it is served: (tokens, log_gaps, lengths (B,) >= 1) -> logits (B, K), gap parameters (B, 3M+1)."""

    def __init__(self, net: NextTouchpointNet | Ensemble) -> None:
        super().__init__()
        self.net = net

    def forward(self, tokens: Tensor, log_gaps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.net.last(tokens, log_gaps, lengths)


def _as_one(answers: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mix R answers evenly; the shares of "never comes" become one."""
    logits = torch.logsumexp(torch.stack([each.log_softmax(-1) for each, _ in answers]), dim=0)
    components = (answers[0][1].shape[-1] - 1) // 3
    parts = [torch.split(gap, [components, 1, components, components], dim=-1) for _, gap in answers]
    weights = [torch.cat([part[0], part[1]], dim=-1).log_softmax(-1) for part in parts]
    never = torch.logsumexp(torch.stack([weight[..., -1:] for weight in weights]), dim=0)
    mixture = [weight[..., :-1] for weight in weights] + [never] + [p[2] for p in parts] + [p[3] for p in parts]
    return logits, torch.cat(mixture, dim=-1)


def _channel_of(vocabulary: Vocabulary) -> list[int]:
    channels = {channel: i for i, channel in enumerate(vocabulary.channels, 1)}
    names = [name.partition(".")[0] for name in vocabulary.touchpoints]
    return [0] * FIRST_TOUCHPOINT + [channels[name] for name in [*names, *vocabulary.channels]]


def _stage_of(vocabulary: Vocabulary) -> list[int]:
    stages = [1 + STAGES.index(stage) for stage in vocabulary.stages]
    return [0] * FIRST_TOUCHPOINT + stages + [0] * len(vocabulary.channels)
