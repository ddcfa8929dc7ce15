"""Teach how people feel: texts with labels in, a folder that `models/predictors/feedback.py` loads out.

The encoder's top layers and the heads are fitted together, exported to ONNX, and the export is proved to answer as the
net did. Baselines (TF-IDF, majority) live in `training/feedback_baseline.py`. It does not split people or time,
calibrate, gate or publish: the pipeline does.
"""

import json
import logging
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.text import encode_texts, load_tokenizer
from models.nets.feedback import MINILM, FeedbackNet, FeelingTargets, feeling_loss, load_encoder
from models.predictors.feedback import EMOTIONS, FORMAT, NUANCES, POLARITIES
from models.predictors.predictor import open_session
from training.export import ParityError, write_graph
from training.feedback_labels import FeedbackLabels, read_labels

PARITY = 1e-4
"""Largest difference between a logit of the net and of its export that is accepted."""

_WIDTHS = {"polarity": len(POLARITIES), "emotions": len(EMOTIONS), "nuance": len(NUANCES), "intensity": 2}
_CLASSES = {"polarity": POLARITIES, "emotions": EMOTIONS, "nuance": NUANCES}
_LEAST_VALIDATION = 20
_OPSET = 20

Progress = Callable[[str, int, int], None]
"""Called as progress(what is being done, steps done, steps in all)."""


@dataclass(frozen=True, slots=True)
class FeedbackConfig:
    """How to fit.

    Attributes:
        encoder: `all-MiniLM-L6-v2`, a folder with a transformers encoder, or a name on a model hub.
        unfrozen_layers: top transformer layers that learn; 0 fits the heads alone, more than there are fits them all.
        max_tokens: tokens read of one text, 8..512; what comes after is not seen.
        max_texts: texts used at most; a random sample of them where there are more.
        epochs: passes over the texts, 1..50; the one with the lowest validation loss of polarity is kept.
        batch_size: texts in one step, 1..512.
        learning_rate: of the encoder at its peak; it warms up over the first tenth of the steps and falls to 0.
        head_learning_rate: of the heads at its peak.
        validation_share: share of the texts (0..0.5) that only choose the epoch and the scale of the spread.
        least_texts: a head with fewer labelled texts is left out; without a polarity head nothing is fitted.
        bfloat16: multiply in bfloat16 where the processor has matrix units for it (much faster there, same scores).
        language: ISO 639 code of the texts.
        threads: processor threads of the fit.
        seed: everything random follows from it: same texts, config and machine, same bits.
    """

    encoder: str = MINILM
    unfrozen_layers: int = 6
    max_tokens: int = 96
    max_texts: int = 20_000
    epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 1e-4
    head_learning_rate: float = 2e-3
    validation_share: float = 0.1
    least_texts: int = 40
    bfloat16: bool = True
    language: str = "en"
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "unfrozen_layers": (0, 1_000),
            "max_tokens": (8, 512),
            "max_texts": (1, 10_000_000),
            "epochs": (1, 50),
            "batch_size": (1, 512),
            "learning_rate": (0.0, 1.0),
            "head_learning_rate": (0.0, 1.0),
            "validation_share": (0.0, 0.5),
            "least_texts": (2, 1_000_000),
            "threads": (1, 256),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name}: {value!r} is out of bounds, allowed is {least} to {most}.")


@dataclass(frozen=True, slots=True)
class EpochLog:
    """One pass: mean training loss of all heads, validation loss of polarity in nats (NaN where no text was held back),
    seconds since the start."""

    epoch: int
    training_loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FittedFeedback:
    """What a fit left behind.

    Attributes:
        folder: the predictor's folder (feedback.onnx, tokenizer.json, feedback.json).
        heads: what was trained, in the order of the graph's outputs.
        texts: texts fitted on; validation_texts: texts that chose the epoch.
        epochs: the training log; kept_epoch: the pass whose weights were kept.
        parity: largest difference of a logit between net and export, at most `PARITY`.
        weak_labels: True where stars, not readers, gave the polarity.
        seconds: wall clock of the whole fit.
    """

    folder: Path
    heads: tuple[str, ...]
    texts: int
    validation_texts: int
    epochs: tuple[EpochLog, ...]
    kept_epoch: int
    parity: float
    weak_labels: bool
    seconds: float


def fit_feedback(
    frame: pd.DataFrame, config: FeedbackConfig, out: Path, *, progress: Progress | None = None
) -> FittedFeedback:
    """Fit on labelled texts and write the predictor's folder.

    Args:
        frame: a text a row: `text`, and any of `polarity`, `emotions`, `nuance`, `intensity`, `rating`, `weight` (see
            `training.feedback_labels.read_labels`).
        config: how.
        out: the folder to make; it must not exist. It appears whole or not at all.
        progress: told of every tenth step.

    Raises:
        NotEnoughLabels: too few texts with a polarity or a rating, or all of one polarity.
        ParityError: the export answers otherwise than the net.
        FileExistsError: `out` is there already.
    """
    if out.exists():
        raise FileExistsError(f"out: {out} exists already; name a new folder.")
    started = time.monotonic()
    labels = read_labels(frame, config.least_texts)
    fit = fit_net(labels, config, progress)
    parity = _write(fit, labels.weak, config, out)
    return FittedFeedback(
        folder=out,
        heads=labels.heads,
        texts=len(fit.training),
        validation_texts=len(fit.validation),
        epochs=tuple(fit.logs),
        kept_epoch=fit.kept_epoch,
        parity=parity,
        weak_labels=labels.weak,
        seconds=time.monotonic() - started,
    )


def fit_net(labels: FeedbackLabels, config: FeedbackConfig, progress: Progress | None = None) -> "FeedbackFit":
    """Fit a net on labels, without writing anything: the fit with its net, its log and the texts as it saw them."""
    with _torch_settings(config):
        labels = labels.sample(config.max_texts, np.random.default_rng(config.seed))
        fit = FeedbackFit(labels, config, progress or (lambda what, done, steps: None))
        fit.run()
    return fit


class FeedbackFit:
    """One fit: the net, its texts as token ids, and the loop over epochs and batches.

    Attributes:
        net: what is fitted; after `run` it holds the weights of the kept epoch and is in eval mode.
        tokenizer: the text of the tokenizer's file.
        training, validation: rows of the texts that are fitted, and that only choose the epoch.
        logs: one for each pass; kept_epoch: the pass whose weights were kept.
    """

    def __init__(self, labels: FeedbackLabels, config: FeedbackConfig, progress: Progress) -> None:
        self.config, self.progress, self.started = config, progress, time.monotonic()
        encoder, self.tokenizer = load_encoder(config.encoder)
        self.net = FeedbackNet(encoder, {name: _WIDTHS[name] for name in labels.heads})
        self.net.unfreeze(config.unfrozen_layers)
        encoded = encode_texts(load_tokenizer(self.tokenizer, config.max_tokens), labels.texts)
        self.ids, self.mask = torch.from_numpy(encoded.input_ids), torch.from_numpy(encoded.attention_mask)
        self.lengths = encoded.attention_mask.sum(axis=1)
        as_tensors = {name: torch.from_numpy(label) for name, label in labels.labels.items()}
        self.targets = FeelingTargets(as_tensors, {k: torch.from_numpy(w) for k, w in labels.weights.items()})
        self.training, held_back = labels.split(config.validation_share, _LEAST_VALIDATION)
        self.validation = held_back[np.argsort(self.lengths[held_back], kind="stable")]
        self.rng = np.random.default_rng(config.seed)
        self.bfloat16 = config.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
        self.logs: list[EpochLog] = []
        self.kept_epoch = 0

    def run(self) -> None:
        """Fit for all epochs, go back to the best one, and scale its spread."""
        steps = self.config.epochs * math.ceil(len(self.training) / self.config.batch_size)
        optimizer, schedule = _optimizer(self.net, self.config, steps)
        best, kept = math.inf, _weights(self.net)
        for epoch in range(1, self.config.epochs + 1):
            loss = self._one_pass(optimizer, schedule, epoch, steps)
            validation = self._validation_loss()
            self.logs.append(EpochLog(epoch, loss, validation, time.monotonic() - self.started))
            if math.isnan(validation) or validation < best:
                best, kept, self.kept_epoch = validation, _weights(self.net), epoch
        self.net.load_state_dict(kept, strict=False)
        self._scale_spread()
        self.net.eval()

    def _one_pass(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        epoch: int,
        steps: int,
    ) -> float:
        self.net.train()
        losses = []
        for rows in self._batches():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                outputs = self._outputs(rows)
            loss = feeling_loss(tuple(each.float() for each in outputs), self.net.names, self.targets.rows(rows))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            done = (epoch - 1) * (steps // self.config.epochs) + len(losses)
            if done % 10 == 0 or done == steps:
                self.progress(f"feeling, epoch {epoch} of {self.config.epochs}", done, steps)
        return float(np.mean(losses))

    def _batches(self) -> Iterator[Tensor]:
        """Shuffled batches of texts of like length, so that little is padding."""
        size = self.config.batch_size
        order = self.rng.permutation(self.training)
        batches = []
        for first in range(0, len(order), size * 32):
            part = order[first : first + size * 32]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[start : start + size] for start in range(0, len(part), size)]
        for index in self.rng.permutation(len(batches)):
            yield torch.from_numpy(batches[index])

    def _outputs(self, rows: Tensor) -> tuple[Tensor, ...]:
        width = int(self.lengths[rows.numpy()].max())
        outputs: tuple[Tensor, ...] = self.net(self.ids[rows, :width], self.mask[rows, :width])
        return outputs

    def _validation_outputs(self) -> tuple[Tensor, ...]:
        self.net.eval()
        batches = [
            torch.from_numpy(self.validation[first : first + 64]) for first in range(0, len(self.validation), 64)
        ]
        with torch.inference_mode():
            parts = [self._outputs(rows) for rows in batches]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _validation_loss(self) -> float:
        if len(self.validation) == 0:
            return math.nan
        polarity = self._validation_outputs()[:1]
        return float(feeling_loss(polarity, ("polarity",), self.targets.rows(torch.from_numpy(self.validation))))

    def _scale_spread(self) -> None:
        """Stretch the spread so that on texts not fitted the mean squared error is as large as it says."""
        if "intensity" not in self.net.names or len(self.validation) == 0:
            return
        mean, log_spread = self._validation_outputs()[self.net.names.index("intensity")].T
        targets = self.targets.rows(torch.from_numpy(self.validation))
        weight = targets.weights["intensity"]
        surprise = ((targets.labels["intensity"][:, 0] - mean) * torch.exp(-log_spread)).square()
        ratio = (surprise * weight).sum() / weight.sum()
        if torch.isfinite(ratio) and ratio > 0:
            with torch.no_grad():
                self.net.heads["intensity"].get_parameter("bias")[1] += 0.5 * torch.log(ratio)


def _weights(net: FeedbackNet) -> dict[str, Tensor]:
    """A copy of the weights that learn."""
    return {name: weight.detach().clone() for name, weight in net.named_parameters() if weight.requires_grad}


def _optimizer(
    net: FeedbackNet, config: FeedbackConfig, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    body = [weight for weight in net.encoder.parameters() if weight.requires_grad]
    groups = [{"params": list(net.heads.parameters()), "lr": config.head_learning_rate}]
    if body:
        groups.append({"params": body, "lr": config.learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    warm_up = max(1, steps // 10)

    def height(step: int) -> float:
        return (step + 1) / warm_up if step < warm_up else max(0.0, (steps - step) / max(1, steps - warm_up))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, height)


@contextmanager
def _torch_settings(config: FeedbackConfig) -> Iterator[None]:
    """Seed and threads for one fit; what was set before is set again after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _write(fit: FeedbackFit, weak_labels: bool, config: FeedbackConfig, out: Path) -> float:
    """Write the folder beside `out`, prove the export, then give it its name. Returns the parity."""
    net = fit.net
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        description = {
            "format": FORMAT,
            "language": config.language,
            "max_tokens": config.max_tokens,
            "heads": list(net.names),
            "weak_labels": weak_labels,
            "labels": {name: list(_CLASSES[name]) for name in net.names if name in _CLASSES},
            "trained_with": asdict(replace(config, encoder=Path(config.encoder).name)),
        }
        (partial / "feedback.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        (partial / "tokenizer.json").write_text(fit.tokenizer, encoding="utf-8")
        export_feedback(net, partial / "feedback.onnx")
        parity = _parity(fit, partial / "feedback.onnx")
        partial.chmod(0o755)
        os.rename(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return parity


def export_feedback(net: FeedbackNet, file: Path) -> None:
    """Write the net as one ONNX file: input_ids and attention_mask (n, t) in, the logits of each head out."""
    net.eval()
    # Two tensors, not one given twice: the exporter would take the inputs for one and the same.
    example = (torch.ones((2, 8), dtype=torch.int64), torch.ones((2, 8), dtype=torch.int64))
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it can do without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            net,
            example,
            input_names=["input_ids", "attention_mask"],
            output_names=list(net.names),
            dynamic_shapes={"input_ids": shape, "attention_mask": shape},
            dynamo=True,
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise ParityError("the exporter gave no graph")
    write_graph(program.model_proto, file)


def _parity(fit: FeedbackFit, file: Path) -> float:
    """The largest difference of a logit on texts from the shortest to the longest, padded together and alone."""
    net, lengths = fit.net, fit.lengths
    order = np.argsort(lengths, kind="stable")
    some = order[np.unique(np.linspace(0, len(order) - 1, 24).astype(np.int64))]
    session = open_session(file, 1)
    difference = 0.0
    for rows in (some, some[:1], some[-1:]):
        width = int(lengths[rows].max())
        ids, mask = fit.ids.numpy()[rows, :width], fit.mask.numpy()[rows, :width]
        exported: list[NDArray[np.float32]] = session.run(list(net.names), {"input_ids": ids, "attention_mask": mask})
        with torch.inference_mode():
            fitted = net(torch.from_numpy(ids), torch.from_numpy(mask))
        gaps = [float(np.abs(a.numpy() - b).max()) for a, b in zip(fitted, exported, strict=True)]
        difference = max(difference, *gaps)
    if not difference <= PARITY:
        raise ParityError(f"the export differs from the net by {difference:.2g}, allowed is {PARITY:g}.")
    return difference
