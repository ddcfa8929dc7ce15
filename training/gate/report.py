"""Keep a judgement: gate.json for programs and gate.html, one page with its pictures in it, for people.

    gates/<digest>/000001/      of the challenger of this digest, the first time it was judged

A folder appears whole or not at all and is never changed. Nothing is judged here.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from models.journey.event import Micros, format_time
from training.gate.cases import Cases
from training.gate.judge import Judgement
from training.processes import alive

FOLDER, JSON, PAGE = "gates", "gate.json", "gate.html"
TEMPLATE = Path(__file__).with_name("page.html")
_CHALLENGER, _CHAMPION, _LOST, _INK = "#0b6e6e", "#8a949e", "#b3261e", "#22272e"


def keep(root: Path, judgement: Judgement, now: Micros, by: str) -> Path:
    """Write the report beside the version; gives its folder."""
    place = root / FOLDER / judgement.challenger
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob(".*.partial"):
        if not alive(int(left.name.split(".")[1])):
            shutil.rmtree(left, ignore_errors=True)
    partial = place / f".{os.getpid()}.partial"
    partial.mkdir()
    try:
        return _kept(place, partial, judgement, now, by)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _kept(place: Path, partial: Path, judgement: Judgement, now: Micros, by: str) -> Path:
    told = {"judged_at": format_time(now), "by": by, **judgement.to_dict()}
    (partial / JSON).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (partial / PAGE).write_text(page(told, pictures(judgement)), "utf-8")
    number = 1 + max((int(path.name) for path in place.iterdir() if path.name.isdigit()), default=0)
    while True:
        try:
            folder = place / f"{number:06d}"
            partial.rename(folder)  # over another's, which holds files, it fails
            return folder
        except OSError:
            if not folder.exists():
                raise
            number += 1


def page(told: dict[str, Any], drawn: dict[str, str]) -> str:
    """The page of a judgement, which needs no other file: `drawn` holds pictures as PNG in base64, by title."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in told["checks"]:
        groups.setdefault(one["about"], []).append(one)
    counts = Counter(one["outcome"] for one in told["checks"])
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    return template.render(**told, pictures=drawn, groups=groups, counts=counts)


def pictures(judgement: Judgement) -> dict[str, str]:
    """What is better seen than read."""
    drawn = {}
    differing = [one for one in judgement.checks if one.name == "log-loss" and "difference" in one.figures]
    if differing:
        drawn["Log-loss, challenger less champion: left of zero is better"] = _differences(
            [f"{one.about} ({one.figures['n']})" for one in differing],
            [one.figures["difference"] | {"worse": one.outcome == "failed"} for one in differing],
            judgement.policy.worse_nats,
        )
    for check in judgement.checks:
        if check.name == "segments":
            parts = sorted((one for one in check.figures["segments"] if one["decides"]), key=lambda one: one["mean"])
            if parts:
                names = [f"{one['segment']} {one['name']} ({one['n']})" for one in parts]
                title = f"{check.about}: log-loss by channel and stage"
                drawn[title] = _differences(names, parts, judgement.policy.segment_worse_nats)
    return drawn | {f"{one.question}: said and seen": _reliability(one) for one in judgement.cases if len(one.label)}


def _differences(names: list[str], found: list[Any], margin: float) -> str:
    """A mean with its interval for each name; red what refuses. Dotted: how much worse is allowed."""
    figure = Figure(figsize=(6.4, 0.3 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    for row, one in enumerate(reversed(found)):
        low, high = one["interval"]
        colour = _LOST if one["worse"] else _CHALLENGER
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot(one["mean"], row, "o", color=colour)
    axes.axvline(0, color=_CHAMPION, linewidth=1)
    axes.axvline(margin, color=_LOST, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_xlabel("nats, with the 95 % interval; dotted: allowed at most")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.5 / max(1, len(names)))
    return _png(figure)


def _reliability(cases: Cases, bins: int = 10) -> str:
    """How often it was so against how likely each said it was, in bins of equal size."""
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    axes = figure.subplots()
    highest = 0.05
    for name, said, colour in (("champion", cases.champion, _CHAMPION), ("challenger", cases.challenger, _CHALLENGER)):
        sure = said if said.ndim == 1 else said.max(axis=1)
        right = cases.label if said.ndim == 1 else said.argmax(axis=1) == cases.label
        parts = [rows for rows in np.array_split(np.argsort(sure, kind="stable"), bins) if len(rows)]
        points = np.array([[sure[rows].mean(), right[rows].mean()] for rows in parts])
        highest = max(highest, float(points.max()) * 1.08)
        axes.plot(points[:, 0], points[:, 1], "o-", color=colour, label=name)
    axes.plot([0, highest], [0, highest], color=_INK, linewidth=0.6, linestyle=":")
    axes.set(xlabel="said", ylabel="seen", xlim=(0, highest), ylim=(0, highest))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _png(figure: Figure) -> str:
    written = BytesIO()
    figure.savefig(written, dpi=110, format="png")
    return base64.b64encode(written.getvalue()).decode()
