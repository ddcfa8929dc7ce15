"""Retention: what is too old goes from both databases, in small steps, and a rebuild comes to the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.customers import retention
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track

DAY_SECONDS = 86_400
FOLDED = ("touchpoints", "feedback", "identities", "joins", "consents")


def rows(house: House, name: str, columns: str = "*") -> list[tuple[Any, ...]]:
    database = house.state.log if name == "log" else house.state.service
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(f"SELECT {columns} FROM {name} ORDER BY 1, 2")]


def a_year(house: House) -> None:
    """Three customers: one who went on, one who was there at the beginning only, one who then objected."""
    house.batch(
        {"type": "page", "anonymousId": "dev", "messageId": "old-page"},
        {"type": "identify", "userId": "stays", "anonymousId": "dev", "messageId": "old-join",
         "traits": {"email": "ada@example.org", "phone": "+49 171 1234567"}},
        track("Product Viewed", customer="stays", messageId="old-view", at="2026-11-21T11:00:00Z"),
        track("Product Viewed", customer="leaves", messageId="old-last", anonymousId="dev2"),
        {"type": "identify", "userId": "objects", "traits": {"do_not_profile": True, "name": "Bob"}, "messageId": "no"},
        track("Feedback Submitted", customer="stays", messageId="old-words", properties={"comment": "angry words"}),
    )  # fmt: skip
    house.say("f-old", "I am angry", customer="stays")
    house.worker.run_until_idle()
    house.clock.forward(300 * DAY_SECONDS)
    house.batch(track("Product Viewed", customer="stays", messageId="new-view", at="2027-09-01T00:00:00Z"))
    house.say("f-new", "I am happy", customer="stays", at="2027-09-01T00:00:00Z")
    house.worker.run_until_idle()


@pytest.fixture
def aging(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, keep_events_days=200, keep_words_days=200, keep_conclusions_days=200) as house:
        a_year(house)
        yield house


def test_nothing_goes_unless_a_setting_says_so(house: House) -> None:
    a_year(house)
    assert retention.step(house.state) == 0
    assert len(rows(house, "log")) == 9


def test_old_events_and_words_go_from_both_databases_and_who_is_who_stays(aging: House) -> None:
    kept = {row[2]: row for row in rows(aging, "log")}
    assert set(kept) == {"old-join", "no", "new-view", "f-new"}
    assert kept["old-join"][3] == "identify"
    assert (kept["old-join"][10], "1234567" in kept["old-join"][11]) == ('{"email":"ada@example.org"}', False)
    assert [row[0] for row in rows(aging, "touchpoints")] == ["new-view"]
    assert [row[0] for row in rows(aging, "feedback")] == ["f-new"]
    assert {row[3] for row in rows(aging, "conclusions")} == {"f-new"}
    assert {row[0] for row in rows(aging, "identities")} >= {"a:dev", "u:stays", "u:objects"}
    assert aging.insight("dev")["journey"]["touchpoints"] == 1


def test_somebody_of_whom_nothing_is_left_is_forgotten_but_an_objection_is_not(aging: House) -> None:
    known = {row[0] for row in rows(aging, "identities")}
    assert not known & {"u:leaves", "a:dev2"}
    assert rows(aging, "consents", "id, objects") == [("u:objects", 1)]
    assert aging.client.get("/v1/customers/leaves/insight", headers=aging.key("read")).status_code == 404
    assert aging.batch(track("Product Viewed", customer="leaves", at="2027-09-01T00:00:00Z")).json()["accepted"] == 1


def test_a_rebuild_afterwards_gives_the_same_rows(aging: House) -> None:
    before = {name: rows(aging, name) for name in FOLDED}
    assert all(before[name] for name in FOLDED)
    rebuild(aging.state)
    assert {name: rows(aging, name) for name in FOLDED} == before


def test_words_can_go_before_the_events_that_they_came_with(tmp_path: Path) -> None:
    with open_house(tmp_path, keep_words_days=200) as house:
        a_year(house)
        assert [row[0] for row in rows(house, "feedback")] == ["f-new"]
        assert "old-words" in {row[0] for row in rows(house, "touchpoints")}
        assert "angry" not in str(rows(house, "log"))
        before = {name: rows(house, name) for name in FOLDED}
        rebuild(house.state)
        assert {name: rows(house, name) for name in FOLDED} == before


def test_a_step_is_small_and_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS", 2)
    with open_house(tmp_path, keep_events_days=200) as house:
        a_year(house)
        assert {row[2] for row in rows(house, "log")} == {"old-join", "no", "new-view", "f-old", "f-new"}
        assert retention.step(house.state) == 0
