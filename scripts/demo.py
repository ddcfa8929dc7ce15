"""`make run`: a made-up car dealer, trained and served. Sets up once, then comes up in seconds.

Composes the commands that a user has (`python -m training`, `python -m service`) and prints where to look. It is a
demo: its keys and a password are written to .data/demo/ready.json in plain text, and it listens on this machine only.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".data" / "demo"
READY = DEMO / "ready.json"
NOT_PUBLISHED = 3
CUSTOMERS, VISITORS = 3000, 300
REVIEWER = "Ada"
KEYS = {
    "marketing tool": ["read"],
    "website": ["ingest"],
    "analyst": ["read", "provisional"],
}
console = Console(stderr=True)


def main() -> int:
    """Set up where needed, serve until stopped; returns the exit code of the service."""
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service ends with us
    environment = {
        **os.environ,
        "JOURNEY_DATA_DIR": str(DEMO / "service"),
        "JOURNEY_MLRUNS_DIR": str(ROOT / "mlruns"),
        "PYTHONUNBUFFERED": "1",
    }
    began = time.monotonic()
    if not READY.exists():
        set_up(environment)
        console.print(f"set up in {time.monotonic() - began:.0f} s", style="green")
    port, ready = environment.get("JOURNEY_PORT", "8000"), with_reviewer(environment)
    server = subprocess.Popen([sys.executable, "-m", "service", "serve", "--with-worker"], env=environment)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        where_to_look(ready, port, time.monotonic() - began)
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait(30)  # requests under way have 20
        return 0
    finally:
        if server.poll() is None:
            server.terminate()


def set_up(environment: dict[str, str]) -> None:
    """Make up a company, train on it, and let customers whom training never saw come in through the service."""
    until = datetime.now(UTC).strftime("%Y-%m-%d")
    company, visitors = DEMO / "company", DEMO / "visitors"
    console.rule("1 of 4: a made-up car dealer with known odds")
    for folder, customers, seed in ((company, CUSTOMERS, 7), (visitors, VISITORS, 8)):
        people = ("--customers", str(customers), "--seed", str(seed))
        call(environment, "training", "simulate", *people, "--until", until, "--out", str(folder))
    console.rule("2 of 4: training on it (a few minutes)")
    call(
        environment, "training", "train", "--events", str(company / "events.parquet"), "--feedback",
        str(company / "feedback.parquet"), "--target", "car_purchase=dealer.purchase:90d", "--out", "mlruns",
    )  # fmt: skip
    console.rule("3 of 4: other customers' events into the service")
    call(environment, "service", "import", str(visitors / "events.parquet"))
    console.rule("4 of 4: concluding, and keys for the demo")
    call(environment, "service", "worker", "--once")
    keys = {name: create_key(environment, name, scopes) for name, scopes in KEYS.items()}
    keep({"keys": keys, "customer": a_customer(visitors)})


def keep(ready: dict[str, Any]) -> None:
    """Write what the demo has to show, for its owner alone."""
    partial = READY.with_suffix(".partial")
    partial.write_text(json.dumps(ready, indent=1) + "\n", "utf-8")
    partial.chmod(0o600)
    partial.rename(READY)


def call(environment: dict[str, str], module: str, *arguments: str) -> None:
    """Run one of our commands, its progress shown as it comes."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False)
    if done.returncode == NOT_PUBLISHED:
        console.print("The bundle did not beat its baselines, so it does not go live; the demo goes on without it.")
    elif done.returncode:
        raise SystemExit(f"`python -m {module} {arguments[0]}` ended with {done.returncode}; its message is above")


def create_key(environment: dict[str, str], name: str, scopes: list[str]) -> str:
    options = [option for scope in scopes for option in ("--scope", scope)]
    command = [sys.executable, "-m", "service", "keys", "create", "--name", name, *options, "--json"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    created: dict[str, Any] = json.loads(done.stdout)
    return str(created["key"])


def with_reviewer(environment: dict[str, str]) -> dict[str, Any]:
    """What the demo has to show, with the password of somebody who may review everything, made where there is none."""
    ready: dict[str, Any] = json.loads(READY.read_text("utf-8"))
    if "password" not in ready:
        password = secrets.token_hex(8)
        for command in (
            ["add", REVIEWER, "--role", "lead"],
            ["password", REVIEWER],
        ):
            call = [sys.executable, "-m", "service", "reviewers", *command]
            done = subprocess.run(call, env=environment, input=f"{password}\n", text=True, capture_output=True)
            if done.returncode == 0:
                break
        else:
            raise SystemExit(f"nobody could be put on the team: {done.stderr.strip()}")
        ready |= {"password": password}
        keep(ready)
    return ready


def a_customer(visitors: Path) -> str:
    """Somebody who has said something plain lately, so that the first answer shows all three conclusions."""
    import pyarrow.parquet as pq

    said = pq.read_table(visitors / "feedback.parquet", columns=["user_id", "said_at", "nuance"]).to_pylist()
    return str(max((row for row in said if row["nuance"] == "plain"), key=lambda row: row["said_at"])["user_id"])


def wait_until_ready(base: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=1):  # noqa: S310 - our own service on loopback
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise SystemExit(f"the service stopped with exit code {server.returncode}; its log is above")


def where_to_look(ready: dict[str, Any], port: str, seconds: float) -> None:
    keys, customer, base = ready["keys"], ready["customer"], f"http://127.0.0.1:{port}"
    event = json.dumps({"userId": customer, "event": "Dealer Visited", "properties": {"channel": "dealer"}})
    console.rule("Journey Insight")
    console.print(
        f"Up after {seconds:.1f} s. Stop with Ctrl-C; start afresh with `make clean`.\n\n"
        f"[b]Review[/b] (sign in as {REVIEWER} with this password): {base}/reviews\n  {ready['password']}\n\n"
        f"[b]An insight[/b] (as a marketing tool gets it):\n"
        f"  curl -H 'Authorization: Bearer {keys['marketing tool']}' {base}/v1/customers/{customer}/insight\n\n"
        f"[b]An event[/b] (or point a server-side Segment or RudderStack library here with this write key):\n"
        f"  curl -u {keys['website']}: {base}/v1/track -H 'Content-Type: application/json' \\\n"
        f"    -d '{event}'\n\n"
        f"[b]The API[/b]: {base}/openapi.json\n",
        soft_wrap=True,  # keys and commands stay on one line, to be copied
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
