"""The service that the tests of reviews talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.reviews.fakes import Company, company


@pytest.fixture
def dealer(tmp_path: Path) -> Iterator[Company]:
    """A service with nothing in it; the model's answer is shown in every case."""
    with company(tmp_path) as running:
        yield running
