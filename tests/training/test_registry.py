"""MLflow mirrors the ledger, what it serves answers as the bundle does, and a folder may be moved."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from models.bundle import load_bundle
from models.journey.touchpoint import Catalogue
from models.ledger import bundle_folder, current
from tests.offline import environment_before
from tests.trained import NOW, Trained
from tests.training.variants import variant
from training.outside import answers
from training.publish import go_live
from training.registry import EXAMPLE, NAME, mirror
from training.tracking import open_run, opened
from training.wheel import project_wheel

pytest_plugins = ["tests.trained"]
PROJECT = Path(__file__).parents[2]
ROWS = [
    {"user_id": "ada", "event": "Product Viewed", "occurred_at": "2026-11-20T12:00:00Z", "properties": "{}"},
    {"user_id": "bob", "event": "Test Drive Booked", "occurred_at": "2026-11-21T12:00:00Z", "properties": "{}"},
]


@pytest.fixture(scope="module")
def root(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's own folder and store: version 1 is live and mirrored."""
    root = tmp_path_factory.mktemp("registry") / "mlruns"
    root.mkdir()
    for name in ("tracking.db", "artifacts"):  # making a store takes seconds
        source = trained.config.out / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
    go_live(root, variant(trained.report.folder, root, "champion"), NOW, "ada", "first")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert mirror(root) is None
    return root


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _loaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'tracking.db'}")
    mlflow.set_tracking_uri(None)  # what the environment names
    return mlflow.pyfunc.load_model(f"models:/{NAME}@champion")


@pytest.mark.filterwarnings("ignore")  # of MLflow's own
def test_whoever_loads_the_champion_gets_the_bundles_answers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _loaded(root, monkeypatch)
    told = model.predict(pd.DataFrame(ROWS))  # type: ignore[attr-defined]
    live = current(root)
    assert live is not None
    ours = answers(load_bundle(bundle_folder(root, live.digest)), Catalogue.default(), ROWS)
    assert [json.loads(one) for one in told["insight"]] == ours
    assert told["customer_id"].tolist() == ["ada", "bob"]
    assert ours[0]["next_touchpoint"]["distribution"]
    assert model.metadata.signature.inputs.input_names() == list(EXAMPLE)  # type: ignore[attr-defined]
    example = model.metadata.load_input_example(str(_place(root)))  # type: ignore[attr-defined]
    assert example.to_dict("records") == [EXAMPLE]


def _place(root: Path) -> Path:
    client = MlflowClient(f"sqlite:///{root / 'tracking.db'}")
    return Path(client.get_model_version_by_alias(NAME, "champion").source.removeprefix("file://"))


def test_a_model_brings_its_wheel_its_card_and_nothing_to_unpickle(root: Path) -> None:
    place = _place(root)
    needed = (place / "requirements.txt").read_text().split()
    wheel = next((place / "wheels").iterdir())
    assert f"wheels/{wheel.name}" in needed
    assert not list(place.rglob("*.pkl"))
    card = (place / "MODEL_CARD.md").read_text()
    assert "| Next touchpoint |" in card
    assert "not trained" in card
    client = MlflowClient(f"sqlite:///{root / 'tracking.db'}")
    assert client.get_model_version_by_alias(NAME, "champion").description == card


@pytest.mark.filterwarnings("ignore")
def test_a_moved_folder_still_serves_its_champion(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = tmp_path / "elsewhere" / "mlruns"
    shutil.copytree(root, moved)
    with opened(moved):
        pass
    assert _place(moved).is_relative_to(moved)
    model = _loaded(moved, monkeypatch)
    assert len(model.predict(pd.DataFrame(ROWS))) == 2  # type: ignore[attr-defined]


def test_a_lost_copy_is_made_again_and_a_challenger_is_named(root: Path, trained: Trained, tmp_path: Path) -> None:
    mine = tmp_path / "mlruns"
    shutil.copytree(root, mine)
    challenger = variant(trained.report.folder, mine, "challenger")
    shutil.rmtree(mine / "artifacts")
    assert mirror(mine, challenger=challenger) is None
    client = MlflowClient(f"sqlite:///{mine / 'tracking.db'}")
    aliases = client.get_registered_model(NAME).aliases
    bundles = {alias: client.get_model_version(NAME, number).tags["bundle"] for alias, number in aliases.items()}
    live = current(mine)
    assert live is not None
    assert bundles == {"champion": live.digest, "challenger": challenger}
    go_live(mine, challenger, NOW, "ada", "second")
    mirror(mine)
    aliases = client.get_registered_model(NAME).aliases
    assert set(aliases) == {"champion", "previous"}


def test_a_copy_that_somebody_was_killed_over_is_forgotten(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mlruns"
    shutil.copytree(root, mine)
    code = (
        "from pathlib import Path\nimport os\nfrom mlflow import MlflowClient\nfrom training.registry import mirror\n"
    )
    code += (
        "MlflowClient.create_model_version = lambda *_, **__: os._exit(9)\n"  # the copy is there, and no version yet
    )
    code += f"mirror(Path({str(mine)!r}))\n"
    with opened(mine):
        shutil.rmtree(mine / "artifacts")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    (half,) = (mine / "artifacts").glob("*/artifacts/model")
    assert mirror(mine) is None
    assert not half.exists()
    (whole,) = (mine / "artifacts").glob("*/artifacts/model")
    assert whole == _place(mine)


def test_runs_that_were_killed_are_told_as_such(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mlruns"
    shutil.copytree(root, mine)
    code = "from pathlib import Path\nimport os\nfrom training.tracking import open_run\n"
    code += f"with open_run(Path({str(mine)!r}), 'doomed'):\n    os._exit(9)\n"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    with open_run(mine, "next") as diary:
        runs = diary.client.search_runs([diary.client.get_run(diary.run_id).info.experiment_id])
        status = {run.info.run_name: run.info.status for run in runs}
    assert (status["doomed"], status["next"]) == ("KILLED", "RUNNING")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _serving(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """What `mlflow models serve` of the champion serves; gives its address once it answers."""
    port, told = free_port(), folder / "serve.log"
    words = [*command, "-m", f"models:/{NAME}@champion", "--host", "127.0.0.1", "--port", str(port)]
    with told.open("w") as log:
        server = subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        while not _answers(f"http://127.0.0.1:{port}/ping"):
            assert server.poll() is None, told.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # the server is a child of a shell of MLflow's
        server.wait(30)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def _answer_to_the_example(root: Path, address: str) -> list[dict[str, Any]]:
    """What somebody gets who posts the example that lies beside the model."""
    body = (_place(root) / "serving_input_example.json").read_bytes()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [json.loads(one["insight"]) for one in json.loads(answer.read())["predictions"]]


def _answer_of_the_bundle(root: Path) -> list[dict[str, Any]]:
    live = current(root)
    assert live is not None
    return answers(load_bundle(bundle_folder(root, live.digest)), Catalogue.default(), [EXAMPLE])


def _moved(root: Path, folder: Path) -> Path:
    """A copy of a store that was at home in another folder before, put right by one command."""
    first, moved = folder / "first" / "mlruns", folder / "second" / "mlruns"
    shutil.copytree(root, first)
    with opened(first):
        pass
    moved.parent.mkdir()
    first.rename(moved)
    command = [sys.executable, "-m", "training", "mlflow", "--mirror-only", "--out", str(moved)]
    subprocess.run(command, cwd=PROJECT, check=True)
    return moved


def test_a_moved_folder_is_served_by_mlflow_over_http(root: Path, tmp_path: Path) -> None:
    moved = _moved(root, tmp_path)
    here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow calls uvicorn by its name
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{moved / 'tracking.db'}", "PATH": here}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    with _serving(command, environment, tmp_path) as address:
        assert _answer_to_the_example(moved, address) == _answer_of_the_bundle(moved)


@pytest.mark.skipif("JOURNEY_CAMPAIGN" not in os.environ, reason="installs what a model needs in empty environments")
@pytest.mark.timeout(1800)
def test_an_empty_environment_loads_and_serves_the_champion(root: Path, tmp_path: Path) -> None:
    moved = _moved(root, tmp_path)
    before = environment_before()  # with the way to a package index, which tests have not
    before.pop("PYTHONPATH", None)
    empty = tmp_path / "empty" / "bin"
    environment = {**before, "PATH": f"{empty}:{before['PATH']}", "MLFLOW_ENV_ROOT": str(tmp_path / "environments"),
                   "MLFLOW_TRACKING_URI": f"sqlite:///{moved / 'tracking.db'}"}  # fmt: skip

    def call(*words: str | Path, cwd: Path = tmp_path) -> str:
        done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call(sys.executable, "-m", "venv", empty.parent)
    call(empty / "python", "-m", "pip", "install", "--quiet", "-r", "requirements.txt", cwd=_place(moved))
    code = "import mlflow, pandas as pd, sys\n"
    code += f"model = mlflow.pyfunc.load_model('models:/{NAME}@champion')\n"
    code += f"print(len(model.predict(pd.DataFrame({ROWS!r}))))\n"
    code += "assert not {'torch', 'transformers', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)\n"
    assert call(empty / "python", "-c", code).strip() == "2"
    call(empty / "python", "-m", "pip", "install", "--quiet", "uv")
    for manager in ("local", "uv", *(["virtualenv"] if shutil.which("pyenv") else [])):
        command = [str(empty / "mlflow"), "models", "serve", "--env-manager", manager]
        with _serving(command, environment, tmp_path) as address:
            assert _answer_to_the_example(moved, address) == _answer_of_the_bundle(moved), manager


# -- what it needs -----------------------------------------------------------------------------------------------------


def test_a_model_needs_exact_versions_and_nothing_that_fits(root: Path) -> None:
    wheel, *needed = (_place(root) / "requirements.txt").read_text().split()
    assert wheel.startswith("wheels/journey_insight-")
    assert all(re.fullmatch(r"[a-z0-9._-]+==\S+", one) for one in needed)
    names = {one.partition("==")[0] for one in needed}
    assert {"mlflow-skinny", "pandas", "onnxruntime", "numpy", "sqlalchemy"} <= names
    assert not {"mlflow", "torch", "scikit-learn", "scipy", "transformers", "matplotlib"} & names
    assert f"numpy=={version('numpy')}" in needed


def test_other_code_of_the_same_version_is_a_wheel_of_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = [project_wheel(tmp_path / name) for name in ("one", "other")]
    assert again[0] is not None
    assert [one.name for one in again if one] == [again[0].name] * 2
    source = tmp_path / "source"
    for folder in ("models", "service", "training"):
        shutil.copytree(PROJECT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, source / name)
    (source / "training" / "outside.py").write_text("# other code\n")
    monkeypatch.setattr("training.wheel.ROOT", source)
    changed = project_wheel(tmp_path / "changed")
    assert changed is not None
    assert changed.name != again[0].name


def test_the_wheel_holds_all_that_answers(tmp_path: Path) -> None:
    wheel = project_wheel(tmp_path)
    assert wheel is not None
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"models/bundle.py", "training/outside.py", "training/mlflow_model.txt", "training/gate/page.html"} <= names
