"""What all tests share: laws are tried without a clock, so that a busy machine fails no test, and on the
same cases every time but in campaigns; the network is shut."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import offline
from tests.seeds import LONG

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not LONG)
settings.load_profile("untimed")
pytest.register_assert_rewrite("tests.trained")


def pytest_configure() -> None:
    """Before any test module is imported: libraries read some of these settings when they are."""
    offline.cut_off()


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fails a test that reached for the network, also where its code swallowed the refusal."""
    offline.attempts.clear()
    yield
    assert offline.attempts == [], "tests reach loopback and unix sockets alone"
