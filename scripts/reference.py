"""Writes the tables of docs/reference.md and docs/commands.md from the code: settings, commands, paths, flags, metrics.

    python scripts/reference.py

A table stands between `<!-- name -->` and `<!-- end -->`; what is written around it stays. A test asserts that nothing
is left to be written.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from prometheus_client.metrics_core import Metric
from typer.main import get_command

from models.features.behaviour import features_of
from models.features.vocabulary import Vocabulary
from models.insight import FLAGS
from models.journey.event import Micros
from models.journey.touchpoint import STAGES
from models.predictors.stacking import SOURCES, stacked_features
from service import __main__ as serving
from service.app import create_app
from service.counters import Counters
from service.live.bundles import LiveBundles
from service.metrics import Stored
from service.settings import Settings
from service.state import open_state
from training import __main__ as training

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("reference.md", "commands.md")
APPS: Mapping[str, typer.Typer] = {"service": serving.app, "training": training.app}
_PLACE = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def main() -> None:
    """Fill every page."""
    for name in PAGES:
        path = DOCS / name
        path.write_text(filled(path.read_text("utf-8")), "utf-8")


def filled(page: str) -> str:
    """The page with its tables as the code has them now."""
    return _PLACE.sub(lambda found: f"<!-- {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->", page)


def settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append((f"`JOURNEY_{name.upper()}`", default, field.description or ""))
    return _table(("variable", "default", "what it sets"), rows)


def flags() -> str:
    rows = [(f"`{code}`", kind.severity, kind.sentence) for code, kind in FLAGS.items()]
    return _table(("code", "severity", "what people read"), rows)


def features() -> str:
    """Of a vocabulary of one touchpoint, `channel.action`; the real ones come from the log."""
    of_behaviour = features_of(Vocabulary(("channel.action",), (STAGES[0],)))
    of_others = stacked_features(SOURCES)
    rows = [(f"`{one.name}`", one.unit, one.formula, one.reason) for one in (*of_behaviour, *of_others)]
    return _table(("feature", "unit", "formula", "reason"), rows)


def paths() -> str:
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder), mlruns_dir=Path(folder)))
    rows = [
        (f"`{method.upper()} {path}`", told.get("description", "").split("\n")[0])
        for path, methods in app.openapi()["paths"].items()
        for method, told in methods.items()
    ]
    return _table(("path", "what it does"), rows)


def metrics() -> str:
    rows = [
        (f"`{name}`", kind, ", ".join(f"`{one}`" for one in labels), told) for name, kind, labels, told in measured()
    ]
    return _table(("metric", "type", "labels", "what it says"), rows)


def measured() -> Iterator[tuple[str, str, Sequence[str], str]]:
    """Every metric: name as it is exposed, type, labels, sentence."""
    counters = Counters.fresh()
    for one in (counters.requests, counters.seconds, counters.events, counters.feedback):
        (family,) = one.collect()
        yield _exposed(family), family.type, one._labelnames, family.documentation
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with open_state(Settings(data_dir=data, mlruns_dir=data), _epoch) as state:
            for stored in Stored(state, LiveBundles(data)).collect():
                yield _exposed(stored), stored.type, getattr(stored, "_labelnames", ()), stored.documentation


def _exposed(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def commands() -> str:
    return "\n\n".join(_told(path, command) for path, command in all_commands())


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, with how it is called."""
    for module, app in APPS.items():
        yield from _walk(f"python -m {module}", get_command(app))


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _walk(f"{path} {name}", one)


def _told(path: str, command: Any) -> str:
    arguments = " ".join(_argument(one) for one in command.params if one.param_type_name == "argument")
    heading = f"### `{path}{' ' + arguments if arguments else ''}`\n\n{' '.join((command.help or '').split())}"
    rows = [
        (f"`{_names(one)}`", _default(one), one.help or "")
        for one in command.params
        if one.param_type_name == "argument" or "--help" not in one.opts
    ]
    return f"{heading}\n\n{_table(('option', 'default', 'what it does'), rows)}" if rows else heading


def _argument(one: Any) -> str:
    return str(one.metavar or one.name.upper())


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return _argument(one)
    return " / ".join((*one.opts, *one.secondary_opts))


def _default(one: Any) -> str:
    if one.required:
        return "required"
    if one.default in (None, [], ()) or one.default is False or callable(one.default):
        return ""
    return f"`{one.opts[0] if one.default is True else one.default}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _epoch() -> Micros:
    return 0


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "paths": paths,
    "features": features,
    "flags": flags,
    "metrics": metrics,
}

if __name__ == "__main__":
    main()
