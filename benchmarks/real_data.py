"""Our commands on data that nobody here wrote: train, serve, post held-back rows, read, correct one, train again.

Three data sets, each a company of its own (people of one are never joined to another's). Held-back journeys are moved
in time as a whole, so that their cut lies a minute ago: what is posted counts as known now. Prints one JSON object.

    python benchmarks/real_data.py --data DIR --work DIR [--only journeys|purchases|feelings]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

Row = dict[str, str]
HELD_BACK_SHARE = 0.15
CUSTOMERS_POSTED = 1_000
REVIEWS_POSTED = 200
PORT = 8731


@dataclass(frozen=True)
class Company:
    """One data set with a service and bundles of its own."""

    name: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"JOURNEY_DATA_DIR": str(self.folder / "service"), "JOURNEY_MLRUNS_DIR": str(self.folder / "mlruns")}
        return {**os.environ, **own, "JOURNEY_PORT": str(PORT), "PYTHONUNBUFFERED": "1"}

    def command(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], env=self.environment, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode not in expected:
            raise SystemExit(f"{self.name}: {' '.join(arguments)} ended with {done.returncode}")
        return done.stdout

    def train(self, *arguments: str) -> dict[str, Any]:
        out = self.command(
            "training", "train", "--out", str(self.folder / "mlruns"), "--json", *arguments, expected=(0, 3)
        )
        report: dict[str, Any] = json.loads(out)
        return report

    def key(self, *scopes: str) -> str:
        options = [part for scope in scopes for part in ("--scope", scope)]
        created = json.loads(self.command("service", "keys", "create", "--name", "measuring", *options, "--json"))
        return str(created["key"])

    @contextmanager
    def serving(self) -> Iterator[httpx.Client]:
        key = self.key("ingest", "read", "provisional")
        command = [sys.executable, "-m", "service", "serve", "--with-worker"]
        with (
            (self.folder / "service.log").open("w") as log,
            subprocess.Popen(command, env=self.environment, stderr=log, stdout=log) as server,
        ):
            try:
                base = f"http://127.0.0.1:{PORT}"
                with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
                    _until(lambda: _ready(client))
                    yield client
            finally:
                server.terminate()


def journeys(data: Path, company: Company) -> dict[str, Any]:
    """Marketing-channel paths: which channel comes next. A device is on one side of the split only."""
    rows = _read(data / "events/omnichannel_converters/train.csv")
    held = _held_back_by_device(rows)
    _write(company.folder / "train.csv", [row for row in rows if row["customer_id"] not in held])
    report = company.train("--events", str(company.folder / "train.csv"))
    posted, actual, known = [], {}, {}
    now = datetime.now(UTC) - timedelta(minutes=1)
    for customer, path in _by_customer(rows, held).items():
        if len(path) < 2:
            continue
        shown, last = path[:-1], path[-1]
        actual[customer] = f"{_slug(last['channel'])}.{_slug(last['event'])}"
        known[customer] = len(shown)
        shift = now - _time(shown[-1])
        posted += [_track(row, _time(row) + shift, {"channel": row["channel"]}) for row in shown]
    with company.serving() as client:
        _post(client, posted)
        answers = {customer: _insight(client, customer, known[customer])["next_touchpoint"] for customer in actual}
    return {"report": report, "held_back": _score_next(answers, actual)}


def purchases(data: Path, company: Company) -> dict[str, Any]:
    """Repeat buying: who buys again within 90 days of a cut in time, among customers that training never saw."""
    rows = _read(data / "events/cdnow/train.csv")
    held = {row["customer_id"] for row in rows if _share(row["customer_id"]) < HELD_BACK_SHARE}
    _write(company.folder / "train.csv", [row for row in rows if row["customer_id"] not in held])
    report = company.train("--events", str(company.folder / "train.csv"), "--map", "properties.value=value")
    cut, horizon = datetime(2022, 3, 1, tzinfo=UTC), timedelta(days=90)
    now = datetime.now(UTC) - timedelta(minutes=1)
    posted, bought, known = [], {}, {}
    for customer, path in list(_by_customer(rows, held).items())[:CUSTOMERS_POSTED]:
        shown = [row for row in path if _time(row) <= cut]
        known[customer] = len(shown)
        bought[customer] = any(cut < _time(row) <= cut + horizon for row in path)
        posted += [_track(row, _time(row) + (now - cut), {"value": float(row["value"])}) for row in shown]
    with company.serving() as client:
        _post(client, posted)
        answers = {customer: _insight(client, customer, known[customer])["purchase"][0] for customer in bought}
    return {"report": report, "held_back": _score_purchase(answers, bought)}


def feelings(data: Path, company: Company) -> dict[str, Any]:
    """Shop reviews: how they feel, against their stars; one corrected in a browser; verdicts back into training."""
    rows = [row for row in _read(data / "text/clothing_reviews/train.csv") if row["Review Text"].strip()]
    rows.sort(key=lambda row: hashlib.sha256(row["Review Text"].encode()).digest())
    held, kept = rows[:REVIEWS_POSTED], rows[REVIEWS_POSTED:]
    texts = {row["Review Text"].strip().lower() for row in held}
    _write(company.folder / "train.csv", [row for row in kept if row["Review Text"].strip().lower() not in texts])
    columns = ("--map-feedback", "text=Review Text", "--map-feedback", "rating=Rating")
    report = company.train("--feedback", str(company.folder / "train.csv"), *columns)
    stars = {f"r{number:04d}": int(row["Rating"]) for number, row in enumerate(held)}
    with company.serving() as client:
        for (feedback_id, _), row in zip(stars.items(), held, strict=True):
            said_at = datetime.now(UTC).isoformat()
            body = {
                "feedback_id": feedback_id,
                "customer_id": f"c{feedback_id}",
                "text": row["Review Text"],
                "said_at": said_at,
                "channel": "review",
            }
            client.post("/v1/feedback", json=body).raise_for_status()
        _until(lambda: all(_insight(client, f"c{one}")["feeling"].get("feedback_id") for one in stars), 300)
        answers = {one: _insight(client, f"c{one}")["feeling"] for one in stars}
        corrected = correct_one(company.key("review"), company.folder, dict(zip(stars, texts_of(held), strict=True)))
        after = _insight(client, f"c{corrected['feedback_id']}")["feeling"]
    export = company.folder / "export"
    company.command("service", "export", str(export))
    again = company.train("--from-service", str(export))
    return {
        "report": report,
        "held_back": _score_feeling(answers, stars),
        "corrected": {**corrected, "insight_after": after},
        "verdicts_read_by_training": _learned_from(again)["verdicts"],
        "training_on_the_export": again["why"],
    }


def texts_of(rows: list[Row]) -> list[str]:
    return [row["Review Text"] for row in rows]


def correct_one(key: str, folder: Path, texts: dict[str, str]) -> dict[str, Any]:
    """Sign in as a reviewer, take the first case, and answer "mixed" by keyboard."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{PORT}/reviews")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Review key").fill(key)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Take the next case").click()
        words = page.locator("#words blockquote").inner_text()
        page.screenshot(path=str(folder / "case.png"), full_page=True)
        page.keyboard.press("4")
        page.wait_for_timeout(1500)
        page.screenshot(path=str(folder / "after.png"), full_page=True)
        browser.close()
    feedback_id = next(one for one, text in texts.items() if text.split() == words.split())
    return {"feedback_id": feedback_id, "answer": "mixed"}


def _score_next(answers: dict[str, Any], actual: dict[str, str]) -> dict[str, Any]:
    losses, hits, covered, sizes = [], [], [], []
    for customer, answer in answers.items():
        shown = answer if answer.get("distribution") else answer["provisional"]
        chances = {one["touchpoint"]: one["probability"] for one in shown["distribution"]}
        losses.append(-math.log(max(chances.get(actual[customer], 0.0), 1e-4)))
        hits.append(shown["distribution"][0]["touchpoint"] == actual[customer])
        covered.append(actual[customer] in shown["prediction_set"])
        sizes.append(len(shown["prediction_set"]))
    return {
        "n": len(losses),
        "log_loss": _mean(losses),
        "accuracy": _mean(hits),
        "coverage": _mean(covered),
        "mean_set_size": _mean(sizes),
        "decisions": _counts(answers),
    }


def _score_purchase(answers: dict[str, Any], bought: dict[str, bool]) -> dict[str, Any]:
    told = {customer: one for customer, one in answers.items() if one["answer"] is not None}
    chance = {customer: min(max(one["answer"], 1e-4), 1 - 1e-4) for customer, one in told.items()}
    losses = [-math.log(p if bought[customer] else 1 - p) for customer, p in chance.items()]
    rate = _mean([bought[customer] for customer in told])
    base = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    return {
        "n": len(told),
        "bought": rate,
        "mean_answer": _mean(list(chance.values())),
        "log_loss": _mean(losses),
        "log_loss_of_their_own_rate": round(base, 4),
        "bins": _bins(told, bought),
        "decisions": _counts(answers),
    }


def _bins(told: dict[str, Any], bought: dict[str, bool]) -> list[dict[str, float]]:
    ordered = sorted(told, key=lambda customer: told[customer]["answer"])
    parts = [ordered[i * len(ordered) // 5 : (i + 1) * len(ordered) // 5] for i in range(5)]
    return [
        {
            "said": _mean([told[c]["answer"] for c in part]),
            "happened": _mean([bought[c] for c in part]),
            "low": _mean([told[c]["interval"][0] for c in part]),
            "high": _mean([told[c]["interval"][1] for c in part]),
        }
        for part in parts
    ]


def _score_feeling(answers: dict[str, Any], stars: dict[str, int]) -> dict[str, Any]:
    expected = {1: "negative", 2: "negative", 3: "mixed", 4: "positive", 5: "positive"}
    auto = [one for one, answer in answers.items() if answer["decision"] == "auto"]
    wrong = [one for one in auto if answers[one]["answer"] != expected[stars[one]]]
    opposite = [one for one in wrong if {answers[one]["answer"], expected[stars[one]]} == {"negative", "positive"}]
    flags: dict[str, int] = defaultdict(int)
    for answer in answers.values():
        for flag in answer["flags"]:
            flags[flag["code"]] += 1
    hidden = {one: answer["provisional"]["answer"] for one, answer in answers.items() if answer.get("provisional")}
    return {
        "n": len(answers),
        "decisions": _counts(answers),
        "auto_wrong_against_stars": len(wrong),
        "auto_error": _mean([one in wrong for one in auto]) if auto else None,
        "auto_opposite": len(opposite),
        "waiting_wrong_against_stars": _mean([answer != expected[stars[one]] for one, answer in hidden.items()]),
        "flags": dict(flags),
        "promise": next(iter(answers.values()))["promise"],
    }


def _learned_from(report: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((Path(report["folder"]) / "manifest.json").read_text("utf-8"))
    learned: dict[str, Any] = manifest["learned_from"]
    return learned


def _counts(answers: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for answer in answers.values():
        counts[answer["decision"]] += 1
    return dict(counts)


def _held_back_by_device(rows: list[Row]) -> set[str]:
    """Customers of the held-back devices; nobody who shares a device with them stays in training."""
    held_devices = {row["device_id"] for row in rows if _share(row["device_id"]) < HELD_BACK_SHARE}
    held: set[str] = set()
    while True:
        more = {row["customer_id"] for row in rows if row["device_id"] in held_devices}
        held_devices |= {row["device_id"] for row in rows if row["customer_id"] in more}
        if more == held:
            return held
        held = more


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _by_customer(rows: list[Row], wanted: set[str]) -> dict[str, list[Row]]:
    paths: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["customer_id"] in wanted:
            paths[row["customer_id"]].append(row)
    return paths


def _time(row: Row) -> datetime:
    return datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)


def _slug(text: str) -> str:
    from models.journey.touchpoint import slug

    return slug(text, "other")


def _track(row: Row, moment: datetime, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "track",
        "event": row["event"],
        "userId": row["customer_id"],
        "timestamp": moment.isoformat(),
        "properties": properties,
    }


def _post(client: httpx.Client, events: list[dict[str, Any]]) -> None:
    for first in range(0, len(events), 500):
        answer = client.post("/v1/batch", json={"batch": events[first : first + 500]})
        answer.raise_for_status()


def _insight(client: httpx.Client, customer: str, touchpoints: int = 0) -> dict[str, Any]:
    """Wait until so many touchpoints of the customer are folded and concluded; longer than a minute is an error."""
    for _ in range(300):
        answer = client.get(f"/v1/customers/{customer}/insight")
        if answer.status_code == 200:
            body: dict[str, Any] = answer.json()
            if body["journey"]["touchpoints"] >= touchpoints:
                return body
        time.sleep(0.2)
    answer.raise_for_status()
    raise SystemExit(f"no insight for {customer}")


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.2)


def _mean(values: list[Any]) -> float:
    return round(sum(values) / len(values), 4) if values else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder for services and bundles, made anew")
    parts = {"journeys": journeys, "purchases": purchases, "feelings": feelings}
    parser.add_argument("--only", choices=list(parts))
    options = parser.parse_args()
    chosen = [options.only] if options.only else list(parts)
    result = {}
    for name in chosen:
        company = Company(name, options.work / name)
        company.folder.mkdir(parents=True, exist_ok=False)
        result[name] = parts[name](options.data, company)
    json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
