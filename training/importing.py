"""`python -m training import`: bring a public sample into an event log. Reads options and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from training.refusal import refused, stderr

app = typer.Typer(help="Bring an installable sample into an event log.", no_args_is_help=True)


@app.callback()
def _one_of_several() -> None:
    """Keeps `import` a group while it has one command."""


@app.command("complete-journey")
def complete_journey(
    out: Annotated[Path, typer.Option(help="Folder to write events.parquet into.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """The Complete Journey: households' campaigns, coupons and baskets, simulated from real patterns."""
    from training.complete_journey import SampleMissing, import_complete_journey

    if out.exists() and not out.is_dir():
        raise refused(f"--out {out} is a file; name a folder, new or existing")
    try:
        told = import_complete_journey(out)
    except (SampleMissing, OSError) as error:
        raise refused(str(error)) from None
    if as_json:
        typer.echo(json.dumps(told))
        return
    events = ", ".join(f"{count} {name}" for name, count in told["events"].items())
    stderr().print(f"{told['file']}: {told['households']} households; {events}", highlight=False)
    stderr().print(f"Note: {told['label']}.", highlight=False)
