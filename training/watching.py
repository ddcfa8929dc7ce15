"""`python -m training contract`, `check` and `golden`: is the data fit to learn from, is it time to, what settles it.

Reads options and prints; the work is in contract/, drift/ and golden.py. Exit codes: 0 well, 2 wrong input or a broken
contract, 4 retraining is advised.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from training.foreseen import wrong_input
from training.refusal import now_micros, refused, stderr

RETRAIN = 4
From = Annotated[Path, typer.Option(help="Folder written by `python -m service export`.")]
Out = Annotated[Path, typer.Option(help="Folder of versions/, live/ and MLflow's store.")]
Config = Annotated[Path | None, typer.Option("--config", help="TOML of settings.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="One setting by its dotted name. Repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def tell_findings(findings: Sequence[Any], as_json: bool) -> None:
    """What a contract's checks have found: JSON on stdout, or lines with rows on stderr."""
    if as_json:
        typer.echo(json.dumps({"findings": [one.to_dict() for one in findings]}, ensure_ascii=False))
        return
    for one in findings:
        colour = "red" if one.stops else "yellow"
        line = f"{one.check}: {one.told}. {one.fix}"
        stderr().print(f"[{colour}]{one.severity}[/{colour}] ", end="")
        stderr().print(line, markup=False, highlight=False, soft_wrap=True)
        for row in one.rows:
            stderr().print(f"    {json.dumps(row, ensure_ascii=False)}", markup=False, highlight=False, soft_wrap=True)


def contract(
    from_service: From,
    out: Out = Path("mlruns"),
    target: Annotated[list[str] | None, typer.Option(help="Target, as train takes it. Repeatable.")] = None,
    config: Config = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Check data against its contract, as train does before it learns."""
    from training.contract.keep import examined

    try:
        settings, data = _read(from_service, out, config, changes, target)
        findings = list(examined(data, settings, now_micros()))
    except wrong_input() as error:
        raise refused(str(error)) from None
    tell_findings(findings, as_json)
    if any(one.stops for one in findings):
        raise typer.Exit(2)


def check(
    from_service: From,
    out: Out = Path("mlruns"),
    config: Config = None,
    changes: Changes = None,
    page: Annotated[Path | None, typer.Option(help="Write the report as a page, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Has the world moved since the champion learned? Ends with 4 where retraining is advised."""
    from training.drift.report import watch, write_page

    try:
        settings, data = _read(from_service, out, config, changes, None)
        report = watch(settings, data, from_service, now_micros())
    except wrong_input() as error:
        raise refused(str(error)) from None
    if page is not None:
        write_page(page, report)
    typer.echo(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else report.sentence())
    if report.advised:
        raise typer.Exit(RETRAIN)


def golden(from_service: From, out: Out = Path("mlruns"), config: Config = None, changes: Changes = None,
           as_json: AsJson = False) -> None:  # fmt: skip
    """Let adjudicated cases join the golden set, which nothing learns from; forget those of erased customers."""
    from training.data import exported
    from training.gate.evidence import reviewed
    from training.golden import grow
    from training.settings_file import read_settings

    try:
        settings = read_settings(config, changes or [], {"out": out})
        _, feedback, verdicts = exported(from_service)
        frame, known = _words(feedback)
        judged = reviewed(verdicts, frame) if verdicts else None
        grown = grow(settings.out, judged, known, settings.labels)
    except wrong_input() as error:
        raise refused(str(error)) from None
    told = f"{grown.size} golden cases: {grown.joined} joined, {grown.forgotten} forgotten"
    typer.echo(json.dumps(grown.to_dict()) if as_json else told)


def _words(feedback: Path | None) -> tuple[Any, set[str]]:
    from training.data import read_feedback

    if feedback is None:
        return None, set()
    frame = read_feedback(feedback)
    return frame, set(frame["feedback_id"])


def _read(
    folder: Path, out: Path, config: Path | None, changes: list[str] | None, target: list[str] | None
) -> tuple[Any, Any]:
    """Settings and the data of an export."""
    from models.journey.touchpoint import Catalogue
    from training.config import parse_target
    from training.data import exported, load
    from training.golden import read_golden
    from training.settings_file import read_settings

    given: dict[str, Any] = {"out": out} | ({"targets": tuple(map(parse_target, target))} if target else {})
    settings = read_settings(config, changes or [], given)
    events, feedback, verdicts = exported(folder)
    rules = Catalogue.load(settings.catalogue) if settings.catalogue else Catalogue.default()
    labels, kept = settings.labels, read_golden(out)
    return settings, load(events, feedback, verdicts if feedback else None, rules, {}, {}, labels, kept)
