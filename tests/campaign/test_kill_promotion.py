"""Whoever publishes is killed at random moments: the old champion or the new one is live, and no orphan is left.

A short campaign runs with the other tests; JOURNEY_CAMPAIGN=1 (`make campaign`) kills twenty times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from models.bundle import check_manifest, write_manifest
from models.ledger import bundle_folder, current, history
from tests.seeds import LONG, SEED
from training.publish import go_live, store

KILLS = 20 if LONG else 4

PUBLISHER = """
import sys, json
from pathlib import Path
from models.bundle import write_manifest
from training.publish import go_live, store
root, first = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
for number in range(first, first + 100_000):
    folder = root / "unfinished" / str(number)
    folder.mkdir(parents=True)
    (folder / "measured.json").write_text(json.dumps({"number": number, "ballast": "x" * 200_000}))
    write_manifest(folder, {"number": number}, {}, created_at="2026-01-01T00:00:00Z")
    go_live(root, store(root, folder), number, "publisher", f"number {number}")
"""


def test_a_publisher_killed_at_any_moment_leaves_a_champion_that_can_be_served(tmp_path: Path) -> None:
    rng, root = random.Random(SEED), tmp_path / "mlruns"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for kill in range(KILLS):
        command = [sys.executable, "-c", PUBLISHER, str(root), str(1 + kill * 1_000_000)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as publisher:
            assert publisher.stdout is not None
            publisher.stdout.readline()
            time.sleep(rng.uniform(0, 0.15))
            publisher.send_signal(signal.SIGKILL)
        entries = history(root)
        for entry in entries:
            assert bundle_folder(root, entry.digest).is_dir()
        assert [entry.version for entry in entries] == list(range(1, len(entries) + 1)), f"seed {SEED}"
        for path in (root / "versions").glob("*"):
            assert check_manifest(path)["digest"] == path.name
    last = _bundle(root)
    go_live(root, last, 1, "ann", "after all")
    live = current(root)
    assert live is not None
    assert live.digest == last
    assert list((root / "live").glob(".*")) == []


def _bundle(root: Path) -> str:
    folder = root / "unfinished" / "last"
    folder.mkdir(parents=True)
    (folder / "measured.json").write_text(json.dumps({}))
    write_manifest(folder, {"number": "last"}, {}, created_at="2026-01-01T00:00:00Z")
    return store(root, folder)
