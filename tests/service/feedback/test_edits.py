"""Feedback that comes again: repeats count once, the newest words of an edited one count, and nothing is forgotten."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.assembly import Feedback
from service.customers.words import Said, sort_out
from service.insights import store as insights
from service.rebuild import rebuild
from service.reviews import store as reviews
from tests.service.fakes import House, track


def say(house: House, text: str, at: str = "11:00", id: str = "f1", customer: str = "c1", **more: Any) -> Any:
    body = {"id": id, "customer_id": customer, "text": text, "said_at": f"2026-11-21T{at}:00Z", "channel": "chat"}
    return house.client.post("/v1/feedback", json={**body, **more}, headers=house.key("ingest"))


def told(house: House, id: str = "f1") -> Any:
    house.worker.run_until_idle()
    answer = house.client.get(f"/v1/feedback/{id}", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def waiting(house: House) -> list[str]:
    house.worker.run_until_idle()
    with house.state.service.read() as connection:
        return [row.subject for row in insights.current_waiting(connection, 10)]


def test_other_words_said_later_are_an_edit_and_count(house: House) -> None:
    say(house, "angry")
    house.worker.run_until_idle()
    assert house.insight("c1")["feeling"]["decision"] == "review"

    assert say(house, "All fine now", "11:30").json() == {"feedback_id": "f1", "repeated": False, "edited": True}
    found = told(house)
    assert (found["text"], found["state"]) == ("All fine now", "counted")
    assert found["earlier"] == [{"text": "angry", "said_at": "2026-11-21T11:00:00Z"}]
    assert found["conclusion"]["answer"] == house.insight("c1")["feeling"]["answer"] == "positive"
    assert waiting(house) == []


def test_every_version_sent_again_is_a_repeat(house: House) -> None:
    for text, at in (("A", "11:00"), ("B", "11:10"), ("A", "11:20")):
        assert say(house, text, at).json()["repeated"] is False
    for text, at in (("A", "11:00"), ("B", "11:10"), ("A", "11:20"), ("A", "11:40")):
        assert say(house, text, at).json() == {"feedback_id": "f1", "repeated": True, "edited": False}

    found = told(house)
    assert found["text"] == "A"
    assert [one["text"] for one in found["earlier"]] == ["B", "A"]


@pytest.mark.parametrize(
    "changes", [{"at": "11:00"}, {"at": "10:00"}, {"at": "11:30", "customer": "c2"}, {"at": "10:59", "rating": 1}]
)
def test_what_is_neither_repeat_nor_edit_is_a_conflict(house: House, changes: dict[str, Any]) -> None:
    say(house, "angry")

    answer = say(house, "Not so", **changes)
    assert (answer.status_code, answer.json()["code"]) == (409, "feedback_id_taken")
    assert "later said_at" in answer.json()["detail"]
    assert told(house)["text"] == "angry"


def test_an_open_case_is_replaced_by_one_about_the_new_words(house: House) -> None:
    say(house, "angry")
    assert waiting(house) == ["f1"]
    taken = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]

    say(house, "very angry", "11:30")
    (subject,) = waiting(house)
    assert subject.startswith("f1~")
    path = f"/v1/reviews/{taken['conclusion_id']}/verdict"
    assert house.client.post(path, json={"answer": "negative"}, headers=house.key("review")).status_code == 200
    assert waiting(house) == [subject]
    case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
    assert case["text"] == "very angry"


def test_a_verdict_on_the_old_words_stays_one_on_those_words(house: House) -> None:
    say(house, "angry")
    house.worker.run_until_idle()
    case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
    path = f"/v1/reviews/{case['conclusion_id']}/verdict"
    house.client.post(path, json={"answer": "negative"}, headers=house.key("review"))
    assert house.insight("c1")["feeling"]["answer"] == "negative"

    say(house, "Solved, thanks", "11:30")
    house.worker.run_until_idle()
    assert house.insight("c1")["feeling"]["answer"] == "positive"
    with house.state.service.read() as connection:
        (verdict,) = reviews.verdict_rows(connection, house.clock.at)
    assert (verdict["feedback_id"], verdict["text"], verdict["answer"]) == ("f1", "angry", "negative")


def test_what_was_concluded_then_is_told_of_the_words_of_then(house: House) -> None:
    say(house, "angry")
    house.worker.run_until_idle()
    before = house.clock.at
    house.clock.forward(60)
    say(house, "All fine now", "11:30")
    house.worker.run_until_idle()

    as_of = f"2026-11-21T12:00:{before // 1_000_000 % 60 + 10:02d}Z"
    assert house.insight("c1", "provisional", as_of=as_of)["feeling"]["feedback_id"] == "f1"
    assert house.insight("c1")["feeling"]["feedback_id"].startswith("f1~")


def test_the_same_words_under_another_id_within_a_short_time_count_once_and_are_linked(house: House) -> None:
    say(house, "angry")
    say(house, "  angry\n", "11:50", "f2")
    say(house, "angry", "11:50", "f3", customer="c2")
    house.batch(track("Live Chat Message Sent", at="2026-11-21T11:55:00Z", messageId="m1",
                      properties={"text": "angry"}))  # fmt: skip

    assert sorted(waiting(house)) == ["f1", "f3"]
    found = told(house, "f2")
    assert (found["state"], found["repeat_of"]) == ("repeat", "f1")
    assert found["conclusion"]["feedback_id"] == "f1"
    assert told(house, "m1")["repeat_of"] == "f1"


def test_the_same_words_much_later_count_again(house: House) -> None:
    say(house, "angry", "10:00")
    say(house, "angry", "11:30", "f2")

    assert sorted(waiting(house)) == ["f1", "f2"]


def test_words_found_to_be_a_repeat_by_a_join_lose_their_case(house: House) -> None:
    say(house, "angry")
    body = {"id": "f2", "anonymous_id": "dev", "text": "angry", "said_at": "2026-11-21T11:20:00Z", "channel": "web"}
    house.client.post("/v1/feedback", json=body, headers=house.key("ingest"))
    assert sorted(waiting(house)) == ["f1", "f2"]

    house.batch({"type": "identify", "userId": "c1", "anonymousId": "dev"})
    assert waiting(house) == ["f1"]


def test_a_rebuild_folds_edits_and_repeats_to_the_same(house: House) -> None:
    say(house, "angry")
    say(house, "angrier", "11:30")
    say(house, "angrier", "11:31", "f2")
    before = [told(house, id) for id in ("f1", "f2")]

    rebuild(house.state)
    assert [told(house, id) for id in ("f1", "f2")] == before


def test_feedback_is_told_by_its_id_with_rating_and_language(house: House) -> None:
    say(house, "Ich bin mit dem Auto sehr zufrieden.", rating=9, rating_scale="0-10")
    say(house, "Bien", "11:30", "f2", language="fr")

    found = told(house)
    assert found["rating"] == {"value": 9, "scale": "0-10", "stars": 5}
    assert found["language"] == {"code": "de", "given": False}
    assert found["received_at"] == "2026-11-21T12:00:00Z"
    second = told(house, "f2")
    assert (second["rating"], second["language"]) == (None, {"code": "fr", "given": True})
    assert house.client.get("/v1/feedback/f9", headers=house.key("read")).json()["code"] == "unknown_feedback"
    assert house.client.get("/v1/feedback/f1", headers=house.key("ingest")).status_code == 403


def test_a_waiting_conclusion_tells_the_models_answer_only_with_the_scope(house: House) -> None:
    say(house, "angry")

    assert told(house)["conclusion"]["answer"] is None
    shown = house.client.get("/v1/feedback/f1", headers=house.key("provisional")).json()
    assert shown["conclusion"]["provisional"]["answer"] == "negative"


SAID = st.lists(
    st.builds(
        lambda id, edits, at, text: Said(Feedback(f"{id}", "c", at, at, "chat", text), edits),
        st.integers(0, 99), st.sampled_from([None, None, "0", "1", "2"]), st.integers(0, 60), st.sampled_from("ab"),
    ),
    max_size=12, unique_by=lambda said: said.id,
)  # fmt: skip


@given(SAID, st.integers(0, 20), st.randoms(use_true_random=False))
def test_what_counts_does_not_depend_on_the_order_of_arrival(said: list[Said], window: int, mix: random.Random) -> None:
    found = sort_out(said, window)
    mixed = list(said)
    mix.shuffle(mixed)

    assert sort_out(mixed, window) == found
    assert sorted(one.id for one in found.all) == sorted(one.id for one in said)
    assert len({one.about for one in found.counting}) == len(found.counting)
    for one, counted in found.repeats:
        assert counted in found.counting
        assert one.feedback.text == counted.feedback.text
        assert 0 <= one.feedback.said_at - counted.feedback.said_at <= window
