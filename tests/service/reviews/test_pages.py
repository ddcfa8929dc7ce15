"""The pages without JavaScript: signing in, the queue, deciding, skipping, undoing, and what goes wrong."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import service
from models.review import ReviewPolicy
from tests.service.reviews.fakes import PASSWORD, Browser, Company, company, signed_in

HERE = Path(service.__file__).parent


def test_a_person_signs_in_with_a_name_and_a_password(dealer: Company) -> None:
    dealer.member("Ada")
    browser = Browser(TestClient(dealer.app, follow_redirects=False))
    answer = browser.client.post("/reviews/sign-in", data={"name": "Ada", "password": PASSWORD})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/reviews" in cookie
    assert "Ada" in browser.client.get("/reviews").text


def test_the_cookie_is_kept_from_plain_http_where_the_service_is_reached_by_https(dealer: Company) -> None:
    dealer.member("Ada")
    client = TestClient(dealer.app, base_url="https://testserver", follow_redirects=False)
    answer = client.post("/reviews/sign-in", data={"name": "Ada", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_sign_in_form_on_another_site_is_refused(dealer: Company) -> None:
    answer = dealer.client.post(
        "/reviews/sign-in", data={"name": "Ada", "password": PASSWORD}, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403


def test_signing_out_ends_the_session_for_good(dealer: Company) -> None:
    browser = signed_in(dealer)
    stolen = dict(browser.client.cookies)
    browser.send("/reviews/sign-out")
    assert "Sign in to review" in browser.open("/reviews")
    assert "Sign in to review" in TestClient(dealer.app, cookies=stolen).get("/reviews").text


def test_a_session_ends_by_itself(dealer: Company) -> None:
    browser = signed_in(dealer)
    dealer.clock.forward(12 * 3600 + 1)
    assert "Sign in to review" in browser.open("/reviews")


def test_a_form_without_this_sessions_token_changes_nothing(dealer: Company) -> None:
    dealer.say("The light is on again.")
    browser = signed_in(dealer)
    for path in ("next", "case/verdict", "case/skip", "case/release", "case/renew", "case/undo"):
        browser.open("/reviews")
        browser.send(f"/reviews/{path}", csrf="0" * 64, answer="negative", conclusion_id="id-1")
        assert "Sign in again" in browser.html or "<h1>Feelings" in browser.html
    assert dealer.feeling("c1")["decided_by"] == "model"


def test_htmx_is_sent_to_the_sign_in_page_as_a_whole_page(dealer: Company) -> None:
    answer = dealer.client.get("/reviews/case", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/reviews?why=signed_out")


def test_an_empty_queue_says_so(dealer: Company) -> None:
    html = signed_in(dealer).open("/reviews")
    assert "Nothing is waiting" in html
    assert "Take the next case" not in html


def test_urgent_cases_come_first_and_then_the_longest_wait(dealer: Company) -> None:
    dealer.say("First of all, hello.", "Second, thanks.", "Urgent: I will see you in court.")
    html = signed_in(dealer).open("/reviews")
    places = [html.index(text) for text in ("Urgent: I will", "First of all", "Second, thanks")]
    assert places == sorted(places)
    assert re.search(r'<dt>waiting</dt><dd class="number">3</dd>', html)
    assert re.search(r'<dt>of them urgent</dt><dd class="number">1</dd>', html)


def test_a_case_shows_the_words_the_reasons_the_model_and_the_journey(dealer: Company) -> None:
    dealer.did("c9", "Product Viewed", "Order Completed")
    dealer.clock.forward(60)
    dealer.say("I would be most grateful for an answer.", customer="c9", rating=4)
    browser = signed_in(dealer)
    browser.open("/reviews")
    html = browser.send("/reviews/next")
    assert "I would be most grateful for an answer." in html
    assert "Anger in polite words." in html
    assert "61 %" in html
    assert "Confirm the model’s answer: positive" in html
    assert "4 of 5 stars" in html
    assert "1 minute before" in html
    assert "1 day before" in html


def test_reading_the_case_page_claims_nothing(dealer: Company) -> None:
    dealer.say("Hello there, you.")
    html = signed_in(dealer).open("/reviews/case")
    assert "You hold no case" in html


def test_a_verdict_changes_the_insight_at_once_and_brings_the_next_case(dealer: Company) -> None:
    dealer.say("The light is on again.", "And so is mine, by the way.")
    assert dealer.feeling("c1")["answer"] is None
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    html = browser.answer("negative", emotions=["annoyance", "disappointment"], intensity="-2", note="third visit")
    assert "And so is mine" in html
    assert 'Saved: <strong class="feeling negative">' in html
    feeling = dealer.feeling("c1")
    assert (feeling["answer"], feeling["decided_by"], feeling["decision"]) == ("negative", "person", "review")
    assert feeling["review"]["status"] == "decided"
    assert [one["emotion"] for one in feeling["emotions"]] == ["annoyance", "disappointment"]


def test_the_last_verdict_leads_to_a_kind_end(dealer: Company) -> None:
    dealer.say("The light is on again.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    html = browser.answer("cannot_tell")
    assert "That was the last one" in html
    assert dealer.feeling("c1")["answer"] is None
    assert dealer.feeling("c1")["decided_by"] == "person"


def test_a_form_sent_twice_counts_once(dealer: Company) -> None:
    dealer.say("The light is on again.", "Second, thanks.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    case = browser.send("/reviews/next")
    browser.answer("negative")
    browser.html = case
    html = browser.answer("negative")
    assert browser.status == 200
    assert "Second, thanks." in html


def test_an_undone_verdict_lets_the_case_wait_again_in_the_same_hands(dealer: Company) -> None:
    dealer.say("The light is on again.", "Second, thanks.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    browser.answer("positive")
    html = browser.send("/reviews/case/undo")
    assert "The light is on again." in html
    assert dealer.feeling("c1")["decided_by"] == "model"
    browser.answer("negative")
    assert dealer.feeling("c1")["answer"] == "negative"


def test_a_verdict_cannot_be_undone_after_a_minute(dealer: Company) -> None:
    dealer.say("The light is on again.", "Second, thanks.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    browser.answer("positive")
    dealer.clock.forward(61)
    html = browser.send("/reviews/case/undo")
    assert browser.status == 409
    assert "that time is over" in html
    assert dealer.feeling("c1")["answer"] == "positive"


def test_a_skipped_case_is_left_to_others_unless_asked_for(dealer: Company) -> None:
    dealer.say("The light is on again.")
    ada, bo = signed_in(dealer), signed_in(dealer, "Bo")
    ada.open("/reviews")
    ada.send("/reviews/next")
    html = ada.send("/reviews/case/skip", conclusion_id=ada.field("conclusion_id"))
    assert "Only skipped cases are left" in html
    assert "The light is on again." in ada.send("/reviews/next", again="yes")
    ada.send("/reviews/case/release", conclusion_id=ada.field("conclusion_id"))
    bo.open("/reviews")
    assert "The light is on again." in bo.send("/reviews/next")


def test_a_case_goes_to_another_once_its_lease_ran_out_and_the_first_is_told(dealer: Company) -> None:
    dealer.say("The light is on again.")
    ada, bo = signed_in(dealer), signed_in(dealer, "Bo")
    ada.open("/reviews")
    ada.send("/reviews/next")
    bo.open("/reviews")
    assert "being read" in bo.html
    dealer.clock.forward(600)
    assert "The light is on again." in bo.send("/reviews/next")
    html = ada.answer("negative")
    assert ada.status == 409
    assert "Another reviewer is working on this case" in html


def test_a_heartbeat_keeps_the_case(dealer: Company) -> None:
    dealer.say("The light is on again.")
    ada, bo = signed_in(dealer), signed_in(dealer, "Bo")
    ada.open("/reviews")
    ada.send("/reviews/next")
    for _ in range(3):
        dealer.clock.forward(500)
        ada.send("/reviews/case/renew", conclusion_id=ada.field("conclusion_id"))
    bo.open("/reviews")
    assert "Take the next case" not in bo.html


@pytest.mark.parametrize("fields", [{"answer": "furious"}, {"answer": "negative", "intensity": "lots"}, {"answer": ""}])
def test_an_answer_that_is_not_allowed_is_refused_with_the_allowed_ones(
    dealer: Company, fields: dict[str, str]
) -> None:
    dealer.say("The light is on again.")
    browser = signed_in(dealer)
    browser.open("/reviews")
    browser.send("/reviews/next")
    html = browser.answer(**fields)
    assert browser.status == 422
    assert 'role="alert"' in html
    assert "The light is on again." in html


def test_a_hidden_case_gives_the_models_answer_away_only_afterwards(tmp_path: Path) -> None:
    with company(tmp_path, ReviewPolicy(hidden_share=1)) as dealer:
        dealer.say("The light is on again.")
        browser = signed_in(dealer)
        browser.open("/reviews")
        html = browser.send("/reviews/next")
        assert "61 %" not in html
        assert "Confirm the model’s answer: " not in html
        assert "Also reads" not in html
        assert "The model had said positive." in browser.answer("negative")


def test_words_cannot_become_markup(dealer: Company) -> None:
    dealer.say('<script>alert("1")</script> <b>bold</b>')
    browser = signed_in(dealer, name='"><img src=x>')
    queue = browser.open("/reviews")
    case = browser.send("/reviews/next")
    for html in (queue, case):
        assert "<script>alert" not in html
        assert "<img" not in html
        assert "&lt;b&gt;bold" in html


def test_no_page_allows_or_holds_inline_script_or_style(dealer: Company) -> None:
    answer = dealer.client.get("/reviews")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for template in [*HERE.glob("*/templates/*.html")]:
        html = template.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|<style|\son[a-z]+=|hx-on|js:", html), template.name


def test_static_files_are_served_and_nothing_beside_them(dealer: Company) -> None:
    assert dealer.client.get("/static/style.css").headers["content-type"].startswith("text/css")
    assert "javascript" in dealer.client.get("/static/vendor/htmx-4.0.1.min.js").headers["content-type"]
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/nothing.css", "/static/"):
        assert dealer.client.get(path).status_code == 404


def test_a_huge_form_is_refused(dealer: Company) -> None:
    answer = dealer.client.post("/reviews/sign-in", data={"key": "x" * 70_000, "name": "Ada"})
    assert answer.status_code == 413
