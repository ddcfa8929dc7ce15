"""POST /v1/batch and its siblings, by real requests: what is kept, what is refused and how that is told."""

import base64
import gzip
import json
from typing import Any

import pytest
from sqlalchemy import select

from models.journey.event import Event, format_time
from service.events.store import event_of, log
from tests.service.fakes import NOON, House, open_house, track


def stored(house: House) -> list[Event]:
    with house.state.log.read() as connection:
        return [event_of(row) for row in connection.execute(select(log).order_by(log.c.seq))]


def post(house: House, path: str, body: bytes, **headers: str) -> Any:
    return house.client.post(path, content=body, headers={**house.key("ingest"), **headers})


def test_an_accepted_event_is_in_the_log_when_the_answer_is_200(house: House) -> None:
    answer = house.batch(track("Product Viewed", messageId="m1", properties={"value": 3}))

    assert answer.json() == {"success": True, "accepted": 1, "repeated": 0, "refused": []}
    (event,) = stored(house)
    assert (event.message_id, event.kind, event.name, event.user_id) == ("m1", "track", "Product Viewed", "c1")
    assert event.properties == {"value": 3}
    assert format_time(event.occurred_at) == "2026-11-20T10:00:00Z"
    assert event.received_at == NOON


@pytest.mark.parametrize(
    ("call", "body", "name", "properties"),
    [
        ("track", {"event": "Signed In", "properties": {"a": 1}}, "Signed In", {"a": 1}),
        ("page", {"name": "Home", "properties": {"url": "/"}}, "Home", {"url": "/"}),
        ("page", {"properties": {"name": "Prices"}}, "Prices", {"name": "Prices"}),
        ("screen", {"name": "Start"}, "Start", {}),
        ("identify", {"traits": {"plan": "pro"}}, "", {"plan": "pro"}),
        ("identify", {"context": {"traits": {"plan": "pro"}}}, "", {"plan": "pro"}),
        ("group", {"groupId": "g1", "traits": {"size": 5}}, "", {"size": 5, "groupId": "g1"}),
        ("alias", {"previousId": "old"}, "", {}),
    ],
)
def test_each_call_is_kept_in_the_words_of_the_log(
    house: House, call: str, body: dict[str, Any], name: str, properties: dict[str, Any]
) -> None:
    answer = post(house, f"/v1/{call}", json.dumps({"userId": "c1", **body}).encode())

    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    (event,) = stored(house)
    assert (event.kind, event.name, event.properties) == (call, name, properties)


def test_repeats_are_dropped_by_message_id_across_requests_and_inside_one(house: House) -> None:
    house.batch(track("First", messageId="m1"), track("Second", messageId="m1"))
    answer = house.batch(track("Third", messageId="m1"), track("Third", messageId="m2"))

    assert (answer.json()["accepted"], answer.json()["repeated"]) == (1, 1)
    assert [(event.message_id, event.name) for event in stored(house)] == [("m1", "First"), ("m2", "Third")]


def test_an_event_without_a_message_id_gets_one(house: House) -> None:
    house.batch(track("A"), track("A"))

    ids = [event.message_id for event in stored(house)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (3, "not_an_object"),
        ({"type": "dance", "userId": "c1"}, "unknown_type"),
        ({"type": ["track"], "userId": "c1"}, "unknown_type"),
        ({"type": "track", "event": "A"}, "id_missing"),
        ({"type": "track", "event": "A", "userId": None, "anonymousId": ""}, "id_missing"),
        ({"type": "track", "userId": "c1"}, "event_missing"),
        ({"type": "track", "userId": "c1", "event": "  "}, "event_missing"),
        ({"type": "track", "userId": "c1", "event": "x" * 300}, "invalid_value"),
        ({"type": "group", "userId": "c1"}, "group_id_missing"),
        ({"type": "alias", "userId": "c1"}, "previous_id_missing"),
        ({"type": "alias", "anonymousId": "a1", "previousId": "c1"}, "previous_id_missing"),
        (track("A", messageId="m" * 101), "invalid_value"),
        (track("A", customer="c\0"), "invalid_text"),
        (track("A", properties=[1]), "invalid_value"),
        (track("A", context="web"), "invalid_value"),
        (track("A", at="yesterday"), "invalid_time"),
        (track("A", at="1969-12-31T23:59:59Z"), "invalid_time"),
        (track("A", at="9999-12-31T23:59:59-14:00"), "invalid_time"),
        (track("A", at="9999-12-31T23:59:59Z"), "in_the_future"),
        (track("A", at="2026-11-23T12:00:00Z"), "in_the_future"),
        ({**track("A"), "timestamp": 12}, "invalid_time"),
        (track("A", properties={"text": "x" * 32_768}), "too_large"),
    ],
)
def test_a_bad_event_is_refused_by_itself_with_index_code_and_reason(house: House, event: Any, code: str) -> None:
    answer = house.batch(track("Good"), event, track("Good too"))

    told = answer.json()
    assert told["accepted"] == 2
    assert [(refusal["index"], refusal["code"]) for refusal in told["refused"]] == [(1, code)]
    assert told["refused"][0]["reason"]
    assert {event.name for event in stored(house)} == {"Good", "Good too"}


def test_a_null_anonymous_id_beside_a_user_id_is_normal_and_whole_numbers_are_ids(house: House) -> None:
    answer = house.batch({"type": "track", "event": "A", "userId": 42, "anonymousId": None})

    assert answer.json()["accepted"] == 1
    assert stored(house)[0].user_id == "42"


def test_the_skew_of_a_clients_clock_is_taken_out_where_it_sent_both_moments(house: House) -> None:
    event = track("A", originalTimestamp="2026-11-21T09:59:50Z")
    house.batch(event, sentAt="2026-11-21T10:00:00Z")

    assert stored(house)[0].occurred_at == NOON - 10_000_000


def test_a_moment_slightly_ahead_counts_as_now(house: House) -> None:
    house.batch(track("A", at="2026-11-21T13:00:00Z"))

    assert stored(house)[0].occurred_at == NOON


def test_the_context_of_a_batch_is_merged_into_every_event(house: House) -> None:
    house.batch(track("A", context={"page": 1}), track("B"), context={"page": 0, "library": "x"})

    contexts = {event.name: event.context for event in stored(house)}
    assert contexts == {"A": {"page": 1, "library": "x"}, "B": {"page": 0, "library": "x"}}


def test_gzip_and_any_content_type_are_understood(house: House) -> None:
    body = gzip.compress(json.dumps({"batch": [track("A")]}).encode())
    labels = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}

    assert post(house, "/v1/batch", body, **labels).json()["accepted"] == 1
    plain = post(house, "/v1/track", json.dumps(track("B")).encode(), **{"Content-Type": "text/plain"})
    assert plain.json()["accepted"] == 1


@pytest.mark.parametrize("style", ["bearer", "basic", "body", "bearer of something else and body"])
def test_a_key_may_come_as_bearer_basic_or_in_the_body(house: House, style: str) -> None:
    house.key("ingest")
    key = house.keys["ingest"]
    basic = base64.b64encode(f"{key}:".encode()).decode()
    headers = {
        "bearer": {"Authorization": f"Bearer {key}"},
        "basic": {"Authorization": f"Basic {basic}"},
        "bearer of something else and body": {"Authorization": "Bearer of-the-site"},
    }.get(style, {})
    body = {"batch": [track("A")]} | ({"writeKey": key} if "body" in style else {})

    assert house.client.post("/v1/batch", json=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "key_missing"),
        ({"Authorization": "Bearer wrong"}, 401, "key_unknown"),
        ({"Authorization": "Basic ???"}, 401, "key_missing"),
        ({"Authorization": "Basic /w=="}, 401, "key_missing"),
    ],
)
def test_without_a_key_nothing_is_kept(house: House, headers: dict[str, str], status: int, code: str) -> None:
    answer = house.client.post("/v1/batch", json={"batch": [track("A")]}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored(house) == []


def test_a_key_without_the_scope_is_told_which_one_it_lacks(house: House) -> None:
    answer = house.client.post("/v1/batch", json={"batch": []}, headers=house.key("read"))

    assert answer.status_code == 403
    assert answer.json()["allowed"] == ["ingest"]


@pytest.mark.parametrize(
    ("body", "labels", "status", "code"),
    [
        (b"", {}, 400, "no_json"),
        (b"no json", {}, 400, "no_json"),
        (b'{"batch": [', {}, 400, "no_json"),
        (b"[]", {}, 400, "no_json"),
        (b'{"batch": 3}', {}, 400, "no_json"),
        (b'{"batch": [{"a": NaN}', {}, 400, "no_json"),
        (b'{"batch": [{"a": "\\ud800}]}', {}, 400, "no_json"),
        (b'{"batch": [' + b"[" * 100_000 + b"]" * 99_999 + b"]}", {}, 400, "no_json"),
        (b"{}", {}, 400, "no_json"),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400, "no_gzip"),
        (gzip.compress(b'{"batch": []}', mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400, "cut_short"),
        (b"{}", {"Content-Encoding": "br"}, 415, "unknown_encoding"),
        (b" " * 524_289, {}, 413, "body_too_large"),
        (gzip.compress(b" " * 50_000_000, mtime=0), {"Content-Encoding": "gzip"}, 413, "body_too_large"),
        (b'{"batch": [' + b",".join([b"{}"] * 2501) + b"]}", {}, 413, "too_many_events"),
    ],
)
def test_only_a_body_that_is_wrong_as_a_whole_is_refused_as_a_whole(
    house: House, body: bytes, labels: dict[str, str], status: int, code: str
) -> None:
    answer = post(house, "/v1/batch", body, **labels)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert stored(house) == []


def test_bytes_that_are_no_utf8_spoil_their_own_event_only(house: House) -> None:
    good = json.dumps(track("Good")).encode()
    answer = post(house, "/v1/batch", b'{"batch": [{"event": "\xff"}, ' + good + b"]}").json()

    assert (answer["accepted"], answer["refused"][0]["code"]) == (1, "invalid_text")


def test_a_batch_with_the_most_events_allowed_is_kept(house: House) -> None:
    lean = [{"type": "page", "userId": "c", "messageId": str(n)} for n in range(2_500)]

    assert house.batch(*lean).json()["accepted"] == 2_500


def test_the_order_of_the_log_never_goes_back_even_where_the_clock_does(house: House) -> None:
    house.batch(track("A", messageId="b"))
    house.clock.forward(-3600)
    house.batch(track("B", messageId="a", at="2026-11-20T10:00:00Z"))

    first, second = stored(house)
    assert second.received_at > first.received_at


def test_what_is_stored_survives_a_restart(tmp_path: Any) -> None:
    with open_house(tmp_path) as house:
        house.batch(track("A", messageId="m1"))
    with open_house(tmp_path) as house:
        assert [event.message_id for event in stored(house)] == ["m1"]
        assert house.batch(track("A", messageId="m1")).json()["repeated"] == 1


def test_storage_that_is_locked_answers_503_and_when_to_come_again(tmp_path: Any) -> None:
    with open_house(tmp_path, busy_seconds=0.001) as house:
        headers = house.key("ingest")
        with house.state.log.write():
            answer = house.client.post("/v1/batch", json={"batch": [track("A")]}, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert stored(house) == []
