"""Tests reach nothing but this machine: loopback and unix sockets. Forbids, and remembers who tried.

An audit hook sees every way that Python opens towards the network, whichever library asks, and cannot be taken off
again. It does not see child processes: those get proxies that lead nowhere, and libraries told to be offline.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
from typing import Any

NOWHERE = "http://127.0.0.1:9"  # the discard port of this machine, where nobody listens
OFFLINE = {
    **{name: NOWHERE for proxy in ("http_proxy", "https_proxy", "all_proxy") for name in (proxy, proxy.upper())},
    **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1"),
    **dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
    **dict.fromkeys(("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY"), "true"),
}

attempts: list[str] = []
"""What was asked for and refused; also where the caller swallowed the error, or asked in a thread of its own."""

_before: dict[str, str] = {}
_HANDED_ON = "TESTS_BEFORE_OFFLINE"
"""Holds what was overwritten, for the workers that share out the tests: they start with what the first process set."""


class NetworkForbidden(RuntimeError):
    """A test reached for the network. No OSError, so that code which bears with outages does not hide it."""


def cut_off() -> None:
    """Forbid the network for the rest of this process, and for its children as far as they heed the environment."""
    if not _before:
        _before.update(os.environ)
        overwritten = {name: os.environ.get(name) for name in OFFLINE}
        known: dict[str, str | None] = json.loads(_before.pop(_HANDED_ON, "null")) or overwritten
        for name, value in known.items():
            _before.pop(name, None)
            _before.update({} if value is None else {name: value})
        os.environ.update(OFFLINE | {_HANDED_ON: json.dumps(known)})
        sys.addaudithook(_watch)


def environment_before() -> dict[str, str]:
    """The environment as tests were started with; for the one child that may ask a package index."""
    return dict(_before)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        opened, address = arguments
        if opened.family == socket.AF_UNIX or address is None:
            return
        host = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    if not _is_this_machine(host):
        attempts.append(f"{event} to {host}")
        raise NetworkForbidden(f"{event} to {host!r}: tests reach loopback and unix sockets alone; use a fake instead")


def _is_this_machine(host: str | bytes | None) -> bool:
    name = host.decode("idna") if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False
