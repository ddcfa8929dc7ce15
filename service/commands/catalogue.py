"""catalogue show and check: the rules that make touchpoints of events."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.journey.touchpoint import Catalogue, CatalogueError, default_text
from service.commands.console import AsJson, failing_clearly, progress, settings_of
from service.events.catalogue_report import look
from service.events.catalogue_told import mistakes_told, remarks, rules_table

app = typer.Typer(help="Rules that make touchpoints of events.", no_args_is_help=True)


@app.command("show")
def show_catalogue() -> None:
    """Print the catalogue that comes along, to be copied and changed."""
    print(default_text(), end="")


@app.command("check")
def check_catalogue(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Missing: the one that is set.")] = None,
    newest: Annotated[int, typer.Option(min=1, help="Most rows of the log to look at, the newest.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a catalogue, and what share of history each of its rules takes; changes nothing.

    The exit code is 1 where the file is wrong, with a line for each mistake.
    """
    settings = settings_of()
    named = file or settings.catalogue
    with failing_clearly():
        try:
            catalogue = Catalogue.load(named) if named else Catalogue.default()
        except CatalogueError as error:
            print(json.dumps(mistakes_told(error)) if as_json else error, file=None if as_json else sys.stderr)
            raise typer.Exit(1) from None
        with progress("rows read") as tell:
            found = look(settings, catalogue, newest, tell)
    if as_json:
        print(json.dumps({"valid": True, **found.to_dict()}))
        return
    if found.events:
        Console().print(rules_table(found))
    for line in (f"{named or 'the default'}: {len(catalogue.rules)} rules, no mistake", *remarks(found)):
        print(line)
