"""One webhook sent once: its target is checked when it is resolved, and connected to at the address that was checked.

No redirect is followed, no proxy is asked, an answer's body is not read past a few KiB, and all of it ends in time.
Knows neither tables nor secrets.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import httpcore

from service.errors import Conflict, Invalid

MOST_URL = 2_000
ANSWER_BYTES = 16_384
_KEPT_SECONDS = 10.0
"""For so long a connection waits for the next delivery."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

OutcomeKind: TypeAlias = Literal["delivered", "refused", "unreachable"]
"""Answered with 2xx; answered otherwise; not answered."""
Resolve: TypeAlias = Callable[[str, int], list[str]]
"""The addresses of a host, as texts. Raises OSError."""


class PrivateTarget(OSError):
    """The target is not on the public internet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt: a status, or none and what went wrong; `retry_seconds` is what the receiver asks."""

    status: int | None
    error: str
    seconds: float
    retry_seconds: int = 0

    @property
    def arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def kind(self) -> OutcomeKind:
        """Of which kind it is, as it is counted."""
        if self.status is None:
            return "unreachable"
        return "delivered" if self.arrived else "refused"


def trusted(ca_file: Path | None) -> SSLContext:
    """By whom a receiver's certificate may be signed: the public authorities, and those in a PEM file of one's own.

    A certificate must be for the host of the URL, whatever address that resolved to. Raises Conflict.
    """
    context = httpcore.default_ssl_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except OSError as error:  # SSLError is one
        raise Conflict(f"The authorities of webhooks cannot be read: {error.strerror or error}.",
                       "Let JOURNEY_WEBHOOK_CA_FILE name a file of certificates in PEM.", code="webhook_ca_unreadable",
                       field="webhook_ca_file", value=str(ca_file)) from None  # fmt: skip
    return context


def resolve(host: str, port: int) -> list[str]:
    """By the system's resolver; an address is itself."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def is_public(address: str) -> bool:
    """Whether an address is on the public internet, also when it is written inside another.

    >>> [is_public(a) for a in ("93.184.215.14", "127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
    [True, False, False, False, False]
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        elif (inside := found.ipv4_mapped or found.sixtofour) is not None:
            found = inside
        elif found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def checked(host: str, port: int, resolve: Resolve, *, private: bool) -> list[str]:
    """The addresses of a host; one that is not public spoils them all. Raises PrivateTarget, or OSError if none."""
    found = resolve(host, port)
    if not found:
        raise OSError("the host has no address")
    if not private and not all(map(is_public, found)):
        raise PrivateTarget("the host is at a private, loopback or link-local address")
    return found


def check_url(url: str, resolve: Resolve, *, private: bool) -> None:
    """Raises Invalid for a target that webhooks may not go to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise _refused(url, "is no URL", "Send one such as https://example.org/hook.", code="invalid_url") from None
    allowed = ("https", "http") if private else ("https",)
    if parts.scheme not in allowed or not host:
        raise _refused(url, f"does not begin with {' or '.join(f'{one}://' for one in allowed)} and a host",
                       "Receive webhooks over TLS.", code="invalid_url")  # fmt: skip
    if len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused(url, f"is longer than {MOST_URL} characters or has some that URLs have not",
                       "Encode them; write a host by its ASCII name.", code="invalid_url")  # fmt: skip
    if parts.username is not None or parts.fragment or "\\" in url:
        raise _refused(
            url, "holds a name, a password or a fragment", "Leave them out; deliveries are signed.", code="invalid_url"
        )
    try:
        checked(host, port, resolve, private=private)
    except PrivateTarget as error:
        raise _refused(url, f"leads inside: {error}", "Name a public host, or let the operator set "
                       "JOURNEY_WEBHOOK_PRIVATE.", code="private_target") from None  # fmt: skip
    except (OSError, UnicodeError):
        raise _refused(url, "cannot be resolved", "Check the host's name.", code="unresolved_target") from None


def _refused(url: str, what: str, fix: str, *, code: str) -> Invalid:
    return Invalid(f"The URL {what}.", fix, code=code, field="url", value=url)


class Sender:
    """Sends one at a time, over connections that it keeps for a while."""

    def __init__(
        self, seconds: float, *, private: bool, resolve: Resolve = resolve, ssl_context: SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._backend = _Checked(resolve, monotonic, private=private)
        self._seconds, self._monotonic = seconds, monotonic
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context, max_connections=4, keepalive_expiry=_KEPT_SECONDS, network_backend=self._backend
        )

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """POST it. Never raises: what went wrong is the outcome."""
        begun = self._monotonic()
        self._backend.until = begun + self._seconds
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        status, retry, error = None, 0, ""
        try:
            extensions = {"timeout": limits}
            sent = list(headers.items())
            with self._pool.stream("POST", url, headers=sent, content=body, extensions=extensions) as answer:
                status, retry = answer.status, _retry_after(answer.headers)
                _drain(answer.iter_stream())
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as found:
            error = "" if status is not None else _in_words(found)
        return Outcome(status, error, self._monotonic() - begun, retry)

    def close(self) -> None:
        self._pool.close()


def _drain(blocks: Iterable[bytes]) -> None:
    """Read a short answer to its end, so that the connection can be used again; a long one is left."""
    size = 0
    for block in blocks:
        size += len(block)
        if size > ANSWER_BYTES:
            return


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int:
    given = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    return int(given) if given.isdigit() and len(given) < 9 else 0


def _in_words(error: Exception) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpcore.ProtocolError):
        return "the answer is no HTTP"
    cause = next(iter(error.args), error) if isinstance(error, httpcore.NetworkError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {cause.verify_message.rstrip('.')}"[:200]
    if isinstance(cause, ssl.SSLError):
        return f"no TLS with it: {(cause.reason or 'it fails').replace('_', ' ').lower()}"[:200]
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()[:200]
    return (str(cause) or type(error).__name__)[:200]


class _Checked(httpcore.NetworkBackend):
    """Connects to no other address than one that was just resolved and found allowed; nothing is resolved twice."""

    def __init__(self, resolve: Resolve, monotonic: Callable[[], float], *, private: bool) -> None:
        self._resolve, self._monotonic, self._private = resolve, monotonic, private
        self._plain = httpcore.SyncBackend()
        self.until = 0.0

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        last: Exception = OSError("the host has no address")
        for address in checked(host, port, self._resolve, private=self._private):
            try:
                stream = self._plain.connect_tcp(address, port, self.left(timeout), local_address, socket_options)
                return _InTime(stream, self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    def left(self, timeout: float | None) -> float:
        """The seconds that are left for all of it. Raises ReadTimeout."""
        left = self.until - self._monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("time is up")
        return left if timeout is None else min(left, timeout)


class _InTime(httpcore.NetworkStream):
    """A stream that is over when the time for the whole delivery is: who answers a byte a second gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, backend: _Checked) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._backend.left(timeout))
        return _InTime(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
