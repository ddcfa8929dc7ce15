"""What must hold underneath: many at once, newer bundles, verdicts for training, the guideline's version."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import service
from models.insight import ModelVersion
from models.journey.event import DAY, SECOND
from models.review import GUIDELINE_VERSION, Answer, ReviewPolicy
from service.reviews import store
from service.reviews.journey import Step, timeline
from service.reviews.logic import Desk
from tests.service.fakes import NOON
from tests.service.reviews.fakes import SHOWN, Company, signed_in

GUIDELINES = {"1": "37ee55407868fa8dfa2506d50dfda01176507aa6c7d1a4778358f6726c4a934d"}
"""sha256 of the guideline's text under each version: another text is another version."""


def claimed(dealer: Company, reviewer: str, policy: ReviewPolicy = SHOWN) -> str | None:
    with dealer.state.service.write() as connection:
        desk = Desk(connection, reviewer, dealer.clock.at, policy, dealer.state.ids, lambda *_: None)
        found = desk.take_next()
    return found.subject if found else None


def rows(dealer: Company, as_of: int | None = None) -> list[dict[str, Any]]:
    with dealer.state.service.read() as connection:
        return [dict(row) for row in store.verdict_rows(connection, dealer.clock.at if as_of is None else as_of)]


def test_many_reviewers_at_once_never_get_the_same_case(dealer: Company) -> None:
    dealer.say(*(f"Text number {i} of them." for i in range(12)))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: claimed(dealer, f"reviewer {i}"), range(16)))
    given = [one for one in found if one is not None]
    assert len(given) == len(set(given)) == 12


def test_a_newer_bundle_that_reads_the_words_again_does_not_free_a_held_case(dealer: Company) -> None:
    dealer.say("The light is on again.")
    ada, bo = signed_in(dealer), signed_in(dealer, "Bo")
    ada.open("/reviews")
    held = ada.send("/reviews/next")
    dealer.bundles.fixed = replace(dealer.bundles.fixed, model=ModelVersion(2, "newer", NOON))
    dealer.did("c1", "Product Viewed")
    assert ada.open("/reviews/case").count("The light is on again.") > 0
    assert ada.field("conclusion_id") not in held
    bo.open("/reviews")
    assert "Take the next case" not in bo.html
    ada.html = held
    ada.answer("negative")
    assert dealer.feeling("c1")["answer"] == "negative"


def test_verdicts_carry_all_that_training_needs(dealer: Company) -> None:
    dealer.say("The light is on again.", rating=1)
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    dealer.clock.forward(7)
    browser.answer("negative", emotions=["annoyance"], intensity="-2", note="third visit")
    (row,) = rows(dealer)
    assert {name: row[name] for name in ("feedback_id", "customer_id", "text", "channel", "rating")} == {
        "feedback_id": "f1", "customer_id": "c1", "text": "The light is on again.", "channel": "chat", "rating": 1,
    }  # fmt: skip
    assert (row["answer"], row["emotions"], row["intensity"], row["note"]) == (
        "negative", ["annoyance"], -2, "third visit",
    )  # fmt: skip
    assert (row["reviewer"], row["decided_at"] - row["claimed_at"]) == ("Ada", 7 * SECOND)
    assert (row["model_answer"], row["model_confidence"], row["model_answer_shown"]) == ("positive", 0.61, True)
    assert (row["version"], row["digest"], row["guideline_version"]) == (1, "fake", GUIDELINE_VERSION)
    assert (row["flags"], row["chance_of_review"]) == (["polite_anger", "below_threshold"], 1.0)


def test_an_undone_verdict_is_not_exported_but_was_there_at_its_time(dealer: Company) -> None:
    dealer.say("The light is on again.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    browser.answer("positive")
    decided = dealer.clock.at
    dealer.clock.forward(5)
    browser.send("/reviews/case/undo")
    assert rows(dealer) == []
    assert [row["answer"] for row in rows(dealer, as_of=decided)] == ["positive"]
    assert rows(dealer, as_of=decided - 1) == []


def test_what_a_person_answered_survives_the_next_bundle(dealer: Company) -> None:
    dealer.say("The light is on again.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    browser.answer("negative")
    dealer.bundles.fixed = replace(dealer.bundles.fixed, model=ModelVersion(2, "newer", NOON))
    dealer.did("c1", "Product Viewed")
    assert dealer.feeling("c1")["answer"] == "negative"


def test_a_refused_verdict_leaves_nothing_behind(dealer: Company) -> None:
    dealer.say("The light is on again.")
    with dealer.state.service.write() as connection:
        desk = Desk(connection, "Ada", dealer.clock.at, SHOWN, dealer.state.ids, _broken)
        found = desk.take_next()
    assert found is not None
    try:
        with dealer.state.service.write() as connection:
            desk = Desk(connection, "Ada", dealer.clock.at, SHOWN, dealer.state.ids, _broken)
            desk.answer(found.conclusion_id, Answer("negative"), "v1")
    except ConnectionError:
        pass
    assert rows(dealer) == []
    assert dealer.feeling("c1")["decided_by"] == "model"


def _broken(*_: object) -> None:
    raise ConnectionError("the insight could not be written")


def test_a_timeline_tells_runs_once_and_keeps_the_words_in_sight() -> None:
    steps = [Step(f"web.page_{i}", "convenience", i * DAY) for i in range(30)]
    steps += [Step("web.visit", "convenience", 30 * DAY + i) for i in range(5)]
    found = timeline(steps, 15 * DAY + 1)
    assert sum(one.now for one in found.moments) == 1
    assert (found.earlier, found.later) == (6, 15)
    assert found.moments[0].what == "web · page 6"
    late = timeline(steps, 40 * DAY)
    assert (late.moments[-2].times, late.moments[-2].when) == (5, "9 days before")


def test_a_customer_without_touchpoints_has_an_empty_timeline() -> None:
    assert timeline([], 0).moments == ()


def test_another_text_of_the_guideline_is_another_version() -> None:
    text = (Path(service.__file__).parent / "reviews/templates/guideline_text.html").read_bytes()
    assert GUIDELINES[GUIDELINE_VERSION] == hashlib.sha256(text).hexdigest()
