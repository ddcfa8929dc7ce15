"""Personal data in words: nowhere on the disk unless the setting says so, and never before people or models."""

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from models.journey.event import Event
from service.events.history import History, files_of
from service.events.words import before_log, have_words
from service.export import export
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track
from tests.service.reviews.fakes import company, signed_in

SECRETS = ("ada@example.org", "171 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "Lovelace")
WORDS = f"Angry! I am Ada Lovelace, {SECRETS[0]}, +49 {SECRETS[1]}, card {SECRETS[2]}, account {SECRETS[3]}. angry"
MASKED = "Angry! I am [name], [e-mail], [phone], card [card], account [iban]. angry"
ADA = {"type": "identify", "userId": "c1", "traits": {"name": "Ada Lovelace", "city": "London"}}


def say(house: House, text: str = WORDS, id: str = "f1", at: str = "11:00", **more: Any) -> Any:
    body = {"id": id, "customer_id": "c1", "text": text, "said_at": f"2026-11-21T{at}:00Z", "channel": "chat"}
    return house.client.post("/v1/feedback", json={**body, **more}, headers=house.key("ingest")).json()


def spoken(house: House) -> None:
    """The same words by every way in."""
    house.batch(ADA)
    say(house)
    house.batch(track("Complaint Received", messageId="m1", properties={"text": WORDS, "id": "4"}))
    house.batch(track("Anything", messageId="m2", at="2026-11-21T09:00:00Z", properties={"text": f"Again {WORDS}"}))
    row = {"said_at": "2026-11-20T10:00:00Z", "customer_id": "c1", "ticket_id": "9", "text": f"Also {WORDS}"}
    path = house.settings.data_dir.parent / "tickets.jsonl"
    path.write_text(json.dumps(row))
    History(files_of([str(path)], "tickets", {}), house.settings, house.clock).bring(house.state.log)
    path.unlink()
    house.worker.run_until_idle()


def found_on_disk(folder: Path, *secrets: str) -> set[str]:
    """Which of these lie in some file of the folder; write-ahead files are files too."""
    held = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {secret for secret in secrets if any(secret.encode() in raw for raw in held)}


def told(house: House, id: str) -> Any:
    house.worker.run_until_idle()
    return house.client.get(f"/v1/feedback/{id}", headers=house.key("read")).json()


def test_what_is_masked_is_nowhere_on_the_disk(house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        spoken(house)
        say(house, f"{WORDS} Edited.", at="11:30")
        say(house, f"{WORDS} Conflict.", at="10:00")
        nobody = {"type": "track", "event": "Note", "properties": {"text": WORDS}}
        calls = (
            nobody,
            {**nobody, "type": "?", "userId": "c1"},
            {**nobody, "properties": WORDS, "userId": "c1"},
            WORDS,
        )
        house.client.post("/v1/batch", json={"batch": calls}, headers=house.key("ingest"))
        house.client.post("/v1/track", json={**nobody, "x": "x" * 40_000}, headers=house.key("ingest"))
    export(house.state, tmp_path / "out")

    told_of_ada = {"Lovelace"}  # in the call that tells who she is, which is no word of hers
    assert found_on_disk(tmp_path, *SECRETS) == told_of_ada
    assert not any(secret in caplog.text for secret in SECRETS)
    assert told(house, "f1")["text"] == f"{MASKED} Edited."
    assert [told(house, id)["text"] for id in ("m1", "m2", "ticket-9")] == [MASKED, f"Again {MASKED}", f"Also {MASKED}"]


def test_training_and_reviewers_get_masked_words_even_where_the_original_is_kept(tmp_path: Path) -> None:
    with open_house(tmp_path, keep_original_text=True) as house:
        spoken(house)

        assert found_on_disk(tmp_path / "data", *SECRETS) == set(SECRETS)
        texts = {told(house, id)["text"] for id in ("f1", "m1", "m2", "ticket-9")}
        assert texts == {MASKED, f"Again {MASKED}", f"Also {MASKED}"}
        case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
        assert MASKED in case["text"]
        export(house.state, tmp_path / "out")
        said = pyarrow.parquet.read_table(tmp_path / "out" / "feedback.parquet").column("text").to_pylist()
        assert all(MASKED in text for text in said)
        events = pyarrow.parquet.read_table(tmp_path / "out" / "events.parquet").to_pylist()
        assert all(SECRETS[0] not in str(event) for event in events)
        rebuild(house.state)
        house.worker.run_until_idle()
        assert {told(house, id)["text"] for id in ("f1", "m1", "m2", "ticket-9")} == texts


def test_the_reviewers_page_shows_masked_words(tmp_path: Path) -> None:
    with company(tmp_path) as dealer:
        dealer.say("Write to ada@example.org, I am angry.")
        ada = signed_in(dealer)
        assert "Write to [e-mail]" in ada.open("/reviews")
        assert "Write to [e-mail], I am angry." in ada.send("/reviews/next")
        assert "ada@" not in ada.html


def test_the_original_is_shown_where_the_settings_keep_and_show_it(tmp_path: Path) -> None:
    with open_house(tmp_path, keep_original_text=True, show_original_text=True) as house:
        spoken(house)

        assert told(house, "f1")["text"] == WORDS


def test_the_same_feedback_is_a_repeat_though_its_customers_name_became_known_between(house: House) -> None:
    assert say(house)["repeated"] is False
    house.batch(ADA)

    assert say(house)["repeated"] is True


def test_names_come_from_the_call_itself_from_its_batch_and_from_the_device(house: House) -> None:
    traits = {"firstName": "Grace"}
    house.batch(
        {"type": "identify", "anonymousId": "dev", "traits": traits},
        {"type": "track", "event": "A", "anonymousId": "dev", "messageId": "m1", "properties": {"text": "It's Grace"}},
    )
    house.batch({"type": "track", "event": "A", "anonymousId": "dev", "messageId": "m2",
                 "properties": {"text": "Grace again"}})  # fmt: skip
    house.batch(track("A", messageId="m3", properties={"text": "Grace"}, context={"traits": traits}))
    house.batch(track("A", messageId="m4", customer="c7", properties={"text": "Who is Grace?"}))

    assert [told(house, f"m{n}")["text"] for n in (1, 2, 3, 4)] == [
        "It's [name]", "[name] again", "[name]", "Who is Grace?"
    ]  # fmt: skip


def test_names_stay_where_the_setting_leaves_them(tmp_path: Path) -> None:
    with open_house(tmp_path, mask_names=False, masked_names="Bob") as house:
        house.batch(ADA)
        say(house, "Ada met Bob")

        assert told(house, "f1")["text"] == "Ada met [name]"


def test_an_imported_file_with_newer_words_edits_what_is_there(house: House, tmp_path: Path) -> None:
    def bring(*rows: tuple[str, str]) -> int:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        cells = ({"said_at": at, "customer_id": "c1", "ticket_id": "9", "text": text} for at, text in rows)
        path.write_text("\n".join(map(json.dumps, cells)))
        return History(files_of([str(path)], "tickets", {}), house.settings, house.clock).bring(house.state.log).new

    assert bring(("2026-11-20T10:00:00Z", "angry")) == 1
    assert bring(("2026-11-20T10:00:00Z", "angry"), ("2026-11-20T11:00:00Z", "calm")) == 1
    assert bring(("2026-11-20T09:00:00Z", "older words")) == 0
    assert told(house, "ticket-9")["text"] == "calm"
    assert [one["text"] for one in told(house, "ticket-9")["earlier"]] == ["angry"]


def test_events_without_words_are_not_touched(house: House) -> None:
    events = [Event("m1", "track", "A", "c1", None, 1, 1, {"email": "ada@example.org", "text": 7}, {"page": {"a": 1}}),
              Event("m2", "identify", "", "c1", None, 1, 1, {"email": "ada@example.org"})]  # fmt: skip

    assert not have_words(events, house.state.masking)
    with house.state.log.read() as connection:
        assert before_log(connection, events, house.state.masking) == events


def test_words_deep_in_an_event_are_masked_where_a_rule_names_them(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(
        "rules:\n  - {event: Note, channel: note, action: left, stage: sale, text: properties.note.body}\n"
        "  - {channel: other, action: seen, stage: sale}\n"
    )
    with open_house(tmp_path, catalogue=catalogue) as house:
        note = {"body": "write to ada@example.org", "by": "me"}
        house.batch(track("Note", messageId="m1", properties={"note": note, "n": 1}))
        house.batch(track("Else", messageId="m2", properties={"note": note}))

        assert told(house, "m1")["text"] == "write to [e-mail]"
        assert found_on_disk(tmp_path / "data", "ada@example.org") == set()


def test_feedback_of_somebody_erased_is_refused(house: House) -> None:
    spoken(house)
    assert house.client.delete("/v1/customers/c1", headers=house.key("admin")).status_code == 200

    for id in ("f1", "f2"):
        assert say(house, id=id)["code"] == "customer_erased"
    assert told(house, "f1")["code"] == "unknown_feedback"
