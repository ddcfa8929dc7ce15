"""The case page: marked words, like cases, keys, the next case ahead; what came of decisions; answering again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from models.insight import ModelVersion
from models.predictors.feedback import EMOTIONS
from models.review import ReviewPolicy
from service.customers.erasure import erase
from service.live.bundles import Live
from service.reviews.pages import EMOTION_KEYS
from service.reviews.similar import most_like
from tests.service.fakes import NOON
from tests.service.reviews.fakes import SHOWN, Company, ObedientBundle, company, signed_in

HIDDEN = replace(SHOWN, hidden_share=1)
TWICE = replace(SHOWN, twice_share=1)


@dataclass(frozen=True)
class ExplainingBundle(ObedientBundle):
    """Says that the first word moved it towards its answer and the last away from it."""

    def why_words(self, text: str, answer: str, orders: int) -> Mapping[str, Any]:
        words = [found.span() for found in re.finditer(r"\w+", text)]
        weights = [0.3, *[0.001] * (len(words) - 2), -0.2]
        return {"words": [{"start": s, "end": e, "weight": w} for (s, e), w in zip(words, weights, strict=True)]}


def explaining(dealer: Company) -> None:
    dealer.bundles.fixed = Live(ExplainingBundle(), ModelVersion(1, "fake", NOON))


def test_the_words_that_moved_the_model_are_marked_and_no_other(dealer: Company) -> None:
    explaining(dealer)
    dealer.say("Lovely <b>staff</b>, slow workshop")
    browser = signed_in(dealer)
    assert "Lovely &lt;b&gt;staff" in browser.send("/reviews/next"), "a page does not wait for them"
    marked = '<mark class="toward positive">Lovely</mark> &lt;b&gt;staff&lt;/b&gt;, slow <mark class="away'
    assert marked in browser.client.get("/reviews/case/marks").text
    assert marked in browser.open("/reviews/case"), "they are remembered"
    assert browser.html.count("<mark") == 4, "two in the words, two that explain them"


def test_without_javascript_marks_are_asked_for_by_a_link(dealer: Company) -> None:
    explaining(dealer)
    dealer.say("Lovely staff, slow workshop")
    browser = signed_in(dealer)
    assert 'href="/reviews/case?marks=yes"' in browser.send("/reviews/next")
    assert '<mark class="toward positive">Lovely</mark>' in browser.open("/reviews/case?marks=yes")


def test_the_next_case_is_marked_while_this_one_is_read(dealer: Company) -> None:
    explaining(dealer)
    dealer.say("Lovely staff, slow workshop", "Lovely weather, slow traffic")
    browser = signed_in(dealer)
    browser.send("/reviews/next")
    browser.client.get("/reviews/case/ahead")
    assert '<mark class="toward positive">Lovely</mark> weather' in browser.answer("neutral")


def test_nothing_is_marked_where_the_answer_is_hidden_or_another_bundle_concluded(dealer: Company) -> None:
    explaining(dealer)
    dealer.say("Lovely staff, slow workshop")
    dealer.bundles.fixed = Live(ExplainingBundle("new"), ModelVersion(2, "new", NOON))
    browser = signed_in(dealer)
    browser.send("/reviews/next")
    assert "<mark" not in browser.open("/reviews/case?marks=yes")


@pytest.mark.parametrize("policy", [HIDDEN, TWICE], ids=["hidden by lot", "read blind"])
def test_a_case_read_without_the_model_shows_neither_marks_nor_like_cases(tmp_path: Any, policy: ReviewPolicy) -> None:
    with company(tmp_path, policy) as dealer:
        explaining(dealer)
        dealer.say("Lovely staff, slow workshop", "Lovely staff, slow workshop again")
        browser = signed_in(dealer)
        browser.send("/reviews/next")
        browser.answer("negative")
        html = browser.open("/reviews/case?marks=yes") + browser.client.get("/reviews/case/marks").text
    assert "slow workshop again" in html
    assert "<mark" not in html
    assert "Similar words before" not in html


def test_like_cases_are_shown_with_how_people_decided_until_their_customer_is_erased(
    dealer: Company,
) -> None:
    dealer.say("The brakes failed again on the road", "Brakes failed, again!", "What lovely weather")
    browser = signed_in(dealer)
    browser.send("/reviews/next")
    html = browser.answer("negative")
    assert "Similar words before" in html
    assert "The brakes failed again on the road" in html.split("Similar words before")[1]
    assert "What lovely weather" not in html
    erase(dealer.state, "c1", by="test")
    assert "Similar words before" not in browser.open("/reviews/case")


def test_texts_are_alike_by_rare_words_and_not_by_everyday_ones() -> None:
    everyday = ["it is the best of the best of it"] * 20
    past = ["it is fine and the rest of it is too", "the gearbox is gone for good", *everyday]
    assert most_like("The gearbox of it!", past)[0][0] == 1
    assert most_like("", past) == most_like("gearbox", []) == []


def test_every_emotion_has_a_key_of_its_own_and_none_takes_the_note_or_closes_them() -> None:
    assert set(EMOTION_KEYS) == set(EMOTIONS) - {"neutral"}
    assert len(set(EMOTION_KEYS.values())) == len(EMOTION_KEYS)
    assert not set(EMOTION_KEYS.values()) & set("en?0123456789")


def test_the_words_of_the_next_case_come_ahead_and_claim_nothing(dealer: Company) -> None:
    dealer.say("First of all.", "Second of all.")
    ada, bo = signed_in(dealer), signed_in(dealer, "Bo")
    ada.send("/reviews/next")
    ahead = ada.client.get("/reviews/case/ahead")
    assert "Second of all." in ahead.text
    assert "61" not in ahead.text, "nothing of the model's answer"
    assert "Second of all." in bo.send("/reviews/next")
    assert ada.client.get("/reviews/case/ahead").status_code == 204


def test_ones_decisions_tell_what_the_customer_did_then(dealer: Company) -> None:
    dealer.say("Where is my car?", customer="c9")
    browser = signed_in(dealer)
    assert "You have decided nothing yet" in browser.open("/reviews/mine")
    browser.send("/reviews/next")
    browser.answer("negative")
    assert "Nothing is known of them since" in browser.open("/reviews/mine")
    dealer.clock.forward(3 * 86_400)
    dealer.did("c9", "Order Completed")
    html = signed_in(dealer).open("/reviews/mine")
    assert "Where is my car?" in html
    assert re.search(r"purchase.*3 days later", html, re.DOTALL)
    assert "The model had said positive" in html


def test_a_blind_reading_tells_nothing_of_the_model_until_others_have_read_it_too(tmp_path: Any) -> None:
    with company(tmp_path, TWICE) as dealer:
        dealer.say("Where is my car?")
        ada, bo = signed_in(dealer), signed_in(dealer, "Bo")
        ada.send("/reviews/next")
        ada.answer("negative")
        html = ada.open("/reviews/mine")
        assert "others have yet to read it" in html
        assert "The model had said" not in html
        bo.send("/reviews/next")
        bo.answer("negative")
        assert "The model had said positive, which you did not see." in ada.open("/reviews/mine")


def test_a_verdict_is_answered_again_by_who_gave_it_and_both_stay_on_record(dealer: Company) -> None:
    dealer.say("Where is my car?", customer="c9")
    browser = signed_in(dealer)
    browser.send("/reviews/next")
    browser.answer("negative")
    dealer.clock.forward(86_400)
    browser = signed_in(dealer)
    browser.open("/reviews/again?words=f1")
    html = browser.send("/reviews/again", words="f1", answer="mixed", note="read too fast",
                        verdict_id=browser.field("verdict_id"), back="mine")  # fmt: skip
    assert "you answered again" in html
    assert dealer.feeling("c9")["answer"] == "mixed"
    assert "Answer again" in browser.open("/reviews/customer?id=c9")


def test_only_an_adjudicator_answers_what_another_answered(tmp_path: Any) -> None:
    with company(tmp_path, replace(SHOWN, adjudicators=frozenset({"Lea"}))) as dealer:
        dealer.say("Where is my car?", customer="c9")
        ada, bo, lea = (signed_in(dealer, name) for name in ("Ada", "Bo", "Lea"))
        ada.send("/reviews/next")
        ada.answer("negative")
        assert "An adjudicator may answer it again" in bo.open("/reviews/again?words=f1")
        assert "an adjudicator may answer it again" in bo.send("/reviews/again", words="f1", answer="neutral")
        assert dealer.feeling("c9")["answer"] == "negative"
        lea.open("/reviews/again?words=f1")
        lea.send("/reviews/again", words="f1", answer="neutral")
        assert dealer.feeling("c9")["answer"] == "neutral"
        assert "decided by somebody else" in ada.open("/reviews/mine")


def test_words_that_nobody_answered_cannot_be_answered_again(dealer: Company) -> None:
    dealer.say("Where is my car?")
    browser = signed_in(dealer)
    assert browser.client.get("/reviews/again?words=f1").status_code == 404
    assert browser.client.get("/reviews/again?words=nothing").status_code == 404
