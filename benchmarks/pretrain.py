"""Which way of teaching the encoder is best, on few texts: `python -m benchmarks.pretrain [--data FOLDER]`.

Every way learns from the same random texts and is asked about the same held-out ones. It shows an order, not how good
the shipped adapter is, which learned from all texts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from benchmarks.report import about, of_run, options, table, write
from training.pretrain import PretrainConfig, Pretraining
from training.pretrain_data import LEVELS, PretrainTexts, read_pretrain_texts

LEARNED, ASKED = 5_000, 1_200
BASE = PretrainConfig(epochs=2, rank=32, learning_rate=4e-4, short_passes=0, threads=1)
WAYS = {
    "LoRA 32, all linear": BASE,
    "whole encoder": replace(BASE, rank=0, learning_rate=1e-4),
    "LoRA 16, all linear": replace(BASE, rank=16),
    "LoRA 8, all linear": replace(BASE, rank=8),
    "LoRA 32, attention only": replace(BASE, layers="attention"),
    "LoRA 32, asymmetric": replace(BASE, emotions="asymmetric"),
    "LoRA 32, focal": replace(BASE, emotions="focal"),
}
COLUMNS = ("parameters", "emotions: AUROC", "rated: r", "rated: rho of spread", "seconds")
NOTES = (
    f"Two passes over the same {LEARNED} texts, {ASKED} others were asked about. Emotions: mean AUROC of the 28;",
    "rated: r with the mean of readers, and rho of the spread told with theirs.",
)


def sample(texts: PretrainTexts, rng: np.random.Generator) -> PretrainTexts:
    """Some to learn from and some that are held out."""
    learned, held = (rng.permutation(np.flatnonzero(part)) for part in (~texts.held_out, texts.held_out))
    return texts.rows(np.concatenate([learned[:LEARNED], held[:ASKED]]))


def asked(fit: Pretraining, texts: PretrainTexts) -> dict[str, float]:
    """What the fitted net says of the texts held out, against their labels."""
    fit.net.eval()
    rows = np.flatnonzero(texts.held_out)
    rows = rows[np.argsort(fit.texts.lengths[rows], kind="stable")]
    with torch.inference_mode():
        parts = [fit.outputs(torch.from_numpy(rows[first : first + 64])) for first in range(0, len(rows), 64)]
    emotions, levels = (torch.cat([part[name] for part in parts]).numpy() for name in ("emotions", "readers"))
    felt, some = texts.labels["emotions"][rows] > 0, texts.weights["emotions"][rows] > 0
    known = [k for k in range(felt.shape[1]) if felt[some][:, k].any()]
    rated = texts.weights["readers"][rows] > 0
    shares = np.exp(levels[rated]) / np.exp(levels[rated]).sum(axis=1, keepdims=True)
    (mean, spread), (theirs, wide) = (_moments(one) for one in (shares, texts.labels["readers"][rows][rated]))
    return {
        "emotions: AUROC": float(np.mean([roc_auc_score(felt[some][:, k], emotions[some][:, k]) for k in known])),
        "rated: r": float(np.corrcoef(mean, theirs)[0, 1]),
        "rated: rho of spread": float(np.corrcoef(rankdata(spread), rankdata(wide))[0, 1]),
    }


def _moments(shares: Any) -> tuple[Any, Any]:
    mean = shares @ LEVELS
    return mean, np.sqrt((shares * (LEVELS - mean[:, None]) ** 2).sum(axis=1))


def run(way: PretrainConfig, texts: PretrainTexts, scratch: Path) -> dict[str, Any]:
    """Teach one way, and ask."""
    began = time.process_time()
    fit = Pretraining(texts, way, scratch, lambda line: None)
    fit.run()
    learning = sum(weight.numel() for weight in fit.net.parameters() if weight.requires_grad)
    return {"parameters": learning, **asked(fit, texts), "seconds": round(time.process_time() - began)}


def markdown(told: Mapping[str, Any]) -> str:
    """All ways as a table."""
    ways = {name: one for name, one in told.items() if isinstance(one, dict) and name != "about"}
    rows = [
        [name, f"{one['parameters'] / 1e6:.2f} M", *(f"{one[key]:.3f}" for key in COLUMNS[1:4]), str(one["seconds"])]
        for name, one in ways.items()
    ]
    return table("ways to teach", ("way", *COLUMNS), rows, f"Seconds of processor time. {of_run(told)}")


def main() -> None:
    chosen = options(str(__doc__)).parse_args()
    began, told = time.monotonic(), {}
    texts = sample(
        read_pretrain_texts(chosen.data / "text", np.random.default_rng(0)), np.random.default_rng(chosen.seed)
    )
    for name in chosen.only or WAYS:
        sys.stderr.write(f"{name}\n")
        with tempfile.TemporaryDirectory() as scratch:
            told[name] = run(WAYS[name], texts, Path(scratch))
        every = {"about": about(), "seconds": round(time.monotonic() - began), **told}
        write("pretrain", "Ways to teach the encoder", NOTES, {"ways": every}, [markdown(every)])


if __name__ == "__main__":
    main()
