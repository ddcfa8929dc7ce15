"""python -m service: serve (the default), worker, import, export, rebuild, replay, backup, restore, catalogue and keys.

Alone reads the environment.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from models.journey.event import format_time
from models.journey.eventlog import EventLogError
from models.journey.touchpoint import Catalogue, CatalogueError, default_text
from service import logs
from service.access import keys
from service.app import create_app
from service.backup import backup, restore
from service.clock import random_id, system_clock
from service.customers import erasure
from service.errors import Conflict, Problem
from service.events.catalogue_report import look
from service.events.catalogue_told import mistakes_told, remarks, rules_table
from service.events.history import File, History, Imported, RowsRefused, files_of
from service.events.importing.mapping import PRESETS, preset_text
from service.events.importing.told import preview_table, progress_of_import, refusals_told
from service.events.replay import replay
from service.export import export
from service.insights.lookup import moment_of
from service.live.bundles import LiveBundles
from service.rebuild import rebuild
from service.settings import Settings
from service.state import State, open_state, refuse_half_restored
from service.worker import Worker, run_worker

app = typer.Typer(help="Events and feedback in, insights and cases out.", no_args_is_help=False, add_completion=False)
keys_app = typer.Typer(help="Keys that tools and colleagues call with.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
catalogue_app = typer.Typer(help="Rules that make touchpoints of events.", no_args_is_help=True)
app.add_typer(catalogue_app, name="catalogue")

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON on stdout.")]
WORKER_PATIENCE_SECONDS = 10


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Without a command: serve."""
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on.")] = None,
    with_worker: Annotated[bool, typer.Option("--with-worker", help="Start the worker as a child process.")] = False,
) -> None:
    """Answer requests."""
    settings = _settings(host=host, port=port)
    with _failing_clearly():
        refuse_half_restored(settings)
        child = _start_worker() if with_worker else None
        try:
            # uvicorn's access log would name paths, and so customers; RequestLog writes a line without them.
            uvicorn.run(create_app(settings), host=settings.host, port=settings.port, access_log=False, log_config=None,
                        server_header=False)  # fmt: skip
        finally:
            if child is not None:
                _end_worker(child)


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", help="Stop when standard input is closed.")] = False,
) -> None:
    """Fold the log and conclude, until told to stop."""
    if once:
        _work_once()
        return
    settings, stop = _settings(), threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    if with_parent:
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    with _failing_clearly():
        run_worker(settings, stop=stop)


def _work_once() -> None:
    with _open() as state, _progress("events folded", "customers concluded") as tell:
        bundles = LiveBundles(state.settings.mlruns_dir, state.settings.onnx_threads)
        once = Worker(state, bundles, state.ids())
        if not once.hold_lease():
            raise Conflict("Another worker is at work.", "Let it, or stop it first.", code="worker_busy")
        once.run_until_idle(lambda done: tell(done.folded, done.customers))
        once.rest()


@app.command("import")
def import_command(
    file: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="CSV or JSONL (also .gz), or Parquet. "
                    "MAPPING=FILE names a file's own preset or mapping file.")] = None,
    preset: Annotated[str, typer.Option("--as", help=f"What the files are: {', '.join(PRESETS)}.")] = "events",
    mapping: Annotated[Path | None, typer.Option(help="A mapping file of your own, in place of a preset.")] = None,
    column: Annotated[list[str], typer.Option("--map", help="OURS=THEIRS, once for each column.")] = [],  # noqa: B006
    refused: Annotated[Path | None, typer.Option(help="CSV or JSONL to write the refused rows to, and why.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing where a row is refused.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first rows and count the refused ones.")] = False,
    show_mapping: Annotated[str | None, typer.Option(help="Print the mapping file of a preset, and stop.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Bring history into the log, with the times at which it became known; again is no harm.

    A stopped import goes on where it was. Refused rows are counted and told; all others are kept.
    """
    with _failing_clearly():
        if show_mapping is not None:
            print(preset_text(show_mapping), end="")
            return
        files = files_of(file or (), mapping or preset, dict(_pair(one) for one in column))
    if dry_run:
        done = _preview(files, refused, as_json)
    else:
        with _open() as state, progress_of_import() as tell:
            done = History(files, state.settings, state.clock, tell).bring(state.log, refused, strict)
    for line in refusals_told(done.first_refused, done.refused, refused is not None):
        print(line, file=sys.stderr)
    print(json.dumps(done.to_dict()) if as_json else done.sentence())


def _preview(files: Sequence[File], refused: Path | None, as_json: bool) -> Imported:
    """Opens no database."""
    settings = _settings()
    with _failing_clearly(), progress_of_import() as tell:
        catalogue = Catalogue.load(settings.catalogue) if settings.catalogue else Catalogue.default()
        first, seen = History(files, settings, system_clock, tell).preview(refused)
    if not as_json:
        Console().print(preview_table(first, catalogue))
    return seen


def _pair(given: str) -> tuple[str, str]:
    ours, equals, theirs = given.partition("=")
    if not equals:
        raise typer.BadParameter(f"{given!r} must read OURS=THEIRS, such as user_id=CustomerID", param_hint="--map")
    return ours, theirs


@contextmanager
def _progress(*counted: str) -> Iterator[Callable[..., None]]:
    """Counts on stderr, in place on a terminal and only once, at the end, elsewhere."""
    console, told = Console(stderr=True), ""

    def tell(*counts: int) -> None:
        nonlocal told
        told = ", ".join(f"{count:,} {name}" for count, name in zip(counts, counted, strict=True))
        status.update(told)

    with console.status("") as status:
        yield tell
    if told:
        console.print(told, style="dim")


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    as_of: Annotated[str | None, typer.Option(help="A moment, ISO 8601; missing: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write events, feedback, verdicts and conclusions as Parquet."""
    with _open() as state:
        rows = export(state, folder, None if as_of is None else moment_of("as_of", as_of))
    if as_json:
        print(json.dumps({"folder": str(folder), "rows": rows}))
    else:
        print(f"{folder}: " + ", ".join(f"{count} {name}" for name, count in rows.items()))


@app.command("rebuild")
def rebuild_command(as_json: AsJson = False) -> None:
    """Delete all that was folded from the log and fold it again."""
    with _open() as state:
        rows = rebuild(state)
    print(json.dumps({"folded": rows}) if as_json else f"{rows} rows of the log folded")


@app.command("erase")
def erase_command(
    customer: Annotated[str, typer.Argument(metavar="ID", help="Any id of the customer.")],
    lift: Annotated[bool, typer.Option("--lift", help="Take the tombstone away: who came back is kept again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a customer, keep them out, and show the receipt."""
    with _open() as state:
        if lift:
            receipt = erasure.lift(state, customer)
        else:
            receipt = erasure.erase(state, customer, by="command")
            if receipt.purged_at is None and erasure.purge(state):
                receipt = erasure.receipt(state, receipt.tombstone_id)
    print(json.dumps(receipt.to_dict()) if as_json else receipt.sentence())


@app.command("replay")
def replay_command(
    code: Annotated[str | None, typer.Option(help="Only letters with this code, such as in_the_future.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen, and change nothing.")] = False,
) -> None:
    """Read refused events again, with today's rules; what is fine now goes into the log. Writes JSON on stdout."""
    with _open() as state, _progress("letters read", "of them fine now") as tell:
        done = replay(state, code, dry_run=dry_run, progress=tell)
    print(json.dumps(done.to_dict() | {"dry_run": dry_run}))


@app.command("backup")
def backup_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")], as_json: AsJson = False
) -> None:
    """Copy both databases while the service works, and verify the copy."""
    settings = _settings()
    with _failing_clearly(), _progress("databases copied") as tell:
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
    settings = _settings()
    with _failing_clearly():
        manifest = restore(settings.data_dir, folder, replace=replace)
    where = str(settings.data_dir)
    print(json.dumps({"data_dir": where, **manifest}) if as_json else f"{where}: {_told(manifest)}")


def _told(manifest: Mapping[str, Any]) -> str:
    rows = {name: one["rows"] for name, one in manifest["databases"].items()}
    return (f"as of {manifest['made_at']}, verified: {rows['log']['log']:,} rows of the log, "
            f"{rows['service']['customers']:,} customers, {rows['service'].get('verdicts', 0):,} verdicts")  # fmt: skip


@catalogue_app.command("show")
def show_catalogue() -> None:
    """Print the catalogue that comes along, to be copied and changed."""
    print(default_text(), end="")


@catalogue_app.command("check")
def check_catalogue(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Missing: the one that is set.")] = None,
    newest: Annotated[int, typer.Option(min=1, help="Most rows of the log to look at, the newest.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a catalogue, and what share of history each of its rules takes; changes nothing.

    The exit code is 1 where the file is wrong, with a line for each mistake.
    """
    settings = _settings()
    named = file or settings.catalogue
    with _failing_clearly():
        try:
            catalogue = Catalogue.load(named) if named else Catalogue.default()
        except CatalogueError as error:
            print(json.dumps(mistakes_told(error)) if as_json else error, file=None if as_json else sys.stderr)
            raise typer.Exit(1) from None
        with _progress("rows read") as tell:
            found = look(settings, catalogue, newest, tell)
    if as_json:
        print(json.dumps({"valid": True, **found.to_dict()}))
        return
    if found.events:
        Console().print(rules_table(found))
    for line in (f"{named or 'the default'}: {len(catalogue.rules)} rules, no mistake", *remarks(found)):
        print(line)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help=f"Once for each of {', '.join(keys.SCOPES)}.")],
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once."""
    with _open() as state:
        made, whole = keys.create(state.service, name, scope, state.clock())
    if as_json:
        print(json.dumps({**_described(made), "key": whole}))
    else:
        print(f"{whole}\nKeep it: it is not shown again. To take it back: python -m service keys revoke {made.key_id}")


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """All keys, the revoked ones too; never their secrets."""
    with _open() as state:
        found = [_described(key) for key in keys.all_keys(state.service)]
    if as_json:
        print(json.dumps(found))
        return
    table = Table(*(column.replace("_", " ") for column in ("key_id", "name", "scopes", "created_at", "last_used_at",
                                                            "revoked_at")))  # fmt: skip
    for key in found:
        table.add_row(*(" ".join(v) if isinstance(v, list) else v or "" for v in key.values()))
    Console().print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument()], as_json: AsJson = False) -> None:
    """End a key, at once."""
    with _open() as state:
        keys.revoke(state.service, key_id, state.clock())
    print(json.dumps({"key_id": key_id, "revoked": True}) if as_json else f"{key_id} is revoked")


def _described(key: keys.Key) -> dict[str, str | list[str] | None]:
    def when(moment: int | None) -> str | None:
        return None if moment is None else format_time(moment)

    return {
        "key_id": key.key_id, "name": key.name, "scopes": sorted(key.scopes), "created_at": when(key.created_at),
        "last_used_at": when(key.last_used_at), "revoked_at": when(key.revoked_at),
    }  # fmt: skip


def _settings(**given: str | int | None) -> Settings:
    """From the environment, with what the command line says over it."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        for one in error.errors():
            name = "_".join(map(str, one["loc"])).upper()
            print(f"JOURNEY_{name} {str(one['input'])[:80]!r}: {one['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None
    logs.configure(settings.log_level)
    return settings


@contextmanager
def _open() -> Iterator[State]:
    with _failing_clearly(), open_state(_settings(), system_clock, random_id) as state:
        yield state


@contextmanager
def _failing_clearly() -> Iterator[None]:
    """A foreseen error is one line on stderr and exit code 2, not a traceback; 1 where nothing but rows was wrong."""
    try:
        yield
    except Problem as problem:
        allowed = f" Allowed: {', '.join(problem.allowed)}." if problem.allowed else ""
        print(f"{problem.message} {problem.fix}{allowed}", file=sys.stderr)
        raise typer.Exit(1 if isinstance(problem, RowsRefused) else 2) from None
    except (CatalogueError, EventLogError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


def _start_worker() -> subprocess.Popen[bytes]:
    """The child ends with us, however we end: its standard input closes."""
    return subprocess.Popen([sys.executable, "-m", "service", "worker", "--with-parent"], stdin=subprocess.PIPE)


def _end_worker(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(WORKER_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _stop_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


if __name__ == "__main__":
    app()
