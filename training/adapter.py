"""A small adapter over a frozen encoder: attach it, take what it learned, write it, and merge it back in.

Low-rank updates of every linear layer (Hu et al. 2021, "LoRA"), by the library peft; biases and layer norms learn as
they are. Files are safetensors with a JSON beside them. It fits nothing.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.nets.feedback import EncoderNotFoundError

ADAPTER_FORMAT = 1
ALL_LINEAR = "all-linear"
ATTENTION = ("query", "key", "value")


class AdapterError(EncoderNotFoundError):
    """An adapter's files are missing, torn, or made for another encoder."""


def attach(encoder: PreTrainedModel, rank: int, layers: str, *, bfloat16: bool) -> PeftModel:
    """Freeze the encoder and lay low-rank updates over it, scaled by 2 whatever the rank.

    Args:
        encoder: changed in place.
        rank: of each update, 1 or more.
        layers: `all-linear`, or `attention` for query, key and value alone.
        bfloat16: keep the frozen weights in bfloat16, so that nothing is converted at every step.
    """
    targets = ALL_LINEAR if layers == ALL_LINEAR else list(ATTENTION)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that goes away
        model = get_peft_model(encoder, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, bias="all"))
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name or "layer_norm" in name:
            parameter.requires_grad_(True)
    if bfloat16:
        for module in model.modules():
            if isinstance(module, LoraLayer):
                weight = module.get_base_layer().weight
                weight.data = weight.data.to(torch.bfloat16)
    return model


def learned(model: PeftModel) -> dict[str, Tensor]:
    """What the adapter learned, by the names of the plain encoder: `X.lora_A`, `X.lora_B`, biases and norms whole."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found[_plain(name)] = parameter.detach().to(torch.float32, copy=True)
    return found


def _plain(name: str) -> str:
    name = name.removeprefix("base_model.model.")
    return name.replace(".base_layer", "").replace(".default.weight", "")


def merge(encoder: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Add the updates to a plain encoder's weights, in place; biases and norms are replaced.

    Raises AdapterError where a layer is missing or has another shape: the adapter is another encoder's.
    """
    parameters = dict(encoder.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            base = name.removesuffix(".lora_A") + ".weight" if name.endswith(".lora_A") else name
            if name.endswith(".lora_B"):
                continue
            if base not in parameters:
                raise AdapterError(f"the adapter changes {base!r}, which this encoder does not have")
            update = tensor.float()
            if name.endswith(".lora_A"):
                update = parameters[base] + 2.0 * tensors[name[:-1] + "B"].float() @ update
            if update.shape != parameters[base].shape:
                raise AdapterError(
                    f"the adapter's {base!r} is {tuple(update.shape)}, not {tuple(parameters[base].shape)}"
                )
            parameters[base].copy_(update)


def write_adapter(folder: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write adapter.safetensors (float16) and adapter.json."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in sorted(tensors.items())}
    save_file(halves, folder / "adapter.safetensors")
    told = {"format": ADAPTER_FORMAT, **description}
    (folder / "adapter.safetensors").chmod(0o644)
    (folder / "adapter.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def read_adapter(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (float32) and the description of a written adapter. Raises AdapterError."""
    try:
        description = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
        with safe_open(folder / "adapter.safetensors", framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, ValueError, SafetensorError) as error:
        raise AdapterError(f"{folder} holds no readable adapter: {error}") from error
    if not isinstance(description, dict) or description.get("format") != ADAPTER_FORMAT:
        raise AdapterError(f"{folder}/adapter.json must have 'format': {ADAPTER_FORMAT}")
    return tensors, description
