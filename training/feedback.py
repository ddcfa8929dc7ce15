"""Teach how people feel: texts with labels in, a folder that `models/predictors/feedback.py` loads out.

It goes on from what an encoder knows: of one that was taught feelings the heads learn, on the vectors that its int8
form will give when serving; of a bare one the layers learn too. Either is exported, quantised and proved. It does not
split people or time, calibrate polarity, gate or publish: the pipeline does.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.features.text import encode_texts, load_tokenizer
from models.nets.feedback import EncoderNotFoundError, FeedbackNet
from models.predictors.domain import Domain
from models.predictors.feedback import EMOTIONS, FORMAT, HEADS, NUANCES, POLARITIES, FeedbackPredictor
from models.predictors.predictor import open_session
from training.emotion_measure import measure_emotions
from training.feedback_export import export_feedback, export_parity, put_heads
from training.feedback_fit import WIDTHS, EpochLog, FeedbackConfig, FeedbackFit, Progress, silent, torch_settings
from training.feedback_labels import FeedbackLabels, read_labels
from training.nuanced import nuanced_sentences
from training.pretrained import Start, load_start
from training.processes import scratch
from training.quantise import Feed, Parity, quantise

__all__ = ["FeedbackConfig", "FittedFeedback", "build_start", "fit_feedback", "fit_net"]

_CLASSES = {"polarity": POLARITIES, "emotions": EMOTIONS, "nuance": NUANCES}
_LEAST_MEASURED = 200
_HEARD = 96
"""Texts that set the ranges of the int8 encoder, and as many others that prove it."""


@dataclass(frozen=True, slots=True)
class FittedFeedback:
    """What a fit left behind.

    Attributes:
        folder: the predictor's folder (feedback.onnx, tokenizer.json, feedback.json).
        heads: what it can tell, in the order of the graph's outputs.
        learned: those of them that these labels taught.
        texts: texts fitted on; validation_texts: texts that only chose and measured.
        epochs: the training log; empty where the heads alone learned. kept_epoch: the pass whose weights were kept.
        parity: largest difference of a logit between net and export, for the same vector.
        hearing: how alike the int8 encoder and the whole one hear texts.
        spring: how stiffly the heads were held to what they knew; None where layers learned.
        weak_labels: True where stars, not readers, gave the polarity.
        seconds: wall clock of the whole fit.
    """

    folder: Path
    heads: tuple[str, ...]
    learned: tuple[str, ...]
    texts: int
    validation_texts: int
    epochs: tuple[EpochLog, ...]
    kept_epoch: int
    parity: float
    hearing: Parity
    spring: float | None
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
        ParityError: the export answers otherwise than the net, or its int8 form hears otherwise.
        FileExistsError: `out` is there already.
    """
    if out.exists():
        raise FileExistsError(f"out: {out} exists already; name a new folder.")
    started = time.monotonic()
    labels = read_labels(frame, config.least_texts)
    with torch_settings(config), _folder(out) as partial:
        labels = labels.sample(config.max_texts, np.random.default_rng(config.seed))
        fit = FeedbackFit(labels, config, progress or silent)
        fit.run()
        parity, hearing = _write(fit, labels, config, partial)
    return FittedFeedback(
        folder=out,
        heads=fit.net.names,
        learned=fit.learned,
        texts=len(fit.training),
        validation_texts=len(fit.validation),
        epochs=tuple(fit.logs),
        kept_epoch=fit.kept_epoch,
        parity=parity,
        hearing=hearing,
        spring=fit.spring,
        weak_labels=labels.weak,
        seconds=time.monotonic() - started,
    )


def fit_net(labels: FeedbackLabels, config: FeedbackConfig, progress: Progress | None = None) -> FeedbackFit:
    """Fit the layers of a net on labels, without writing anything: the fit with its net, its log and its texts."""
    with torch_settings(config):
        labels = labels.sample(config.max_texts, np.random.default_rng(config.seed))
        fit = FeedbackFit(labels, config, progress or silent)
        fit.run()
    return fit


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into; it gets its name when all went well, and is gone when not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        os.rename(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def build_start(encoder: str, out: Path, *, texts: Sequence[str] = (), max_tokens: int = 96) -> Parity:
    """Write the predictor's folder of what an encoder was taught already, without labels of one's own.

    Args:
        encoder: as `FeedbackConfig.encoder`; it must know feelings.
        out: the folder to make; it must not exist.
        texts: some to set the ranges of int8 by; sentences of our own stand in.
        max_tokens: tokens read of one text.

    Raises EncoderNotFoundError where it knows none, ParityError and FileExistsError as `fit_feedback`.
    """
    if out.exists():
        raise FileExistsError(f"out: {out} exists already; name a new folder.")
    start = load_start(encoder)
    if "polarity" not in start.names:
        raise EncoderNotFoundError(f"encoder {encoder!r} was not taught feelings: train it with --feedback.")
    net = FeedbackNet(start.encoder, {name: WIDTHS[name] for name in HEADS if name in start.names})
    net.heads.load_state_dict(start.heads, strict=False)
    config = FeedbackConfig(encoder=encoder, max_tokens=max_tokens)
    with _folder(out) as partial:
        calibration, proof = _heard(start.tokenizer, config, texts)
        hearing = _small(net.eval(), partial / "feedback.onnx", calibration, proof)
        export_parity(net, partial / "feedback.onnx", proof, whole=False)
        _describe(net, start, config, partial, weak=False, emotions=start.measured.get("emotions"))
    return hearing


def _small(net: FeedbackNet, file: Path, calibration: list[Feed], proof: list[Feed]) -> Parity:
    """Export the net, prove the export, and write its int8 form."""
    with scratch() as place:
        whole = place / "whole.onnx"
        export_feedback(net, whole)
        export_parity(net, whole, proof, whole=True)
        return quantise(whole, file, calibration, proof)


def _write(fit: FeedbackFit, labels: FeedbackLabels, config: FeedbackConfig, folder: Path) -> tuple[float, Parity]:
    """Export, quantise, let the heads learn where the encoder is frozen, prove both. Returns both proofs."""
    net, file = fit.net, folder / "feedback.onnx"
    calibration, proof = _heard(fit.start.tokenizer, config, labels.texts)
    fit.progress("building the int8 encoder", 0, 1)
    hearing = _small(net, file, calibration, proof)
    fit.progress("building the int8 encoder", 1, 1)
    if fit.frozen:
        fit.learn_heads(file)
        put_heads(net, file)
    parity = export_parity(net, file, proof, whole=False)
    weak = labels.weak and "intensity" in fit.learned
    _describe(net, fit.start, config, folder, weak=weak, emotions=None)
    emotions = _emotions(fit, labels, folder)
    if emotions is not None:
        _describe(net, fit.start, config, folder, weak=weak, emotions=emotions)
    session = open_session(file, config.threads)
    taught, held = (fit.vectors(session, rows).astype(np.float64) for rows in (fit.training, fit.validation))
    domain = Domain.of(taught, held)
    if domain is not None:
        domain.save(folder)
    return parity, hearing


def _describe(
    net: FeedbackNet,
    start: Start,
    config: FeedbackConfig,
    folder: Path,
    *,
    weak: bool,
    emotions: Mapping[str, Any] | None,
) -> None:
    """Write feedback.json and tokenizer.json."""
    described: dict[str, Any] = {
        "format": FORMAT,
        "language": config.language,
        "max_tokens": config.max_tokens,
        "heads": list(net.names),
        "weak_labels": weak,
        "labels": {name: list(_CLASSES[name]) for name in net.names if name in _CLASSES},
        "trained_with": asdict(replace(config, encoder=Path(config.encoder).name)),
    }
    if emotions is not None:
        described["emotions"] = dict(emotions)
    (folder / "feedback.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(start.tokenizer, encoding="utf-8")


def _emotions(fit: FeedbackFit, labels: FeedbackLabels, folder: Path) -> dict[str, Any] | None:
    """What was measured of each emotion: anew where these labels taught them, else what the start knows."""
    if "emotions" not in fit.learned:
        return fit.start.measured.get("emotions")
    rows = fit.validation[labels.weights["emotions"][fit.validation] > 0]
    if len(rows) < _LEAST_MEASURED:
        return None
    said = FeedbackPredictor.load(folder).predict([labels.texts[row] for row in rows]).emotions
    return None if said is None else measure_emotions(said, labels.labels["emotions"][rows] > 0)


def _heard(tokenizer_json: str, config: FeedbackConfig, texts: Sequence[str]) -> tuple[list[Feed], list[Feed]]:
    """Batches that set the ranges of int8, and batches that prove it: no text is in both.

    Sentences of our own stand in where there are few texts.
    """
    rng = np.random.default_rng(config.seed)
    own = [one.text for one in nuanced_sentences(1, rng)]
    several = list(dict.fromkeys([*(texts[row] for row in rng.permutation(len(texts))), *own]))
    tokenizer = load_tokenizer(tokenizer_json, config.max_tokens)
    parts = []
    for chosen in (several[0 : 2 * _HEARD : 2], several[1 : 2 * _HEARD : 2]):
        encoded = encode_texts(tokenizer, sorted(chosen, key=len))
        lengths = encoded.attention_mask.sum(axis=1)
        batches = [slice(first, first + 8) for first in range(0, len(chosen), 8)]
        parts.append([
            {"input_ids": encoded.input_ids[rows, : lengths[rows].max()],
             "attention_mask": encoded.attention_mask[rows, : lengths[rows].max()]}
            for rows in batches
        ])  # fmt: skip
    return parts[0], parts[1]
