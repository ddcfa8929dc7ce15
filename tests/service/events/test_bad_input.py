"""Bad events, bad bodies and slow senders: each is refused by itself, and what is fine beside it is kept."""

import asyncio
import gzip
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from starlette.requests import ClientDisconnect, Request

from service.body import MAX_GZIP_MEMBERS, gunzip, read_body
from service.errors import BadRequest, TooSlow
from service.events.splitting import pieces, split
from service.events.storable import MAX_DEPTH
from service.events.store import log
from service.events.tracking import MAX_BESIDE_BYTES
from tests.service.fakes import House, track

GOOD = json.dumps(track("Good", messageId="good")).encode()


def nested(depth: int) -> bytes:
    return (
        b'{"type": "track", "userId": "c", "event": "A", "properties": ' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)
    )


def with_value(value: str) -> bytes:
    return b'{"type": "track", "userId": "c", "event": "A", "properties": {"value": %b}}' % value.encode()


def names(house: House) -> list[str]:
    with house.state.log.read() as connection:
        return list(connection.execute(select(log.c.name).order_by(log.c.seq)).scalars())


def send(house: House, body: bytes, path: str = "/v1/batch") -> Any:
    return house.client.post(path, content=body, headers=house.key("ingest"))


BAD = [
    (with_value("NaN"), "invalid_number"),
    (with_value("[-Infinity]"), "invalid_number"),
    (with_value("1e999"), "invalid_number"),
    (with_value(str(2**63)), "invalid_number"),
    (with_value(str(-(2**63) - 1)), "invalid_number"),
    (with_value("9" * 5000), "invalid_number"),
    (with_value('"\\ud800"'), "invalid_text"),
    (with_value('{"\\udc00": 1}'), "invalid_text"),
    (with_value('"\\u0000"'), "invalid_text"),
    (with_value('{"a\\u0000b": 1}'), "invalid_text"),
    (with_value('"a\0b"'), "invalid_text"),
    (with_value('"a\nb"'), "not_json"),
    (b'{"type": "track", "userId": "c", "event": "\xff"}', "invalid_text"),
    (b'{"type": "track", "userId": "c", "event": "\xed\xa0\x80"}', "invalid_text"),
    (with_value("tru"), "not_json"),
    (with_value("01"), "not_json"),
    (b'{"type" "track"}', "not_json"),
    (nested(MAX_DEPTH), "nested_too_deep"),
    (nested(800), "nested_too_deep"),
    (nested(5_000), "nested_too_deep"),
    (b'"text"', "not_an_object"),
    (b"NaN", "invalid_number"),
    (b"", "not_json"),
    (b'{"type": "track", "event": "A", "userId": 123456789012345678901234567890}', "invalid_number"),
]


@pytest.mark.parametrize(("bad", "code"), BAD, ids=[f"{code}-{n}" for n, (_, code) in enumerate(BAD)])
def test_an_event_that_cannot_be_stored_as_it_was_sent_is_refused_alone(house: House, bad: bytes, code: str) -> None:
    told = send(house, b'{"batch": [' + b",".join([GOOD, bad, GOOD.replace(b"good", b"too")]) + b"]}").json()

    assert [(one["index"], one["code"]) for one in told["refused"]] == [(1, code)]
    assert told["refused"][0]["reason"]
    assert (told["accepted"], names(house)) == (2, ["Good", "Good"])


@pytest.mark.parametrize(("bad", "code"), BAD[:20], ids=[f"{code}-{n}" for n, (_, code) in enumerate(BAD[:20])])
def test_a_bad_event_that_is_sent_by_itself_is_refused_in_the_same_words(house: House, bad: bytes, code: str) -> None:
    answer = send(house, bad, "/v1/track")

    if code == "not_json" and b'"type" "track"' in bad:
        assert answer.json()["code"] == "no_json"
    else:
        assert [(one["index"], one["code"]) for one in answer.json()["refused"]] == [(0, code)]


@pytest.mark.parametrize(
    "value",
    [str(2**63 - 1), str(-(2**63)), "1e300", "0.12345678901234567890123", '"1234567890123456789012345"', '"\\\\u0000"',
     '"\\ud83d\\ude00"', '"ü"', "-0.0"],
)  # fmt: skip
def test_what_looks_like_trouble_and_is_none_is_kept_as_it_was_sent(house: House, value: str) -> None:
    assert send(house, b'{"batch": [' + with_value(value) + b"]}").json()["accepted"] == 1

    with house.state.log.read() as connection:
        (kept,) = connection.execute(select(log.c.properties)).scalars()
    assert json.loads(kept) == {"value": json.loads(value)}


def test_nested_as_deep_as_allowed_is_kept(house: House) -> None:
    assert send(house, b'{"batch": [' + nested(MAX_DEPTH - 2) + b"]}").json()["accepted"] == 1


def test_a_context_beside_the_batch_that_cannot_be_used_refuses_its_events(house: House) -> None:
    bad = send(house, b'{"context": {"a": NaN}, "batch": [' + GOOD + b"]}").json()
    large = json.dumps({"context": {"a": "x" * MAX_BESIDE_BYTES}, "batch": [track("A")]}).encode()

    assert bad["refused"][0]["code"] == "invalid_number"
    assert "beside the batch" in bad["refused"][0]["reason"]
    assert send(house, large).json()["refused"][0]["code"] == "too_large"
    assert names(house) == []


def test_integrations_beside_the_batch_are_merged_into_every_event(house: House) -> None:
    house.batch(track("A", integrations={"B": True}), track("C"), integrations={"All": False, "B": False})

    with house.state.log.read() as connection:
        kept = {row.name: row.context for row in connection.execute(select(log.c.name, log.c.context))}
    assert json.loads(kept["A"]) == {"integrations": {"All": False, "B": True}}
    assert json.loads(kept["C"]) == {"integrations": {"All": False, "B": False}}


def test_the_write_key_is_found_in_a_body_that_only_brackets_can_split(house: House) -> None:
    house.key("ingest")
    body = b'{"writeKey": "%b", "batch": [{"a": NaN}, %b]}' % (house.keys["ingest"].encode(), GOOD)

    assert house.client.post("/v1/batch", content=body).json()["accepted"] == 1
    single = b'{"writeKey": "%b", "userId": "c", "event": "A", "properties": NaN}' % house.keys["ingest"].encode()
    assert house.client.post("/v1/track", content=single).json()["refused"][0]["code"] == "invalid_number"


def test_splitting_by_brackets_agrees_with_a_reader_of_json() -> None:
    items = [{"a": '"}],[{"'}, [1, [2]], "a\\", {}, "", 3.5, None]
    body = json.dumps({"batch": items, "writeKey": "k", "context": {"x": [1]}, "sentAt": "t"}, indent=1).encode()
    strict = split("batch", body, 99)
    loose = split("batch", body.replace(b"3.5", b"NaN"), 99)

    assert [json.loads(one) for one in strict.items] == items
    assert [one.replace(b"NaN", b"3.5") for one in loose.items] == strict.items
    assert (loose.write_key, bytes(loose.beside.context)) == ("k", bytes(strict.beside.context))


@pytest.mark.parametrize("data", [b"", b"[", b"[1", b"[1}", b"[1]]", b'["a]', b"{}", b"[[1]", b"[1] 2"])
def test_brackets_that_do_not_fit_split_nothing(data: bytes) -> None:
    with pytest.raises(ValueError):
        pieces(data, b"[")


def test_a_gzip_bomb_and_a_chain_of_members_end_early() -> None:
    assert gunzip(gzip.compress(b"a") * MAX_GZIP_MEMBERS, 1_000) == b"a" * MAX_GZIP_MEMBERS
    with pytest.raises(BadRequest):
        gunzip(gzip.compress(b"") * (MAX_GZIP_MEMBERS + 1), 1_000)


def request_of(*messages: dict[str, Any]) -> Request:
    """A request whose body arrives as these messages, and then never again."""
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "method": "POST", "headers": [], "path": "/"}, receive)


def finished(reading: Coroutine[Any, Any, bytes]) -> bytes:
    """In a thread of its own: a browser test before may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, reading).result()


def test_a_body_that_does_not_arrive_in_time_is_408_and_ends_the_connection() -> None:
    slow = request_of({"type": "http.request", "body": b'{"ba', "more_body": True})

    with pytest.raises(TooSlow) as told:
        finished(read_body(slow, 1_000, seconds=0.01))
    assert (told.value.status, told.value.code) == (408, "body_too_slow")
    assert told.value.headers == {"Connection": "close"}


def test_a_sender_that_goes_away_leaves_a_body_that_is_cut_short() -> None:
    gone = request_of({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"})

    with pytest.raises(BadRequest) as told:
        finished(read_body(gone, 1_000))
    assert told.value.code == "cut_short"
    assert not isinstance(told.value, ClientDisconnect)
