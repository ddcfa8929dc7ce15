"""`python -m service score` is killed by SIGKILL while it works, begun again, and comes to the same bytes.

Asked of the command and of its file alone: what lies beside the file meanwhile is only counted, to know when to kill. A
short campaign runs with the other tests; JOURNEY_CAMPAIGN=1 (`make campaign`) kills twenty times, also as it starts and
as it ends. The seed is told where it fails; JOURNEY_CAMPAIGN_SEED repeats its choices, though not the machine's timing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from models.journey.event import DAY, SECOND, Event, parse_time
from service.clock import random_id
from service.events import store as log
from service.settings import Settings
from service.state import open_state
from tests.seeds import LONG, SEED

KILLS = 20 if LONG else 2
CUSTOMERS = 10_000
FIRST = parse_time("2026-01-05T10:00:00Z")
AS_OF = "2026-01-31T00:00:00Z"
PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a service that knows many customers. Nothing is live: there are base rates."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "mlruns" / "live").mkdir(parents=True)
    settings = Settings(data_dir=folder / "data", mlruns_dir=folder / "mlruns")
    rng = random.Random(7)
    with open_state(settings, lambda: FIRST + 10 * DAY, random_id) as state:
        for first in range(0, CUSTOMERS, 5_000):
            events = [_event(number, rng) for number in range(first, first + 5_000)]
            log.append(state.log, events, FIRST + DAY)
    environment = {**os.environ, "JOURNEY_DATA_DIR": str(settings.data_dir), "OMP_NUM_THREADS": "1"}
    environment |= {"JOURNEY_MLRUNS_DIR": str(settings.mlruns_dir), "JOURNEY_LOG_LEVEL": "error"}
    return environment


def _event(number: int, rng: random.Random) -> Event:
    name = rng.choice(("Website Visited", "Test Drive Booked", "Email Opened"))
    return Event(f"m{number:06d}", "track", name, f"c{number:06d}", None, FIRST + number * SECOND, FIRST + DAY)


def command(out: Path, *more: str) -> Sequence[str]:
    return [sys.executable, "-m", "service", "score", "--out", str(out), "--as-of", AS_OF, "--json", *more]


def finished(environment: Mapping[str, str], out: Path, *more: str) -> int:
    """Runs it to its end; how many rows it says the file has."""
    done = subprocess.run(command(out, *more), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout.splitlines()[-1])["rows"])


def parts(out: Path) -> dict[str, int]:
    """What is done so far: the parts beside the file, and when each was put down."""
    found = {}
    for path in out.with_name(f".{out.name}.partial").glob("parts/[0-9]*"):
        try:
            found[path.name] = path.stat().st_mtime_ns
        except FileNotFoundError:  # tidied away meanwhile
            continue
    return found


def killed(environment: Mapping[str, str], out: Path, done: int, *more: str) -> None:
    """Runs it until so many parts are done, and no longer."""
    with subprocess.Popen(
        command(out, *more), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + PATIENCE_SECONDS
        while len(parts(out)) < done and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it had ended by itself: take more customers"


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_score_that_is_killed_midway_goes_on_to_the_same_bytes(
    company: Mapping[str, str], tmp_path: Path, format: str
) -> None:
    whole, cut = tmp_path / f"whole.{format}", tmp_path / f"cut.{format}"
    assert finished(company, whole) == CUSTOMERS
    done: dict[str, int] = {}
    for _ in range(2):
        killed(company, cut, len(done) + 3)
        assert not cut.exists()
        after = parts(cut)
        assert len(after) > len(done)
        assert {name: after[name] for name in done} == done  # what was done is not done again
        done = after

    assert finished(company, cut) == CUSTOMERS
    assert cut.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "cut" in path.name] == [cut.name]


@pytest.mark.skipif(not LONG, reason="part of `make campaign`")
def test_killed_at_any_moment_from_its_start_to_its_end_it_comes_to_the_same_bytes(
    company: Mapping[str, str], tmp_path: Path
) -> None:
    rng, whole, cut = random.Random(SEED), tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    begun = time.monotonic()
    finished(company, whole)
    takes = time.monotonic() - begun
    for kill in range(KILLS):
        begun, wait = time.monotonic(), rng.uniform(0, takes)
        with subprocess.Popen(command(cut), env=company, stdout=subprocess.DEVNULL) as process:
            while time.monotonic() < begun + wait and process.poll() is None:
                time.sleep(0.002)
            process.kill()
        if cut.exists():
            assert cut.read_bytes() == whole.read_bytes(), f"kill {kill}, seed {SEED}"
            cut.unlink()
    finished(company, cut)
    assert cut.read_bytes() == whole.read_bytes(), f"seed {SEED}"


def test_processes_that_shared_the_work_end_with_the_one_that_was_killed(
    company: Mapping[str, str], tmp_path: Path
) -> None:
    marked = {**company, "SCORE_KILL_TEST": str(tmp_path)}
    killed(marked, tmp_path / "cut.csv", 1, "--processes", "2")
    until = time.monotonic() + PATIENCE_SECONDS
    while running_with(str(tmp_path)) and time.monotonic() < until:
        time.sleep(0.1)
    assert running_with(str(tmp_path)) == []


def running_with(marker: str) -> list[int]:
    """Processes in whose environment this stands."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it is over, or somebody else's
            continue
    return found
