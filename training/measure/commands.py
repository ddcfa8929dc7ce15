"""`python -m training measure`: one command for each thing we predict. Reads options and prints; measures nothing.

Results go to stdout, as a table or with --json as JSON; what goes on meanwhile to stderr. Exit codes: 0 measured,
2 wrong input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from training.refusal import refused, stderr

app = typer.Typer(help="Measure any of our predictors on any data.", no_args_is_help=True)

Train = Annotated[Path, typer.Option(help="What to learn from: Parquet, CSV or JSONL.")]
Test = Annotated[Path, typer.Option(help="What to measure on, never seen in learning.")]
Truth = Annotated[Path | None, typer.Option(help="truth.parquet of a simulated company: adds the skill.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed and data give the same figures.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")]


@app.command("next-touchpoint")
def next_touchpoint(
    train: Train,
    test: Test,
    group: Annotated[str | None, typer.Option(help="Column whose values stay on one side, such as a device.")] = None,
    horizon: Annotated[str, typer.Option(help="Within which the next touchpoint is expected.")] = "30d",
    truth: Truth = None,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Fit the standard recipe on one log and predict each touchpoint of another from the second on."""

    def measured() -> dict[str, Any]:
        from training.config import parse_horizon
        from training.measure.next_touchpoint import NextMeasurement, measure_next_touchpoint

        return measure_next_touchpoint(
            NextMeasurement(train, test, group, parse_horizon(horizon), truth, seed), _progress
        )

    _told(measured, as_json)


@app.command()
def purchase(
    train: Train,
    test: Test,
    target: Annotated[str | None, typer.Option(help="A table's column of yes and no.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A table's column not to learn from. Repeatable.")] = None,
    purchase_event: Annotated[str | None, typer.Option(help="An event log's event that is a purchase.")] = None,
    horizon: Annotated[str, typer.Option(help="Within which the purchase is asked for.")] = "90d",
    landmarks: Annotated[Path | None, typer.Option(help="Moments to ask at: customer_id and as_of.")] = None,
    every: Annotated[str | None, typer.Option(help="Ask everybody known so often; 28d unless said.")] = None,
    truth: Truth = None,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Fit the standard recipe on a table (--target) or an event log (--purchase-event) and ask it on another."""

    def measured() -> dict[str, Any]:
        from training.config import parse_horizon
        from training.measure.figures import MeasureError
        from training.measure.purchase import LogMeasurement, measure_log
        from training.measure.table import TableMeasurement, measure_table

        if (target is None) == (purchase_event is None):
            raise MeasureError("give --target COLUMN for a table, or --purchase-event NAME for an event log")
        if target is not None:
            if landmarks or every or truth:
                raise MeasureError("--landmarks, --every and --truth are for an event log; a table is asked row by row")
            return measure_table(TableMeasurement(train, test, target, tuple(drop or ()), seed), _progress)
        if drop:
            raise MeasureError("--drop is for a table; an event log is learned from whole")
        if landmarks and every:
            raise MeasureError("give --landmarks or --every, not both")
        step = parse_horizon(every) * 1_000_000 if every else None
        wanted = LogMeasurement(train, test, str(purchase_event), parse_horizon(horizon), landmarks, step, truth, seed)
        return measure_log(wanted, _progress)

    _told(measured, as_json)


@app.command()
def feedback(
    test: Test,
    text: Annotated[str, typer.Option(help="Column of the texts.")],
    label: Annotated[str, typer.Option(help="Column of the labels.")],
    task: Annotated[str, typer.Option(help="polarity, emotion, intensity, disagreement or sarcasm.")],
    spread: Annotated[str | None, typer.Option(help="Column of the raters' spread, for intensity.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of versions/ and live/: what is live there answers.")] = Path(
        "mlruns"
    ),
    bundle: Annotated[Path | None, typer.Option(help="Folder of a bundle that answers instead.")] = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="Let the reader answer that comes with the product; no bundle is asked.")
    ] = False,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Ask the published predictor, as it is, about labelled texts."""

    def measured() -> dict[str, Any]:
        from training.measure.feedback import FeedbackMeasurement, measure_feedback
        from training.measure.figures import MeasureError

        if shipped and bundle is not None:
            raise MeasureError("give --shipped or --bundle, not both")
        wanted = FeedbackMeasurement(test, text, label, task, out, bundle, spread, seed, shipped)
        return measure_feedback(wanted, _progress)

    _told(measured, as_json)


@app.command()
def confidence(
    table: Annotated[Path, typer.Option(help="A scored table; its columns are told in the docs.")],
    coverage: Annotated[float, typer.Option(help="Coverage of sets made from probabilities.")] = 0.9,
    alpha: Annotated[float, typer.Option(help="Accepted share of mistakes among what is released.")] = 0.05,
    delta: Annotated[float, typer.Option(help="Chance at which that may fail.")] = 0.05,
    seed: Seed = 7,
    as_json: AsJson = False,
) -> None:
    """Coverage by group, and selective error with release rate, of a scored table."""

    def measured() -> dict[str, Any]:
        from training.measure.confidence import ConfidenceMeasurement, measure_confidence

        return measure_confidence(ConfidenceMeasurement(table, coverage, alpha, delta, seed), _progress)

    _told(measured, as_json)


def _told(measured: Callable[[], dict[str, Any]], as_json: bool) -> None:
    from training.measure.refusals import REFUSALS
    from training.measure.show import table

    try:
        told = measured()
    except REFUSALS as refusal:
        raise refused(str(refusal)) from None
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(table(told))


def _progress(line: str) -> None:
    stderr().print(line, style="dim", markup=False, highlight=False)
