"""MLflow's own pages open on the store that is meant, for this machine alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from training.__main__ import app
from training.pages import server
from training.tracking import EXPERIMENT, open_run

PROJECT = Path(__file__).parents[2]


def test_the_projects_own_store_is_shown_with_its_files_on_loopback_alone(tmp_path: Path) -> None:
    words = server(tmp_path / "mlruns", 5001, None)
    options = dict(zip(words[1::2], words[2::2], strict=False))
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == "5001"
    assert options["--backend-store-uri"] == f"sqlite:///{tmp_path}/mlruns/tracking.db"
    assert options["--default-artifact-root"] == f"file://{tmp_path}/mlruns/artifacts"


def test_of_a_server_of_the_users_only_the_address_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = CliRunner().invoke(app, ["mlflow", "--out", str(tmp_path)])
    assert told.exit_code == 0
    assert "which has its own pages: http://127.0.0.1:9" in told.stdout
    assert "mirror of the ledger was left as it was" in told.stderr


def test_the_store_that_the_user_named_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that training wrote into it is found over HTTP, and no address but loopback answers."""
    store = f"sqlite:///{tmp_path / 'theirs.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    with open_run(tmp_path / "mlruns", "a run of ours"):
        pass
    shutil.rmtree(tmp_path / "mlruns")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    words = [sys.executable, "-m", "training", "mlflow", "--out", str(tmp_path / "mlruns"), "--port", str(port)]
    with (tmp_path / "told.log").open("w") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        found = _runs(f"http://127.0.0.1:{port}", process, tmp_path / "told.log")
        assert [one["info"]["run_name"] for one in found] == ["a run of ours"]
        with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=5):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _runs(base: str, process: subprocess.Popen[bytes], log: Path) -> list[dict[str, Any]]:
    """The runs of our experiment as the server tells them, once it is up."""
    while True:
        try:
            asked = f"{base}/api/2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
            with urllib.request.urlopen(asked, timeout=10) as answer:
                experiment = json.loads(answer.read())["experiment"]["experiment_id"]
            break
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
    body = json.dumps({"experiment_ids": [experiment]}).encode()
    request = urllib.request.Request(f"{base}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.loads(answer.read())["runs"])
