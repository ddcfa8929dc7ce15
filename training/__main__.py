"""`python -m training`: make up a company, train on its data or on yours, publish what beats its baselines; measure.

Reads options and prints; the work is in pipeline.py and simulator/. Results go to stdout (JSON with --json), the rest
to stderr. Exit codes: 0 trained, 2 wrong input, 3 trained but not published.
"""

from __future__ import annotations

import getpass
import json
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from training.importing import app as importing
from training.measure.commands import app as measuring
from training.refusal import refused, stderr
from training.teaching import build, pretrain

app = typer.Typer(help="Teach Journey Insight.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(measuring, name="measure")
app.add_typer(importing, name="import")
app.command()(pretrain)
app.command()(build)
NOT_PUBLISHED = 3


@app.command()
def simulate(
    customers: Annotated[int, typer.Option(min=1, help="How many customers.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder to write events, feedback and the truth into.")] = Path("company"),
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day on which the 548 days end; default 2025-07-02.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Make up a car dealer's customers with known odds."""
    from training.simulator import simulate as make_up

    if out.exists() and not out.is_dir():
        raise refused(f"--out {out} is a file; name a folder, new or existing")
    with stderr().status("making up customers"):
        company = make_up(customers, seed, out, until=until.date() if until else None)
    if as_json:
        print(json.dumps(company))
    else:
        stderr().print(
            f"{customers} customers in {out}/: events.parquet, feedback.parquet, truth.parquet, company.json"
        )


@app.command()
def train(
    events: Annotated[Path | None, typer.Option(help="Event log: Parquet, CSV or JSONL.")] = None,
    feedback: Annotated[Path | None, typer.Option(help="Texts with labels or stars: Parquet, CSV or JSONL.")] = None,
    verdicts: Annotated[Path | None, typer.Option(help="Reviewers' verdicts, as the service exports them.")] = None,
    from_service: Annotated[
        Path | None, typer.Option(help="Folder written by `python -m service export`: all three at once.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="Event column: ours=theirs, such as user_id=customer.")
    ] = None,
    feedback_columns: Annotated[
        list[str] | None, typer.Option("--map-feedback", help="Feedback column: ours=theirs, such as text=Review.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="What likelihood to learn: car_purchase=dealer.purchase:90d. Repeatable.")
    ] = None,
    horizon: Annotated[str, typer.Option(help="Within which the next touchpoint is expected.")] = "30d",
    catalogue: Annotated[Path | None, typer.Option(help="Rules that turn events into touchpoints (YAML).")] = None,
    out: Annotated[Path, typer.Option(help="Folder of versions/, live/ and MLflow's store.")] = Path("mlruns"),
    seed: Annotated[int, typer.Option(min=0, help="The same seed and data give the same bundle.")] = 7,
    epochs: Annotated[int | None, typer.Option(min=1, max=50, help="Passes over the texts.")] = None,
    encoder: Annotated[
        str,
        typer.Option(help="What feelings go on from: pretrained, a folder of pretrain, or any encoder (folder, hub)."),
    ] = "pretrained",
    tune: Annotated[
        int, typer.Option(min=0, max=500, help="So many settings of each likelihood's boosting are tried (Optuna).")
    ] = 0,
    stack: Annotated[
        list[str] | None,
        typer.Option(help="What likelihoods are told beside behaviour: next_touchpoint, feeling or none. Repeatable."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Where what comes next is learned; auto takes a GPU where there is one."),
    ] = "auto",
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an unfinished run that this must be. Without it, one of the same data and settings under "
            "--out is gone on with by itself."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, also where such a run was left.")] = False,
    publish: Annotated[bool, typer.Option(help="Let a bundle that beats its baselines go live.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:
    """Train on files, measure on the latest part of them, and publish what beats its baselines."""
    from training import config as options
    from training.console import Watched
    from training.pipeline import run
    from training.unfinished import leftovers

    try:
        events, feedback, verdicts, forecasts = _files(events, feedback, verdicts, from_service)
        config = options.TrainConfig(
            events=events,
            feedback=feedback,
            verdicts=verdicts,
            forecasts=forecasts,
            event_columns=options.parse_columns(columns or [], "--map"),
            feedback_columns=options.parse_columns(feedback_columns or [], "--map-feedback"),
            catalogue=catalogue,
            targets=tuple(map(options.parse_target, target)) if target else (options.DEFAULT_TARGET,),
            horizon_seconds=options.parse_horizon(horizon),
            out=out,
            seed=seed,
            publish=publish,
        )
        feeling = replace(config.feeling, encoder=encoder, epochs=epochs or config.feeling.epochs)
        purchase = replace(config.purchase, trials=tune, stack=options.parse_stack(stack))
        following = replace(config.next_touchpoint, device=device)
        config = replace(config, feeling=feeling, purchase=purchase, next_touchpoint=following)
        for line in leftovers(out):
            stderr().print(escape(line), highlight=False, soft_wrap=True)
        with Watched(stderr()) as watched:
            report = run(config, clock=_now, by=_somebody(), reporter=watched, resume=resume, fresh=fresh)
    except _wrong_input() as error:
        raise refused(str(error)) from None
    _tell(report.to_dict(), as_json)
    if report.version is None and publish:
        raise typer.Exit(NOT_PUBLISHED)


def _files(
    events: Path | None, feedback: Path | None, verdicts: Path | None, from_service: Path | None
) -> tuple[Path | None, Path | None, Path | None, Path | None]:
    """What to read: events, feedback, verdicts, forecasts."""
    from training.config import ConfigError
    from training.data import exported

    if from_service is None:
        return events, feedback, verdicts, None
    if events or feedback or verdicts:
        raise ConfigError("--from-service names all files at once; leave --events, --feedback, --verdicts out")
    served = from_service / "forecasts.parquet"
    return *exported(from_service), served if served.is_file() else None


def _wrong_input() -> tuple[type[Exception], ...]:
    """What is told in one line, since whoever called can mend it."""
    from models.journey.eventlog import EventLogError
    from models.journey.touchpoint import CatalogueError
    from models.ledger import LedgerError
    from models.nets.feedback import EncoderNotFoundError
    from training.config import ConfigError
    from training.data import DataError
    from training.tracking import TrackingError
    from training.unfinished import UnfinishedError

    return (
        EventLogError, DataError, CatalogueError, ConfigError, LedgerError, EncoderNotFoundError, TrackingError,
        UnfinishedError,
    )  # fmt: skip


def _tell(report: dict[str, Any], as_json: bool) -> None:
    """A report on stdout, as JSON or as a person reads it."""
    from training.console import figures_table, refusals

    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    table = figures_table(report["figures"])
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else 150).print(table)
    for line in refusals(report["figures"]):
        print(line)
    state = f"live as version {report['version']}" if report["version"] else "not published"
    print(f"bundle {report['digest'][:12]} {state}: {report['why']}")


def _now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def _somebody() -> str:
    """Who publishes; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def main() -> None:
    """Run a command; where only the serving half is installed, say what is missing."""
    try:
        app()
    except ModuleNotFoundError as missing:
        needed = "install the training half: pip install 'journey-insight[train]'"
        raise SystemExit(f"error: the package {missing.name} is not installed; {needed}") from None


if __name__ == "__main__":
    main()
