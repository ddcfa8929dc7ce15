"""Teach the encoder that is shipped: one adapter and its heads, on several labelled sets at once.

Emotions, the distribution of single readers' ratings, polarity, nuance, and stars as ordinal hints share one encoder.
Whole passes over all texts, then short ones from there in which the small sets count; what is kept is their mean. It
goes on after the last pass where it was stopped. It measures nothing (`training/measure/pretrained.py` does) and builds
nothing to serve (`training/pretrained.py` does).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft.helpers import disable_input_dtype_casting
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.features.text import encode_texts, load_tokenizer
from models.nets.feedback import MINILM, load_encoder
from training.adapter import attach, learned
from training.loop import torch_threads
from training.losses import emotion_loss, ordinal_loss, readers_loss
from training.pretrain_data import LEVELS, WIDTHS, PretrainTexts
from training.soup import SHORT, mean, often

Progress = Callable[[str], None]
_WARM_UP, _SHORT_WARM_UP = 300, 50
HEADS = ("polarity", "emotions", "nuance", "readers")
_SHARES = {"emotions": 0.35, "readers": 1.0, "polarity": 0.5, "nuance": 0.5, "stars": 0.3}
"""What a nat of each head counts for: emotions are a sum over 28 yes or no."""


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How to teach.

    Attributes:
        encoder: `all-MiniLM-L6-v2`, a folder, or a name on a model hub.
        rank: of the updates of each layer; 0 teaches the whole encoder.
        layers: `all-linear`, or `attention` for query, key and value alone.
        emotions: loss of emotions: `bce`, `asymmetric` or `focal`.
        max_tokens: tokens read of one text.
        epochs, batch_size, seed, threads: as they say.
        learning_rate: of the adapter (of the encoder where rank is 0). It warms up and stays for an epoch; in each that
            follows it falls to 0, from the whole, a half, a third and so on, so that a run may end after any epoch and
            go on later (warm restarts; Loshchilov and Hutter 2017).
        head_learning_rate: of the heads.
        short_passes: passes as `training.soup.SHORT` names them, each from the last whole one, at a third of the rates,
            falling to 0. What is kept is the mean of the last two whole passes and of these; with 0 the last pass is.
        bfloat16: multiply in bfloat16 where the processor has matrix units for it.
    """

    encoder: str = MINILM
    rank: int = 32
    layers: str = "all-linear"
    emotions: str = "bce"
    max_tokens: int = 64
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 8e-4
    head_learning_rate: float = 2e-3
    short_passes: int = len(SHORT)
    bfloat16: bool = True
    threads: int = 2
    seed: int = 0


class PretrainNet(nn.Module):
    """Encoder, mean pooling, a linear head for each thing to be told; forward gives head -> (n, width)."""

    def __init__(self, encoder: nn.Module, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(width, WIDTHS[name]) for name in HEADS})
        self.cuts = nn.Parameter(torch.tensor([-2.0, -0.7, 0.3, 1.3]))
        self.register_buffer("levels", torch.tensor(LEVELS, dtype=torch.float32))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        mask = attention_mask.unsqueeze(-1).float()
        pooled = self.dropout((hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0))
        with torch.autocast("cpu", enabled=False):
            outputs = {name: head(pooled) for name, head in self.heads.items()}
            outputs["stars"] = (outputs["readers"].softmax(-1) * self.get_buffer("levels")).sum(-1, keepdim=True)
        return outputs

    def loss(self, outputs: dict[str, Tensor], texts: Encoded, rows: Tensor, emotions: str) -> Tensor:
        """The weighted sum over heads, for each text of the batch."""
        total = torch.zeros(())
        for name, share in _SHARES.items():
            label, weight = texts.labels[name][rows], texts.weights[name][rows]
            if name == "emotions":
                each = emotion_loss(outputs[name], label, emotions)
            elif name == "readers":
                each = readers_loss(outputs[name], label, self.get_buffer("levels"))
            elif name == "stars":
                each = ordinal_loss(outputs[name][:, 0], label[:, 0], self.cuts)
            else:
                each = nn.functional.cross_entropy(outputs[name], label, reduction="none")
            total = total + share * (each * weight).sum() / len(rows)
        return total


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as token ids with their labels, as tensors."""

    ids: Tensor
    mask: Tensor
    lengths: NDArray[np.int64]
    labels: dict[str, Tensor]
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, texts: PretrainTexts, tokenizer: str, max_tokens: int) -> Encoded:
        found = encode_texts(load_tokenizer(tokenizer, max_tokens), texts.texts)
        return cls(
            torch.from_numpy(found.input_ids),
            torch.from_numpy(found.attention_mask),
            found.attention_mask.sum(axis=1),
            {name: torch.from_numpy(label) for name, label in texts.labels.items()},
            {name: torch.from_numpy(weight) for name, weight in texts.weights.items()},
        )


class Pretraining:
    """One run: the net, the texts, and the loop over epochs; `run` leaves the net fitted.

    Where `folder` holds the state of an earlier run with the same config, it goes on from there.
    """

    def __init__(self, texts: PretrainTexts, config: PretrainConfig, folder: Path, progress: Progress) -> None:
        self.config, self.folder, self.progress = config, folder, progress
        encoder, self.tokenizer = load_encoder(config.encoder)
        self.bfloat16 = config.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.net = _net(encoder, config, self.bfloat16)
        self.texts = Encoded.of(texts, self.tokenizer, config.max_tokens)
        self.training = np.flatnonzero(~texts.held_out)
        self.source = texts.source
        self.steps = config.epochs * math.ceil(len(self.training) / config.batch_size)
        self.optimizer, self.schedule = _optimizer(self.net, config, self.steps)
        self.losses: list[float] = []

    def run(self) -> None:
        """All passes that are still to do."""
        self._resume()
        with torch_threads(self.config.threads), torch.random.fork_rng(devices=[]):
            for epoch in range(len(self.losses), self.config.epochs):
                self.losses.append(self._one_pass(epoch, self.training, self.schedule))
                self._keep()
            for number in range(self.config.short_passes):
                self._short_pass(number)
        if self.config.short_passes:
            whole = [self._epoch(number) for number in range(max(1, self.config.epochs - 1), self.config.epochs + 1)]
            short = [self._short(number) for number in range(self.config.short_passes)]
            self._set(mean([_net_of(load_file(file)) for file in (*whole, *short)]))
        self.net.eval()

    def _short_pass(self, number: int) -> None:
        """One short pass from the last whole one; none where it was run before."""
        if self._short(number).is_file():
            return
        self._set(load_file(self._epoch(self.config.epochs)), optimizer=True)
        inside = self.training
        drawn = often(self.source[inside], SHORT[number], np.random.default_rng([self.config.seed, number]))
        steps = max(1, math.ceil(len(drawn) / self.config.batch_size))

        def height(step: int) -> float:
            return min(1.0, (step + 1) / _SHORT_WARM_UP) * max(0.0, 1 - step / steps) / 3

        schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, height)
        self._one_pass(self.config.epochs + number, inside[drawn], schedule)
        partial = self.folder / "state.partial"
        save_file({f"net {name}": tensor.detach().contiguous() for name, tensor in self._learning()}, partial)
        partial.rename(self._short(number))

    def _one_pass(self, epoch: int, texts: NDArray[np.int64], schedule: torch.optim.lr_scheduler.LambdaLR) -> float:
        self.net.train()
        torch.manual_seed(self.config.seed + epoch)  # dropout is the same whether or not the run was stopped before
        began, losses = time.monotonic(), []
        per_epoch = math.ceil(len(texts) / self.config.batch_size)
        for step, rows in enumerate(self._batches(epoch, texts), 1):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.net.loss(self.outputs(rows), self.texts, rows, self.config.emotions)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            self.optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if step % 100 == 0 or step == per_epoch:
                left = (time.monotonic() - began) / step * (per_epoch - step)
                recent = float(np.mean(losses[-100:]))
                self.progress(
                    f"epoch {epoch + 1}: step {step} of {per_epoch}, loss {recent:.4f}, {left / 60:.1f} min left"
                )
        return float(np.mean(losses))

    def outputs(self, rows: Tensor) -> dict[str, Tensor]:
        """What the net says of some texts, cut at the longest of them."""
        width = int(self.texts.lengths[rows.numpy()].max())
        ids, mask = self.texts.ids[rows, :width], self.texts.mask[rows, :width]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16), disable_input_dtype_casting(self.net):
            said: dict[str, Tensor] = self.net(ids, mask)
        return said

    def _batches(self, epoch: int, texts: NDArray[np.int64]) -> Iterator[Tensor]:
        """Shuffled batches of texts of like length; every epoch has its own order, whatever came before."""
        rng = np.random.default_rng([self.config.seed, epoch])
        size, order = self.config.batch_size, rng.permutation(texts)
        batches = []
        for first in range(0, len(order), size * 32):
            part = order[first : first + size * 32]
            part = part[np.argsort(self.texts.lengths[part], kind="stable")]
            batches += [part[start : start + size] for start in range(0, len(part), size)]
        for index in rng.permutation(len(batches)):
            yield torch.from_numpy(batches[index])

    def _keep(self) -> None:
        """Write where we are, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"net {name}": tensor.contiguous() for name, tensor in self._learning()}
        for name, parameter in self._learning():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"{key} {name}"] = torch.as_tensor(value).clone()
        save_file(tensors, self.folder / "state.partial")
        told = {"config": asdict(self.config), "losses": self.losses}
        (self.folder / "state.partial").rename(self._epoch(len(self.losses)))
        for stale in self.folder.glob("short-*.safetensors"):  # they began where another run was
            stale.unlink()
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(told) + "\n", "utf-8")
        partial.rename(self.folder / "state.json")

    def _resume(self) -> None:
        file = self.folder / "state.json"
        told = json.loads(file.read_text("utf-8")) if file.is_file() else None
        if told is None or len(told["losses"]) > self.config.epochs:
            return
        other = {"epochs": 0, "threads": 0, "short_passes": 0}  # these may change on the way
        if told["config"] | other != asdict(self.config) | other:
            return
        self.losses = told["losses"]
        self._set(load_file(self._epoch(len(self.losses))), optimizer=True)
        self.schedule.last_epoch = len(self.losses) * (self.steps // self.config.epochs)
        rates = zip(self.optimizer.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)
        for group, rate, height in rates:
            group["lr"] = rate * height(self.schedule.last_epoch)
        self.progress(f"going on after epoch {len(self.losses)}")

    def _set(self, tensors: dict[str, Tensor], *, optimizer: bool = False) -> None:
        """Take up the weights of a pass, and where its optimizer was."""
        with torch.no_grad():
            for name, parameter in self._learning():
                parameter.copy_(tensors[f"net {name}"])
                kept = {key.split(" ")[0]: key for key in tensors if key.endswith(f" {name}") and key[:4] != "net "}
                if optimizer:
                    self.optimizer.state[parameter] = {short: tensors[key] for short, key in kept.items()}

    def _epoch(self, number: int) -> Path:
        return self.folder / f"epoch-{number}.safetensors"

    def _short(self, number: int) -> Path:
        return self.folder / f"short-{number + 1}.safetensors"

    def _learning(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, parameter) for name, parameter in self.net.named_parameters() if parameter.requires_grad]

    def tensors(self) -> dict[str, Tensor]:
        """The adapter and the heads, by the names that `training.adapter.write_adapter` keeps."""
        encoder = self.net.encoder
        found = learned(encoder) if self.config.rank else dict(encoder.named_parameters())  # type: ignore[arg-type]
        named = self.net.heads.named_parameters()
        heads = {f"heads.{name.replace('readers', 'intensity.levels')}": tensor.detach() for name, tensor in named}
        return {**{f"encoder.{name}": tensor.detach() for name, tensor in found.items()}, **heads}


def _net_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone, without the optimizer's state."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith("net ")}


def _net(encoder: PreTrainedModel, config: PretrainConfig, bfloat16: bool) -> PretrainNet:
    encoder.set_attn_implementation("eager")  # on a processor its backward pass is several times faster than sdpa's
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # the adapter is small: dropout in the encoder costs a fifth of the time and gains nothing
    width = int(encoder.config.hidden_size)
    if config.rank == 0:
        return PretrainNet(encoder, width)
    return PretrainNet(attach(encoder, config.rank, config.layers, bfloat16=bfloat16), width)


def _optimizer(
    net: PretrainNet, config: PretrainConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    heads = [*net.heads.parameters(), net.cuts]
    body = [parameter for parameter in net.encoder.parameters() if parameter.requires_grad]
    groups = [{"params": body, "lr": config.learning_rate}, {"params": heads, "lr": config.head_learning_rate}]
    per_epoch = max(1, steps // config.epochs)

    def height(step: int) -> float:
        epoch, done = divmod(step, per_epoch)
        if epoch == 0:
            return min(1.0, (step + 1) / max(1, min(_WARM_UP, per_epoch // 4)))
        return (1 - done / per_epoch) / epoch

    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, height)
