"""A run that was killed goes on where it was, to the same bundle to the bit, and nothing else is mistaken for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from models.bundle import load_bundle
from tests.trained import NOW, Trained, tiny_config
from training import unfinished
from training.console import Quiet
from training.pipeline import Report, run
from training.unfinished import UnfinishedError, leftovers, open_run

pytest_plugins = ["tests.trained"]

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.trained import NOW, tiny_config
from training.console import Quiet
from training.pipeline import run

class Watcher(Quiet):
    def say(self, line):
        if line.startswith(at):
            os.kill(os.getpid(), signal.SIGKILL)
    step = say

events, feedback, encoder, out, at = sys.argv[1:]
config = tiny_config(Path(out), encoder, events=Path(events), feedback=Path(feedback))
run(config, clock=lambda: NOW, by="somebody else", reporter=Watcher())
"""


class Watcher(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def _kill(trained: Trained, out: Path, at: str) -> None:
    """Train in a process of its own that is killed, as kill -9 does, when it says this."""
    config = trained.config
    given = [str(config.events), str(config.feedback), config.feeling.encoder, str(out), at]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": trained.store}
    done = subprocess.run([sys.executable, "-c", KILLED, *given], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "versions").exists()


def _go_on(trained: Trained, out: Path, watcher: Quiet, resume: Path | None = None) -> Report:
    return run(replace(trained.config, out=out), clock=lambda: NOW, by="tester", reporter=watcher, resume=resume)


@pytest.fixture(autouse=True)
def _shared_store(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained.store)


def test_a_run_killed_while_a_net_learned_goes_on_to_the_same_bundle(trained: Trained, tmp_path: Path) -> None:
    _kill(trained, tmp_path, "net 2 of 4, epoch 3")
    (site,) = (tmp_path / "unfinished").iterdir()
    assert leftovers(tmp_path) == [
        f"{site}: an unfinished run; it goes on when `train` is given the same data and settings, or can be removed"
    ]
    assert sorted(path.name for path in (site / "checkpoints").iterdir()) == ["net_1.safetensors", "net_2.safetensors"]
    watcher = Watcher()
    report = _go_on(trained, tmp_path, watcher, resume=site)
    assert report.digest == trained.report.digest
    assert load_bundle(report.folder).digest == report.digest
    told = [line for line in watcher.lines if line.startswith(("net 1", "net 2"))]
    assert told[0].startswith("net 1 of 4, goes on after epoch")
    assert told[1:3] == ["net 2 of 4, goes on after epoch 3", *[line for line in told if "epoch 4:" in line][:1]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["versions"]


def test_questions_that_were_answered_before_the_kill_are_not_asked_again(trained: Trained, tmp_path: Path) -> None:
    _kill(trained, tmp_path, "feeling")
    watcher = Watcher()
    report = _go_on(trained, tmp_path, watcher)
    assert report.digest == trained.report.digest
    assert watcher.lines.count("answered before this run was stopped") == 3
    assert not any(line.startswith("net") for line in watcher.lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["versions"]


def test_a_run_of_other_data_or_settings_is_refused_by_its_digest(trained: Trained, tmp_path: Path) -> None:
    _kill(trained, tmp_path, "net 1 of 4, epoch 1")
    (site,) = (tmp_path / "unfinished").iterdir()
    other = replace(trained.config, out=tmp_path, seed=trained.config.seed + 1, feedback=None)
    with pytest.raises(UnfinishedError, match=rf"is the run {site.name}, .*: data.feedback, settings.seed differ"):
        run(other, clock=lambda: NOW, by="tester", reporter=Quiet(), resume=site)
    with pytest.raises(UnfinishedError, match="is no unfinished run; name a folder in unfinished/"):
        run(other, clock=lambda: NOW, by="tester", reporter=Quiet(), resume=tmp_path)
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == [site.name]


# -- the folder --------------------------------------------------------------------------------------------------------


def test_what_was_answered_comes_back_with_the_randomness_after_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with suppress(KeyboardInterrupt), open_run(tmp_path, {"seed": 1}, resume=None, fresh=False) as run:
        assert (run.resumed, run.answered("purchase/car", rng)) == (False, None)
        rng.random(7)
        run.keep("purchase/car", {"loss": 0.1 + 0.2}, rng)
        raise KeyboardInterrupt
    again = np.random.default_rng(1)
    with open_run(tmp_path, {"seed": 1}, resume=None, fresh=False) as run:
        assert run.resumed
        assert run.answered("purchase/car", again) == {"loss": 0.1 + 0.2}
    assert again.random() == rng.random()
    assert not list(tmp_path.iterdir())


def _stopped(out: Path) -> Path:
    """The folder of a run that had answered one question when it was stopped."""
    with suppress(KeyboardInterrupt), open_run(out, {}, resume=None, fresh=False) as run:
        run.keep("feeling", {"loss": 1.0}, np.random.default_rng(1))
        raise KeyboardInterrupt
    (site,) = (out / unfinished.FOLDER).iterdir()
    return site


def test_a_run_killed_after_its_bundle_was_stored_begins_anew_and_not_with_answers_without_files(
    tmp_path: Path,
) -> None:
    site = _stopped(tmp_path)
    (site / "bundle").rename(tmp_path / "stored")  # as publishing does
    with open_run(tmp_path, {}, resume=None, fresh=False) as run:
        assert not run.resumed
        assert run.answered("feeling", np.random.default_rng(1)) is None
        assert [*run.bundle.iterdir(), *run.checkpoints.iterdir(), *run.plots.iterdir()] == []


def test_what_lies_there_of_another_run_or_without_a_word_counts_as_nothing(tmp_path: Path) -> None:
    for told in ('{"another": "run"}', None):
        site = _stopped(tmp_path)
        (site / "run.json").unlink() if told is None else (site / "run.json").write_text(told)
        with open_run(tmp_path, {}, resume=None, fresh=False) as run:
            assert not run.resumed
            assert run.answered("feeling", np.random.default_rng(1)) is None


def test_what_was_half_written_when_its_process_was_killed_is_no_part_of_the_bundle(tmp_path: Path) -> None:
    site = _stopped(tmp_path)
    (site / "bundle" / ".feedback-x1y2").mkdir()
    (site / "bundle" / ".feedback-x1y2" / "feedback.onnx").write_bytes(b"half of it")
    with open_run(tmp_path, {}, resume=None, fresh=False) as run:
        assert run.resumed
        assert list(run.bundle.rglob("*")) == []


def test_afresh_forgets_what_was_done(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with suppress(KeyboardInterrupt), open_run(tmp_path, {}, resume=None, fresh=False) as run:
        run.keep("feeling", {}, rng)
        raise KeyboardInterrupt
    with open_run(tmp_path, {}, resume=None, fresh=True) as run:
        assert not run.resumed
        assert run.answered("feeling", rng) is None


def test_a_run_that_had_done_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path, {}, resume=None, fresh=False):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_two_processes_never_work_on_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "unfinished" / unfinished.digest_of({})[:12]
    folder.mkdir(parents=True)
    with (
        FileLock(folder / "lock"),
        pytest.raises(UnfinishedError, match="another process is training this very run"),
        open_run(tmp_path, {}, resume=None, fresh=False),
    ):
        pass


def test_what_a_killed_run_of_an_earlier_version_left_is_told(tmp_path: Path) -> None:
    (tmp_path / ".building-x").mkdir()
    assert leftovers(tmp_path) == [f"{tmp_path}/.building-x: left by a run that was killed; it can be removed"]
    assert leftovers(tmp_path / "new") == []


def test_where_data_lies_and_what_is_published_is_not_part_of_a_run(tmp_path: Path) -> None:
    assert tiny_config(tmp_path).to_dict().keys() >= {"events", "feedback", "verdicts", "catalogue", "out", "publish"}
