"""Pictures for people who would rather look than read: reliability of each answer, ours beside the baselines.

Draws what evaluate.py measured; measures nothing. Each function writes one PNG.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_INK, _OURS, _THEIRS, _BAND = "#22272e", "#0b6e6e", "#b9c2cc", "#dbe9e9"


def reliability(path: Path, title: str, confidence: NDArray[np.float64], correct: NDArray[Any], bins: int = 12) -> None:
    """How often it was so, against how likely we said it was, in bins of equal size with their 95 % noise band."""
    parts = [p for p in np.array_split(np.argsort(confidence, kind="stable"), bins) if len(p)]
    said = np.array([confidence[p].mean() for p in parts])
    seen = np.array([np.asarray(correct)[p].mean() for p in parts])
    noise = 1.96 * np.sqrt(said * (1 - said) / np.array([len(p) for p in parts]))
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axes = figure.subplots()
    top = max(0.05, float(max(said.max(), seen.max())) * 1.08)
    axes.plot([0, top], [0, top], color=_THEIRS, linewidth=1, label="perfect")
    axes.fill_between(said, said - noise, said + noise, color=_BAND, label="noise of a perfect one")
    axes.plot(said, seen, "o-", color=_OURS, label="ours")
    axes.set(xlabel="we said", ylabel="it was so", title=title, xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def beside_baselines(path: Path, title: str, figures: Mapping[str, Any]) -> None:
    """Log-loss of ours and of each baseline: lower is better."""
    names = [*figures["baselines"], "ours"]
    losses = [*(one["log_loss"] for one in figures["baselines"].values()), figures["log_loss"]]
    figure = Figure(figsize=(5, 0.5 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, losses, color=[*[_THEIRS] * (len(names) - 1), _OURS])
    axes.bar_label(bars, fmt="%.3f", padding=3, color=_INK)
    axes.set(title=title, xlabel="log-loss (lower is better)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    figure.savefig(path, dpi=120)
