"""import and replay: events that come otherwise than over HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.journey.touchpoint import Catalogue
from service.clock import system_clock
from service.commands.console import AsJson, failing_clearly, opened, progress, settings_of
from service.events.history import File, History, Imported, files_of
from service.events.importing.mapping import PRESETS, preset_text
from service.events.importing.told import preview_table, progress_of_import, refusals_told
from service.events.replay import replay

app = typer.Typer()


@app.command("import")
def import_command(
    file: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="CSV or JSONL (also .gz), or Parquet. "
                    "MAPPING=FILE names a file's own preset or mapping file.")] = None,
    preset: Annotated[str, typer.Option("--as", help=f"What the files are: {', '.join(PRESETS)}.")] = "events",
    mapping: Annotated[Path | None, typer.Option(help="A mapping file of your own, in place of a preset.")] = None,
    column: Annotated[list[str], typer.Option("--map", help="OURS=THEIRS, once for each column.")] = [],  # noqa: B006
    refused: Annotated[Path | None, typer.Option(help="CSV or JSONL to write the refused rows to, and why.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing where a row is refused.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first rows and count the refused ones.")] = False,
    show_mapping: Annotated[str | None, typer.Option(help="Print the mapping file of a preset, and stop.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Bring history into the log, with the times at which it became known; again is no harm.

    A stopped import goes on where it was. Refused rows are counted and told; all others are kept.
    """
    with failing_clearly():
        if show_mapping is not None:
            print(preset_text(show_mapping), end="")
            return
        files = files_of(file or (), mapping or preset, dict(_pair(one) for one in column))
    if dry_run:
        done = _preview(files, refused, as_json)
    else:
        with opened() as state, progress_of_import() as tell:
            done = History(files, state.settings, state.clock, tell).bring(state.log, refused, strict)
    for line in refusals_told(done.first_refused, done.refused, refused is not None):
        print(line, file=sys.stderr)
    print(json.dumps(done.to_dict()) if as_json else done.sentence())


def _preview(files: Sequence[File], refused: Path | None, as_json: bool) -> Imported:
    """Opens no database."""
    settings = settings_of()
    with failing_clearly(), progress_of_import() as tell:
        catalogue = Catalogue.load(settings.catalogue) if settings.catalogue else Catalogue.default()
        first, seen = History(files, settings, system_clock, tell).preview(refused)
    if not as_json:
        Console().print(preview_table(first, catalogue))
    return seen


def _pair(given: str) -> tuple[str, str]:
    ours, equals, theirs = given.partition("=")
    if not equals:
        raise typer.BadParameter(f"{given!r} must read OURS=THEIRS, such as user_id=CustomerID", param_hint="--map")
    return ours, theirs


@app.command("replay")
def replay_command(
    code: Annotated[str | None, typer.Option(help="Only letters with this code, such as in_the_future.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen, and change nothing.")] = False,
) -> None:
    """Read refused events again, with today's rules; what is fine now goes into the log. Writes JSON on stdout."""
    with opened() as state, progress("letters read", "of them fine now") as tell:
        done = replay(state, code, dry_run=dry_run, progress=tell)
    print(json.dumps(done.to_dict() | {"dry_run": dry_run}))
