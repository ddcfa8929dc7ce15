"""What is exported is what was known as of a moment, whole or not at all, and reads back as the same journeys."""

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from models.journey.assembly import assemble
from models.journey.eventlog import read_events
from service import export as exporting
from service.customers import store as customers
from service.errors import Conflict
from service.export import export
from tests.service.fakes import House, track


def fill(house: House) -> None:
    house.batch({"type": "page", "anonymousId": "dev", "messageId": "p1", "timestamp": "2026-11-20T09:00:00Z"})
    house.clock.forward(10)
    house.batch(
        {"type": "identify", "anonymousId": "dev", "userId": "c1"},
        track("Order Completed", properties={"channel": "dealer", "value": 12.5}),
        track("Survey Answered", customer="c2", messageId="s1", properties={"text": "angry", "rating": 2}),
    )
    house.say("f1", "Fine", customer="c2")
    house.worker.run_until_idle()


def test_events_read_back_are_the_same_journeys(house: House, tmp_path: Path) -> None:
    fill(house)
    rows = export(house.state, tmp_path / "out", house.clock.at + 10)

    again = assemble(read_events(tmp_path / "out" / "events.parquet"), house.state.catalogue).journeys
    with house.state.service.read() as connection:
        ours = customers.journeys_of(connection, list(again.customers))
    for column in ("customers", "names", "stages"):
        assert getattr(ours, column) == getattr(again, column)
    for column in ("starts", "occurred_at", "known_at", "code", "amount_minor", "contact"):
        np.testing.assert_array_equal(getattr(ours, column), getattr(again, column), column)
    assert rows == {"events": 4, "feedback": 2, "verdicts": 0, "readings": 0, "conclusions": 2, "promises": 0,
                    "forecasts": 2}  # fmt: skip


def test_feedback_and_conclusions_are_written_with_their_times(house: House, tmp_path: Path) -> None:
    fill(house)
    export(house.state, tmp_path / "out", house.clock.at + 10)

    table = pyarrow.parquet.read_table(tmp_path / "out" / "feedback.parquet")
    said = table.sort_by("feedback_id").to_pylist()
    assert [(one["feedback_id"], one["customer_id"], one["text"], one["rating"]) for one in said] == [
        ("f1", "c2", "Fine", None),
        ("s1", "c2", "angry", 2),
    ]
    assert said[0]["said_at"].isoformat() == "2026-11-21T11:00:00+00:00"
    concluded = pyarrow.parquet.read_table(tmp_path / "out" / "conclusions.parquet").to_pylist()
    assert {(one["subject"], one["decision"]) for one in concluded} == {("f1", "auto"), ("s1", "review")}


def test_as_of_leaves_out_what_came_later(house: House, tmp_path: Path) -> None:
    early = house.clock.at
    fill(house)

    rows = export(house.state, tmp_path / "out", early)
    assert rows == {"events": 1, "feedback": 0, "verdicts": 0, "readings": 0, "conclusions": 0, "promises": 0,
                    "forecasts": 0}  # fmt: skip


def test_a_folder_that_holds_something_is_never_written_to(house: House, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")

    with pytest.raises(Conflict):
        export(house.state, tmp_path / "out", house.clock.at)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_export_that_fails_leaves_nothing(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(house)

    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(exporting, "conclusion_rows", fails)
    with pytest.raises(OSError, match="no space"):
        export(house.state, tmp_path / "new" / "out", house.clock.at)
    assert list((tmp_path / "new").iterdir()) == []
