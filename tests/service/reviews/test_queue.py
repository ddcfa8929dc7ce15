"""The queue: its order, its filters, counts that agree, readings by two, adjudication, and fifty people at once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from models.insight import ModelVersion
from models.journey.event import DAY, SECOND
from models.queue import AHEAD
from models.review import Answer, ReviewError, ReviewPolicy
from service.insights.store import conclusions
from service.insights.waiting import overturns
from service.reviews import store
from service.reviews.logic import Desk
from service.reviews.queue import EVERY, Filter
from service.settings import Settings
from tests.service.fakes import NOON
from tests.service.reviews.fakes import SHOWN, Company, company, signed_in

TWICE = replace(SHOWN, twice_share=1, adjudicators=frozenset({"Lea"}))


def call(dealer: Company, path: str, body: Any = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {dealer.key('review', name='robot')}"}
    answer = dealer.client.request("GET" if body is None else "POST", path, headers=headers, json=body)
    found: dict[str, Any] = answer.json()
    return found


def take(dealer: Company, reviewer: str, policy: ReviewPolicy = SHOWN, which: Filter = EVERY) -> str | None:
    with dealer.state.service.write() as connection:
        desk = Desk(connection, reviewer, dealer.clock.at, policy, dealer.state.ids, lambda *_: None, which)
        found = desk.take_next()
    return found.subject if found else None


def say(dealer: Company, reviewer: str, answer: str, policy: ReviewPolicy = SHOWN) -> str:
    """This reviewer takes the next case and answers; returns what it was about."""
    with dealer.state.service.write() as connection:
        desk = Desk(connection, reviewer, dealer.clock.at, policy, dealer.state.ids, lambda *_: None)
        found = desk.take_next()
        assert found is not None
        desk.answer(found.conclusion_id, Answer(answer), f"v-{reviewer}-{found.subject}")
    return str(found.subject)


def order(dealer: Company) -> list[str]:
    return [one["feedback_id"] for one in call(dealer, "/v1/reviews?limit=100")["waiting"]]


def test_of_two_that_came_together_the_one_with_more_at_stake_comes_first(dealer: Company) -> None:
    dealer.say("First of all.")
    dealer.did("c2", "Order Completed")
    with dealer.state.service.write() as connection:
        connection.exec_driver_sql("UPDATE touchpoints SET amount_minor = 900000 WHERE customer_id = 'c2'")
    dealer.say("From somebody who buys.", customer="c2")
    bought, first = order(dealer)[0], order(dealer)[1]
    assert (bought, first) == ("f3", "f1")


def test_what_people_overturn_under_a_flag_comes_earlier_from_then_on(dealer: Company) -> None:
    for number in range(30):
        dealer.say(f"Text number {number}.")
    before = {row.subject: row.waiting_since - row.place for row in current(dealer)}
    for _ in range(29):
        say(dealer, "Ada", "negative")
    dealer.say("The next one.")
    after = {row.subject: row.waiting_since - row.place for row in current(dealer)}
    assert after["f31"] > max(before.values())
    with dealer.state.service.read() as connection:
        counted = {row.flag: (row.answered, row.overturned) for row in connection.execute(select(overturns))}
    assert counted == {"polite_anger": (29, 29), "below_threshold": (29, 29)}


def current(dealer: Company) -> list[Any]:
    with dealer.state.service.read() as connection:
        wanted = select(conclusions).where(conclusions.c.superseded_at.is_(None), conclusions.c.place.is_not(None))
        return list(connection.execute(wanted.order_by(conclusions.c.place)))


def test_a_newer_bundle_does_not_make_words_wait_from_the_beginning(dealer: Company) -> None:
    dealer.say("First of all.")
    (before,) = current(dealer)
    dealer.clock.forward(3 * 86_400)
    dealer.bundles.fixed = replace(dealer.bundles.fixed, model=ModelVersion(2, "newer", NOON))
    dealer.did("c1", "Product Viewed")
    (after,) = current(dealer)
    assert (after.waiting_since, after.version) == (before.waiting_since, 2)


def test_an_old_case_comes_before_new_ones_however_much_is_at_stake(dealer: Company) -> None:
    dealer.say("First of all.")
    dealer.clock.forward(AHEAD / SECOND)
    dealer.did("c9", "Order Completed")
    dealer.say("From somebody who buys.", customer="c9")
    assert order(dealer)[0] == "f1"


@pytest.fixture
def mixed(dealer: Company) -> Company:
    """Four cases: two by chat, one by mail in German, one urgent by mail and of a newer version."""
    dealer.say("First of all.", "Second of all.")
    dealer.say("Ich warte seit Wochen auf eine Antwort und niemand ruft mich an.", channel="mail")
    dealer.bundles.fixed = replace(dealer.bundles.fixed, model=ModelVersion(2, "newer", NOON))
    dealer.say("Urgent: a threat.", channel="mail")
    return dealer


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"f1", "f2", "f3", "f4"}),
        ("channel=mail", {"f3", "f4"}),
        ("flag=urgent", {"f4"}),
        ("flag=polite_anger&channel=mail", {"f3"}),
        ("version=2", {"f4"}),
        ("version=1&channel=chat", {"f1", "f2"}),
        ("kind=feeling&flag=", {"f1", "f2", "f3", "f4"}),
        ("channel=post", set()),
    ],
)
def test_lists_counts_claims_and_the_page_agree_on_what_a_filter_names(
    mixed: Company, query: str, found: set[str]
) -> None:
    told = call(mixed, f"/v1/reviews?{query}")
    assert {one["feedback_id"] for one in told["waiting"]} == found
    assert told["counts"]["open"] == len(found)
    browser = signed_in(mixed)
    html = browser.open(f"/reviews?{query}")
    assert f'<dt>waiting</dt><dd class="number">{len(found)}</dd>' in html
    assert html.count('class="excerpt"') == len(found)
    fields = dict(one.split("=") for one in query.split("&")) if query else {}
    claimed = set()
    for number in range(len(found)):
        body = fields | ({"version": int(fields["version"])} if "version" in fields else {})
        case = call(mixed, "/v1/reviews/claim", {"reviewer": f"reviewer {number}", **body})["case"]
        claimed.add(case["conclusion"]["feedback_id"])
    assert claimed == found
    assert call(mixed, f"/v1/reviews?{query}")["counts"] == {
        "open": 0, "urgent": 0, "adjudicate": 0, "claimed": len(found),
    }  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [("flag", "no_history"), ("kind", "purchase"), ("version", "two")])
def test_a_filter_that_does_not_exist_is_refused_by_name(dealer: Company, field: str, value: str) -> None:
    problem = call(dealer, f"/v1/reviews?{field}={value}")
    assert (problem["status"], problem["field"]) == (422, field)


def test_a_filter_stays_from_the_queue_to_case_after_case(mixed: Company) -> None:
    browser = signed_in(mixed)
    browser.open("/reviews?channel=mail")
    assert '<option value="mail" selected>' in browser.html
    html = browser.send("/reviews/next", channel="mail")
    assert "Urgent: a threat." in html
    assert 'name="channel" value="mail"' in html
    html = browser.answer("negative", channel="mail")
    assert "Ich warte" in html
    mixed.clock.forward(61)
    browser.open("/reviews/case?channel=mail")
    assert "That was the last one" in browser.answer("negative", channel="mail")


def test_metrics_count_the_cases_that_the_queue_counts(mixed: Company) -> None:
    counts = call(mixed, "/v1/reviews")["counts"]
    told = mixed.client.get("/metrics", headers={"Authorization": f"Bearer {mixed.key('admin')}"}).text
    assert f'journey_open_cases{{urgent="true"}} {counts["urgent"]:.1f}' in told
    assert f'journey_open_cases{{urgent="false"}} {counts["open"] - counts["urgent"]:.1f}' in told


def test_a_case_that_two_people_read_is_decided_when_they_agree(dealer: Company) -> None:
    dealer.say("First of all.")
    assert say(dealer, "Ada", "mixed", TWICE) == "f1"
    assert dealer.feeling("c1")["decided_by"] == "model"
    assert take(dealer, "Ada", TWICE) is None
    say(dealer, "Bo", "mixed", TWICE)
    (row,) = current_about(dealer, "f1")
    assert row.decided_by == "person"
    assert [one["reviewer"] for one in verdicts(dealer)] == ["Bo"]


def current_about(dealer: Company, subject: str) -> list[Any]:
    with dealer.state.service.read() as connection:
        mine = (conclusions.c.subject == subject, conclusions.c.superseded_at.is_(None))
        return list(connection.execute(select(conclusions).where(*mine)))


def verdicts(dealer: Company) -> list[dict[str, Any]]:
    with dealer.state.service.read() as connection:
        return [dict(row) for row in store.verdict_rows(connection, dealer.clock.at)]


def test_a_blind_reader_sees_neither_the_model_nor_the_other_reader(tmp_path: Path) -> None:
    with company(tmp_path, TWICE) as dealer:
        dealer.say("The light is on again.")
        ada, bo, lea = (signed_in(dealer, name) for name in ("Ada", "Bo", "Lea"))
        for reader, answer in ((ada, "negative"), (bo, "mixed")):
            reader.open("/reviews")
            html = reader.send("/reviews/next")
            assert "two people read this case, each alone" in html
            assert "61 %" not in html
            assert "Ada read it" not in html
            reader.answer(answer, note="by the tone")
        assert "for an adjudicator" in bo.open("/reviews")
        assert "Take the next case" not in bo.html
        assert "What is left is for others" in bo.open("/reviews/case")
        lea.open("/reviews")
        html = lea.send("/reviews/next")
        assert "Ada read it as negative, and noted: by the tone" in html
        assert "Bo read it as mixed" in html
        lea.answer("mixed")
        assert dealer.feeling("c1")["answer"] == "mixed"


def test_an_escalated_case_is_told_with_its_reason_to_the_adjudicator_alone(tmp_path: Path) -> None:
    policy = replace(SHOWN, adjudicators=frozenset({"Lea"}))
    with company(tmp_path, policy) as dealer:
        dealer.say("The light is on again.")
        ada, lea = signed_in(dealer), signed_in(dealer, "Lea")
        ada.open("/reviews")
        ada.send("/reviews/next")
        case = ada.field("conclusion_id")
        ada.send("/reviews/case/skip", conclusion_id=case, ending="escalated", reason="a threat?")
        assert call(dealer, "/v1/reviews")["counts"] == {"open": 1, "urgent": 0, "adjudicate": 1, "claimed": 0}
        for reviewer in ("Ada", "Bo"):
            assert take(dealer, reviewer, policy) is None
        lea.open("/reviews")
        assert "Ada escalated it: a threat?" in lea.send("/reviews/next")


def test_a_reading_is_taken_back_within_a_minute(dealer: Company) -> None:
    dealer.say("First of all.")
    say(dealer, "Ada", "mixed", TWICE)
    with dealer.state.service.write() as connection:
        desk = Desk(connection, "Ada", dealer.clock.at, TWICE, dealer.state.ids, lambda *_: None)
        assert desk.undo_last().subject == "f1"
        held = desk.holding()
        assert held is not None
        desk.answer(held.conclusion_id, Answer("negative"), "v2")
    say(dealer, "Bo", "negative", TWICE)
    assert current_about(dealer, "f1")[0].decided_by == "person"


def test_settings_say_how_long_a_case_is_held_and_who_adjudicates(dealer: Company) -> None:
    assert Settings().case_lease_seconds == ReviewPolicy().lease_seconds == 600
    dealer.app.dependency_overrides.clear()
    state = dealer.state
    chosen = state.settings.model_copy(update={"case_lease_seconds": 30, "read_twice_share": 0.0})
    dealer.app.state.service = replace(state, settings=chosen)
    dealer.say("First of all.")
    assert call(dealer, "/v1/reviews/claim", {"reviewer": "Ada"})["case"] is not None
    dealer.clock.forward(29)
    assert call(dealer, "/v1/reviews/claim", {"reviewer": "Bo"})["case"] is None
    dealer.clock.forward(1)
    assert call(dealer, "/v1/reviews/claim", {"reviewer": "Bo"})["case"] is not None


def test_roles_say_who_adjudicates_and_a_setting_how_often_the_answer_is_hidden(dealer: Company) -> None:
    dealer.app.dependency_overrides.clear()
    state = dealer.state
    chosen = state.settings.model_copy(update={"hidden_share": 1.0, "read_twice_share": 0.0})
    dealer.app.state.service = replace(state, settings=chosen)
    dealer.say("First of all.")
    ada, bo, lea = (signed_in(dealer, name, role) for name, role in (("Ada", "reviewer"), ("Bo", "reviewer"),
                                                                    ("Lea", "adjudicator")))  # fmt: skip
    html = ada.send("/reviews/next")
    assert "Hidden for this case until you have answered" in html
    ada.send("/reviews/case/skip", conclusion_id=ada.field("conclusion_id"), ending="escalated")
    assert "What is left is for others" in bo.send("/reviews/next")
    assert "Ada escalated it" in lea.send("/reviews/next")


class Crowd:
    """Fifty people who take, skip, let go, answer and take back at random, each in a thread of their own."""

    def __init__(self, dealer: Company, policy: ReviewPolicy) -> None:
        self.dealer, self.policy = dealer, policy
        self.said: dict[str, tuple[str, str, bool]] = {}
        self.lock = threading.Lock()

    def work(self, number: int) -> None:
        rng, name = random.Random(number), "Lea" if number == 0 else f"reviewer {number}"
        for step in range(8):
            with self.dealer.state.service.write() as connection:
                at = self.dealer.clock.at
                desk = Desk(connection, name, at, self.policy, self.dealer.state.ids, lambda *_: None)
                told = self.act(desk, rng, f"v-{number}-{step}")
            if told:  # the transaction is over: from here on it must never be lost
                with self.lock:
                    self.said[told[0]] = told[1:]

    def act(self, desk: Desk, rng: random.Random, verdict_id: str) -> tuple[str, str, str, bool] | None:
        found = desk.take_next()
        if found is None:
            return None
        if rng.random() < 0.25:
            desk.give_back(found.conclusion_id, ending=rng.choice(["released", "skipped"]))
            return None
        verdict = desk.answer(found.conclusion_id, Answer(rng.choice(["negative", "mixed"])), verdict_id)
        return verdict_id, found.subject, desk.reviewer, verdict.final


def test_fifty_people_at_once_hold_no_case_twice_and_lose_no_verdict(dealer: Company) -> None:
    dealer.say(*(f"Text number {i} of them." for i in range(60)))
    policy = replace(TWICE, twice_share=0.4)
    crowd = Crowd(dealer, policy)
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(crowd.work, range(50)))

    with dealer.state.service.read() as connection:
        kept = list(connection.execute(select(store.verdicts)))
        cases = [store.case_of(connection, row, policy) for row in all_first(connection)]
    assert {row.verdict_id: (row.subject, row.reviewer, bool(row.final)) for row in kept} == crowd.said
    assert len(kept) > 60
    for case in cases:
        final = [one for one in case.verdicts if one.final]
        assert len(final) <= 1
        assert len({one.reviewer for one in case.verdicts}) == len(case.verdicts)
        assert len(case.read) <= case.readings
        if final and final[0].reviewer != "Lea":
            assert {one.answer.polarity for one in case.read} <= {final[0].answer.polarity}
    assert len(crowd.said) == len(kept)


def all_first(connection: Any) -> list[Any]:
    """The conclusion about each words that a person was asked about."""
    return list(connection.execute(select(conclusions).where(conclusions.c.place.is_not(None))))


def test_no_two_claims_run_on_a_case_that_one_person_reads(dealer: Company) -> None:
    dealer.say(*(f"Text number {i} of them." for i in range(40)))
    with ThreadPoolExecutor(50) as pool:
        taken = list(pool.map(lambda number: take(dealer, f"reviewer {number}"), range(50)))
    given = [one for one in taken if one is not None]
    assert len(given) == len(set(given)) == 40


def test_a_reviewer_may_not_answer_what_only_an_adjudicator_may(dealer: Company) -> None:
    dealer.say("First of all.")
    say(dealer, "Ada", "mixed", TWICE)
    say(dealer, "Bo", "negative", TWICE)
    with dealer.state.service.write() as connection:
        desk = Desk(connection, "Cy", dealer.clock.at + DAY, TWICE, dealer.state.ids, lambda *_: None)
        (row,) = current_about(dealer, "f1")
        with pytest.raises(ReviewError) as error:
            desk.answer(row.conclusion_id, Answer("mixed"), "v9")
    assert error.value.code == "needs_adjudicator"


def test_cases_of_the_same_words_are_answered_and_taken_back_together(dealer: Company) -> None:
    dealer.say("Where is my order 4711?", "Something else.", "where is my ORDER 4712?", "Where is my order 9999??")
    browser = signed_in(dealer)
    browser.open("/reviews")
    html = browser.send("/reviews/next")
    assert "2 other cases have the same words" in html
    html = browser.answer("negative", together="yes")
    assert "and 2 with the same words" in html
    assert [dealer.feeling(f"c{n}")["decided_by"] for n in (1, 2, 3, 4)] == ["person", "model", "person", "person"]
    browser.send("/reviews/case/undo")
    assert {dealer.feeling(f"c{n}")["decided_by"] for n in (1, 2, 3, 4)} == {"model"}
    assert verdicts(dealer) == []
    with dealer.state.service.read() as connection:
        assert {(row.answered, row.overturned) for row in connection.execute(select(overturns))} == {(0, 0)}


def test_a_group_is_split_by_leaving_the_box_empty_and_spares_what_another_holds(dealer: Company) -> None:
    dealer.say("Where is my order 4711?", "Where is my order 4712?", "Where is my order 4713?")
    take(dealer, "Bo")
    case = call(dealer, "/v1/reviews/claim", {"reviewer": "Ada"})["case"]
    assert case["alike"] == 1
    answered = call(dealer, f"/v1/reviews/{case['conclusion_id']}/verdict", {"reviewer": "Ada", "answer": "mixed"})
    assert answered["final"] is True
    assert [dealer.feeling(f"c{n}")["decided_by"] for n in (1, 2, 3)] == ["model", "person", "model"]
