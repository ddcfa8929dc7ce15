"""The guide's receivers, as they are printed: what we really send verifies, and what somebody changed does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.clock import system_clock
from service.delivery.deliverer import Deliverer
from service.outbox import store
from tests.service.delivery.receiver import Received, Receiver
from tests.service.fakes import House

DOCS = Path(__file__).parents[3] / "docs"


def printed(language: str, page: str = "marketing-engineers.md", mark: str = "webhook") -> str:
    text = (DOCS / page).read_text("utf-8")
    found = re.search(rf"^```{language} {mark}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def received(sending: House, receiver: Receiver, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch) -> Received:
    """One webhook as it really comes, with its secret in the environment."""
    sending.clock.at = system_clock()
    body = {"url": receiver.url}
    secret = sending.client.post("/v1/webhooks", json=body, headers=sending.key("admin")).json()["secret"]
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    with sending.state.service.write() as connection:
        store.add(connection, "insight.changed", "c_Zoë", {"customer_id": "c_Zoë"}, sending.clock())
    deliverer.run_until_idle()
    return receiver.received[0]


def test_the_python_receiver_verifies_what_we_send(received: Received, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Callable[[bytes, dict[str, str]], int]] = {}
    exec(printed("python"), names)
    assert names["receive"](received.body, received.headers) == 204
    assert "c_Zoë" in capsys.readouterr().out
    assert names["receive"](received.body + b" ", received.headers) == 400


def test_the_javascript_receiver_verifies_what_we_send(received: Received, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.fail("node is missing") if os.environ.get("CI") == "true" else pytest.skip("node is missing")
    (tmp_path / "receive.mjs").write_text(printed("js"))
    (tmp_path / "asked.json").write_text(json.dumps({"body": received.body.decode(), "headers": received.headers}))
    script = (
        "import { receive } from './receive.mjs'; import { readFileSync } from 'node:fs';"
        "const { body, headers } = JSON.parse(readFileSync('asked.json', 'utf8'));"
        "const old = { ...headers, 'webhook-timestamp': '1700000000' };"
        "console.log(JSON.stringify([receive(body, headers), receive(body + ' ', headers), receive(body, old)]));"
    )
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [204, 400, 400]


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_receivers_of_the_first_steps_take_what_we_send_and_nothing_else(
    sending: House, deliverer: Deliverer, tmp_path: Path, language: str
) -> None:
    if language == "js" and shutil.which("node") is None:
        pytest.fail("node is missing") if os.environ.get("CI") == "true" else pytest.skip("node is missing")
    sending.clock.at = system_clock()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, headers = f"http://127.0.0.1:{port}/hooks/first-steps", sending.key("admin")
    hook = sending.client.post("/v1/webhooks", json={"url": url}, headers=headers).json()
    file = tmp_path / ("receiver.py" if language == "python" else "receiver.mjs")
    file.write_text(printed(language, "first-steps.md", "receiver"))
    environment = {**os.environ, "WEBHOOK_SECRET": hook["secret"], "PORT": str(port)}
    command = [sys.executable if language == "python" else "node", str(file)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            while running.poll() is None and not answers(port):
                time.sleep(0.05)
            with sending.state.service.write() as connection:
                store.add(connection, "insight.changed", "c_Zoë", {"customer_id": "c_Zoë"}, sending.clock())
            deliverer.run_until_idle()
            assert running.stdout is not None
            assert "insight.changed c_Zoë" in running.stdout.readline().decode()
            for told in (
                {},
                {"webhook-id": "chg_1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"},
            ):
                assert httpx.post(url, content=b"{}", headers=told).status_code == 400
        finally:
            running.kill()
    found = sending.client.get(f"/v1/webhooks/{hook['webhook_id']}", headers=headers).json()["deliveries"]
    assert (found["delivered"], found["waiting"]) == (1, 0)


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
