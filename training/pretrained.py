"""What a fit of feelings starts from: the shipped adapter with its heads, another adapter, or any bare encoder.

It finds and merges; it fits nothing. The encoder's own weights are never kept beside the adapter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from models.nets.feedback import load_encoder
from training.adapter import merge, read_adapter

PRETRAINED = "pretrained"
"""The name of the adapter that comes with the product."""


@dataclass(frozen=True)
class Start:
    """An encoder and what it knows already.

    Attributes:
        encoder: with every update merged in.
        tokenizer: the text of its tokenizer.json.
        heads: the heads' weights as `FeedbackNet.heads` names them; empty for a bare encoder.
        measured: what was measured of these heads, such as the calibration of each emotion.
    """

    encoder: PreTrainedModel
    tokenizer: str
    heads: dict[str, Tensor] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The heads that are there."""
        return tuple(dict.fromkeys(name.split(".")[0] for name in self.heads))


def pretrained_folder() -> Path:
    """Where the adapter that comes with the product lies."""
    return Path(str(files("models"))) / "pretrained"


def load_start(name: str) -> Start:
    """`pretrained`, a folder with an adapter.json, or an encoder as `load_encoder` takes it.

    Raises EncoderNotFoundError and AdapterError.
    """
    folder = pretrained_folder() if name == PRETRAINED else Path(name)
    if not (folder / "adapter.json").is_file() and name != PRETRAINED:
        return Start(*load_encoder(name))
    tensors, description = read_adapter(folder)
    encoder, tokenizer = load_encoder(str(description["encoder"]))
    parts: dict[str, dict[str, Tensor]] = {"encoder": {}, "heads": {}}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        parts[part][rest] = tensor
    merge(encoder, parts["encoder"])
    return Start(encoder, tokenizer, parts["heads"], dict(description.get("measured", {})))
