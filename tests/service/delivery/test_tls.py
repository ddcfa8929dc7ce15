"""Webhooks over TLS: to a receiver whose certificate is by a trusted authority and for its host, and to no other; what
was wrong is told in words, on the page of deliveries too."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.journey.event import SECOND
from service.delivery.deliverer import Deliverer
from service.delivery.sending import Outcome, Sender, trusted
from service.errors import Conflict
from tests.service.delivery.authority import Authority
from tests.service.delivery.hooks import change, create, deliveries
from tests.service.delivery.receiver import Receiver, receiving
from tests.service.delivery.test_pages import sign_in
from tests.service.fakes import House, open_house

HOST = "hooks.example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@contextmanager
def delivering(folder: Path, blank: Path, **settings: Any) -> Iterator[tuple[House, Deliverer]]:
    shutil.copytree(blank, folder / "data")
    with open_house(folder, webhook_private=True, webhook_seconds=5, **settings) as house:
        deliverer = Deliverer(
            house.state, "the test", np.random.default_rng(7), monotonic=lambda: house.clock() / SECOND
        )
        yield house, deliverer
        deliverer.close()


def sent(house: House, deliverer: Deliverer, receiver: Receiver) -> tuple[dict[str, Any], str]:
    """One change sent to it: the attempt as the API tells it, and the page of deliveries."""
    hook = create(house, receiver.url)
    change(house)
    deliverer.run_until_idle()
    (attempt,) = deliveries(house, hook)[0]["attempts"]
    sign_in(house, "lead")
    return attempt, house.client.get("/reviews/deliveries").text


def test_a_receiver_with_a_certificate_by_an_authority_of_ours_gets_its_webhooks(
    tmp_path: Path, blank: Path, authority: Authority
) -> None:
    with (
        receiving(authority.server("localhost")) as receiver,
        delivering(tmp_path, blank, webhook_ca_file=authority.file) as (house, deliverer),
    ):
        attempt, _ = sent(house, deliverer, receiver)
    assert (attempt["status"], receiver.kinds) == (204, ["insight.changed"])


def test_an_authority_that_the_environment_names_is_trusted_too(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with receiving(authority.server("localhost")) as receiver:
        assert send(receiver, receiver.url, None).status == 204


def test_a_certificate_by_an_authority_that_nobody_named_is_refused_and_told_on_the_page(
    tmp_path: Path, blank: Path, authority: Authority
) -> None:
    with receiving(authority.server("localhost")) as receiver, delivering(tmp_path, blank) as (house, deliverer):
        attempt, page = sent(house, deliverer, receiver)
    assert (attempt["status"], receiver.received) == (None, [])
    assert attempt["error"] == "its certificate is not accepted: unable to get local issuer certificate"
    assert attempt["error"] in page


def test_a_certificate_for_another_host_is_refused_and_told_on_the_page(
    tmp_path: Path, blank: Path, authority: Authority
) -> None:
    with (
        receiving(authority.server("other.example.org")) as receiver,
        delivering(tmp_path, blank, webhook_ca_file=authority.file) as (house, deliverer),
    ):
        attempt, page = sent(house, deliverer, receiver)
    assert (attempt["status"], receiver.received) == (None, [])
    assert "Hostname mismatch, certificate is not valid for &#39;localhost&#39;" in page


def send(receiver: Receiver, url: str, ca_file: Path | None) -> Outcome:
    """To this machine, whatever host the URL names."""
    sender = Sender(5, private=True, resolve=lambda host, port: ["127.0.0.1"], ssl_context=trusted(ca_file))
    try:
        return sender.send(url, {}, b"{}")
    finally:
        sender.close()


def test_the_address_is_the_one_that_was_checked_and_the_name_is_proven_by_tls(authority: Authority) -> None:
    asked: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        asked.append(name)

    context = authority.server(HOST)
    context.sni_callback = note
    with receiving(context) as receiver:
        outcome = send(receiver, f"https://{HOST}:{receiver.port}/hook", authority.file)
        other = send(receiver, f"https://elsewhere.example.org:{receiver.port}/hook", authority.file)
    assert (outcome.status, other.status) == (204, None)
    assert asked == [HOST, "elsewhere.example.org"]
    assert receiver.received[0].headers["host"] == f"{HOST}:{receiver.port}"


def test_a_certificate_that_is_over_is_refused(authority: Authority) -> None:
    with receiving(authority.server("localhost", days_ago=3)) as receiver:
        outcome = send(receiver, receiver.url, authority.file)
    assert (outcome.status, outcome.error) == (None, "its certificate is not accepted: certificate has expired")


def test_who_speaks_no_tls_is_told_so_in_words(receiver: Receiver) -> None:
    outcome = send(receiver, f"https://localhost:{receiver.port}/hook", None)
    assert (outcome.status, outcome.kind) == (None, "unreachable")
    assert outcome.error.startswith("no TLS with it: ")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_read_is_told_when_deliveries_begin(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ours.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Conflict) as found:
        trusted(file)
    assert (found.value.code, found.value.value) == ("webhook_ca_unreadable", str(file))
