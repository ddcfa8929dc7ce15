"""A running service for each test that asks for `house`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database import Database
from tests.service.fakes import House, open_house


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both databases, migrated and empty: copying them is quicker than migrating for each test."""
    folder = tmp_path_factory.mktemp("blank")
    Database.open(folder, "log").close()
    Database.open(folder, "service").close()
    return folder


@pytest.fixture
def house(tmp_path: Path, blank: Path) -> Iterator[House]:
    shutil.copytree(blank, tmp_path / "data")
    with open_house(tmp_path) as opened:
        yield opened
