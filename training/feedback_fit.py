"""One fit of a feeling net: the loop over epochs where layers learn, the heads alone where the encoder knows feelings.

It holds net, texts and labels; what is written of them is `training/feedback.py`'s part.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from torch import Tensor

from models.features.text import encode_texts, load_tokenizer
from models.nets.feedback import FeedbackNet, FeelingTargets, feeling_loss
from models.predictors.feedback import EMOTIONS, HEADS, NUANCES, POLARITIES, POOLED
from models.predictors.predictor import open_session
from training.feedback_heads import fit_heads, rehearsed
from training.feedback_labels import FeedbackLabels
from training.feedback_rehearsal import Rehearsal, said
from training.nuanced import nuanced_sentences
from training.pretrained import PRETRAINED, load_start
from training.quantise import Feed

WIDTHS = {"polarity": len(POLARITIES), "emotions": len(EMOTIONS), "nuance": len(NUANCES), "intensity": 2}
LAYERS_FROM = 1_500
"""From so many texts the layers of an encoder that was taught feelings learn too: fewer would make it forget."""
REHEARSAL = 0.5
"""What sentences of our own count for beside each batch: more keeps more and learns less."""
_LEAST_VALIDATION = 20

Progress = Callable[[str, int, int], None]
"""Called as progress(what is being done, steps done, steps in all)."""


@dataclass(frozen=True, slots=True)
class FeedbackConfig:
    """How to fit.

    Attributes:
        encoder: `pretrained` (the adapter and heads that come with the product), a folder that `pretrain` wrote,
            `all-MiniLM-L6-v2`, a folder with a transformers encoder, or a name on a model hub.
        unfrozen_layers: top transformer layers that learn; 0 fits the heads alone, more than there are fits them all,
            None fits all, but of an encoder that was taught feelings the heads alone below `LAYERS_FROM` texts.
        max_tokens: tokens read of one text, 8..512; what comes after is not seen.
        max_texts: texts used at most; a random sample of them where there are more.
        epochs: passes over the texts where layers learn, 1..50; the one with the lowest validation loss of polarity is
            kept.
        batch_size: texts in one step, 1..512.
        learning_rate: of the encoder at its peak; it warms up over the first tenth of the steps and falls to 0.
        head_learning_rate: of the heads at its peak.
        validation_share: share of the texts (0..0.5) that only choose the epoch and measure spread and emotions.
        least_texts: a head with fewer labelled texts is left out; without a polarity head nothing is fitted.
        bfloat16: multiply in bfloat16 where the processor has matrix units for it (much faster there, same scores).
        language: ISO 639 code of the texts.
        threads: processor threads of the fit.
        seed: everything random follows from it: same texts, config and machine, same bits.
    """

    encoder: str = PRETRAINED
    unfrozen_layers: int | None = None
    max_tokens: int = 96
    max_texts: int = 10_000
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
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name}: {value!r} is out of bounds, allowed is {least} to {most}.")


@dataclass(frozen=True, slots=True)
class EpochLog:
    """One pass: mean training loss of all heads, validation loss of polarity in nats (NaN where no text was held back),
    seconds since the start."""

    epoch: int
    training_loss: float
    validation_loss: float
    seconds: float


class FeedbackFit:
    """One fit: the net, its texts as token ids, and the loop over epochs and batches.

    Attributes:
        net: what is fitted; after `run` it holds the weights of the kept epoch and is in eval mode.
        start: what it goes on from.
        learned: the heads that these labels teach.
        frozen: whether the encoder keeps what it knows, and the heads alone learn (`learn_heads`).
        training, validation: rows of the texts that are fitted, and that only choose and measure.
        logs: one for each pass; kept_epoch: the pass whose weights were kept; spring: see `learn_heads`.
    """

    def __init__(self, labels: FeedbackLabels, config: FeedbackConfig, progress: Progress) -> None:
        self.config, self.progress, self.started = config, progress, time.monotonic()
        self.start = load_start(config.encoder)
        known = self.start.names
        # Stars are a poor guess of an intensity: where the spread of readers is known, they do not overwrite it.
        self.learned = tuple(name for name in labels.heads if not (name == "intensity" and known and labels.weak))
        names = [name for name in HEADS if name in self.learned or name in known]
        self.net = FeedbackNet(self.start.encoder, {name: WIDTHS[name] for name in names})
        self.net.heads.load_state_dict(self.start.heads, strict=False)
        few = bool(known) and len(labels.texts) < LAYERS_FROM
        layers = config.unfrozen_layers if config.unfrozen_layers is not None else 0 if few else 1_000
        self.frozen = layers == 0
        if not self.frozen:  # on a processor the backward pass of fused attention takes several times as long
            self.start.encoder.set_attn_implementation("eager")
        self.net.unfreeze(layers)
        encoded = encode_texts(load_tokenizer(self.start.tokenizer, config.max_tokens), labels.texts)
        self.ids, self.mask = torch.from_numpy(encoded.input_ids), torch.from_numpy(encoded.attention_mask)
        self.lengths = encoded.attention_mask.sum(axis=1)
        self.targets = FeelingTargets(
            {name: torch.from_numpy(labels.labels[name]) for name in self.learned},
            {name: torch.from_numpy(labels.weights[name]) for name in self.learned},
        )
        self.training, held_back = labels.split(config.validation_share, _LEAST_VALIDATION)
        self.validation = held_back[np.argsort(self.lengths[held_back], kind="stable")]
        self.rng = np.random.default_rng(config.seed)
        self.rehearsal: Rehearsal | None = None
        self.bfloat16 = config.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
        self.logs: list[EpochLog] = []
        self.kept_epoch = 0
        self.spring: float | None = None

    def run(self) -> None:
        """Fit for all epochs, go back to the best one, and scale its spread. Nothing where the encoder is frozen."""
        if self.frozen:
            self.net.eval()
            return
        self._remember()
        steps = self.config.epochs * math.ceil(len(self.training) / self.config.batch_size)
        optimizer, schedule = _optimizer(self.net, self.config, steps)
        best, kept = math.inf, _weights(self.net)
        for epoch in range(1, self.config.epochs + 1):
            loss = self._one_pass(optimizer, schedule, epoch, steps)
            outputs = self._by_net()
            validation = self._polarity_loss(outputs)
            self.logs.append(EpochLog(epoch, loss, validation, time.monotonic() - self.started))
            if math.isnan(validation) or validation < best:
                best, kept, self.kept_epoch = validation, _weights(self.net), epoch
        self.net.load_state_dict(kept, strict=False)
        self._scale_spread(self._by_net())
        self.net.eval()

    def _remember(self) -> None:
        """Ask what the start knows, before the layers learn: of sentences of our own, and of heads not taught here."""
        if not self.start.names:
            return
        self.progress("asking what is known", 0, 1)
        self.rehearsal = Rehearsal.of(self.net, self.start.tokenizer, self.config.max_tokens, self.config.seed)
        untaught = tuple(name for name in self.start.names if name not in self.learned)
        if untaught:
            known = said(self.net, self.ids, self.mask, untaught)
            labels, weights = self.targets.labels, self.targets.weights
            self.targets = FeelingTargets({**labels, **known.labels}, {**weights, **known.weights})
        self.progress("asking what is known", 1, 1)

    def learn_heads(self, graph: Path) -> None:
        """Fit the heads on the vectors that an exported graph gives, which are those that serving will see."""
        session = open_session(graph, self.config.threads)
        found = torch.from_numpy(self.vectors(session, np.arange(len(self.lengths))))
        training, validation = torch.from_numpy(self.training), torch.from_numpy(self.validation)
        known = tuple(name for name in self.learned if name in self.start.names)
        anchors = rehearsed(self.net, self._own(session), self.learned) if known == self.learned else None
        self.spring = fit_heads(self.net, found[training], self.targets.rows(training), self.rng, anchors).spring
        with torch.inference_mode():
            told = self.net.told(found[validation])
        self._scale_spread(told)

    def vectors(self, session: InferenceSession, texts: NDArray[np.int64]) -> NDArray[np.float32]:
        """What an exported graph hears of some of the texts, (n, width) in the order given."""
        found = np.zeros((len(self.lengths), self.net.encoder.config.hidden_size), dtype=np.float32)
        batches = self._in_order(texts)
        for number, rows in enumerate(batches, 1):
            found[rows] = session.run([POOLED], self.feed(rows))[0]
            self.progress("hearing the texts", number, len(batches))
        heard: NDArray[np.float32] = found[texts]
        return heard

    def _own(self, session: InferenceSession) -> Tensor:
        """The vectors of sentences of our own, which keep heads from unlearning what these texts do not say."""
        own = [one.text for one in nuanced_sentences(1, np.random.default_rng(self.config.seed))]
        encoded = encode_texts(load_tokenizer(self.start.tokenizer, self.config.max_tokens), own)
        feed = {"input_ids": encoded.input_ids, "attention_mask": encoded.attention_mask}
        return torch.from_numpy(np.asarray(session.run([POOLED], feed)[0]))

    def feed(self, rows: NDArray[np.int64]) -> Feed:
        """Some of the texts as a graph takes them, cut at the longest."""
        width = int(self.lengths[rows].max())
        return {"input_ids": self.ids.numpy()[rows, :width], "attention_mask": self.mask.numpy()[rows, :width]}

    def _one_pass(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        epoch: int,
        steps: int,
    ) -> float:
        self.net.train()
        losses: list[float] = []
        for rows in self._shuffled():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                outputs = self._outputs(rows)
            floats = {name: one.float() for name, one in zip(self.net.names, outputs, strict=True)}
            names = tuple(self.targets.labels)
            loss = feeling_loss(tuple(floats[name] for name in names), names, self.targets.rows(torch.from_numpy(rows)))
            if self.rehearsal is not None:
                with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                    loss = loss + REHEARSAL * self.rehearsal.loss(self.net, self.rng)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            done = (epoch - 1) * (steps // self.config.epochs) + len(losses)
            if done % 10 == 0 or done == steps:
                self.progress(f"feeling, epoch {epoch} of {self.config.epochs}", done, steps)
        return float(np.mean(losses))

    def _shuffled(self) -> Iterator[NDArray[np.int64]]:
        """Shuffled batches of texts of like length, so that little is padding."""
        size = self.config.batch_size
        order = self.rng.permutation(self.training)
        batches = []
        for first in range(0, len(order), size * 32):
            part = order[first : first + size * 32]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[start : start + size] for start in range(0, len(part), size)]
        for index in self.rng.permutation(len(batches)):
            yield batches[index]

    def _in_order(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Batches by length."""
        ordered = rows[np.argsort(self.lengths[rows], kind="stable")]
        return [ordered[first : first + 64] for first in range(0, len(ordered), 64)]

    def _outputs(self, rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
        feed = self.feed(rows)
        outputs: tuple[Tensor, ...] = self.net(
            *(torch.from_numpy(feed[name]) for name in ("input_ids", "attention_mask"))
        )
        return outputs

    def _by_net(self) -> tuple[Tensor, ...]:
        """What the net says of the validation texts, in their order; nothing where there are none."""
        self.net.eval()
        with torch.inference_mode():
            parts = [self._outputs(rows) for rows in self._in_order(self.validation)]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _polarity_loss(self, outputs: tuple[Tensor, ...]) -> float:
        if len(self.validation) == 0:
            return math.nan
        return float(feeling_loss(outputs[:1], ("polarity",), self.targets.rows(torch.from_numpy(self.validation))))

    def _scale_spread(self, outputs: tuple[Tensor, ...]) -> None:
        """Stretch the spread so that on texts not fitted the mean squared error is as large as it says."""
        if "intensity" not in self.learned or len(self.validation) == 0 or "intensity" in self.start.names:
            return
        mean, log_spread = outputs[self.net.names.index("intensity")].T
        targets = self.targets.rows(torch.from_numpy(self.validation))
        weight = targets.weights["intensity"]
        surprise = ((targets.labels["intensity"][:, 0] - mean) * torch.exp(-log_spread)).square()
        ratio = (surprise * weight).sum() / weight.sum()
        if torch.isfinite(ratio) and ratio > 0:
            with torch.no_grad():
                self.net.heads["intensity"].get_parameter("stretch").add_(0.5 * torch.log(ratio))


def silent(what: str, done: int, steps: int) -> None:
    """Tells nobody."""


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
def torch_settings(config: FeedbackConfig) -> Iterator[None]:
    """Seed and threads for one fit; what was set before is set again after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(threads)
