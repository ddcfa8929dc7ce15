"""The team's figures: agreement, overturning, sway, time and backlog, on the page and by the API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from models.review import Answer, ReviewPolicy
from service.export import export
from service.reviews.logic import Desk
from tests.service.reviews.fakes import SHOWN, Company, company, signed_in

TWICE = replace(SHOWN, twice_share=1)
HALF = replace(SHOWN, hidden_share=0.5)


def read(
    dealer: Company, reviewer: str, policy: ReviewPolicy, *answers: tuple[str, int | None], seconds: int = 20
) -> None:
    """Case after case, each answered after so many seconds."""
    for polarity, intensity in answers:
        for act in ("take", "answer"):
            with dealer.state.service.write() as connection:
                ids = dealer.state.ids
                desk = Desk(connection, reviewer, dealer.clock.at, policy, ids, lambda *_: None, policy_digest="p")
                if act == "take":
                    assert desk.take_next() is not None
                else:
                    held = desk.holding()
                    assert held is not None
                    desk.answer(held.conclusion_id, Answer(polarity, (), intensity), ids())
            if act == "take":
                dealer.clock.forward(seconds)


def figures(dealer: Company, **asked: Any) -> dict[str, Any]:
    answer = dealer.client.get("/v1/reviews/quality", params=asked,
                               headers={"Authorization": f"Bearer {dealer.key('admin')}"})  # fmt: skip
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def texts(number: int) -> list[str]:
    return [f"Text {chr(97 + n // 26)}{chr(97 + n % 26)} is one of its own" for n in range(number)]


def test_agreement_is_of_cases_that_two_people_read_alone(tmp_path: Path) -> None:
    with company(tmp_path, TWICE) as dealer:
        dealer.say(*texts(12))
        said = [("negative", -2), ("positive", 2), ("neutral", 0)] * 4
        read(dealer, "Ada", TWICE, *said)
        read(dealer, "Bo", TWICE, *said[:10], ("mixed", 0), ("mixed", 1))
        read(dealer, "Cy", TWICE, ("mixed", 0), ("mixed", 1))  # adjudicates: no reading
        found = figures(dealer)["agreement"]
    assert found["cases"] == 12
    assert found["polarity"]["n"] == 12
    assert 0.6 < found["polarity"]["value"] < 0.9
    low, high = found["polarity"]["interval"]
    assert low < found["polarity"]["value"] < high
    assert found["intensity"]["value"] > found["polarity"]["value"]
    assert [one["reviewers"] for one in found["pairs"]] == [["Ada", "Bo"]]
    assert found["pairs"][0]["kappa"]["n"] == 12


def test_overturned_is_told_by_flag_version_and_reviewer(dealer: Company) -> None:
    dealer.say(*texts(12), "urgent: help")
    read(dealer, "Ada", SHOWN, *[("positive", None)] * 5, *[("negative", None)] * 5)
    read(dealer, "Bo", SHOWN, ("cannot_tell", None), ("positive", None))
    found = figures(dealer)["overturned"]
    assert (found["all"]["n"], found["all"]["value"]) == (11, 0.4545)
    assert found["by"]["reviewer"]["Ada"]["value"] == 0.5
    assert found["by"]["reviewer"]["Bo"] == {"n": 1, "value": None, "interval": None}, "too few to be told"
    assert found["by"]["flag"]["polite_anger"]["n"] == 10
    assert found["by"]["version"]["1"]["n"] == 11


def test_sway_compares_cases_whose_answer_was_shown_with_those_that_a_lot_hid(tmp_path: Path) -> None:
    with company(tmp_path, HALF) as dealer:
        dealer.say(*texts(60))
        for _ in range(60):  # who sees the model's answer takes it over
            with dealer.state.service.write() as connection:
                desk = Desk(connection, "Ada", dealer.clock.at, HALF, dealer.state.ids, lambda *_: None)
                row = desk.take_next()
                assert row is not None
                polarity = "positive" if HALF.shows_model_answer(row.subject) else "negative"
                desk.answer(row.conclusion_id, Answer(polarity), dealer.state.ids())
        found = figures(dealer)["over_reliance"]
    assert (found["shown"]["value"], found["hidden"]["value"]) == (1, 0)
    assert found["shown"]["n"] + found["hidden"]["n"] == 60
    assert found["difference"]["value"] == 1
    assert found["difference"]["interval"][0] > 0.7


def test_seconds_are_from_taking_a_case_to_its_answer_and_the_backlog_has_an_age(dealer: Company) -> None:
    dealer.say(*texts(5))
    read(dealer, "Ada", SHOWN, ("positive", None), ("positive", None), seconds=10)
    read(dealer, "Bo", SHOWN, ("positive", None), seconds=40)
    dealer.clock.forward(25 * 3600)
    found = figures(dealer)
    assert found["seconds"] == {"median": 10.0, "by_reviewer": {"Ada": {"n": 2, "median": 10.0},
                                                               "Bo": {"n": 1, "median": 40.0}}}  # fmt: skip
    assert (found["backlog"]["waiting"], found["backlog"]["overdue"]) == (2, 2)
    assert 25 * 3600 < found["backlog"]["median_seconds"] <= found["backlog"]["oldest_seconds"] < 25 * 3600 + 120
    assert found["verdicts"] == 3


def test_what_was_taken_back_or_lies_before_the_period_does_not_count(dealer: Company) -> None:
    dealer.say(*texts(3))
    read(dealer, "Ada", SHOWN, ("positive", None))
    with dealer.state.service.write() as connection:
        Desk(connection, "Ada", dealer.clock.at, SHOWN, dealer.state.ids, lambda *_: None).undo_last()
    assert figures(dealer)["verdicts"] == 0
    read(dealer, "Ada", SHOWN, ("positive", None))
    dealer.clock.forward(8 * 86_400)
    assert (figures(dealer)["verdicts"], figures(dealer, days=7)["verdicts"]) == (1, 0)


def test_the_page_is_for_a_lead(dealer: Company) -> None:
    dealer.say(*texts(14))
    read(dealer, "Ada", SHOWN, *[("positive", -1)] * 12)
    ada = signed_in(dealer)
    assert "for whoever leads the team" in ada.open("/reviews/team")
    assert 'href="/reviews/team"' not in ada.open("/reviews")
    lea = signed_in(dealer, "Lea", "lead")
    html = lea.open("/reviews/team")
    for told in ("How the team reads", "Ada", "Do readers agree?", "too few cases", "polite anger", "0% to"):
        assert told in html.replace("0 %", "0%"), told
    assert 'href="/reviews/team"' in lea.open("/reviews")


def test_figures_need_a_key_that_manages(dealer: Company) -> None:
    answer = dealer.client.get("/v1/reviews/quality", headers={"Authorization": f"Bearer {dealer.key('review')}"})
    assert answer.status_code == 403


def test_a_verdict_keeps_who_when_what_they_saw_and_under_what(dealer: Company) -> None:
    dealer.say(*texts(1))
    read(dealer, "Ada", SHOWN, ("mixed", 1))
    with dealer.state.service.read() as connection:
        row = connection.exec_driver_sql("SELECT * FROM verdicts").one()._asdict()
    digest = dealer.state.settings.policy.digest
    expected = {
        "reviewer": "Ada", "model_answer": "positive", "model_answer_shown": 1, "guideline_version": "1",
        "digest": "fake", "policy_digest": digest, "given_as": "single", "final": 1, "chance_of_review": 1.0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_the_export_holds_verdicts_with_their_provenance_and_beside_them_readings_that_decided_nothing(
    tmp_path: Path,
) -> None:
    with company(tmp_path, TWICE) as dealer:
        dealer.say(*texts(2))
        read(dealer, "Ada", TWICE, ("negative", None), ("positive", None))
        read(dealer, "Bo", TWICE, ("negative", None), ("neutral", None))
        read(dealer, "Lea", replace(TWICE, adjudicators=frozenset({"Lea"})), ("positive", None))
        written = export(dealer.state, tmp_path / "out")
        tables = {name: pq.read_table(tmp_path / "out" / f"{name}.parquet") for name in ("verdicts", "readings")}
    assert (written["verdicts"], written["readings"]) == (2, 3)
    told = {name: [(r["reviewer"], r["answer"], r["given_as"]) for r in t.to_pylist()] for name, t in tables.items()}
    assert told == {
        "verdicts": [("Bo", "negative", "reading"), ("Lea", "positive", "adjudication")],
        "readings": [("Ada", "negative", "reading"), ("Ada", "positive", "reading"), ("Bo", "neutral", "reading")],
    }
    one = tables["verdicts"].to_pylist()[0]
    assert (one["model_answer"], one["model_answer_shown"], one["chance_of_review"]) == ("positive", False, 1.0)
    assert one["policy_digest"]
