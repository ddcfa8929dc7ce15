"""`python -m training`: make up a company, train on its data or on yours, publish what beats its baselines; measure.

Reads options and prints; the work is in pipeline.py and simulator/. Results go to stdout (JSON with --json), the rest
to stderr. Exit codes: 0 trained, 2 wrong input or data that breaks its contract, 3 trained
but not published.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from training.foreseen import wrong_input
from training.importing import app as importing
from training.measure.commands import app as measuring
from training.pages import mlflow
from training.promoting import history, promote, rollback
from training.recalibrating import calibrate
from training.refusal import now_micros, refused, somebody, stderr
from training.teaching import build, pretrain
from training.watching import check, contract, golden, tell_findings

app = typer.Typer(help="Teach Journey Insight.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(measuring, name="measure")
app.add_typer(importing, name="import")
app.command()(pretrain)
app.command()(build)
for command in (history, promote, rollback, contract, check, golden, calibrate, mlflow):
    app.command()(command)
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
    horizon: Annotated[
        str | None, typer.Option(help="Within which the next touchpoint is expected; default 30d.")
    ] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Rules that turn events into touchpoints (YAML).")] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="TOML of settings; options and --set win over it.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="One setting: purchase.boosting.leaves=8. Repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of versions/, live/ and MLflow's store; default mlruns.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed and data give the same bundle; default 7.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=50, help="Passes over the texts.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="What feelings go on from: pretrained, a folder of pretrain, or any encoder (folder, hub)."),
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(min=0, max=500, help="So many settings of each likelihood's boosting are tried (Optuna)."),
    ] = None,
    stack: Annotated[
        list[str] | None,
        typer.Option(help="What likelihoods are told beside behaviour: next_touchpoint, feeling or none. Repeatable."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="Where what comes next is learned; auto takes a GPU where there is one."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an unfinished run that this must be. Without it, one of the same data and settings under "
            "--out is gone on with by itself."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, also where such a run was left.")] = False,
    publish: Annotated[
        bool | None,
        typer.Option(
            "--publish/--no-publish", "--promote/--no-promote",
            help="Let a bundle go live that beats its baselines and passes the gate beside what is live; else it is "
            "kept as a candidate.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:  # fmt: skip
    """Train on files, measure on the latest part of them, and publish what beats its baselines and what is live."""
    from training import config as options
    from training.console import Watched
    from training.contract.finding import ContractError
    from training.pipeline import run
    from training.settings_file import read_settings
    from training.unfinished import leftovers

    try:
        given = _files(events, feedback, verdicts, from_service) | {
            "event_columns": options.parse_columns(columns, "--map") if columns else None,
            "feedback_columns": options.parse_columns(feedback_columns, "--map-feedback") if feedback_columns else None,
            "catalogue": catalogue,
            "targets": tuple(map(options.parse_target, target)) if target else None,
            "horizon_seconds": options.parse_horizon(horizon) if horizon is not None else None,
            "out": out, "seed": seed, "publish": publish, "feeling.epochs": epochs, "feeling.encoder": encoder,
            "purchase.trials": tune, "purchase.stack": options.parse_stack(stack) if stack else None,
            "next_touchpoint.device": device,
        }  # fmt: skip
        told = {name: value for name, value in given.items() if value is not None}
        config = read_settings(config_file, changes or [], told)
        for line in leftovers(config.out):
            stderr().print(escape(line), highlight=False, soft_wrap=True)
        with Watched(stderr()) as watched:
            report = run(config, clock=now_micros, by=somebody(), reporter=watched, resume=resume, fresh=fresh)
    except ContractError as broken:
        tell_findings(broken.findings, as_json)
        raise refused(str(broken)) from None
    except wrong_input() as error:
        raise refused(str(error)) from None
    _tell(report.to_dict(), as_json)
    if report.version is None and config.publish:
        raise typer.Exit(NOT_PUBLISHED)


def _files(
    events: Path | None, feedback: Path | None, verdicts: Path | None, from_service: Path | None
) -> dict[str, Path | None]:
    """What to read, by the name of its setting."""
    from training.config import ConfigError
    from training.data import exported

    if from_service is None:
        return {"events": events, "feedback": feedback, "verdicts": verdicts}
    if events or feedback or verdicts:
        raise ConfigError("--from-service names all files at once; leave --events, --feedback, --verdicts out")
    served = from_service / "forecasts.parquet"
    found = dict(zip(("events", "feedback", "verdicts"), exported(from_service), strict=True))
    return found | {"forecasts": served if served.is_file() else None}


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


def main() -> None:
    """Run a command; where only the serving half is installed, say what is missing."""
    try:
        app()
    except ModuleNotFoundError as missing:
        needed = "install the training half: pip install 'journey-insight[train]'"
        raise SystemExit(f"error: the package {missing.name} is not installed; {needed}") from None


if __name__ == "__main__":
    main()
