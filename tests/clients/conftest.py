"""Real client libraries, each in a process of its own, before a real service on loopback with a faulting proxy between.

Without Node or a browser their clients are skipped; in CI they fail, so that nobody believes they ran.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.faults import Proxy, proxying
from tests.clients.running import Service, serving, wait_for

NODE = Path(__file__).parent / "node"
CHROMIUM = Path("/usr/bin/chromium")
collect_ignore = ["senders"]
"""Scripts that import clients, whose warnings are theirs: they run as processes of their own."""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="session")
def _proxy(service: Service) -> Iterator[Proxy]:
    with proxying(service.port) as running:
        yield running


@pytest.fixture
def proxy(_proxy: Proxy, service: Service) -> Proxy:
    """The way to the service, which is up; no faults are expected yet."""
    wait_for(service.ready)
    _proxy.expect()
    return _proxy


def need_node() -> None:
    """Skip where Node or the packages are missing."""
    if shutil.which("node") is None:
        _missing("node is missing; install it with `apt-get install nodejs npm`")
    if not (NODE / "node_modules").exists():
        _missing("the Node clients are missing; `make setup` installs them where npm is")


def need_browser() -> None:
    """Skip where the browser, or the package for it, is missing."""
    if not CHROMIUM.exists():
        _missing(f"{CHROMIUM} is missing; install it with `apt-get install chromium`")
    if not (NODE / "node_modules").exists():
        _missing("the browser client is missing; `make setup` installs it where npm is")


def _missing(reason: str) -> None:
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
