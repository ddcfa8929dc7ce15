"""`python -m training calibrate`: earn a promise from texts that people read blind. Reads options and prints.

Exit codes: 0 a version went live, 2 wrong input, 3 the labels support no promise yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from training.foreseen import wrong_input
from training.refusal import now_micros, refused, somebody, stderr

NOT_YET = 3


def calibrate(
    exported: Annotated[Path, typer.Option("--from", help="Folder written by `python -m service export`.")],
    out: Annotated[Path, typer.Option(help="Folder of versions/, live/ and MLflow's store.")] = Path("mlruns"),
    policy: Annotated[Path | None, typer.Option(help="The service's policy file; missing: the default one.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only texts said from this moment on; missing: since all was well, after a withdrawal."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Make a new version with the same weights, whose promise rests on texts drawn at random and read blind."""
    from models.journey.event import parse_time
    from models.policy import Policy, PolicyError
    from training.recalibrate import recalibrate

    try:
        stated = Policy.load(policy) if policy else Policy.default()
        moment = None if since is None else parse_time(since)
        with stderr().status("reading the drawn texts"):
            found = recalibrate(exported, out, stated.release, now_micros(), somebody(), since=moment)
    except wrong_input() as error:
        raise refused(str(error)) from None
    except PolicyError as error:
        raise refused(str(error)) from None
    except ValueError as error:
        raise refused(f"--since {since}: {error}") from None
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        table = Table("group", "labels released", "wrong", "threshold", "more labels needed")
        for rule in found.rules:
            threshold = "none" if rule.threshold is None else f"{rule.threshold:.3f}"
            table.add_row(rule.group, str(rule.n_released), str(rule.n_wrong), threshold, str(rule.n_more_needed))
        Console().print(table)
        for why, n in found.passed_over.items():
            if n:
                typer.echo(f"passed over: {n} {why}")
        typer.echo(f"live as version {found.version}: {found.why}" if found.version else found.why)
    if found.version is None:
        raise typer.Exit(NOT_YET)
