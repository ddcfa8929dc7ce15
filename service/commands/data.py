"""export, rebuild, erase, backup and restore: what is kept, taken out, put back or forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from service.backup import backup, restore
from service.clock import random_id, system_clock
from service.commands.console import AsJson, failing_clearly, opened, progress, settings_of
from service.customers import erasure
from service.export import export
from service.insights.moments import moment_of
from service.rebuild import rebuild

app = typer.Typer()


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    as_of: Annotated[str | None, typer.Option(help="A moment, ISO 8601; missing: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write events, feedback, verdicts and conclusions as Parquet."""
    with opened() as state:
        rows = export(state, folder, None if as_of is None else moment_of("as_of", as_of))
    if as_json:
        print(json.dumps({"folder": str(folder), "rows": rows}))
    else:
        print(f"{folder}: " + ", ".join(f"{count} {name}" for name, count in rows.items()))


@app.command("rebuild")
def rebuild_command(as_json: AsJson = False) -> None:
    """Delete all that was folded from the log and fold it again."""
    with opened() as state:
        rows = rebuild(state)
    print(json.dumps({"folded": rows}) if as_json else f"{rows} rows of the log folded")


@app.command("erase")
def erase_command(
    customer: Annotated[str, typer.Argument(metavar="ID", help="Any id of the customer.")],
    lift: Annotated[bool, typer.Option("--lift", help="Take the tombstone away: who came back is kept again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a customer, keep them out, and show the receipt."""
    with opened() as state:
        if lift:
            receipt = erasure.lift(state, customer)
        else:
            receipt = erasure.erase(state, customer, by="command")
            if receipt.purged_at is None and erasure.purge(state):
                receipt = erasure.receipt(state, receipt.tombstone_id)
    print(json.dumps(receipt.to_dict()) if as_json else receipt.sentence())


@app.command("backup")
def backup_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")], as_json: AsJson = False
) -> None:
    """Copy both databases while the service works, and verify the copy."""
    settings = settings_of()
    with failing_clearly(), progress("databases copied") as tell:
        done = count(1)
        manifest = backup(settings.data_dir, folder, system_clock(), random_id, lambda _: tell(next(done)))
    print(json.dumps({"folder": str(folder), **manifest}) if as_json else f"{folder}: {_told(manifest)}")


@app.command("restore")
def restore_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Give up what is in the data folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Verify a backup and put it in the data folder. Stop the service first."""
    settings = settings_of()
    with failing_clearly():
        manifest = restore(settings.data_dir, folder, replace=replace)
    where = str(settings.data_dir)
    print(json.dumps({"data_dir": where, **manifest}) if as_json else f"{where}: {_told(manifest)}")


def _told(manifest: Mapping[str, Any]) -> str:
    rows = {name: one["rows"] for name, one in manifest["databases"].items()}
    return (f"as of {manifest['made_at']}, verified: {rows['log']['log']:,} rows of the log, "
            f"{rows['service']['customers']:,} customers, {rows['service'].get('verdicts', 0):,} verdicts")  # fmt: skip
