"""`python -m training history`, `promote` and `rollback`: what was live and why, and what goes live next.

Reads options and prints; the work is in promote.py, versions.py and registry.py. Exit codes: 0 done, 2 wrong input,
3 refused by the gate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.foreseen import wrong_input
from training.refusal import now_micros, refused, somebody, stderr

NOT_PROMOTED = 3
Out = Annotated[Path, typer.Option(help="Folder of versions/, live/ and MLflow's store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def history(
    on: Annotated[
        str | None, typer.Option(help="What was live at this moment, or at the end of this day (UTC), alone.")
    ] = None,
    out: Out = Path("mlruns"),
    as_json: AsJson = False,
) -> None:
    """What was live since when, by whom and why; and what the gate refused."""
    from models import ledger
    from training.promote import is_whole, judgements
    from training.versions import entry_named, moment_named

    try:
        if on is not None:
            moment_named(on)
        found = ledger.history(out) if on is None else [entry_named(out, on)]
        entries = [{**one.to_dict(), "whole": is_whole(out, one.digest)} for one in found]
    except wrong_input() as error:
        raise refused(str(error)) from None
    refusals = [one for one in judgements(out) if not one["passed"]] if on is None else []
    if as_json:
        typer.echo(json.dumps({"live": entries, "refused": refusals}, ensure_ascii=False))
        return
    _show(entries, refusals)


def _show(entries: Sequence[dict[str, Any]], refusals: Sequence[dict[str, Any]]) -> None:
    table = Table("version", "bundle", "live since", "by", "why")
    for one in entries:
        note = ("" if one["whole"] else " [damaged or missing]") + (" [forced]" if one["forced"] else "")
        table.add_row(str(one["version"]), one["digest"][:12], one["live_since"], one["by"], f"{one['why']}{note}")
    shown = Console(width=None if sys.stdout.isatty() else 150, markup=False)
    shown.print(table if entries else "nothing was ever live")
    for one in refusals:
        shown.print(f"{one['judged_at']}  {one['challenger'][:12]} refused: {one['why']}  ({one['report']})")


def rollback(
    to: Annotated[str, typer.Option(help="Number of a version, a day or moment, or the beginning of a digest.")],
    why: Annotated[str, typer.Option(help="The reason, for the ledger.")],
    out: Out = Path("mlruns"),
    as_json: AsJson = False,
) -> None:
    """Make what was live then live again, as one more entry; the service follows within seconds."""
    from training.promote import roll_back
    from training.registry import mirror

    try:
        if not why.strip():
            raise refused("--why needs a reason: it is what the next person reads")
        entry = roll_back(out, to, now_micros(), somebody(), why.strip())
    except wrong_input() as error:
        raise refused(str(error)) from None
    _mirrored(mirror(out))
    if as_json:
        typer.echo(json.dumps(entry.to_dict(), ensure_ascii=False))
    else:
        typer.echo(f"bundle {entry.digest[:12]} live as version {entry.version}: {entry.why}")


def promote(
    bundle: Annotated[
        str, typer.Argument(metavar="DIGEST", help="The beginning of a stored bundle's digest, or latest.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of recent data: what `python -m service export` wrote.")],
    auto: Annotated[bool, typer.Option("--auto", help="Let it go live without asking, if it passes.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Let it go live even if the gate refuses; needs --why.")
    ] = False,
    why: Annotated[str | None, typer.Option(help="The reason to force it, for the ledger.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Rules that turn events into touchpoints (YAML).")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML of settings; [gate] holds the thresholds.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="One setting: gate.worse_nats=0.02. Repeatable.")
    ] = None,
    out: Out = Path("mlruns"),
    as_json: AsJson = False,
) -> None:
    """Judge a stored bundle beside the champion on the same recent data, and let it go live if it passes."""
    from training.promote import judged, let_go_live, written_down
    from training.registry import mirror
    from training.settings_file import read_settings
    from training.versions import stored_named

    if force and not (why or "").strip():
        raise refused("--force needs a reason: --why")
    try:
        settings = read_settings(config, changes or [], {"out": out} | ({"catalogue": catalogue} if catalogue else {}))
        digest = stored_named(out, bundle).digest
        with stderr().status("judging"):
            found = judged(out, digest, _evidence(settings, data), settings.gate, seed=settings.seed,
                           now=now_micros(), by=somebody())  # fmt: skip
        entry = None
        if found.judgement.passed and (auto or force or _asked(found.judgement.why)):
            entry = let_go_live(out, found, now_micros(), somebody())
        elif not found.judgement.passed and force:
            entry = let_go_live(out, found, now_micros(), somebody(), forced_because=(why or "").strip())
    except wrong_input() as error:
        raise refused(str(error)) from None
    _mirrored(written_down(out, found), mirror(out, challenger=None if entry else digest, catalogue=settings.catalogue))
    told = {"version": entry.version if entry else None, "report": str(found.folder), **found.judgement.to_dict()}
    typer.echo(json.dumps(told, ensure_ascii=False) if as_json else _sentence(told))
    if not found.judgement.passed and entry is None:
        raise typer.Exit(NOT_PROMOTED)


def _evidence(settings: Any, data: Path) -> Any:
    """What the export holds, as the gate takes it."""
    from models.journey.touchpoint import Catalogue
    from training.data import exported, load
    from training.gate.evidence import evidence

    rules = Catalogue.load(settings.catalogue) if settings.catalogue else Catalogue.default()
    events, feedback, verdicts = exported(data)
    read = load(events, feedback, verdicts if feedback else None, rules, {}, {}, settings.labels)
    return evidence(settings.out, read, verdicts)


def _asked(why: str) -> bool:
    """Whether the person at the terminal wants it live; where there is none, nobody does."""
    return sys.stdin.isatty() and typer.confirm(f"{why}. Go live?", err=True)


def _sentence(told: dict[str, Any]) -> str:
    failed = [one for one in told["checks"] if one["outcome"] == "failed"]
    lines = [f"✗ {one['about']}: {one['name']}: {one['told']}" for one in failed]
    if told["version"] is not None:
        state = f"live as version {told['version']}" + (", against the gate" if failed else "")
    else:
        state = "refused by the gate" if failed else "may go live: --auto lets it"
    return "\n".join([*lines, f"bundle {told['challenger'][:12]} {state}; report: {told['report']}/gate.html"])


def _mirrored(*kept_from: str | None) -> None:
    for line in filter(None, kept_from):
        stderr().print(f"[yellow]note:[/yellow] {line}", highlight=False, soft_wrap=True)
