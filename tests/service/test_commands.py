"""python -m service in processes of its own: keys, serving, a kill in the middle, export."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.journey.eventlog import read_events
from tests.service.fakes import track

ROOT = Path(__file__).parents[2]


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "JOURNEY_DATA_DIR": str(folder / "data"),
        "JOURNEY_MLRUNS_DIR": str(folder / "mlruns"),
        **more,
    }


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(folder, **more), text=True, capture_output=True)


def make_key(folder: Path, *scopes: str) -> dict[str, str]:
    options = [part for scope in scopes for part in ("--scope", scope)]
    made = run(folder, "keys", "create", "--name", "test", *options, "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}


@contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment(folder, **more), stderr=subprocess.DEVNULL) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                wait_for(lambda: client.get("/healthz").status_code == 200)
                yield process, client
        finally:
            process.terminate()


def wait_for(happens: Any) -> None:
    for _ in range(600):
        try:
            if happens():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_a_service_that_is_told_to_stop_waits_no_longer_than_it_may_for_half_a_request(tmp_path: Path) -> None:
    key = make_key(tmp_path, "ingest")
    with (
        serving(tmp_path, JOURNEY_STOP_SECONDS="1") as (process, client),
        socket.create_connection((client.base_url.host, client.base_url.port or 80)) as half,
    ):
        head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {key['Authorization']}\r\n"
        half.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        wait_for(lambda: client.get("/healthz").status_code == 200)  # it came after ours
        process.terminate()
        process.wait(15)  # a body may take 30 seconds


def test_what_was_answered_200_is_there_after_a_kill_9(tmp_path: Path) -> None:
    key = make_key(tmp_path, "ingest", "read")
    with serving(tmp_path) as (process, client):
        for number in range(20):
            answer = client.post("/v1/track", json=track("Product Viewed", messageId=f"m{number}"), headers=key)
            assert answer.json()["accepted"] == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(tmp_path, "--with-worker") as (_, client):
        again = client.post("/v1/batch", json={"batch": [track("Product Viewed", messageId="m19")]}, headers=key)
        assert again.json()["repeated"] == 1
        wait_for(lambda: client.get("/readyz").json()["events_to_fold"] == 0)
        insight = client.get("/v1/customers/c1/insight", headers=key).json()
        assert insight["journey"]["touchpoints"] == 20
        assert insight["next_touchpoint"]["decision"] == "abstain"

    exported = run(tmp_path, "export", str(tmp_path / "out"), "--json")
    assert json.loads(exported.stdout)["rows"]["events"] == 20
    assert len(list(read_events(tmp_path / "out" / "events.parquet"))) == 20


def test_the_worker_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "worker", "--with-parent"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(tmp_path), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 0


def test_keys_are_listed_without_secrets_and_revoked(tmp_path: Path) -> None:
    secret = make_key(tmp_path, "read")["Authorization"].rpartition("_")[2]
    listed = run(tmp_path, "keys", "list", "--json")
    (key,) = json.loads(listed.stdout)
    assert (key["name"], key["scopes"], key["revoked_at"]) == ("test", ["read"], None)
    assert secret not in listed.stdout
    assert run(tmp_path, "keys", "revoke", key["key_id"]).returncode == 0
    assert json.loads(run(tmp_path, "keys", "list", "--json").stdout)[0]["revoked_at"]


@pytest.mark.parametrize(
    ("arguments", "more", "told"),
    [
        (["keys", "create", "--name", "x", "--scope", "fly"], {}, "Allowed: ingest, read, provisional, review, admin."),
        (["keys", "revoke", "nobody"], {}, "keys list"),
        (["worker"], {"JOURNEY_PORT": "banana"}, "JOURNEY_PORT 'banana'"),
        (["rebuild"], {"JOURNEY_CATALOGUE": "/nowhere.yaml"}, "/nowhere.yaml"),
        (["export", "out", "--as-of", "soon"], {}, "as_of"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    tmp_path: Path, arguments: list[str], more: dict[str, str], told: str
) -> None:
    done = run(tmp_path, *arguments, **more)

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_recorded_events_are_imported_and_worked_off(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("who,when,event\nc1,2026-01-05T10:00:00Z,Order Completed\n")
    mapped = ["--map", "user_id=who", "--map", "occurred_at=when"]

    done = run(tmp_path, "import", str(tmp_path / "shop.csv"), *mapped, "--json")
    assert (json.loads(done.stdout)["read"], json.loads(done.stdout)["new"]) == (1, 1)
    worked = run(tmp_path, "worker", "--once")
    assert (worked.returncode, "1 customers concluded" in worked.stderr) == (0, True)
    assert run(tmp_path, "worker", "--once").returncode == 0
    refused = run(tmp_path, "import", str(tmp_path / "shop.csv"), "--map", "user_id=nobody")
    assert (refused.returncode, "no column 'nobody'" in refused.stderr) == (2, True)


def test_history_with_rows_to_refuse_is_imported_without_them_unless_it_is_strict(tmp_path: Path) -> None:
    shop = tmp_path / "shop.csv"
    shop.write_text("customer_id,order_date,total\nc1,2026-01-05,20\nc2,soon,30\n")

    shown = run(tmp_path, "import", "--dry-run", "--as", "shop", str(shop))
    assert (shown.returncode, "purchase" in shown.stdout) == (0, True)
    assert "2 rows read, 1 would be refused; nothing was imported" in shown.stdout
    strict = run(tmp_path, "import", "--strict", "--as", "shop", str(shop))
    assert (strict.returncode, "Nothing was imported" in strict.stderr) == (1, True)
    done = run(tmp_path, "import", f"shop={shop}", "--refused", str(tmp_path / "refused.csv"))
    assert (done.returncode, done.stdout) == (0, "2 rows read: 1 new, 0 known already, 1 refused\n")
    assert "shop.csv: row 2: order_date (occurred_at): 'soon' is no ISO 8601 time" in done.stderr
    assert len((tmp_path / "refused.csv").read_text().splitlines()) == 2


def test_a_mapping_is_printed_to_be_copied_and_used(tmp_path: Path) -> None:
    copied = run(tmp_path, "import", "--show-mapping", "shop")
    (tmp_path / "mine.yaml").write_text(copied.stdout)
    (tmp_path / "shop.csv").write_text("customer_id,order_date,total\nc1,2026-01-05,20\n")
    done = run(tmp_path, "import", "--mapping", str(tmp_path / "mine.yaml"), str(tmp_path / "shop.csv"), "--json")
    assert (done.returncode, json.loads(done.stdout)["new"]) == (0, 1), done.stderr
