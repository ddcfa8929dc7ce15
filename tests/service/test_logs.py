"""No log line of the app, of the worker or of a command holds anything of a customer, of a reviewer or of a key.

Marked values are sent wherever a caller can put one; then every line that was written is searched for them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.insight import Conclusion, ReleasePolicy
from models.journey.assembly import Feedback
from models.journey.journeys import Ints, Journeys
from service.logs import Lossy
from service.worker import Worker, _round
from tests.service.fakes import House, track
from tests.service.reviews.fakes import company, signed_in

ROOT = Path(__file__).parents[2]
MARK = "zQ7marked"
"""Stands in every value that a caller may choose."""


def marked(what: str) -> str:
    return f"{MARK}-{what}"


EVENT: dict[str, Any] = {
    "type": "track",
    "event": marked("event"),
    "userId": marked("user@example.org"),
    "anonymousId": marked("device"),
    "messageId": marked("message"),
    "properties": {marked("name"): marked("value"), "text": marked("text"), "value": marked("amount")},
    "context": {"ip": marked("ip"), "traits": {"email": marked("mail")}},
}
CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/track", EVENT),
    ("POST", "/v1/batch", {"batch": [EVENT, {"type": marked("type")}, marked("no object")]}),
    ("POST", "/v1/identify", {"userId": marked("user"), "traits": {"email": marked("mail")}}),
    ("POST", "/v1/alias", {"userId": marked("user"), "previousId": marked("previous")}),
    ("POST", "/v1/track", marked("no object")),
    ("POST", "/v1/feedback", {"id": marked("f"), "customer_id": marked("user"), "text": marked("words"),
                              "channel": marked("channel"), "said_at": "2026-01-05T10:00:00Z", "rating": 1}),
    ("POST", "/v1/feedback", {"id": marked("f"), "customer_id": marked("user"), "text": marked("other"),
                              "channel": "chat", "said_at": "2026-01-05T10:00:00Z"}),
    ("POST", "/v1/feedback", {"id": marked("g"), "text": marked("words"), "said_at": marked("when")}),
    ("POST", "/v1/predictions", {"journeys": [{"customer_id": marked("user"), "events": [
        {"event": marked("event"), "timestamp": "2026-01-05T10:00:00Z"}], "feedback": [{"text": marked("words")}]}]}),
    ("POST", "/v1/predictions", {"journeys": [{"events": [{"event": "A", "timestamp": marked("when")}]}]}),
    ("GET", f"/v1/customers/{marked('user')}/insight?as_of={marked('when')}", None),
    ("GET", f"/v1/customers/{marked('user')}/insight", None),
    ("GET", f"/v1/customers/{marked('nobody')}/insight", None),
    ("GET", f"/{marked('path')}?{marked('query')}=1", None),
    ("POST", f"/v1/reviews/{marked('case')}/verdict", {"answer": marked("answer"), "note": marked("note"),
                                                       "reviewer": marked("Ada")}),
    ("GET", f"/v1/feedback/{marked('f')}", None),
    ("GET", f"/v1/dead-letters?code={marked('code')}", None),
    ("GET", f"/v1/customers/{marked('user')}/journey?cursor={marked('cursor')}", None),
    ("GET", f"/v1/customers/{marked('user')}/identity", None),
    ("POST", f"/v1/customers/{marked('user')}/split", {"id": marked("device"), "reason": marked("reason")}),
    ("PUT", f"/v1/customers/{marked('user')}/consent", {"profiling": False, "reason": marked("reason")}),
    ("GET", f"/v1/customers/{marked('user')}/export", None),
    ("GET", f"/v1/erasures/{marked('erasure')}", None),
    ("DELETE", f"/v1/customers/{marked('nobody')}", None),
    ("DELETE", f"/v1/customers/{marked('user')}", None),
    ("DELETE", f"/v1/customers/{marked('user')}", None),
    ("POST", "/v1/batch", {"batch": [{**EVENT, "userId": marked("user")}, {"type": marked("type")}]}),
    ("POST", "/v1/feedback", {"id": marked("h"), "customer_id": marked("user"), "text": marked("words"),
                              "channel": marked("channel"), "said_at": "2026-01-05T10:00:00Z"}),
]  # fmt: skip


def test_no_line_of_app_worker_or_commands_holds_a_marked_value(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ, "JOURNEY_DATA_DIR": str(tmp_path / "data"), "JOURNEY_MLRUNS_DIR": str(tmp_path / "mlruns"),
        "JOURNEY_LOG_LEVEL": "debug", "JOURNEY_PORT": str(port),
    }  # fmt: skip
    command = [sys.executable, "-m", "service"]
    scopes = [part for scope in ("ingest", "read", "provisional", "review", "admin") for part in ("--scope", scope)]
    made = subprocess.run([*command, "keys", "create", "--name", marked("key"), *scopes, "--json"], cwd=ROOT,
                          env=environment, text=True, capture_output=True, check=True)  # fmt: skip
    key = json.loads(made.stdout)["key"]
    written = tmp_path / "stderr"
    with written.open("wb") as stderr:
        service = subprocess.Popen([*command, "serve", "--with-worker"], cwd=ROOT, env=environment, stderr=stderr)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                wait_until_told(client, "journey_worker_running 1.0")
                for method, path, body in CALLS:
                    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {marked('key')}"}):
                        answer = client.request(method, path, json=body, headers=headers | {"Cookie": marked("cookie")})
                        assert answer.status_code < 500
                later = {**EVENT, "userId": marked("later"), "messageId": marked("later")}
                client.post("/v1/track", json=later, headers={"Authorization": f"Bearer {key}"})
                wait_until_told(client, "journey_log_rows_to_fold 0.0", "journey_customers_pending 0.0")
        finally:
            service.terminate()
            service.wait(30)
    text = made.stderr + written.read_text()

    lines = [json.loads(line) for line in text.splitlines()]
    assert sum(line["event"] == "request" for line in lines) >= 2 * len(CALLS)
    assert {"worker_started", "round"} <= {line["event"] for line in lines}
    assert MARK not in text
    assert key.split("_")[2] not in text


def wait_until_told(client: httpx.Client, *lines: str) -> None:
    """Until /metrics has all these lines."""
    for _ in range(600):
        try:
            if set(lines) <= set(client.get("/metrics").text.splitlines()):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"/metrics never said {lines}")


def test_reviewing_writes_no_name_word_or_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with company(tmp_path) as dealer:
        key = dealer.key("review", name=marked("key"))
        dealer.say(marked("words"), marked("more"), customer=marked("user"), channel=marked("channel"))
        browser = signed_in(dealer, name=marked("Ada"))
        browser.send("/reviews/next")
        assert MARK in browser.html
        browser.answer("negative", note=marked("note"))
        browser.answer(marked("answer"))
        browser.send("/reviews/case/skip", conclusion_id=browser.field("conclusion_id"), reason=marked("reason"))

    out, err = capsys.readouterr()
    assert "/reviews/case/verdict" in out + err
    assert MARK not in out + err
    assert key not in out + err


@dataclass(frozen=True)
class Failing:
    """A bundle whose error quotes the customer."""

    digest: str = "failing"

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        raise ValueError(f"cannot read {feedback[0].text!r} of {feedback[0].customer_id}")

    def concluded(self, journeys: Journeys, as_of: Ints, *_: object) -> Any:
        raise ValueError(f"cannot conclude {journeys.customers}")

    def explained(self, insights: Sequence[Any], *_: object) -> list[Any]:
        return list(insights)


def test_an_error_that_quotes_a_customer_is_logged_without_its_message(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.bundles.load = lambda folder, threads: Failing("one")
    house.bundles._tried, house.bundles._next_look = 0, None
    house.batch(track(marked("event"), customer=marked("user")))
    house.say(marked("f"), marked("words"), customer=marked("user"))
    done = _round(Worker(house.state, house.bundles, marked("holder")))

    out, err = capsys.readouterr()
    assert done.idle
    assert "unexpected_error" in out + err
    assert "ValueError" in out + err
    assert MARK not in out + err


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    with open("/dev/full", "w") as full, suppress(OSError):
        lossy = Lossy(full)
        lossy.write("x" * 100_000)
        lossy.flush()
        told = "went on"
    assert told == "went on"
