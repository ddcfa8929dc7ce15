"""python -m service: serve (the default) and worker; the other commands are in service/commands/."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from typing import Annotated

import typer
import uvicorn

from service.app import create_app
from service.commands import catalogue, data, events, explain, keys, policy, reviewers, score
from service.commands.console import failing_clearly, opened, progress, settings_of
from service.errors import Conflict
from service.insights.promised import put_in_force
from service.live.bundles import LiveBundles
from service.state import refuse_half_restored
from service.worker import Worker, run_worker

app = typer.Typer(help="Events and feedback in, insights and cases out.", no_args_is_help=False, add_completion=False)
app.add_typer(keys.app, name="keys")
app.add_typer(reviewers.app, name="reviewers")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(policy.app, name="policy")
app.add_typer(events.app)
app.add_typer(data.app)
app.add_typer(explain.app)
app.add_typer(score.app)

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
    settings = settings_of(host=host, port=port)
    with failing_clearly():
        refuse_half_restored(settings)
        child = _start_worker() if with_worker else None
        try:
            app = create_app(settings, started=_keep)
            # uvicorn's access log would name paths, and so customers; RequestLog writes a line without them.
            uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_config=None,
                        server_header=False, timeout_graceful_shutdown=settings.stop_seconds)  # fmt: skip
        finally:
            if child is not None:
                _end_worker(child)


def _keep() -> None:
    """What is loaded at the start stays: the collector of cycles need not look through all of it again while requests
    wait, which takes it 30 to 100 ms each time."""
    gc.collect()
    gc.freeze()


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", help="Stop when standard input is closed.")] = False,
) -> None:
    """Fold the log and conclude, until told to stop."""
    if once:
        _work_once()
        return
    settings, stop = settings_of(), threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    if with_parent:
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    with failing_clearly():
        run_worker(settings, stop=stop)


def _work_once() -> None:
    with opened() as state, progress("events folded", "customers concluded") as tell:
        bundles = LiveBundles(state.settings.mlruns_dir, state.settings.onnx_threads)
        once = Worker(state, bundles, state.ids())
        if not once.hold_lease():
            raise Conflict("Another worker is at work.", "Let it, or stop it first.", code="worker_busy")
        put_in_force(state)
        once.run_until_idle(lambda done: tell(done.folded, done.customers))
        once.rest()


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
