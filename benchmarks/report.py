"""A benchmark's results as JSON and as a table in Markdown, with machine, commit and date. Runs nothing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DATA = Path("../shared/data")


def options(description: str) -> argparse.ArgumentParser:
    """What every benchmark can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--only", action="append", help="a set's name; repeatable")
    parser.add_argument("--seed", type=int, default=7)
    return parser


def about() -> dict[str, Any]:
    """Where and when it ran."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": (commit.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else ""),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def write(name: str, title: str, notes: Sequence[str], sets: Mapping[str, Any], tables: Sequence[str]) -> None:
    """Write results/<name>.json and results/<name>.md; sets that were not run this time keep what they had."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    before = json.loads(file.read_text("utf-8"))["sets"] if file.is_file() else {}
    file.write_text(json.dumps({"sets": {**before, **sets}}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    text = [f"# {title}", "", *notes, "", *tables]
    (RESULTS / f"{name}.md").write_text("\n".join(text).rstrip() + "\n", "utf-8")


def merged(name: str, sets: Mapping[str, Any]) -> dict[str, Any]:
    """These sets and those of earlier runs, in order of name."""
    file = RESULTS / f"{name}.json"
    before = json.loads(file.read_text("utf-8"))["sets"] if file.is_file() else {}
    return dict(sorted({**before, **sets}.items()))


def table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]], below: str = "") -> str:
    """A heading, a table, and what to know about it."""
    lines = [f"## {heading}", "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", below, ""] if below else [*lines, ""])


def shown(figure: Mapping[str, Any] | None, digits: int = 3) -> str:
    """A figure as text: value (low to high)."""
    if figure is None or figure["value"] is None:
        return "-"
    if figure["low"] is None:
        return f"{figure['value']:.{digits}f}"
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def of_run(told: Mapping[str, Any]) -> str:
    """One line: when, where, on which commit."""
    ran = told["about"]
    return f"{ran['date']}, commit {ran['commit']}, {ran['machine']}, Python {ran['python']}; {told['seconds']} s."
