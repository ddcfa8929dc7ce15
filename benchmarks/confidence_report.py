"""What `benchmarks.confidence` found, as tables in Markdown and as pictures. Measures nothing but what it draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.report import of_run, table
from models.confidence.betting import withdrawals

SET_FIGURES = ("coverage", "size", "mapie_coverage", "mapie_size")
_OURS, _THEIRS, _FAINT, _INK = "#0b6e6e", "#b9c2cc", "#e3e8ec", "#22272e"


def picture(path: Path, found: Mapping[str, Any]) -> None:
    """What is released beside the best possible, for each accepted risk and pool."""
    figure = Figure(figsize=(2.6 * len(found), 2.9), layout="constrained")
    for axes, (name, told) in zip(
        np.atleast_1d(figure.subplots(1, len(found), sharey=True)), found.items(), strict=True
    ):
        alphas = [float(alpha) for alpha in told["alphas"]]
        x = np.arange(len(alphas))
        for shift, key, color, label in (
            (-0.27, "best_of_all", _FAINT, "best of all"),
            (0.0, "best_for_n", _THEIRS, "best for n"),
            (0.27, "released", _OURS, "ours"),
        ):
            axes.bar(x + shift, [told["alphas"][str(a)][key] for a in alphas], 0.26, color=color, label=label)
        axes.set(title=name, xticks=x, xlabel="accepted share of mistakes")
        axes.title.set_fontsize(9)
        axes.set_xticklabels([f"{alpha:.0%}" for alpha in alphas])
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("released")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=90)


def picture_of_withdrawal(path: Path, rng: np.random.Generator) -> None:
    """How many promises are withdrawn after so many audits, by how wrong answers truly are."""
    figure = Figure(figsize=(5, 2.9), layout="constrained")
    axes = figure.subplots()
    for error, color in ((0.15, _INK), (0.10, _OURS), (0.075, "#6fb1b1"), (0.05, _THEIRS)):
        found = np.sort(withdrawals(rng.random((1000, 2000)) < error, 0.05, 0.05))
        at = np.concatenate([[0], found[found > 0]])
        axes.step([*at, 2000], [*(np.arange(len(at)) / 1000), (len(at) - 1) / 1000], color=color, where="post",
                  label=f"{error:.1%} wrong" + (" (holds)" if error <= 0.05 else ""))  # fmt: skip
    axes.set(xlabel="audits", ylabel="withdrawn", xlim=(0, 2000), ylim=(0, 1), title="A promise of at most 5 %")
    axes.legend(frameon=False, fontsize=8, loc="center right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)


def markdown(name: str, told: Mapping[str, Any]) -> str:
    """One pool: releases, groups, sets, AURC."""
    rows = [
        [f"{float(alpha):.0%}", _share(one["above"], one["above_interval"]),
         f"{one['released']:.3f}", f"{one['best_for_n']:.3f}", f"{one['best_of_all']:.3f}", f"{one['none']:.3f}"]
        for alpha, one in told["alphas"].items()
    ]  # fmt: skip
    first = table(name, ("alpha", "above alpha", "released", "best for n", "best of all", "nothing released"), rows,
                  f"{told['n']} texts, {told['error']:.3f} of all answers wrong. {of_run(told)}")  # fmt: skip
    groups = [
        [group, f"{one['labels']:.0f}", "its own" if one["own_rule"] else "all",
         f"{one['above']:.3f}", f"{one['released']:.3f}"]
        for group, one in told["groups"].items()
    ]  # fmt: skip
    lines = [
        [group, *(f"{one[key]:.{3 if 'cov' in key else 2}f}" for key in SET_FIGURES)]
        for group, one in told["sets"].items()
    ]  # fmt: skip
    ranked = ", ".join(f"{who.replace('_', ' ')} {value:.4f}" for who, value in told["aurc"].items())
    return "\n".join([
        first,
        table(f"{name}: by group at 5 %", ("group", "labels", "rule", "above alpha", "released"), groups),
        table(f"{name}: sets at 90 %", ("group", "coverage", "size", "MAPIE coverage", "MAPIE size"), lines,
              f"Mean of 50 draws. AURC (lower is better): {ranked}."),
    ])  # fmt: skip


def markdown_of_live(told: Mapping[str, Any]) -> str:
    """The live check."""
    drift = [
        [f"{one['alpha']:.0%}", f"{2 * one['alpha']:.0%}", str(one["quiet"]), f"{one['median']:.0f}",
         f"{one['p90']:.0f}", f"{one['before']:.3f}"] for one in told["drift"].values()
    ]  # fmt: skip
    quiet = [
        [f"{float(part) * 0.05:.3f}", str(one["streams"]),
         _share(one["withdrawn"], one["interval"])]
        for part, one in told["quiet"].items()
    ]  # fmt: skip
    days = [
        [f"{float(error):.1%}", *(_seen(one[key], at) for key in ("audits", "releases", "days") for at in (0, 1))]
        for error, one in told["noticing"].items()
    ]  # fmt: skip
    return "\n".join([
        table("Live check: audits until withdrawal", ("alpha", "true error", "quiet audits before (at 0.8 alpha)",
              "median", "90th percentile", "withdrawn before"), drift),
        table("Live check: promises that hold, 10,000 audits each", ("true error", "streams", "withdrawn"), quiet),
        table("What an audit of 2 % of 1,000 releases a day notices (alpha 5 %)", ("true error", "audits: half",
              "nine of ten", "releases: half", "nine of ten", "days: half", "nine of ten"), days,
              f"400 audits are 20,000 releases: they find an error of {told['smallest_by_400']:.1%} nine times of ten. "
              + of_run(told)),
    ])  # fmt: skip


def _share(value: float, interval: Any) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _seen(ends: Any, at: int) -> str:
    return "-" if ends[at] is None else f"{ends[at]:,}"


def markdown_of_clock(told: Mapping[str, Any]) -> str:
    """Time for one row."""
    theirs = told["microseconds"]["MAPIE, set alone"]
    rows = [[name, f"{each:.1f}", f"1/{theirs / each:.1f}"] for name, each in told["microseconds"].items()]
    return table("Time for one row", ("what", "microseconds", "of MAPIE's"), rows, of_run(told))
