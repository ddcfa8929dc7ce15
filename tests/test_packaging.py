"""The wheel holds the product and nothing else; without extras it installs in an empty environment, and serves."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.offline import environment_before
from tests.trained import NOW, Trained
from training.publish import go_live

pytest_plugins = ["tests.trained"]
pytestmark = pytest.mark.timeout(600)  # the first installation fetches some 150 MB

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "service", "training")
WHAT_FITS = ("torch", "transformers", "sklearn", "mlflow", "pandas", "scipy", "onnx", "skl2onnx")
PATIENCE_SECONDS = 60


def pip_environment() -> dict[str, str]:
    """As the user has it, so that pip finds its index and its cache; but nothing of ours on Python's path."""
    return {name: value for name, value in environment_before().items() if not name.startswith("PYTHON")}


def call(*command: str | Path, **given: Any) -> str:
    """Run a command that must succeed; returns its stdout."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **given)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT)
    (built,) = out.iterdir()
    return built


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and what it requires by default, and a folder to work in."""

    python: Path
    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """Of the environment's Python, which sees neither the repository nor PYTHON… settings."""
        return [str(self.python), "-I", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "JOURNEY_DATA_DIR": str(self.folder / "data"), "JOURNEY_MLRUNS_DIR": str(self.folder)}

    def run(self, *arguments: str) -> str:
        return call(*self.command(*arguments), cwd=self.folder, env=self.environment())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Skips where pip reaches no index; in CI that is a failure, so that nobody believes these tests ran."""
    folder = tmp_path_factory.mktemp("installed")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    options = ("--quiet", "--no-compile", "--retries", "1", "--constraint", str(ROOT / "constraints.txt"))
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)]
    pip = subprocess.run(command, env=pip_environment(), capture_output=True, text=True)
    if pip.returncode and "connection broken" in pip.stderr and os.environ.get("CI") != "true":
        pytest.skip("pip reaches no package index")
    assert pip.returncode == 0, pip.stderr
    return Installed(python, folder)


def test_the_wheel_holds_every_file_of_the_product_and_nothing_else(wheel: Path) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as opened:
        there = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert there == ours
    kinds = {Path(name).suffix for name in there}
    assert kinds >= {".py", ".yaml", ".html", ".css", ".js", ".svg"}
    assert any(name.startswith("service/migrations/service/versions/") for name in there)
    assert any(name.startswith("training/simulator/fragments/") for name in there)


def test_the_wheel_requires_nothing_that_fits_unless_asked_to(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (metadata,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(opened.read(metadata).decode())
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in opened.namelist())
    required = told.get_all("Requires-Dist") or []
    by_default = " ".join(line for line in required if "extra ==" not in line)
    assert not [name for name in (*WHAT_FITS, "scikit-learn") if name in by_default.replace("onnxruntime", "")]
    assert any("torch" in line and "train" in line for line in required)


def test_an_installation_without_extras_cannot_import_what_fits(installed: Installed) -> None:
    code = f"import importlib.util as u, json; print(json.dumps([n for n in {WHAT_FITS!r} if u.find_spec(n)]))"
    assert json.loads(installed.run("-c", code)) == []
    where = installed.run("-c", "import models, service, training; print(models.__file__)")
    assert where.startswith(str(installed.folder))


def test_an_installation_without_extras_answers_with_an_insight(installed: Installed, trained: Trained) -> None:
    digest = trained.report.digest
    shutil.copytree(trained.report.folder, installed.folder / "versions" / digest)
    go_live(installed.folder, digest, NOW, "the test", "to serve it")
    options = [part for scope in ("ingest", "read", "provisional") for part in ("--scope", scope)]
    made = json.loads(installed.run("-m", "service", "keys", "create", "--name", "shop", *options, "--json"))
    with serving(installed, made["key"]) as client:
        sent = client.post("/v1/batch", json={"batch": [visit(day) for day in range(1, 9)]})
        assert sent.status_code == 200, sent.text
        said = {"id": "f1", "customer_id": "ada", "text": "great, I love it", "said_at": now(), "channel": "chat"}
        assert client.post("/v1/feedback", json=said).status_code == 200
        assert client.get("/readyz").json()["bundle"]["digest"] == digest
        insight = client.get("/v1/customers/ada/insight").json()
    assert insight["model"]["digest"] == digest
    assert insight["journey"]["touchpoints"] == 8
    likely = [one["probability"] for one in insight["next_touchpoint"]["distribution"]]
    assert 0.5 < sum(likely) < 1.001
    assert insight["feeling"]["feedback_id"] == "f1"


def visit(days_ago: int) -> dict[str, Any]:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days_ago * 86_400))
    return {"type": "track", "event": "Product Viewed", "userId": "ada", "timestamp": at, "messageId": f"m{days_ago}"}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextmanager
def serving(installed: Installed, key: str, arguments: Sequence[str] = ()) -> Iterator[httpx.Client]:
    """The installed service, listening on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = installed.command("-m", "service", "serve", "--port", str(port), *arguments)
    log = installed.folder / "serve.log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, cwd=installed.folder, env=installed.environment(), stdout=told, stderr=subprocess.STDOUT
        )
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
            assert answers(client, process), log.read_text()
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def answers(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    for _ in range(PATIENCE_SECONDS * 20):
        try:
            return client.get("/healthz").status_code == 200
        except httpx.TransportError:
            if process.poll() is not None:
                return False
            time.sleep(0.05)
    return False
