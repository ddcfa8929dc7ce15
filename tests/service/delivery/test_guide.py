"""The guide's receivers, as they are printed: what we really send verifies, and what somebody changed does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from service.clock import system_clock
from service.delivery.deliverer import Deliverer
from service.outbox import store
from tests.service.delivery.receiver import Received, Receiver
from tests.service.fakes import House

GUIDE = Path(__file__).parents[3] / "docs" / "marketing-engineers.md"


def printed(language: str) -> str:
    found = re.search(rf"^```{language} webhook\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
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
