"""reviewers add, list, role, password, remove: who answers cases. A password is typed or piped, never an argument."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.journey.event import format_time
from service.access import passwords, sessions, team
from service.commands.console import AsJson, opened

app = typer.Typer(help="Who answers cases: names, roles and passwords.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The reviewer's name; it stands beside each of their verdicts.")]
RoleName = Annotated[str, typer.Option("--role", help=f"One of {', '.join(team.ROLES)}.")]


@app.command("add")
def add_reviewer(name: Name, role: RoleName = "reviewer", as_json: AsJson = False) -> None:
    """Put somebody on the team; the password is asked for, or read from standard input."""
    with opened() as state:
        team.checked_role(role)
        hashed = passwords.hashed(_password())
        with state.service.write() as connection:
            made = team.add(connection, name, role, hashed, state.clock())
    _tell(made, as_json, f"{made.name} may sign in at /reviews, as {made.role}")


@app.command("list")
def list_reviewers(as_json: AsJson = False) -> None:
    """Everybody who is or was on the team."""
    with opened() as state, state.service.read() as connection:
        found = [_described(one) for one in team.everybody(connection)]
    if as_json:
        print(json.dumps(found))
        return
    table = Table("name", "role", "added at", "removed at")
    for one in found:
        table.add_row(*(value or "" for value in one.values()))
    Console().print(table)


@app.command("role")
def change_role(
    name: Name, role: Annotated[str, typer.Argument(help=f"One of {', '.join(team.ROLES)}.")], as_json: AsJson = False
) -> None:
    """Change what somebody may do, at once."""
    with opened() as state, state.service.write() as connection:
        changed = team.change(connection, name, role=role)
    _tell(changed, as_json, f"{changed.name} is {changed.role} now")


@app.command("password")
def change_password(name: Name, as_json: AsJson = False) -> None:
    """Give somebody another password and end their sessions; it is asked for, or read from standard input."""
    with opened() as state:
        hashed = passwords.hashed(_password())
        with state.service.write() as connection:
            changed = team.change(connection, name, password=hashed)
            sessions.end_all(connection, changed.name, state.clock())
    _tell(changed, as_json, f"{changed.name} signs in with the new password from now on")


@app.command("remove")
def remove_reviewer(name: Name, as_json: AsJson = False) -> None:
    """Take somebody off the team, at once; the name stays beside their verdicts."""
    with opened() as state, state.service.write() as connection:
        now = state.clock()
        removed = team.change(connection, name, removed_at=now)
        sessions.end_all(connection, removed.name, now)
    _tell(removed, as_json, f"{removed.name} can no longer sign in")


def _password() -> str:
    """Typed twice on a terminal; elsewhere the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def _tell(one: team.Reviewer, as_json: bool, sentence: str) -> None:
    print(json.dumps(_described(one)) if as_json else sentence)


def _described(one: team.Reviewer) -> dict[str, str | None]:
    removed = None if one.removed_at is None else format_time(one.removed_at)
    return {"name": one.name, "role": one.role, "added_at": format_time(one.added_at), "removed_at": removed}
