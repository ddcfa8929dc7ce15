"""Refused events are kept as they were sent, told, and read again once their cause is gone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from models.journey.event import DAY, format_time
from service.events import letters
from service.events.letters import HEAD_BYTES, dead_letters
from service.events.replay import BATCH, Replayed, replay
from service.events.store import event_of, log
from tests.service.fakes import NOON, House, open_house, track

ROOT = Path(__file__).parents[3]
NOBODY = {"type": "track", "event": "Nobody did this"}


def kept(house: House) -> list[letters.Letter]:
    with house.state.log.read() as connection:
        return letters.listed(connection, None, None, 1_000)


def again(house: House, code: str | None = None, *, dry_run: bool = False) -> dict[str, Any]:
    return replay(house.state, code, dry_run=dry_run, progress=lambda *_: None).to_dict()


def rows(house: House) -> int:
    with house.state.log.read() as connection:
        return connection.execute(select(func.count()).select_from(log)).scalar_one()


def ask(house: House, **query: Any) -> Any:
    return house.client.get("/v1/dead-letters", params=query, headers=house.key("admin"))


def test_a_refused_event_is_kept_as_it_was_sent_with_why_and_when_and_what_stood_beside_it(house: House) -> None:
    body = (
        b'{"batch": [ {"type":"track",  "event":"\xc3\xa4"} ], "context": {"a": 1}, "sentAt": "2026-11-21T12:00:00Z"}'
    )
    house.client.post("/v1/batch", content=body, headers=house.key("ingest"))

    (letter,) = kept(house)
    assert letter.raw == b'{"type":"track",  "event":"\xc3\xa4"}'
    assert json.loads(letter.beside) == {"context": {"a": 1}, "sentAt": "2026-11-21T12:00:00Z"}
    assert (letter.call, letter.code, letter.received_at, letter.whole) == ("batch", "id_missing", NOON, True)


def test_a_letter_that_is_sent_again_is_counted_and_not_kept_twice(house: House) -> None:
    house.batch(NOBODY)
    house.clock.forward(60)
    house.batch(NOBODY, NOBODY)

    (letter,) = kept(house)
    assert (letter.times, letter.received_at, letter.last_at) == (3, NOON, NOON + 60_000_000)


def test_of_a_letter_that_is_too_large_only_the_beginning_is_kept(house: House) -> None:
    house.batch(track("A", properties={"text": "x" * 40_000}))

    (letter,) = kept(house)
    assert (letter.whole, len(letter.raw)) == (False, HEAD_BYTES)
    assert letter.size_bytes > 40_000
    assert again(house)["read"] == 0


def test_the_oldest_letters_go_when_there_are_too_many_or_they_are_too_old(tmp_path: Path) -> None:
    with open_house(tmp_path, letters_kept=3, letter_days=2) as house:
        house.batch(*({"type": "track", "event": f"E{n}"} for n in range(5)))
        assert [json.loads(one.raw)["event"] for one in kept(house)] == ["E4", "E3", "E2"]
        house.clock.forward(3 * DAY // 1_000_000)
        house.batch({"type": "track", "event": "new"})
        assert [json.loads(one.raw)["event"] for one in kept(house)] == ["new"]


def test_letters_are_told_to_an_admin_by_page_and_code_with_counts(house: House) -> None:
    house.batch(*({"type": "track", "event": f"E{n}"} for n in range(3)), {"type": "dance", "userId": "c"})
    first = ask(house, limit=2).json()
    second = ask(house, limit=2, cursor=first["next_cursor"]).json()

    assert [(one["code"], one["letters"]) for one in first["counts"]] == [("id_missing", 3), ("unknown_type", 1)]
    assert [one["code"] for one in first["letters"]] == ["unknown_type", "id_missing"]
    assert [json.loads(one["raw"])["event"] for one in second["letters"]] == ["E1", "E0"]
    assert second["letters"][0]["first_received_at"] == format_time(NOON)
    assert [one["code"] for one in ask(house, code="unknown_type").json()["letters"]] == ["unknown_type"]
    assert ask(house, cursor=1).json()["next_cursor"] is None


def test_letters_are_told_to_nobody_else(house: House) -> None:
    for scope in ("ingest", "read", "review"):
        assert house.client.get("/v1/dead-letters", headers=house.key(scope)).status_code == 403
    assert house.client.get("/v1/dead-letters").status_code == 401


def test_what_was_from_the_future_is_taken_in_once_its_time_has_come_and_only_once(house: House) -> None:
    house.batch(track("Soon", at="2026-11-25T12:00:00Z", messageId="soon"), context={"a": 1})
    too_early = again(house)
    house.clock.forward(4 * 86_400)
    tried, done, after = again(house, dry_run=True), again(house), again(house)

    assert (too_early["accepted"], too_early["refused"]) == (0, {"in_the_future": 1})
    assert tried == done == {"read": 1, "accepted": 1, "repeated": 0, "refused": {}}
    assert after["read"] == 0
    with house.state.log.read() as connection:
        (event,) = (event_of(row) for row in connection.execute(select(log)))
    assert (event.name, event.context, format_time(event.occurred_at)) == ("Soon", {"a": 1}, "2026-11-25T12:00:00Z")
    assert event.received_at == house.clock()


def test_skew_is_taken_out_as_it_was_when_the_letter_came(tmp_path: Path) -> None:
    with open_house(tmp_path, event_bytes=256) as house:
        large = track("A", originalTimestamp="2026-11-21T10:59:50Z", properties={"x": "y" * 300})
        house.batch({**large, "type": "dance"}, large, sentAt="2026-11-21T11:00:00Z")
        assert [one.whole for one in kept(house)] == [False, False]
    with open_house(tmp_path) as house:
        beyond = {"originalTimestamp": "2026-11-21T10:59:50Z", "userId": "c", "type": "track"}
        house.batch(beyond, sentAt="2026-11-21T11:00:00Z")
        with house.state.log.write() as connection:
            mended = b'{"originalTimestamp": "2026-11-21T10:59:50Z", "userId": "c", "type": "track", "event": "A"}'
            connection.execute(dead_letters.update().where(dead_letters.c.whole).values(raw=mended))
        house.clock.forward(7 * 86_400)
        assert again(house)["accepted"] == 1
        with house.state.log.read() as connection:
            assert connection.execute(select(log.c.occurred_at)).scalar() == NOON - 10_000_000


def test_a_letter_whose_event_came_by_another_way_is_taken_out_as_known(house: House) -> None:
    house.batch(track("Soon", at="2026-11-25T12:00:00Z", messageId="m"))
    house.batch(track("Soon", messageId="m"))
    house.clock.forward(4 * 86_400)

    assert again(house) == {"read": 1, "accepted": 0, "repeated": 1, "refused": {}}
    assert kept(house) == []
    assert rows(house) == 1


def test_letters_that_are_still_wrong_stay_and_tell_todays_reason(tmp_path: Path) -> None:
    with open_house(tmp_path, future_tolerance_seconds=0) as house:
        house.batch({"type": "track", "userId": "c", "event": "A", "timestamp": "2026-11-21T13:00:00Z"})
        house.batch(NOBODY, {"type": "dance", "userId": "c"})
        with house.state.log.write() as connection:
            connection.execute(dead_letters.update().values(code="older_rule"))
        assert again(house, "id_missing")["read"] == 0
        assert again(house)["refused"] == {"id_missing": 1, "in_the_future": 1, "unknown_type": 1}
        assert {one.code for one in kept(house)} == {"id_missing", "in_the_future", "unknown_type"}


def test_a_dry_run_changes_nothing(house: House) -> None:
    house.batch(track("Soon", at="2026-11-25T12:00:00Z"), NOBODY)
    house.clock.forward(4 * 86_400)
    before = kept(house)

    assert again(house, dry_run=True) == {"read": 2, "accepted": 1, "repeated": 0, "refused": {"id_missing": 1}}
    assert kept(house) == before
    assert rows(house) == 0


def test_a_replay_that_was_stopped_goes_on_without_a_repeat(house: House) -> None:
    soon = [track("Soon", at="2026-11-25T12:00:00Z", properties={"n": n}) for n in range(BATCH + 10)]
    house.batch(*soon)
    house.clock.forward(4 * 86_400)

    def stop(read: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(house.state, progress=stop)
    assert rows(house) == BATCH
    assert again(house) == Replayed(read=10, accepted=10).to_dict()
    assert rows(house) == BATCH + 10


def test_events_and_letters_of_a_request_are_committed_together_or_not_at_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = house.key("ingest")

    def fails(*_: object) -> int:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("service.events.store.append_on", fails)
    answer = house.client.post("/v1/batch", json={"batch": [track("A"), NOBODY]}, headers=headers)

    assert answer.status_code == 500
    assert kept(house) == []
    assert rows(house) == 0


def test_the_command_replays_and_tells_what_became_of_the_letters_as_json(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.batch(NOBODY, {"type": "dance", "userId": "c"})
        with house.state.log.write() as connection:
            mended = b'{"type": "track", "event": "A", "userId": "c", "timestamp": "2020-01-01T00:00:00Z"}'
            connection.execute(dead_letters.update().where(dead_letters.c.code == "id_missing").values(raw=mended))
    environment = {**os.environ, "JOURNEY_DATA_DIR": str(tmp_path / "data"), "JOURNEY_MLRUNS_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "service", "replay"]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=True)

    told = {"read": 2, "accepted": 1, "repeated": 0, "refused": {"unknown_type": 1}, "dry_run": False}
    assert json.loads(done.stdout) == told
    assert "2 letters read, 1 of them fine now" in done.stderr


def test_what_a_stranger_sent_is_shown_as_text_that_can_be_seen() -> None:
    assert letters.readable(b"<b>\xff\x00\xe2\x80\xae</b>\n") == "<b>\\xff\\x00\\u202e</b>\n"
