"""The same data and seed give the same bundle to the bit: in another process, where sets and dicts hash otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.trained import Trained

pytest_plugins = ["tests.trained"]

ROOT = Path(__file__).parents[1]
AGAIN = """
import sys
from pathlib import Path
from tests.trained import NOW, tiny_config
from training.console import Quiet
from training.pipeline import run

events, feedback, encoder, out = sys.argv[1:]
config = tiny_config(Path(out), encoder, events=Path(events), feedback=Path(feedback))
print(run(config, clock=lambda: NOW + 86_400_000_000, by="somebody else", reporter=Quiet()).digest)
"""


def test_another_process_with_other_hashes_a_day_later_learns_the_same_bundle(trained: Trained, tmp_path: Path) -> None:
    config = trained.config
    given = [str(config.events), str(config.feedback), config.feeling.encoder, str(tmp_path)]
    other_hashes = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": other_hashes, "MLFLOW_TRACKING_URI": trained.store}
    command = [sys.executable, "-c", AGAIN, *given]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [trained.report.digest], done.stderr
