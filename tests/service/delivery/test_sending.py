"""Where a webhook may go is checked when it is made and at each connection, at the address that is connected to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.delivery.sending import Sender, check_url, is_public
from service.errors import Invalid
from tests.service.delivery.receiver import Receiver
from tests.service.fakes import House

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe"],
)  # fmt: skip
def test_no_inside_address_is_public_however_it_is_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", f"::ffff:{PUBLIC}"])
def test_a_public_address_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://127.0.0.1/hook", "private_target"),
        ("https://localhost/hook", "private_target"),
        ("https://[::1]/hook", "private_target"),
        ("https://169.254.169.254/latest/meta-data", "private_target"),
        ("http://example.org/hook", "invalid_url"),
        ("ftp://example.org/hook", "invalid_url"),
        ("https:///hook", "invalid_url"),
        ("https://user:pass@example.org/hook", "invalid_url"),
        ("https://example.org/#part", "invalid_url"),
        ("https://exämple.org/", "invalid_url"),
        ("https://example.org:99999/", "invalid_url"),
        ("https://example.org/" + "x" * 2_000, "invalid_url"),
    ],
)
def test_a_target_inside_or_without_tls_is_refused_when_the_webhook_is_made(house: House, url: str, code: str) -> None:
    answer = house.client.post("/v1/webhooks", json={"url": url}, headers=house.key("admin"))
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, code, "url")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1"])
def test_an_inside_address_is_refused_in_every_way_that_resolvers_read_it(host: str) -> None:
    with pytest.raises(Invalid) as found:
        check_url(f"https://{host}/", lambda host, port: [socket.inet_ntoa(socket.inet_aton(host))], private=False)
    assert found.value.code == "private_target"


def test_one_inside_address_among_public_ones_spoils_the_host() -> None:
    with pytest.raises(Invalid):
        check_url("https://hooks.example.org/", lambda host, port: [PUBLIC, "10.0.0.1"], private=False)
    check_url("https://hooks.example.org/", lambda host, port: [PUBLIC], private=False)


def test_a_host_that_cannot_be_resolved_is_refused() -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such host")

    with pytest.raises(Invalid) as found:
        check_url("https://hooks.example.org/", nobody, private=False)
    assert found.value.code == "unresolved_target"


def test_a_host_that_moved_inside_after_it_was_checked_is_not_connected_to(receiver: Receiver) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    url = f"https://hooks.example.org:{receiver.port}/"
    check_url(url, lambda host, port: next(answers), private=False)
    sender = Sender(2, private=False, resolve=lambda host, port: next(answers))
    outcome = sender.send(url, {}, b"{}")
    sender.close()
    assert (outcome.status, receiver.received) == (None, [])
    assert "private" in outcome.error


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(receiver: Receiver) -> None:
    asked: list[str] = []

    def once(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    sender = Sender(2, private=True, resolve=once)
    outcomes = [sender.send(f"http://hooks.example.org:{receiver.port}/", {}, b"{}") for _ in range(2)]
    sender.close()
    assert [one.status for one in outcomes] == [204, 204]
    assert asked == ["hooks.example.org"]  # and nobody else resolves: that name does not lead here
    assert receiver.received[0].headers["host"] == f"hooks.example.org:{receiver.port}"


@contextmanager
def dripping(first: bytes, then: bytes) -> Iterator[int]:
    """A server that answers a byte at a time, for ever."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(first)
            while not over.wait(0.02):
                try:
                    connection.sendall(then)
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    over.set()
    listening.close()
    thread.join()


def test_who_answers_a_byte_at_a_time_does_not_hold_a_thread() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nx-slow: ", b"a") as port:
        sender = Sender(0.3, private=True)
        outcome = sender.send(f"http://127.0.0.1:{port}/", {}, b"{}")
        sender.close()
    assert (outcome.status, outcome.error) == (None, "no answer in time")


def test_an_answer_that_does_not_end_is_left(receiver: Receiver) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 10_000) as port:
        sender = Sender(5, private=True)
        outcome = sender.send(f"http://127.0.0.1:{port}/", {}, b"{}")
        sender.close()
    assert (outcome.status, outcome.arrived) == (200, True)


def test_who_is_not_there_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    sender = Sender(2, private=True)
    outcome = sender.send(f"http://127.0.0.1:{port}/", {}, b"{}")
    sender.close()
    assert "refused" in outcome.error
