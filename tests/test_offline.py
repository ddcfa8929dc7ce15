"""The network is out of reach of tests, and whoever tries is told so; loopback and unix sockets work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import huggingface_hub.constants
import pytest

from tests import offline
from tests.offline import NetworkForbidden

FAR = "192.0.2.1"  # set apart for documents: nobody has it (RFC 5737)


@pytest.fixture
def caught() -> Iterator[list[str]]:
    """Who was caught, forgotten again before the guard of every test looks."""
    yield offline.attempts
    offline.attempts.clear()


def _connect(kind: int, family: int = socket.AF_INET, host: str = FAR) -> None:
    with socket.socket(family, kind) as opened:
        opened.connect((host, 80))


def _send() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.sendto(b"?", (FAR, 53))


def _try_silently() -> None:
    with socket.socket() as opened:
        opened.connect_ex((FAR, 80))


WAYS: dict[str, Callable[[], object]] = {
    "connect": lambda: _connect(socket.SOCK_STREAM),
    "connect by IPv6": lambda: _connect(socket.SOCK_STREAM, socket.AF_INET6, "2001:db8::1"),
    "connect without an exception": _try_silently,
    "a datagram": _send,
    "a name": lambda: socket.getaddrinfo("example.org", 80),
    "a name, the old way": lambda: socket.gethostbyname("example.org"),
    # In a thread of its own: a browser test may have left a running loop in this one.
    "asyncio": lambda: ThreadPoolExecutor(1).submit(lambda: asyncio.run(_by_asyncio())).result(),
    "httpx": lambda: httpx.get("http://example.org", trust_env=False),
    "urllib": lambda: urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://example.org"),
}


async def _by_asyncio() -> None:
    await asyncio.open_connection("example.org", 80)


@pytest.mark.parametrize("way", WAYS)
def test_the_network_is_refused_however_it_is_asked_for(way: str, caught: list[str]) -> None:
    with pytest.raises(NetworkForbidden, match="loopback and unix sockets alone"):
        WAYS[way]()
    assert len(caught) == 1


def test_an_attempt_is_remembered_where_the_error_was_swallowed_or_in_another_thread(caught: list[str]) -> None:
    def bears_with_outages() -> None:
        with contextlib.suppress(Exception):
            _connect(socket.SOCK_STREAM)

    thread = threading.Thread(target=bears_with_outages)
    thread.start()
    thread.join()
    assert caught == [f"socket.connect to {FAR}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_works(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
        assert socket.getaddrinfo(host, 80)


def test_unix_sockets_work(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


def test_a_child_process_is_sent_nowhere() -> None:
    code = "import urllib.request as u; u.urlopen('http://example.org')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Connection refused" in done.stderr


def test_libraries_are_told_that_there_is_no_network() -> None:
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert offline.OFFLINE.items() <= os.environ.items()
