"""Training and promoting are killed in every phase: the champion serves on, the work is gone on with, no orphan stays.

A short campaign runs with the other tests; JOURNEY_CAMPAIGN=1 (`make campaign`) kills in every phase, and at random
moments of it. JOURNEY_CAMPAIGN_SEED repeats its choices, though not the machine's timing.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from models.bundle import check_manifest, load_bundle
from models.journey.touchpoint import Catalogue
from models.ledger import bundle_folder, current, history
from tests.seeds import LONG, SEED
from tests.trained import NOW, Trained
from tests.training.variants import variant
from training.outside import answers
from training.publish import go_live
from training.registry import CHAMPION, EXAMPLE, NAME, PREVIOUS, mirror

pytest_plugins = ["tests.trained"]

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 300

TRAINER = """
import sys
from pathlib import Path
from tests.trained import NOW, tiny_config
from training import pipeline
from training.console import Quiet
from training.gate import judge

class Telling(Quiet):
    def step(self, line):
        print(line, flush=True)
    say = step
    def advance(self, what, done, total):
        print(what, flush=True)

events, feedback, encoder, out = sys.argv[1:]
pipeline.gate = judge.gate = lambda figures: (True, "beats every baseline")  # tiny nets lose to them
config = tiny_config(Path(out), encoder, events=Path(events), feedback=Path(feedback))
report = pipeline.run(config, clock=lambda: NOW, by="trainer", reporter=Telling())
print("ended with", report.digest, flush=True)
"""


@dataclass(frozen=True)
class Phase:
    """Where to kill: up to so many seconds after a line was told or a file was written, or else after the start."""

    line: str = ""
    file: str = ""
    seconds: float = 0.5

    @property
    def may_have_published(self) -> bool:
        """The gate has begun by then, and a quick machine is through it and live before the kill."""
        return self.line in ("beside version", "MLflow's mirror") or self.file.startswith(("gates", "live"))


EVERY_PHASE = (
    Phase("reading", seconds=3), Phase("opening MLflow", seconds=1.5), Phase("next touchpoint"), Phase("net 1 of"),
    Phase("net 3 of"), Phase("purchase: car_purchase", seconds=2), Phase("purchase: web_visit", seconds=2),
    Phase("feeling", seconds=2), Phase("building the int8 encoder", seconds=1), Phase("preferred channel"),
    Phase("closing the bundle", seconds=0.3), Phase(file="unfinished/*/bundle/manifest.json"),
    Phase("beside version", seconds=6), Phase(file="gates/*/[0-9]*", seconds=0.02),
    Phase(file="live/000002.json", seconds=0.02), Phase("MLflow's mirror", seconds=2),
)  # fmt: skip
"""Of a run, in its order: the one that is killed in the last of them has let the challenger go live."""
SOME_PHASES = tuple(EVERY_PHASE[number] for number in (4, 12))


@dataclass(frozen=True)
class Site:
    """A project's folder with a champion, and the run that makes its challenger."""

    root: Path
    trained: Trained
    champion: str

    @property
    def challenger(self) -> str:
        return self.trained.report.digest

    def train(self) -> subprocess.Popen[str]:
        config = self.trained.config
        given = [str(config.events), str(config.feedback), config.feeling.encoder, str(self.root)]
        return self.start("-c", TRAINER, *given)

    def start(self, *words: str) -> subprocess.Popen[str]:
        scratch = self.root.parent / "tmp"
        scratch.mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        told = self.root.parent / "told.txt"
        with told.open("w") as file:
            return subprocess.Popen([sys.executable, *words], env=environment, cwd=ROOT, stdout=file, stderr=file,
                                    text=True)  # fmt: skip

    @property
    def told(self) -> str:
        return (self.root.parent / "told.txt").read_text("utf-8", errors="replace")

    def kill(self, process: subprocess.Popen[str], phase: Phase, rng: random.Random) -> None:
        """Kill it in its phase; what is over before that has ended well."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        before = self.files(phase.file)
        while process.poll() is None:
            assert time.monotonic() < deadline, f"{phase} was never reached: {self.told}"
            if self.files(phase.file) - before if phase.file else f"\n{phase.line}" in f"\n{self.told}":
                time.sleep(rng.uniform(0, phase.seconds))
                process.kill()
                break
            time.sleep(0.005 if phase.file else 0.05)
        assert process.wait() in (0, -signal.SIGKILL), self.told

    def files(self, pattern: str) -> set[tuple[Path, int]]:
        """Those that there are, each as it was last written."""
        found = set()
        for path in self.root.glob(pattern) if pattern else ():
            with suppress(FileNotFoundError):  # it was moved meanwhile
                found.add((path, path.stat().st_mtime_ns))
        return found

    def ended(self, process: subprocess.Popen[str]) -> str:
        assert process.wait(PATIENCE_SECONDS) == 0, self.told
        return self.told

    def serves(self, *allowed: str) -> None:
        """What is live is one of these, whole, and answers."""
        live = current(self.root)
        assert live is not None
        assert live.digest in allowed
        assert len(answers(load_bundle(bundle_folder(self.root, live.digest)), Catalogue.default(), [EXAMPLE])) == 1
        assert [one.version for one in history(self.root)] == list(range(1, live.version + 1))
        for path in (self.root / "versions").iterdir():
            assert check_manifest(path)["digest"] == path.name

    def has_no_orphan(self) -> None:
        """Nothing half-made is left: no run under way, no hidden or partial file, no copy that nobody names."""
        assert not (self.root / "unfinished").exists()
        assert [one for one in self.root.rglob("*") if one.name.startswith(".") or one.suffix == ".partial"] == []
        assert list((self.root.parent / "tmp").glob("journey-insight-*")) == []
        client = self.client
        (experiment,) = client.search_experiments(filter_string=f"name = '{NAME}'")
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        assert [run.info.run_name for run in runs if run.info.status == "RUNNING"] == []
        named = {run.info.run_id for run in runs}
        assert {one.name for one in (self.root / "artifacts").iterdir()} <= named
        copies = list((self.root / "artifacts").glob("*/artifacts/model"))
        assert len(copies) == len(client.search_model_versions(f"name = '{NAME}'"))

    @property
    def client(self) -> Any:
        return MlflowClient(f"sqlite:///{self.root / 'tracking.db'}")

    def aliases(self) -> dict[str, str]:
        """{alias: digest} as MLflow has it."""
        found = self.client.get_registered_model(NAME).aliases
        return {alias: self.client.get_model_version(NAME, number).tags["bundle"] for alias, number in found.items()}


@pytest.fixture
def site(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "mlruns"
    root.mkdir()
    shutil.copyfile(trained.config.out / "tracking.db", root / "tracking.db")  # making a store takes seconds
    shutil.copytree(trained.config.out / "artifacts", root / "artifacts")
    champion = variant(trained.report.folder, root, "champion")
    go_live(root, champion, NOW, "ada", "first")
    assert mirror(root) is None
    return Site(root, trained, champion)


@pytest.mark.timeout(5000 if LONG else 1800)
def test_training_killed_in_any_phase_leaves_the_champion_and_goes_on_to_the_same_bundle(site: Site) -> None:
    print(f"JOURNEY_CAMPAIGN_SEED={SEED}")  # noqa: T201 - told where the test fails
    rng = random.Random(SEED)
    for phase in EVERY_PHASE if LONG else SOME_PHASES:
        site.kill(site.train(), phase, rng)
        site.serves(site.champion, *([site.challenger] if phase.may_have_published else []))
    told = site.ended(site.train())
    assert f"ended with {site.challenger}" in told
    site.serves(site.challenger)
    assert site.aliases() == {CHAMPION: site.challenger, PREVIOUS: site.champion}
    site.has_no_orphan()


@pytest.mark.timeout(5000 if LONG else 1800)
def test_promoting_killed_at_any_moment_leaves_a_champion_and_no_orphan(site: Site) -> None:
    print(f"JOURNEY_CAMPAIGN_SEED={SEED}")  # noqa: T201 - told where the test fails
    rng = random.Random(SEED + 1)
    events = site.trained.config.events
    assert events is not None
    phases = [Phase(file="gates/*/[0-9]*", seconds=0.02), Phase(file="live/{next}", seconds=1.5)]
    if LONG:
        phases = [Phase(seconds=12), *phases, Phase(file="live/{next}", seconds=5)] * 2
    challenger = site.champion
    for number, phase in enumerate(phases):
        before = current(site.root)
        assert before is not None
        if challenger == before.digest:  # the last one went live
            challenger = variant(site.trained.report.folder, site.root, f"challenger-{number}")
        following = Phase(file=phase.file.format(next=f"{before.version + 1:06d}.json"), seconds=phase.seconds)
        site.kill(site.start(*_promotion(site, challenger, events.parent)), following, rng)
        site.serves(before.digest, challenger)
    last = variant(site.trained.report.folder, site.root, "last")
    before = current(site.root)
    assert before is not None
    site.ended(site.start(*_promotion(site, last, events.parent)))
    site.serves(last)
    aliases = site.aliases()
    assert (aliases[CHAMPION], aliases[PREVIOUS]) == (last, before.digest)
    site.has_no_orphan()


def _promotion(site: Site, digest: str, data: Path) -> list[str]:
    words = ["-m", "training", "promote", digest, "--data", str(data), "--out", str(site.root)]
    return [*words, "--auto", "--force", "--why", "to see"]
