"""Every error is problem+json, and no input of a stranger makes a 500 or half a batch."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from models.bundle import Bundle
from service.app import create_app
from service.database import log_metadata, metadata
from service.events.store import log
from service.live.bundles import LiveBundles
from service.settings import Settings
from tests.service.fakes import House, load_fake, publish, track

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["type", "event", "userId", "anonymousId", "previousId", "groupId", "messageId", "timestamp", "originalTimestamp",
     "sentAt", "properties", "traits", "context", "batch", "writeKey", "id", "customer_id", "text", "said_at",
     "channel", "rating", "journeys", "events", "feedback", "as_of", "name", "value"]
)  # fmt: skip
LIKELY = st.sampled_from(
    ["track", "page", "identify", "alias", "group", "c1", "2026-11-21T10:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01",
     "1e999999", "\ud800", "\0", 10**30, -1, float("nan"), {}, [], {"text": "angry"}, {"value": "1e999999"}]
)  # fmt: skip
OBJECTS = st.dictionaries(NAMES, LIKELY | JSON_VALUES, max_size=9)
BODIES = (
    OBJECTS
    | st.builds(lambda items, beside: {**beside, "batch": items}, st.lists(OBJECTS | JSON_VALUES, max_size=4), OBJECTS)
    | st.builds(lambda items: {"journeys": [{"events": items}]}, st.lists(OBJECTS, max_size=3))
)
PATHS = st.sampled_from(
    ["/v1/batch", "/v1/track", "/v1/identify", "/v1/alias", "/v1/group", "/v1/page", "/v1/feedback", "/v1/predictions"]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=PATHS, body=BODIES | JSON_VALUES, cut=st.integers(0, 40) | st.none(), zipped=st.booleans())
def test_no_body_makes_a_500_and_what_was_accepted_is_what_is_stored(
    house: House, path: str, body: Any, cut: int | None, zipped: bool
) -> None:
    with house.state.log.read() as connection:
        before = connection.execute(select(func.count()).select_from(log)).scalar_one()
    content = json.dumps(body).encode()[:cut]
    headers = {**house.key("ingest", "read")} | ({"Content-Encoding": "gzip"} if zipped else {})
    answer = house.client.post(path, content=gzip.compress(content) if zipped else content, headers=headers)

    told = answer.json()
    assert answer.status_code in (200, 400, 409, 413, 422)
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "message"} <= told.keys()
    with house.state.log.read() as connection:
        after = connection.execute(select(func.count()).select_from(log)).scalar_one()
    new = told.get("accepted", int(told.get("repeated") is False)) if answer.status_code == 200 else 0
    assert after - before == new
    house.worker.run_until_idle()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_path"),
        ("GET", "/v1/batch", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/customers//insight", 404, "unknown_path"),
        ("GET", "/v1/customers/%ff%00/insight", 404, "unknown_customer"),
        ("GET", f"/v1/customers/{'x' * 5000}/insight", 404, "unknown_customer"),
    ],
)
def test_every_error_is_problem_json(house: House, method: str, path: str, status: int, code: str) -> None:
    answer = house.client.request(method, path, headers=house.key("read"))

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/errors/{code.replace('_', '-')}"


def test_an_unexpected_error_tells_nothing_of_what_happened(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the secret of customer c1")

    monkeypatch.setattr("service.insights.reading.find_customer", fails)
    answer = house.client.get("/v1/customers/c1/insight", headers=house.key("read"))

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] in answer.text
    assert "secret" not in answer.text


def test_no_log_line_names_a_customer_or_quotes_words(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.batch(track("Survey Answered", customer="ada@example.org", properties={"text": "quite angry"}))
    house.say("f1", "very angry", customer="ada@example.org")
    house.worker.run_until_idle()
    house.insight("ada@example.org")
    house.client.get("/v1/customers/bob@example.org/insight", headers=house.key("read"))
    monkeypatch.setattr("service.insights.reading.find_customer", lambda _, asked: 1 / (asked == ""))
    house.client.get("/v1/customers/bob@example.org/insight", headers=house.key("read"))

    out, err = capsys.readouterr()
    assert "/v1/customers/{customer_id}/insight" in out + err
    for secret in ("ada", "bob", "angry", house.keys["read"]):
        assert secret not in out + err


def test_healthz_needs_no_key(house: House) -> None:
    assert house.client.get("/healthz").json() == {"status": "ok"}
    assert house.client.get("/readyz").status_code == 200


def test_whoever_waits_for_the_start_is_told_when_the_models_are_loaded(tmp_path: Path) -> None:
    loaded: list[int] = []

    def load(folder: Path, threads: int) -> Bundle:
        loaded.append(1)
        return load_fake(folder, threads)

    publish(tmp_path / "mlruns", 1, "one")
    bundles = LiveBundles(tmp_path / "mlruns", load=load)
    seen: list[int] = []
    app = create_app(Settings(data_dir=tmp_path / "data"), bundles=bundles, started=lambda: seen.append(len(loaded)))
    assert seen == []
    with TestClient(app):
        assert seen == [1]


def test_the_openapi_document_can_be_made(house: House) -> None:
    paths = house.client.get("/openapi.json").json()["paths"]

    assert {"/v1/batch", "/v1/feedback", "/v1/predictions", "/v1/customers/{customer_id}/insight"} <= paths.keys()


def test_every_table_says_how_it_is_exported_and_erased_or_why_it_holds_nothing() -> None:
    for table in (*metadata.tables.values(), *log_metadata.tables.values()):
        assert set(table.info) in ({"exported", "erased", "rows", "json_columns"}, {"holds_nothing"}), table.name


def test_every_setting_is_described_and_has_a_default() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
