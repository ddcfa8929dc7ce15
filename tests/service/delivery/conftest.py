"""A service that may send to loopback, a receiver there, and a deliverer whose steps a test takes."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.journey.event import SECOND
from service.delivery.deliverer import Deliverer
from tests.service.delivery.receiver import Receiver, receiving
from tests.service.fakes import House, open_house


@pytest.fixture
def sending(tmp_path: Path, blank: Path) -> Iterator[House]:
    shutil.copytree(blank, tmp_path / "data")
    with open_house(tmp_path, webhook_private=True, webhook_seconds=5) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def deliverer(sending: House) -> Iterator[Deliverer]:
    found = Deliverer(sending.state, "the test", np.random.default_rng(7), monotonic=lambda: sending.clock() / SECOND)
    yield found
    found.close()


@pytest.fixture
def patient(sending: House) -> Iterator[Deliverer]:
    """Waits long for an answer, so that a receiver that is held is slow and not away."""
    settings = sending.settings.model_copy(update={"webhook_seconds": 120.0})
    found = Deliverer(replace(sending.state, settings=settings), "the test", np.random.default_rng(7))
    yield found
    found.close()
