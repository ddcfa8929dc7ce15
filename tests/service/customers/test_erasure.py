"""Erasure: marked values are written wherever a customer can leave one, erased, and then looked for in every byte."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.customers import erasure
from service.events import history, replay
from service.export import export
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track, trained_on
from tests.service.test_logs import wait_until_told

ROOT = Path(__file__).parents[3]
MARK = "zQ7märked"
"""Stands in every value of the customer to be erased; its ä tells whether escapes are searched for as well."""


def marked(what: str) -> str:
    return f"{MARK}-{what}"


def forms(value: str) -> list[bytes]:
    """A text as it may lie in a file: UTF-8, UTF-16, and escaped in JSON."""
    return [value.encode(), value.encode("utf-16-le"), value.encode("utf-16-be"), json.dumps(value)[1:-1].encode(),
            value.encode("latin-1")]  # fmt: skip


def files_with(folder: Path, *values: str) -> list[str]:
    """Every file below a folder that holds one of these values in any form, and how often."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            times = sum(data.count(form) for value in values for form in set(forms(value)))
            found += [f"{path.relative_to(folder)}: {times}"] if times else []
    return found


def write_marked(house: House, others: int = 40) -> None:
    """A customer who leaves something everywhere, among others who do not."""
    me, device = marked("user"), marked("device")
    for n in range(others):
        house.batch(*(track("Product Viewed", customer=f"c{n}", messageId=f"c{n}-{m}", properties={"page": "x" * 300})
                      for m in range(5)))  # fmt: skip
        if n % 8 == 0:
            house.batch(
                {"type": "page", "name": marked("page"), "anonymousId": device, "messageId": marked(f"page{n}"),
                 "properties": {"url": f"https://example.org/?q={MARK}"}},
                track(marked("event"), customer=me, messageId=marked(f"event{n}"), properties={"text": marked("text")}),
            )  # fmt: skip
            house.say(marked(f"said{n}"), f"I am angry, {marked('words')} {n}", customer=me)
            house.worker.run_until_idle()
    house.batch(
        {"type": "identify", "userId": me, "anonymousId": device, "messageId": marked("identify"),
         "timestamp": "2026-11-19T10:00:00Z",
         "traits": {"email": f"{MARK}@example.org", "firstName": marked("name")},
         "context": {"ip": marked("ip"), "consent": {"categoryPreferences": {"Advertising": True}}}},
        track("Product Viewed", customer="c1", anonymousId=device, messageId="c1-on-their-device"),
        {"type": "track", "userId": me, "properties": {"text": marked("refused")}},
        {"type": "alias", "userId": me, "previousId": marked("old"), "messageId": marked("alias")},
    )  # fmt: skip
    house.say("f-other", "I am happy", customer="c1")
    house.worker.run_until_idle()


def review(house: House) -> None:
    """A person answers a case of the marked customer, with a note, and skips another."""
    headers = house.key("review")
    for path, body in (("verdict", {"answer": "negative", "note": marked("note")}), ("release", {})):
        case = house.client.post("/v1/reviews/claim", headers=headers, json={}).json()["case"]
        house.client.post(f"/v1/reviews/{case['conclusion_id']}/{path}", headers=headers, json=body)


@pytest.fixture
def marked_house(house: House) -> House:
    write_marked(house)
    review(house)
    assert files_with(house.settings.data_dir, MARK)
    return house


def delete(house: House, asked: str) -> Any:
    answer = house.client.delete(f"/v1/customers/{asked}", headers=house.key("admin"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_after_an_erasure_no_file_holds_a_byte_of_it_while_the_service_runs(marked_house: House) -> None:
    data = marked_house.settings.data_dir
    marked_house.client.get("/v1/customers/c1/insight", headers=marked_house.key("read"))
    receipt = delete(marked_house, marked("user"))

    assert files_with(data, MARK) == []
    assert receipt["purged_at"] is not None
    assert receipt["rows"]["log"] > 10
    assert receipt["rows"]["dead_letters"] == 1
    assert receipt["rows"]["verdicts"] == 1
    assert receipt["others_rows"] == 1
    assert MARK not in json.dumps(receipt, ensure_ascii=False)
    marked_house.worker.run_until_idle()
    assert files_with(data, MARK) == []
    assert marked_house.insight("c1")["journey"]["touchpoints"] == 6


def test_whoever_was_erased_is_kept_out_whichever_way_they_come(marked_house: House, tmp_path: Path) -> None:
    data, me, ingest = marked_house.settings.data_dir, marked("user"), marked_house.key("ingest")
    delete(marked_house, marked("device"))
    sent = {"batch": [track("Late", customer=me, messageId=marked("late")), track("Late", customer="c2"),
                      {"type": "page", "anonymousId": marked("device")}, {"type": "track", "userId": me},
                      track("Theirs", customer="c3", anonymousId=marked("device"), messageId="m3")]}  # fmt: skip
    answer = marked_house.client.post("/v1/batch", json=sent, headers=ingest).json()
    assert (answer["success"], answer["accepted"]) == (True, 2)
    assert [(one["index"], one["code"]) for one in answer["refused"]] == [(0, "erased"), (2, "erased"), (3, "erased")]
    said = marked_house.say(marked("again"), marked("words"), customer=me)
    assert (said.status_code, said.json()["code"]) == (409, "customer_erased")

    file = tmp_path / "history.jsonl"
    rows = [{"user_id": who, "event": "Old", "timestamp": "2026-01-01T00:00:00Z"} for who in (me, "c4")]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    files = history.files_of([str(file)], "events", {})
    done = history.History(files, marked_house.settings, marked_house.clock).bring(marked_house.state.log)
    assert (done.new, done.reasons) == (1, {"erased": 1})
    marked_house.worker.run_until_idle()
    assert marked_house.client.get(f"/v1/customers/{me}/insight", headers=marked_house.key("read")).status_code == 404
    told = marked_house.client.get("/metrics", headers=marked_house.key("admin"))
    assert 'journey_events_total{outcome="erased"} 3.0' in told.text
    file.unlink()
    assert files_with(data, MARK) == []


def test_a_letter_of_somebody_erased_that_is_left_is_not_replayed(house: House) -> None:
    house.batch({"type": "track", "event": "A", "userId": "c1", "timestamp": "2030-01-01T00:00:00Z"}, track("B"))
    erasure.begin(house.state, "c1", "a test")
    house.clock.forward(5 * 365 * 86_400)
    done = replay.replay(house.state, progress=lambda read, taken: None)
    assert done.to_dict() == {"read": 1, "accepted": 0, "repeated": 0, "refused": {"erased": 1}}


def test_rebuilding_afterwards_gives_the_same_rows(marked_house: House) -> None:
    delete(marked_house, marked("user"))
    names = ("touchpoints", "feedback", "identities", "joins", "consents")

    def folded() -> dict[str, list[Any]]:
        with marked_house.state.service.read() as connection:
            query = "SELECT * FROM {} ORDER BY 1, 2, 3, 4"
            found = {name: [tuple(row) for row in connection.exec_driver_sql(query.format(name))] for name in names}
            counts = connection.exec_driver_sql(
                "SELECT rule, kind, name, events FROM catalogue_counts ORDER BY 1, 2, 3"
            )
            return found | {"counts": [tuple(row) for row in counts]}

    before = folded()
    rebuild(marked_house.state)
    assert folded() == before
    assert len(before["touchpoints"]) > 200
    assert files_with(marked_house.settings.data_dir, MARK) == []


@pytest.mark.parametrize("dies_in", ["_from_log", "_from_service", "_remove_scratch"])
def test_an_erasure_that_is_cut_off_is_finished_by_the_worker(
    marked_house: House, dies_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(erasure, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            erasure.erase(marked_house.state, marked("user"), "a test")
    assert files_with(marked_house.settings.data_dir, MARK)
    marked_house.clock.forward(3600)
    marked_house.worker.run_until_idle()

    assert files_with(marked_house.settings.data_dir, MARK) == []
    (receipt,) = erasure.receipts(marked_house.state, None, 10)
    assert receipt.purged_at is not None
    assert receipt.found["rows"]["log"] > 10


def test_erasing_twice_gives_the_same_receipt_and_it_is_kept(house: House) -> None:
    house.batch(track("A"))
    receipt = delete(house, "c1")
    assert delete(house, "c1") == receipt
    admin = house.key("admin")
    assert house.client.get(f"/v1/erasures/{receipt['tombstone_id']}", headers=admin).json() == receipt
    assert house.client.get("/v1/erasures", headers=admin).json() == {"erasures": [receipt], "next_cursor": None}
    assert house.client.get("/v1/erasures/nothing", headers=admin).json()["code"] == "unknown_erasure"
    assert receipt["by"].startswith("key ")


def test_who_comes_back_is_kept_again_once_the_erasure_is_lifted(house: House) -> None:
    house.batch(track("A"), {"type": "page", "anonymousId": "dev"}, track("A", anonymousId="dev"))
    tombstone_id = delete(house, "c1")["tombstone_id"]
    assert house.batch(track("B")).json()["accepted"] == 0
    lifted = erasure.lift(house.state, "dev")
    assert (lifted.tombstone_id, lifted.lifted_at) == (tombstone_id, house.clock())
    assert house.batch(track("B")).json()["accepted"] == 1
    assert house.insight("c1")["journey"]["touchpoints"] == 1
    assert delete(house, "c1")["tombstone_id"] != tombstone_id


def test_exports_in_the_data_folder_go_and_those_elsewhere_are_told(marked_house: House, tmp_path: Path) -> None:
    inside, outside = marked_house.settings.data_dir / "exports" / "one", tmp_path / "elsewhere"
    for folder in (inside, outside):
        export(marked_house.state, folder)
    (marked_house.settings.data_dir / "import-killed").mkdir()
    (marked_house.settings.data_dir / "import-killed" / "run.db").write_text(MARK)
    told = delete(marked_house, marked("user"))
    assert [(one["folder"], one["removed"]) for one in told["exports"]] == [(str(inside), True), (str(outside), False)]
    assert told["files"] == ["import-killed"]
    assert not inside.exists()
    assert files_with(marked_house.settings.data_dir, MARK) == []


def test_the_receipt_lists_the_versions_that_learned_from_them(house: House, tmp_path: Path) -> None:
    export(house.state, tmp_path / "before")
    house.clock.forward(60)
    house.batch(track("A"))
    export(house.state, tmp_path / "with")
    trained_on(house, 2, tmp_path / "before")
    trained_on(house, 3, tmp_path / "with")
    told = delete(house, "c1")
    assert [(one["version"], one["sure"]) for one in told["versions"]] == [(3, True)]
    assert [one["folder"] for one in told["exports"]] == [str(tmp_path / "with")]


def test_the_command_erases_shows_the_receipt_and_lifts(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        write_marked(house, others=9)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        told = {"JOURNEY_DATA_DIR": str(tmp_path / "data"), "JOURNEY_MLRUNS_DIR": str(tmp_path / "mlruns")}
        command = [sys.executable, "-m", "service", "erase", marked("user"), *words]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True)

    done = run("--json")
    assert done.returncode == 0, done.stderr
    assert MARK not in done.stdout + done.stderr
    receipt = json.loads(done.stdout)
    assert (receipt["by"], receipt["purged_at"] is not None) == ("command", True)
    assert files_with(tmp_path / "data", MARK) == []
    assert "is lifted" in run("--lift").stdout
    assert (again := run("--lift")).returncode == 2
    assert MARK not in again.stderr


def test_no_byte_is_left_while_service_and_worker_run_as_processes(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"JOURNEY_DATA_DIR": str(tmp_path / "data"), "JOURNEY_MLRUNS_DIR": str(tmp_path / "mlruns"),
            "JOURNEY_PORT": str(port)}  # fmt: skip
    command, environment = [sys.executable, "-m", "service"], {**os.environ, **told}
    scopes = ["--scope", "ingest", "--scope", "admin"]
    made = subprocess.run([*command, "keys", "create", "--name", "test", *scopes, "--json"], cwd=ROOT, env=environment,
                          capture_output=True, text=True, check=True)  # fmt: skip
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
    service = subprocess.Popen([*command, "serve", "--with-worker"], cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30) as client:
            wait_until_told(client, "journey_worker_running 1.0")
            for n in range(60):
                who = marked("user") if n % 3 else f"c{n}"
                events = [{**track("A", customer=who, messageId=f"{who}{n}-{m}", properties={"text": who * 9}),
                           "anonymousId": f"{who}-device"} for m in range(20)]  # fmt: skip
                client.post("/v1/batch", json={"batch": events}).raise_for_status()
            wait_until_told(client, "journey_log_rows_to_fold 0.0")
            assert files_with(tmp_path / "data", MARK)
            answer = client.delete(f"/v1/customers/{marked('user')}")
            assert (answer.status_code, answer.json()["rows"]["log"]) == (200, 800)
            client.post("/v1/track", json=track("A", customer=marked("user"))).raise_for_status()
            wait_until_told(client, "journey_customers_pending 0.0")
            assert files_with(tmp_path / "data", MARK) == []
    finally:
        service.terminate()
        _, errors = service.communicate(timeout=30)
    assert not [form for form in forms(MARK) if form in errors]
