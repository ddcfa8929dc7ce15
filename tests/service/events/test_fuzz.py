"""No input of a stranger makes a 500 or half a batch: bodies, headers and bytes at random, and schemathesis.

JOURNEY_CAMPAIGN=1 tries many more.
"""

import gzip
import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from service.events.letters import dead_letters
from service.events.routes import CALLS
from service.events.store import log
from tests.seeds import LONG
from tests.service.fakes import House

pytestmark = pytest.mark.timeout(1_800 if LONG else 300)
TRIED = settings(
    max_examples=10_000 if LONG else 200, deadline=None, suppress_health_check=list(HealthCheck),
)  # fmt: skip

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["\ud800", "\0", "a" * 300, 2**63, -(2**63) - 1, 1e308, "", "c1", "NaN"])
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
TIMES = st.sampled_from(
    ["2026-11-21T10:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+14:00", "2026-11-21",
     "2016-12-31T23:59:60Z", "9999-12-31T23:59:59-23:59", "x"]
) | st.datetimes().map(str)  # fmt: skip
IDS = st.sampled_from(["c1", "c2", "", "x" * 257]) | SCALARS
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "page", "screen", "identify", "group", "alias", "dance"]) | JSON,
        "event": st.sampled_from(["A", " "]) | JSON, "name": JSON, "userId": IDS, "anonymousId": IDS,
        "previousId": IDS, "groupId": IDS, "messageId": st.sampled_from(["m1", "m2", "m" * 101]) | SCALARS,
        "timestamp": TIMES | JSON, "originalTimestamp": TIMES, "sentAt": TIMES | JSON,
        "properties": st.dictionaries(st.text(max_size=6), JSON, max_size=3) | JSON, "traits": JSON, "context": JSON,
        "integrations": JSON,
    },
)  # fmt: skip
BATCHES = st.fixed_dictionaries(
    {"batch": st.lists(EVENTS | JSON, max_size=5)},
    optional={"context": JSON, "integrations": JSON, "sentAt": TIMES | JSON, "writeKey": JSON, "more": JSON},
)
NESTED = st.integers(0, 3_000).map(lambda depth: b'{"batch": [{"a":' + b"[" * depth + b"]" * depth + b"}, {}]}")


@st.composite
def mutated(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes of a body lost, doubled or replaced."""
    body = bytearray(draw(bodies))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        end = min(len(body), at + draw(st.integers(0, 8)))
        body[at:end] = draw(
            st.just(b"") | st.binary(max_size=4) | st.just(bytes(body[at:end]) * 2)
            | st.sampled_from([b"NaN", b'"', b"{", b"]", b"\\ud800", b"\\u0000", b"\xff", b",", b"1" * 30])
        )  # fmt: skip
    return bytes(body)


WRITTEN = (BATCHES | EVENTS | JSON).map(lambda value: json.dumps(value).encode())
BODIES = mutated(WRITTEN | NESTED) | st.binary(max_size=60)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Content-Encoding", "Accept", "Origin", "X-Retry-Count", "Authorization"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
    | st.sampled_from(["gzip", "text/plain", "application/x-www-form-urlencoded", "Basic Og==", "Bearer x", "*"]),
    max_size=3,
)


def counted(house: House) -> tuple[int, int]:
    """Rows of the log, and how often anything was refused."""
    with house.state.log.read() as connection:
        rows = connection.execute(select(func.count()).select_from(log)).scalar_one()
        return rows, connection.execute(select(func.sum(dead_letters.c.times))).scalar() or 0


@TRIED
@given(
    path=st.sampled_from(sorted(CALLS)), body=BODIES, headers=HEADERS, known=st.booleans() | st.just(True),
    garble=st.none() | st.none() | st.sampled_from([gzip.compress, lambda body: gzip.compress(body)[:-5]]),
)  # fmt: skip
def test_no_input_makes_a_500_or_half_a_batch(
    house: House, path: str, body: bytes, headers: dict[str, str], known: bool, garble: Callable[[bytes], bytes] | None
) -> None:
    before = counted(house)
    sent = {**headers, **(house.key("ingest") if known else {})}
    if garble is not None:
        body, sent["Content-Encoding"] = garble(body), "gzip"
    answer = house.client.post(f"/v1/{path}", content=body, headers=sent)
    told, after = answer.json(), counted(house)

    if answer.status_code == 200:
        indexes = [one["index"] for one in told["refused"]]
        assert (after[0] - before[0], after[1] - before[1]) == (told["accepted"], len(indexes))
        assert indexes == sorted(set(indexes))
        assert max(indexes, default=0) < max(1, told["accepted"] + told["repeated"] + len(indexes))
    else:
        assert answer.status_code in (400, 401, 413, 415)
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "message"} <= told.keys()
        assert after == before


def test_what_was_taken_in_can_be_folded_and_what_was_refused_can_be_read_again(house: House) -> None:
    """The worker and the pages get through whatever a stranger sent."""

    @settings(max_examples=500 if LONG else 20, deadline=None)
    @given(bodies=st.lists(BODIES, min_size=1, max_size=6))
    def check(bodies: list[bytes]) -> None:
        for body in bodies:
            house.client.post("/v1/batch", content=body, headers=house.key("ingest"))
        house.worker.run_until_idle()
        listed = house.client.get("/v1/dead-letters", params={"limit": 100}, headers=house.key("admin"))
        assert listed.status_code == 200

    check()
