"""`python -m training mlflow`: MLflow's own pages on what training wrote down, and its mirror of the ledger put right.

Writes no page: MLflow has them. It listens on this machine alone, for it asks nobody who they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from training.refusal import stderr

Out = Annotated[Path, typer.Option(help="Folder of versions/, live/ and MLflow's store.")]
LOOPBACK = "127.0.0.1"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Nothing is told to anybody, and MLflow's job runner, eight processes that pages have no use for, is left out."""


def mlflow(
    out: Out = Path("mlruns"),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="On 127.0.0.1, for this machine alone.")] = 5000,
    mirror_only: Annotated[
        bool, typer.Option("--mirror-only", help="Open nothing: put MLflow's mirror of the ledger right, and end.")
    ] = False,
) -> None:
    """Open MLflow's pages on the project's own store, or on the one that MLFLOW_TRACKING_URI names.

    Before that, MLflow's mirror of the ledger is put right, also where the folder was moved.
    """
    from training.registry import mirror

    kept_from = mirror(out)
    if kept_from:
        stderr().print(f"[yellow]note:[/yellow] {kept_from}", highlight=False, soft_wrap=True)
    if mirror_only:
        return
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is not None and uri.startswith(("http://", "https://")):
        typer.echo(f"MLFLOW_TRACKING_URI names a server, which has its own pages: {uri}")
        return
    stderr().print(f"MLflow's pages: http://{LOOPBACK}:{port} (stop with Ctrl-C)", highlight=False)
    os.environ.update(QUIET)
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *server(out, port, uri)])  # noqa: S606 - our own words


def server(out: Path, port: int, uri: str | None) -> list[str]:
    """The words of `mlflow` that open a store's pages: the user's, else the project's own with its files.

    >>> server(Path("/srv/mlruns"), 5000, "sqlite:////srv/team.db")[-2:]
    ['--backend-store-uri', 'sqlite:////srv/team.db']
    """
    words = ["server", "--host", LOOPBACK, "--port", str(port), "--workers", "1", "--backend-store-uri"]
    if uri is not None:
        return [*words, uri]
    place = out.resolve()
    artifacts = (place / "artifacts").as_uri()
    return [*words, f"sqlite:///{place / 'tracking.db'}", "--default-artifact-root", artifacts, "--no-serve-artifacts"]
