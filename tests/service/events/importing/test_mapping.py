"""Mapping files: what they may say, and what the presets make of the files they are for."""

from pathlib import Path
from typing import Any

import pytest

from models.journey.event import format_time
from models.journey.table import EventLogError
from models.journey.touchpoint import Catalogue
from service.errors import Invalid
from service.events.history import History, files_of
from service.events.importing.mapping import PRESETS, Columns, preset_text
from service.settings import Settings
from tests.service.fakes import FakeClock

FILES = {
    "events": ("userId,timestamp,event,value,city\nc1,2024-03-01T10:00:00Z,Order Completed,12.5,Ulm\n",
               "other.purchase", 1250),
    "web": ("client_id,timestamp,page_location,utm_campaign\nd1,2024-03-01T10:00:00Z,/cars,spring\n", "web.visit", 0),
    "shop": ('order_id,customer_id,order_date,total,currency,status\n7,c1,2024-03-01,"1,299.50",EUR,shipped\n',
             "web.purchase", 129950),
    "calls": ("call_id,customer_id,called_at,reason,notes\n9,c1,2024-03-01T10:00:00Z,Complaint,Still broken\n",
              "call.complaint", 0),
    "surveys": ("response_id,customer_id,answered_at,score,comment\n4,c1,2024-03-01T10:00:00Z,2,Too slow\n",
                "survey.answer", 0),
}  # fmt: skip
"""What such a file looks like; the touchpoint of its row, and the money."""


def read(folder: Path, text: str, mapping: str, name: str = "rows.csv") -> Any:
    """The events of a file, and what would become of its rows."""
    (folder / name).write_text(text)
    (folder / "mapping.yaml").write_text(mapping)
    files = files_of([str(folder / name)], folder / "mapping.yaml", {})
    return History(files, Settings(data_dir=folder / "data"), FakeClock()).preview()


@pytest.mark.parametrize("preset", FILES)
def test_a_preset_reads_the_usual_file_into_the_touchpoint_that_is_meant(tmp_path: Path, preset: str) -> None:
    text, name, amount = FILES[preset]
    (event,), seen = read(tmp_path, text, preset_text(preset))
    point = Catalogue.default().touchpoint(event)
    assert point is not None
    assert (seen.refused, point.name, point.amount_minor) == (0, name, amount)


def test_the_words_of_calls_and_surveys_are_read_as_feedback_with_their_stars(tmp_path: Path) -> None:
    words = {}
    for preset in ("calls", "surveys"):
        (event,), _ = read(tmp_path, FILES[preset][0], preset_text(preset))
        point = Catalogue.default().touchpoint(event)
        assert point is not None
        words[preset] = (point.text, point.rating, event.message_id)
    assert words == {"calls": ("Still broken", None, "call-9"), "surveys": ("Too slow", 2, "survey-4")}


def test_tickets_become_feedback_and_keep_nothing_but_words(tmp_path: Path) -> None:
    text = "ticket_id,requester_id,created_at,body,priority\n7,c1,2024-03-01T10:00:00Z,Nobody answers,high\n"
    (event,), _ = read(tmp_path, text, preset_text("tickets"))
    assert (event.message_id, event.kind, event.name, event.user_id) == ("ticket-7", "feedback", "ticket", "c1")
    assert event.properties == {"text": "Nobody answers", "rating": None}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_read_and_begins_with_what_it_is_for(preset: str) -> None:
    assert preset_text(preset).startswith("# ")
    assert "occurred_at" in Columns.preset(preset).moments


def test_a_mapping_of_ones_own_says_everything(tmp_path: Path) -> None:
    mapping = """
    source: dealers
    delimiter: ";"
    encoding: cp1252
    occurred_at: {column: Zeit, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
    user_id: Kunde
    message_id: {column: Nr, prefix: dealer-}
    event: {column: Art, values: {besuch: Store Visited, kauf: Order Completed}, otherwise: Other}
    properties:
      channel: {constant: dealer}
      value: {column: Betrag, number: comma, optional: true}
      city: {column: Ort, missing: unknown}
    others: drop
    """
    text = "Nr;Zeit;Kunde;Art;Betrag;Ort;Notiz\n1;01.07.2024 12:00;c1; KAUF;1.299,50;Köln;x\n"
    (tmp_path / "rows.csv").write_bytes((text + "2;31.01.2024 12:00;c2;Anruf;;;\n").encode("cp1252"))
    (tmp_path / "mapping.yaml").write_text(mapping)
    files = files_of([f"{tmp_path / 'mapping.yaml'}={tmp_path / 'rows.csv'}"], "events", {})
    events, seen = History(files, Settings(data_dir=tmp_path), FakeClock()).preview()
    assert seen.refused == 0
    one, two = sorted(events, key=lambda event: event.message_id)
    assert (one.message_id, one.name, format_time(one.occurred_at)) == (
        "dealer-1", "Order Completed", "2024-07-01T10:00:00Z")  # fmt: skip
    assert one.properties == {"channel": "dealer", "value": 1299.5, "city": "Köln"}
    assert (two.name, format_time(two.occurred_at)) == ("Other", "2024-01-31T11:00:00Z")
    assert two.properties == {"channel": "dealer", "city": "unknown"}


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ("user_id: who", "does not say occurred_at"),
        ("occurred_at: when\nuserid: who", "unknown key 'userid' (did you mean 'user_id'?)"),
        ("occurred_at: {column: when, format: iso8601}\nuser_id: who", "format 'iso8601'"),
        ("occurred_at: {column: when, zone: Mars/Olympus}\nuser_id: who", "'Mars/Olympus' is no time zone"),
        ("occurred_at: {column: when, zon: UTC}", "unknown key 'zon' (did you mean 'zone'?)"),
        ("occurred_at: when\nuser_id: {optional: true}", "user_id needs either column or constant"),
        ("occurred_at: when\nuser_id: {column: a, constant: b}", "user_id needs either column or constant"),
        ("occurred_at: when\nuser_id: []", "is no column"),
        ("occurred_at: when\nothers: perhaps", "others 'perhaps'"),
        ("occurred_at: when\nproperties: [a]", "is no mapping"),
        ("occurred_at: when\nproperties: {value: {column: v, number: roman}}", "number 'roman'"),
        ("occurred_at: when\nevent: {constant: [a]}", "is no text"),
        ("- a", "is no mapping of keys"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_is_wrong_in_a_mapping_is_named(mapping: str, told: str) -> None:
    with pytest.raises(Invalid) as error:
        Columns.parse(mapping)
    assert told in error.value.message


def test_columns_named_on_the_command_line_win_and_give_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("user_id,who,timestamp,event,type\nx,c1,2024-03-01,A,shoes\n")
    pairs = {"user_id": "who", "properties.type": "type"}
    files = files_of([str(tmp_path / "rows.csv")], "events", pairs)
    (event,), _ = History(files, Settings(data_dir=tmp_path), FakeClock()).preview()
    assert (event.user_id, event.kind, event.properties) == ("c1", "track", {"type": "shoes", "user_id": "x"})
    with pytest.raises(Invalid, match=r"cannot map to 'userid' \(did you mean 'user_id'\?\)"):
        files_of([str(tmp_path / "rows.csv")], "events", {"userid": "who"})


@pytest.mark.parametrize(
    ("named", "told"),
    [([], "No FILE is named"), (["shp=rows.csv"], "no preset 'shp' (did you mean 'shop'?)"),
     (["nowhere.yaml=rows.csv"], "nowhere.yaml cannot be read")],
)  # fmt: skip
def test_what_cannot_be_meant_is_named(named: list[str], told: str) -> None:
    with pytest.raises(Invalid) as error:
        files_of(named, "events", {})
    assert told in error.value.message


def test_a_missing_column_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        EventLogError, match=r"no column 'wen' \(did you mean 'when'\?\) for occurred_at; it has when, who"
    ):
        read(tmp_path, "when,who\n2024-03-01,c1\n", "{occurred_at: wen, user_id: who}")
    with pytest.raises(EventLogError, match="no column for user_id or anonymous_id; it has when, who"):
        read(tmp_path, "when,who\n2024-03-01,c1\n", "{occurred_at: when, event: {constant: A}}")
