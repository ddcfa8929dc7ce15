"""score: insights of many customers as a file, without the service running. Cut off, it goes on where it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from models.bundle import load_bundle
from service import logs
from service.clock import random_id, system_clock
from service.commands.console import AsJson, opened, progress
from service.customers import handed_out
from service.errors import Conflict, Invalid
from service.events import projector
from service.insights.conclude import moment
from service.insights.moments import check_past, moment_of
from service.jobs.runner import bundle_of, members
from service.jobs.scoring import Combining, Format, Order, Scoring, all_customers, as_lines, score
from service.live.bundles import Live, LiveBundles
from service.settings import Settings
from service.state import State, open_state

app = typer.Typer()

Lines = tuple[int, list[bytes]]
AHEAD = 2
"""Parts that another process is given, so that the next one lies ready when one is done."""


@app.command("score")
def score_command(
    out: Annotated[Path, typer.Option(help="The file to write: .parquet or .csv.")],
    customers: Annotated[Path | None, typer.Option(help="A file of ids, one a line; missing: all customers.")] = None,
    audience: Annotated[str | None, typer.Option(help="The id of an audience, in place of customers.")] = None,
    journeys: Annotated[Path | None, typer.Option(help="A file of journeys, as POST /v1/jobs/journeys takes.")] = None,
    as_of: Annotated[str | None, typer.Option(help="A moment, ISO 8601; missing: now.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many to share the work among.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Write insights of many customers as Parquet or CSV; goes on where an earlier run was cut off."""
    with opened() as state:
        scoring, live = _begun(state, out, customers, audience, journeys, as_of)
        begun, total = time.monotonic(), scoring.total()
        with progress(f"of {total:,} scored") as tell:
            for number in _scored(state, live, scoring, processes):
                tell(min(total, (number + 1) * scoring.order.part))
        combining = Combining(scoring)
        while combining.step():
            pass
        seconds = time.monotonic() - begun
        scoring.result.replace(out)
        shutil.rmtree(scoring.folder)
    told = {"file": str(out), "rows": combining.rows, "version": live.model.version, "seconds": round(seconds, 3)}
    print(json.dumps(told) if as_json else f"{out}: {combining.rows:,} rows by version {live.model.version}")


def _begun(
    state: State, out: Path, customers: Path | None, audience: str | None, journeys: Path | None, as_of: str | None
) -> tuple[Scoring, Live]:
    """What is scored, taken down now or by the run that was cut off. Raises Invalid or Conflict."""
    if sum(one is not None for one in (customers, audience, journeys)) > 1:
        raise Invalid(
            "More than one of --customers, --audience and --journeys is given.", "Give one.", field="customers"
        )
    asked: dict[str, Any] = {"customers": _text(customers), "audience": audience, "journeys": _text(journeys),
                             "as_of": as_of}  # fmt: skip
    scoring, bundles = Scoring(out.with_name(f".{out.name}.partial")), _bundles(state.settings)
    taken = scoring.folder / "asked.json"
    if scoring.is_begun:
        if msgspec.json.decode(taken.read_bytes()) != asked:
            raise Conflict(f"Something else was begun in {scoring.folder}.", "Ask for the same, or delete that folder.",
                           code="score_begun", field="out", value=str(out))  # fmt: skip
        return scoring, bundle_of(bundles, scoring.order)
    projector.fold_all(state)
    model = bundles.now().model
    order = Order("customers" if journeys is None else "journeys", _moment(state, as_of), _format(out), model.version,
                  model.digest)  # fmt: skip
    export = handed_out.Export(state.ids(), scoring.folder.with_name(out.name), state.clock(), order.as_of, {})
    with state.service.write() as connection:
        handed_out.record(connection, export)
    scoring.folder.mkdir(parents=True, exist_ok=True)
    taken.write_bytes(msgspec.json.encode(asked))
    return Scoring.begin(scoring.folder, order, _lines(state, customers, audience, journeys)), bundle_of(bundles, order)


def _lines(state: State, customers: Path | None, audience: str | None, journeys: Path | None) -> Iterator[bytes]:
    if journeys is not None:
        return (line for line in journeys.read_bytes().splitlines() if line.strip())
    if customers is not None:
        return as_lines(sorted({line.strip() for line in customers.read_text("utf-8").splitlines()} - {""}))
    return as_lines(all_customers(state) if audience is None else members(state, audience))


def _scored(state: State, live: Live, scoring: Scoring, processes: int) -> Iterator[int]:
    """Score every part that is not there yet; gives their numbers as they are done.

    This process works too, for others take seconds to start.
    """
    order, context, given = scoring.order, multiprocessing.get_context("spawn"), list[Future[int]]()
    with ExitStack() as opened:
        if processes > 1:
            others = ProcessPoolExecutor(processes - 1, context, _start, (state.settings, scoring))
            pool = opened.enter_context(others)
        for number, lines in scoring.parts():
            done = [one for one in given if one.done()]
            given = [one for one in given if one not in done]
            yield from (one.result() for one in done)
            if len(given) < AHEAD * (processes - 1):
                given.append(pool.submit(_part, (number, lines)))
                continue
            scoring.keep(number, score(state, live, order, number, lines))
            yield number
        yield from (one.result() for one in given)


class _Process:
    """What a process that helps has open, for as long as it lives."""

    state: State
    live: Live
    scoring: Scoring


def _start(settings: Settings, scoring: Scoring) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logs.configure(settings.log_level)
    opened = ExitStack()
    Finalize(None, opened.close, exitpriority=1)  # before the interpreter waits for threads
    _Process.state = opened.enter_context(open_state(settings, system_clock, random_id))
    _Process.live, _Process.scoring = bundle_of(_bundles(settings), scoring.order), scoring


def _end_with_parent() -> None:
    """Nobody else ends us where the parent was killed: what we would put down, another run may be putting down."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _part(part: Lines) -> int:
    """Score a part and put it down; its rows need not go from one process to another."""
    number, lines = part
    scoring = _Process.scoring
    scoring.keep(number, score(_Process.state, _Process.live, scoring.order, number, lines))
    return number


def _bundles(settings: Settings) -> LiveBundles:
    load = partial(load_bundle, remembered=settings.feeling_answers)
    return LiveBundles(settings.mlruns_dir, settings.onnx_threads, load=load)


def _moment(state: State, as_of: str | None) -> int:
    with state.service.read() as connection:
        now = moment(connection, state)
    if as_of is None:
        return now
    at = moment_of("as_of", as_of)
    check_past(at, now)
    return at


def _format(out: Path) -> Format:
    if out.suffix == ".parquet":
        return "parquet"
    if out.suffix == ".csv":
        return "csv"
    raise Invalid(f"{out.name!r} names no format.", "Name a file of an allowed one.", field="out", value=str(out),
                  allowed=(".parquet", ".csv"))  # fmt: skip


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
