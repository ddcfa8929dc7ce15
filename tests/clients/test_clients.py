"""Segment's and RudderStack's own libraries: what they sent is there exactly once, whatever happened on the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.clients.conftest import NODE, need_browser, need_node
from tests.clients.faults import CutShort, LoseAnswer, Proxy, Refuse
from tests.clients.running import ROOT, Service, wait_for

SENDERS = Path(__file__).parent / "senders"
TRACKS = 55
OTHERS = ("identify", "group", "page", "screen", "alias")
TOUCHPOINTS = TRACKS + 2
"""Of track, page and screen calls."""


@dataclass(frozen=True)
class Client:
    """A library that a script of ours drives."""

    name: str
    command: tuple[str, ...]
    needs: Callable[[], None] = lambda: None

    def send(self, service: Service, proxy: Proxy, customer: str) -> None:
        """Everything that the script sends, until the library says that it is sent."""
        run([*self.command, proxy.url, service.key, customer, str(TRACKS)])


def run(command: list[str], **more: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(command, cwd=NODE, env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


BROWSER = (sys.executable, str(SENDERS / "segment_browser.py"))
CLIENTS = (
    Client("segment-analytics-python", (sys.executable, str(SENDERS / "segment_python.py"))),
    Client("rudder-sdk-python", (sys.executable, str(SENDERS / "rudder_python.py"))),
    Client("@segment/analytics-node", ("node", "segment_node.mjs"), need_node),
    Client("@rudderstack/rudder-sdk-node", ("node", "rudder_node.mjs"), need_node),
    Client("@segment/analytics-next", BROWSER, need_browser),
)


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    found.needs()
    return found


def assert_everything_arrived_once(service: Service, proxy: Proxy, customer: str) -> None:
    """By its message id in the log, by what it says, and as a touchpoint."""
    sent = {event["messageId"] for event in proxy.sent()}
    logged = service.logged(customer)
    assert Counter(row["message_id"] for row in logged) == dict.fromkeys(sent, 1)
    assert Counter(row["kind"] for row in logged) == {**dict.fromkeys(OTHERS, 1), "track": TRACKS}
    tracked = [row for row in logged if row["kind"] == "track"]
    numbers = sorted(msgspec.json.decode(row["properties"])["number"] for row in tracked)
    assert numbers == list(range(TRACKS))

    wait_for(lambda: len(service.touchpoints(customer)) >= TOUCHPOINTS)
    steps = {row["message_id"] for row in logged if row["kind"] in ("track", "page", "screen")}
    assert Counter(row["message_id"] for row in service.touchpoints(customer)) == dict.fromkeys(steps, 1)


def assert_faults_are_borne(client: Client, service: Service, proxy: Proxy) -> None:
    customer = f"faults {client.name}"
    proxy.expect(Refuse(429), LoseAnswer(), Refuse(503))
    client.send(service, proxy, customer)

    assert {429, 503, None, 200} == {call.status for call in proxy.calls}
    assert [call.kept for call in proxy.calls if call.status is None] == [True]
    assert len(proxy.sent()) > TRACKS + len(OTHERS)
    assert_everything_arrived_once(service, proxy, customer)


def test_every_event_arrives_once_after_429_and_503_and_an_answer_that_got_lost(
    client: Client, service: Service, proxy: Proxy
) -> None:
    assert_faults_are_borne(client, service, proxy)


def test_a_page_may_send_in_batches(service: Service, proxy: Proxy) -> None:
    need_browser()
    assert_faults_are_borne(Client("batches", (*BROWSER, "--strategy", "batching")), service, proxy)
    assert {call.path for call in proxy.calls} == {"/v1/b"}


def test_every_event_arrives_once_when_the_service_is_killed_before_it_could_answer(
    client: Client, service: Service, proxy: Proxy
) -> None:
    customer, starts = f"killed {client.name}", service.starts
    proxy.expect(None, LoseAnswer(then=service.kill_and_start_again))
    client.send(service, proxy, customer)

    assert service.starts == starts + 1
    assert True in {call.kept for call in proxy.calls if call.status is None}
    assert_everything_arrived_once(service, proxy, customer)


@pytest.mark.skipif(os.environ.get("JOURNEY_CAMPAIGN") != "1", reason="a campaign: JOURNEY_CAMPAIGN=1 runs it")
def test_every_event_arrives_once_when_the_service_is_killed_while_it_reads(
    client: Client, service: Service, proxy: Proxy
) -> None:
    customer, starts = f"cut short {client.name}", service.starts
    proxy.expect(None, CutShort(then=service.kill_and_start_again))
    client.send(service, proxy, customer)

    assert service.starts == starts + 1
    assert_everything_arrived_once(service, proxy, customer)


LARGE = """
import sys
from segment.analytics import Client

url, key = sys.argv[1:]
client = Client(key, host=url, upload_interval=5)
for number in range(32):
    client.track("c_large", "Product Viewed", {"number": number, "words": "x" * 30_000})
client.flush()
"""


def test_requests_as_large_as_the_library_makes_them_are_taken(service: Service, proxy: Proxy) -> None:
    run([sys.executable, "-c", LARGE, proxy.url, service.key])
    assert max(len(call.body) for call in proxy.calls) > 475_000
    assert {call.status for call in proxy.calls} == {200}
    assert len(service.logged("c_large")) == 32


GUIDE = (ROOT / "docs" / "marketing-engineers.md").read_text("utf-8")
SHOWN = re.findall(r"^\*\*`([^`]+)`\*\*.*?^```(\w+) client\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
"""Of each library that the guide tells of: its name, the language, the lines to copy."""


@pytest.mark.parametrize(("name", "language", "code"), SHOWN, ids=[name for name, *_ in SHOWN])
def test_what_the_guide_says_of_a_library_works(
    name: str, language: str, code: str, service: Service, proxy: Proxy, tmp_path: Path
) -> None:
    assert "http://127.0.0.1:8000" in code
    code = code.replace("http://127.0.0.1:8000", proxy.url)
    if language == "python":
        run([sys.executable, "-c", code], WRITE_KEY=service.key)
    elif language == "js":
        need_node()
        run(["node", "--input-type=module", "--eval", code], WRITE_KEY=service.key)
    else:
        need_browser()
        (tmp_path / "page.html").write_text(code.replace("YOUR_WRITE_KEY", service.key))
        options = ["--page", str(tmp_path / "page.html"), "--events", "2"]
        run([*BROWSER, *options, proxy.url, service.key, "c_1042", "0"])

    sent = {event["messageId"] for event in proxy.sent()}
    found = [row for row in service.logged("c_1042") if row["message_id"] in sent]
    assert Counter(row["message_id"] for row in found) == dict.fromkeys(sent, 1)
    assert "Test Drive Booked" in {row["name"] for row in found}


def test_the_guide_tells_of_every_library_that_is_tested() -> None:
    assert {name for name, *_ in SHOWN} == {client.name for client in CLIENTS}
