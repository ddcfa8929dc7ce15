"""One made-up company and one training run on it, shared by every test that needs a bundle.

A test module asks for these fixtures with `pytest_plugins = ["tests.trained"]`: all others are spared the imports.
PYTEST_DONT_REWRITE: test modules may have imported it before; it asserts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.bundle import LoadedBundle, load_bundle
from models.journey.assembly import assemble
from models.journey.event import parse_time
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.journey.touchpoint import Catalogue
from models.nets.next_touchpoint import NetShape
from tests.tiny_encoder import write_tiny_encoder
from training.config import TrainConfig
from training.console import Quiet
from training.crossfit import BoostingConfig
from training.feedback import FeedbackConfig
from training.next_touchpoint import NextTouchpointConfig
from training.pipeline import Report, run
from training.purchase import PurchaseConfig
from training.simulator import simulate

NOW = parse_time("2026-11-21T12:00:00Z")
BOUGHT = Target("car_purchase", ("dealer.purchase",), 90 * 86_400)
SEEN_AGAIN = Target("web_visit", ("web.*",), 30 * 86_400)


@dataclass(frozen=True)
class Trained:
    """A run that answered every question, what it was given, and where its diary is."""

    config: TrainConfig
    report: Report

    @property
    def store(self) -> str:
        """MLflow's store of the run, for runs that may share it: making one takes seconds."""
        return f"sqlite:///{self.config.out / 'tracking.db'}"


def tiny_config(out: Path, encoder: str = "none", *, events: Path | None = None, feedback: Path | None = None,
                targets: tuple[Target, ...] = (BOUGHT, SEEN_AGAIN)) -> TrainConfig:  # fmt: skip
    """Settings with which a run takes seconds."""
    return TrainConfig(
        events=events,
        feedback=feedback,
        targets=targets,
        out=out,
        next_touchpoint=NextTouchpointConfig(
            NetShape(length=8, width=16), epochs=10, learning_rate=1e-2, minimum_examples=20
        ),
        purchase=PurchaseConfig(
            minimum_positives=20, boosting=BoostingConfig(most_rounds=20, leaf_examples=20, folds=2)
        ),
        feeling=FeedbackConfig(encoder=encoder, epochs=1, max_tokens=24, threads=1, least_texts=20),
    )


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a made-up company with 300 customers."""
    folder = tmp_path_factory.mktemp("company")
    simulate(300, 7, folder)
    return folder


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_encoder(
        tmp_path_factory.mktemp("encoder"), ["not", "but", "great", "love", "hate", "bad", "thank", "never"]
    )


@pytest.fixture(scope="session")
def trained(company: Path, small_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        out = tmp_path_factory.mktemp("runs")
        config = tiny_config(
            out, small_encoder, events=company / "events.parquet", feedback=company / "feedback.parquet"
        )
        yield Trained(config, run(config, clock=lambda: NOW, by="tester", reporter=Quiet()))


@pytest.fixture(scope="session")
def bundle(trained: Trained) -> LoadedBundle:
    return load_bundle(trained.report.folder)


@pytest.fixture(scope="session")
def journeys(company: Path) -> Journeys:
    return assemble(read_events(company / "events.parquet"), Catalogue.default()).journeys
