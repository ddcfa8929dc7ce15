"""MLflow mirrors the ledger, what it serves answers as the bundle does, and a folder may be moved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from models.bundle import load_bundle
from models.journey.touchpoint import Catalogue
from models.ledger import bundle_folder, current
from tests.trained import NOW, Trained
from tests.training.variants import variant
from training.outside import answers
from training.publish import go_live
from training.registry import EXAMPLE, NAME, mirror
from training.tracking import open_run, opened
from training.wheel import project_wheel

pytest_plugins = ["tests.trained"]
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


def test_runs_that_were_killed_are_told_as_such(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mlruns"
    shutil.copytree(root, mine)
    code = "from pathlib import Path\nimport os\nfrom training.tracking import open_run\n"
    code += f"with open_run(Path({str(mine)!r}), 'doomed'):\n    os._exit(9)\n"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    with open_run(mine, "next") as diary:
        runs = diary.client.search_runs([diary.client.get_run(diary.run_id).info.experiment_id])
        status = {run.info.run_name: run.info.status for run in runs}
    assert (status["doomed"], status["next"]) == ("KILLED", "RUNNING")


@pytest.mark.skipif(
    "JOURNEY_CAMPAIGN" not in os.environ, reason="installs the wheel and MLflow in an empty environment"
)
@pytest.mark.timeout(1800)
def test_an_empty_environment_loads_and_serves_the_champion(root: Path, tmp_path: Path) -> None:
    place = _place(root)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    python = tmp_path / "empty" / "bin" / "python"
    pins = Path(__file__).parents[2] / "constraints.txt"
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "-c", pins]
    subprocess.run([*install, "-r", "requirements.txt"], cwd=place, check=True)
    code = "import mlflow, pandas as pd, sys\n"
    code += f"model = mlflow.pyfunc.load_model('models:/{NAME}@champion')\n"
    code += f"print(len(model.predict(pd.DataFrame({ROWS!r}))))\n"
    code += "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)\n"
    environment = {"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'tracking.db'}"}
    done = subprocess.run([python, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"


def test_the_wheel_holds_all_that_answers(tmp_path: Path) -> None:
    wheel = project_wheel(tmp_path)
    assert wheel is not None
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"models/bundle.py", "training/outside.py", "training/mlflow_model.txt", "training/gate/page.html"} <= names
