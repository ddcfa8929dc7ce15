"""A small HTTP proxy on loopback that stands before the service and misbehaves where it is told to.

It passes everything on as it came, remembers the tracking calls, and for chosen ones answers 429 or 503 itself, loses
the answer after the service committed, or lets the service be killed in the middle. It keeps no connection alive.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OF_ONE_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer in the place of the service, which hears nothing of the request."""

    status: int
    retry_after_seconds: int = 1


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Let the service commit, then drop the connection; `then` is called in between."""

    then: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class CutShort:
    """Pass half of the request on, call `then`, and drop the connection."""

    then: Callable[[], None]


Fault = Refuse | LoseAnswer | CutShort


@dataclass(frozen=True, slots=True)
class Call:
    """A tracking call as the client made it; `status` is what it was answered, `kept` whether the service said 200."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None
    kept: bool

    def events(self) -> list[dict[str, Any]]:
        plain = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        told = json.loads(plain)
        events: list[dict[str, Any]] = told.get("batch", [told])
        return events


@dataclass
class Proxy:
    """Where clients are pointed at. The next tracking calls meet `faults`, one each; None: that one meets none."""

    upstream_port: int
    faults: deque[Fault | None] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, *faults: Fault | None) -> None:
        """Forget what was, and meet the next calls with these."""
        with self._lock:
            self.faults, self.calls = deque(faults), []

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self.faults.popleft() if self.faults else None

    def remember(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)

    def sent(self) -> list[dict[str, Any]]:
        """Every event of every call, as often as it was sent."""
        return [event for call in self.calls for event in call.events()]


@contextmanager
def proxying(upstream_port: int) -> Iterator[Proxy]:
    proxy = Proxy(upstream_port)

    class Handler(_Handler):
        ours = proxy

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield proxy
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    ours: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on(b"")

    do_OPTIONS = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        status, kept = self._meet(self.ours.next_fault(), body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.ours.remember(Call(self.path, headers, body, status, kept))

    def _meet(self, fault: Fault | None, body: bytes) -> tuple[int | None, bool]:
        """What the client was answered, and whether the service kept what was sent."""
        if isinstance(fault, Refuse):
            self._answer(fault.status, {"retry-after": str(fault.retry_after_seconds), **_ALLOWED}, _PROBLEM)
            return fault.status, False
        if isinstance(fault, LoseAnswer):
            answer = self._ask(body)
            fault.then()
            self._drop()
            return None, answer is not None and answer[0] == HTTPStatus.OK
        if isinstance(fault, CutShort):
            self._ask_half(body)
            fault.then()
            self._drop()
            return None, False
        status = self._pass_on(body)
        return status, status == HTTPStatus.OK

    def _pass_on(self, body: bytes) -> int | None:
        """Where the service does not listen, the client finds its connection dropped as well."""
        answer = self._ask(body)
        if answer is None:
            self._drop()
            return None
        status, headers, found = answer
        self._answer(status, headers, found)
        return status

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        service = http.client.HTTPConnection("127.0.0.1", self.ours.upstream_port, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_HOP}
            service.request(self.command, self.path, body or None, headers)
            answer = service.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            service.close()

    def _ask_half(self, body: bytes) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        with socket.create_connection(("127.0.0.1", self.ours.upstream_port)) as service:
            service.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) // 2])

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name not in OF_ONE_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.close_connection = True
        with suppress(ConnectionError):  # a page that was left reads no answer
            self.end_headers()
            self.wfile.write(body)

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client went first
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


_PROBLEM = json.dumps({"code": "come_again", "message": "Come again later."}).encode()
_ALLOWED = {
    "content-type": "application/problem+json",
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Retry-After",
}
"""A page on another origin may read the refusal, as it may read those of the service."""
