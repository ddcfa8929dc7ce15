"""How callers are treated: keys that are rotated, limits that are told, writes that may come again, ids of requests,
compression, other sites, and overload that is told before it is felt."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models.journey.event import SECOND
from service.access import keys
from service.access.limits import Bounded, Limits
from service.access.replays import KEPT
from service.errors import NotFound
from tests.coroutines import finished
from tests.service.fakes import House, open_house, publish, track

HOUR = 3_600 * SECOND


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_rotated_key_works_beside_the_new_one_until_its_time_is_over(house: House) -> None:
    house.batch(track("A"))
    old, whole = keys.create(house.state.service, "tool", ["read", "ingest"], house.clock())
    new, other = keys.rotate(house.state.service, old.key_id, house.clock(), HOUR)

    def status(key: str) -> list[int]:
        headers = {"Authorization": f"Bearer {key}"}
        paths = ("/v1/customers/c1/insight", "/v1/jobs")  # by the ring, and by the database
        return [house.client.get(path, headers=headers).status_code for path in paths]

    assert (new.name, new.scopes) == (old.name, old.scopes)
    assert (status(whole), status(other)) == ([200, 200], [200, 200])
    house.clock.forward(3_600)
    assert (status(whole), status(other)) == ([401, 401], [200, 200])


def test_a_rotated_key_can_still_be_revoked_at_once_but_not_rotated_again(house: House) -> None:
    old, whole = keys.create(house.state.service, "tool", ["read"], house.clock())
    keys.rotate(house.state.service, old.key_id, house.clock(), HOUR)
    with pytest.raises(NotFound):
        keys.rotate(house.state.service, old.key_id, house.clock(), HOUR)
    keys.revoke(house.state.service, old.key_id, house.clock())

    assert keys.verify(house.state.service, whole, house.clock()) is None


def test_the_use_of_a_key_is_noted_on_the_quick_paths_too(house: House) -> None:
    house.batch(track("A"))
    house.insight("c1")
    used = {key.name: key.last_used_at for key in keys.all_keys(house.state.service)}
    assert used["read"] == house.clock.at


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_harms_no_other(house: House) -> None:
    moment = 0.0
    house.app.state.limits = Limits(rate=0.5, burst=2, monotonic=lambda: moment)
    headers, others = house.key("read"), house.key("read", "ingest")

    assert [house.client.get("/v1/jobs", headers=headers).status_code for _ in range(3)] == [200, 200, 429]
    refused = house.client.post("/v1/predictions", json={"journeys": [{}]}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "2"
    assert house.client.get("/v1/jobs", headers=others).status_code == 200
    moment = 2.0
    assert house.client.get("/v1/jobs", headers=headers).status_code == 200


def test_while_too_many_are_answered_the_next_is_a_503_at_once_and_probes_go_on() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.01)

    async def call(app: Bounded, path: str = "/v1/jobs") -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
        return sent

    async def together() -> tuple[list[list[Any]], list[Any]]:
        app = Bounded(slow, 2)
        found = await asyncio.gather(*(call(app) for _ in range(4)), call(app, "/readyz"))
        return list(found), await call(app)

    found, after = finished(together())
    refused = [sent for sent in found if sent]
    assert len(refused) == 2
    assert refused[0][0]["status"] == 503
    assert (b"retry-after", b"1") in refused[0][0]["headers"]
    assert after == []


def test_predictions_that_would_wait_too_long_are_refused_and_the_others_answered(tmp_path: Path) -> None:
    with open_house(tmp_path, predictions_waiting=40) as house:
        headers = house.key("read")
        body: dict[str, Any] = {"journeys": [{}] * 33}
        house.client.post("/v1/predictions", json=body, headers=headers)

        def ask(_: int) -> Any:
            return house.client.post("/v1/predictions", json=body, headers=headers)

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(36)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert any(answer.status_code == 200 for answer in answers)
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)


# -- writes that come again --------------------------------------------------------------------------------------------


def test_a_write_with_an_idempotency_key_is_done_once_and_answered_again(house: House) -> None:
    headers = {**house.key("read"), "Idempotency-Key": "k-1"}
    first, again = (house.client.post("/v1/jobs", json={"format": "csv"}, headers=headers) for _ in range(2))

    assert first.json() == again.json()
    assert (again.status_code, again.headers["location"]) == (201, first.headers["location"])
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert len(house.client.get("/v1/jobs", headers=house.key("read")).json()["jobs"]) == 1


def test_a_secret_that_is_shown_once_is_not_kept_for_the_answer_that_comes_again(tmp_path: Path) -> None:
    with open_house(tmp_path, webhook_private=True) as house:
        headers = {**house.key("admin"), "Idempotency-Key": "k-1"}
        body = {"url": "http://127.0.0.1:9/hook"}
        first, again = (house.client.post("/v1/webhooks", json=body, headers=headers) for _ in range(2))
        assert again.json() == {**first.json(), "secret": None}
        assert again.headers["idempotency-replayed"] == "true"
        path = f"/v1/webhooks/{first.json()['webhook_id']}/secret"
        rotated = [house.client.post(path, headers={**headers, "Idempotency-Key": "k-2"}).json() for _ in range(2)]
        assert (rotated[1]["secret"], len(rotated[1]["secrets"])) == (None, 2)
        for file in house.settings.data_dir.glob("*.db*"):
            for secret in (first.json()["secret"], rotated[0]["secret"]):
                assert secret.encode() not in file.read_bytes()


def test_the_same_idempotency_key_with_another_body_is_refused_and_of_another_caller_is_another(house: House) -> None:
    headers = {"Idempotency-Key": "k-1"}
    house.client.post("/v1/jobs", json={}, headers={**house.key("read"), **headers})
    other = house.client.post("/v1/jobs", json={"format": "csv"}, headers={**house.key("read"), **headers})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    mine = house.client.post("/v1/jobs", json={"format": "csv"}, headers={**house.key("read", "ingest"), **headers})
    assert mine.status_code == 201


def test_what_failed_may_be_tried_again_with_the_same_idempotency_key(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {**house.key("read"), "Idempotency-Key": "k-1"}
    monkeypatch.setattr("service.jobs.routes.MOST_OPEN", 0)
    assert house.client.post("/v1/jobs", json={}, headers=headers).status_code == 503
    monkeypatch.undo()
    assert house.client.post("/v1/jobs", json={}, headers=headers).status_code == 201


def test_while_the_first_is_being_answered_the_second_is_a_409(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def held(*_: Any) -> Any:
        begun.set()
        go_on.wait(10)
        raise NotFound("Nothing.")

    monkeypatch.setattr("service.jobs.routes._create", held)
    headers = {**house.key("read"), "Idempotency-Key": "k-1"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(house.client.post, "/v1/jobs", json={}, headers=headers)
        assert begun.wait(10)
        second = house.client.post("/v1/jobs", json={}, headers=headers)
        go_on.set()
        assert first.result().status_code == 404
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_progress")


def test_answers_are_replayed_for_a_day_and_never_without_a_key_in_force(house: House) -> None:
    made, whole = keys.create(house.state.service, "tool", ["read"], house.clock())
    headers = {"Authorization": f"Bearer {whole}", "Idempotency-Key": "k-1"}
    first = house.client.post("/v1/jobs", json={}, headers=headers).json()["job_id"]
    house.clock.forward(KEPT // SECOND + 1)
    assert house.client.post("/v1/jobs", json={}, headers=headers).json()["job_id"] != first
    keys.revoke(house.state.service, made.key_id, house.clock())
    assert house.client.post("/v1/jobs", json={}, headers=headers).status_code == 401
    wrong = house.client.post("/v1/jobs", json={}, headers={**house.key("read"), "Idempotency-Key": "a b"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "Idempotency-Key")


# -- ids, compression, other sites -------------------------------------------------------------------------------------


def test_the_callers_own_id_of_a_request_comes_back_where_it_can_hold_nothing_of_a_person(house: House) -> None:
    own = "0af76519-16cd-43dd-8448-eb211c80319c"
    assert house.client.get("/healthz", headers={"X-Request-Id": own}).headers["x-request-id"] == own
    for given in ("ada@example.org", "x" * 20, "a\\nb", "12"):
        assert house.client.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"] != given


def test_long_answers_are_gzipped_for_who_takes_it_and_small_ones_are_not(house: House) -> None:
    house.batch(track("A"))
    house.worker.run_until_idle()
    path, headers = "/v1/customers/c1/insight", house.key("read")
    zipped = house.client.get(path, headers={**headers, "Accept-Encoding": "gzip"})
    plain = house.client.get(path, headers={**headers, "Accept-Encoding": "identity"})

    assert (zipped.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert zipped.json() == plain.json()
    assert zipped.headers["etag"] == plain.headers["etag"]
    assert (zipped.headers["vary"], plain.headers["vary"]) == ("Accept-Encoding", "Accept-Encoding")
    assert "content-encoding" not in house.client.get("/healthz", headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize(("origins", "allowed"), [("", None), ("https://a.example", "https://a.example")])
def test_other_sites_may_call_the_api_where_a_setting_names_them(
    tmp_path: Path, origins: str, allowed: str | None
) -> None:
    with open_house(tmp_path, api_origins=origins) as house:
        headers = {**house.key("read"), "Origin": "https://a.example"}
        answer = house.client.get("/v1/jobs", headers=headers)
        page = house.client.get("/reviews", headers=headers)
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-origin" not in page.headers


# -- never wrong quietly -----------------------------------------------------------------------------------------------


def test_while_the_live_bundle_changes_and_one_is_broken_no_request_fails(house: House) -> None:
    house.batch(*(track("Test Drive Booked", f"c{n}") for n in range(5)))
    house.worker.run_until_idle()
    headers, wrong, over = house.key("read"), list[Any](), threading.Event()
    versions = set[int]()
    body = {"journeys": [{"events": [{"event": "A", "timestamp": "2026-11-20T10:00:00Z"}]}]}

    def ask(number: int) -> None:
        while not over.is_set():
            answers = (
                house.client.post("/v1/predictions", json=body, headers=headers),
                house.client.get(f"/v1/customers/c{number}/insight", headers=headers),
            )
            wrong.extend(one.text for one in answers if one.status_code != 200)
            versions.add(answers[0].json()["predictions"][0]["model"]["version"])

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, number) for number in range(3)]
        for version in range(2, 8):
            publish(house.settings.mlruns_dir, version, "broken" if version == 5 else f"digest{version}")
            house.worker.run_until_idle()
        last = house.client.post("/v1/predictions", json=body, headers=headers).json()["predictions"][0]
        over.set()
        for one in asking:
            one.result()
    assert wrong == []
    assert last["model"]["version"] == 7
    assert 5 not in versions


def test_with_a_broken_bundle_the_old_one_serves_on_and_readyz_says_so(house: House) -> None:
    publish(house.settings.mlruns_dir, 2, "broken")
    told = house.client.post("/v1/predictions", json={"journeys": [{}]}, headers=house.key("read")).json()
    ready = house.client.get("/readyz").json()

    assert told["predictions"][0]["model"]["version"] == 1
    assert ready["bundle"]["version"] == 1
    assert "version 2 cannot be loaded" in ready["bundle"]["problem"]


def test_before_the_first_bundle_base_rates_are_told_and_nothing_is_concluded(tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "live").mkdir(parents=True)
    with open_house(tmp_path) as house:
        house.batch(track("Test Drive Booked"), track("Product Viewed"))
        house.worker.run_until_idle()
        told = house.client.post("/v1/predictions", json={"journeys": [{}]}, headers=house.key("read")).json()
        stored = house.insight("c1")
    for insight in (told["predictions"][0], stored):
        following = insight["next_touchpoint"]
        assert (following["decision"], following["answer"]) == ("abstain", None)
        assert sum(one["probability"] for one in following["distribution"]) == pytest.approx(1)
        assert [flag["code"] for flag in following["flags"]] == ["not_trained"]
    assert json.loads(json.dumps(stored))["model"]["version"] == 0
