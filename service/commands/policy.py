"""policy show and check: how much risk is accepted, and how much people can read. policy draw: was a draw fair?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from models.journey.event import format_time
from models.lottery import lot
from models.policy import DEFAULT, Policy, PolicyError
from service.commands.console import AsJson, failing_clearly, opened, settings_of
from service.errors import NotFound
from service.promises import drawing, store

app = typer.Typer(help="How much risk is accepted, and how much people can read.", no_args_is_help=True)


@app.command("show")
def show_policy() -> None:
    """Print the policy that comes along, to be copied and changed."""
    print(DEFAULT.read_text("utf-8"), end="")


@app.command("check")
def check_policy(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Missing: the one that is set.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a policy, and what it says; changes nothing. The exit code is 1 where it is wrong."""
    named = file or settings_of().policy_file
    try:
        policy = Policy.load(named) if named else Policy.default()
    except PolicyError as error:
        told = {"valid": False, "field": error.field, "value": str(error.value), "fix": error.fix}
        print(json.dumps(told) if as_json else error, file=None if as_json else sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps({"valid": True, "digest": policy.digest, "policy": policy.to_dict()}))
        return
    cases = int(policy.minutes_a_day * 60 / policy.seconds_a_case)
    print(f"{named or 'the default'}: no mistake; digest {policy.digest[:12]}")
    print(f"at most {policy.alpha:.1%} of feelings released unread may be wrong; {policy.audit_share:.1%} of them are "
          f"read blind; people read {cases} cases a day")  # fmt: skip


@app.command("draw")
def check_draw(
    feedback_id: Annotated[str, typer.Argument(metavar="FEEDBACK_ID")],
    as_json: AsJson = False,
) -> None:
    """Show that a text was drawn fairly: its lot, by the keyed hash of its id, and the chance that it had."""
    with failing_clearly(), opened() as state, state.service.write() as connection:
        row, fell = drawing.drawn(connection, feedback_id), lot(store.secret(connection), feedback_id)
        if row is None:
            raise NotFound(f"{feedback_id[:80]!r} was not drawn; its lot is {fell:.4f}.", "Name a text that was.",
                           code="not_drawn", field="feedback_id", value=feedback_id)  # fmt: skip
    told = {"feedback_id": feedback_id, "lot": fell, "chance": row.chance, "fair": fell < row.chance,
            "drawn_at": format_time(row.drawn_at), "first": row.first, "released": row.released}  # fmt: skip
    print(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))
