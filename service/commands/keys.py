"""keys create, list, rotate and revoke: what tools and colleagues call with."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.journey.event import SECOND, format_time
from service.access import keys
from service.commands.console import AsJson, opened

app = typer.Typer(help="Keys that tools and colleagues call with.", no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help=f"Once for each of {', '.join(keys.SCOPES)}.")],
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once."""
    with opened() as state:
        made, whole = keys.create(state.service, name, scope, state.clock())
    if as_json:
        print(json.dumps({**_described(made), "key": whole}))
    else:
        print(f"{whole}\nKeep it: it is not shown again. To take it back: python -m service keys revoke {made.key_id}")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """All keys, the revoked ones too; never their secrets."""
    with opened() as state:
        found = [_described(key) for key in keys.all_keys(state.service)]
    if as_json:
        print(json.dumps(found))
        return
    table = Table(*(column.replace("_", " ") for column in ("key_id", "name", "scopes", "created_at", "last_used_at",
                                                            "revoked_at")))  # fmt: skip
    for key in found:
        table.add_row(*(" ".join(v) if isinstance(v, list) else v or "" for v in key.values()))
    Console().print(table)


@app.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument()],
    overlap_hours: Annotated[float, typer.Option(min=0, help="Hours for which the old key works still.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Make a new key with the name and scopes of an old one, which ends a day later."""
    with opened() as state:
        made, whole = keys.rotate(state.service, key_id, state.clock(), int(overlap_hours * 3_600 * SECOND))
    if as_json:
        print(json.dumps({**_described(made), "key": whole}))
    else:
        print(f"{whole}\nKeep it: it is not shown again. {key_id} ends in {overlap_hours:g} hours.")


@app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument()], as_json: AsJson = False) -> None:
    """End a key, at once."""
    with opened() as state:
        keys.revoke(state.service, key_id, state.clock())
    print(json.dumps({"key_id": key_id, "revoked": True}) if as_json else f"{key_id} is revoked")


def _described(key: keys.Key) -> dict[str, str | list[str] | None]:
    def when(moment: int | None) -> str | None:
        return None if moment is None else format_time(moment)

    return {
        "key_id": key.key_id, "name": key.name, "scopes": sorted(key.scopes), "created_at": when(key.created_at),
        "last_used_at": when(key.last_used_at), "revoked_at": when(key.revoked_at),
    }  # fmt: skip
