"""The page of refused events: who sees it, what it shows, and how it looks with nothing to show."""

import re

from fastapi.testclient import TestClient

from tests.service.reviews.fakes import Company, signed_in

PAGE = "/reviews/dead-letters"


def refuse(dealer: Company, *events: object) -> None:
    headers = {"Authorization": f"Bearer {dealer.key('ingest')}"}
    answer = dealer.client.post("/v1/batch", json={"batch": list(events)}, headers=headers)
    assert answer.json()["accepted"] == 0


def test_nobody_sees_it_without_signing_in(dealer: Company) -> None:
    answer = TestClient(dealer.app, follow_redirects=False).get(PAGE)

    assert (answer.status_code, answer.headers["location"]) == (303, "/reviews")


def test_with_nothing_refused_the_page_says_so(dealer: Company) -> None:
    assert "Nothing was refused" in signed_in(dealer).open(PAGE)


def test_refused_events_are_shown_with_reason_and_counts_and_nothing_of_them_runs(dealer: Company) -> None:
    evil = "<script>alert(1)</script>"
    refuse(dealer, {"type": "track", "event": evil}, {"type": evil, "userId": "c"}, 3)
    shown = signed_in(dealer).open(PAGE)

    assert evil not in shown
    assert shown.count("&lt;script&gt;") >= 2
    assert "userId and anonymousId are both missing" in shown
    assert "id missing" in shown
    assert "Nothing was refused" not in shown
    assert "2026-11-21" in shown


def test_the_page_can_be_narrowed_to_a_code_and_leads_to_older_letters(dealer: Company) -> None:
    refuse(dealer, {"type": "dance", "userId": "c"}, *({"type": "track", "event": f"E{n}"} for n in range(30)))
    browser = signed_in(dealer)
    narrowed, first = browser.open(f"{PAGE}?code=unknown_type"), browser.open(PAGE)
    older = re.search(r'href="(/reviews/dead-letters\?before=\d+)"', first)

    assert "dance" in narrowed
    assert "E29" not in narrowed
    assert "E29" in first
    assert "E0&#34;" not in first
    assert older is not None
    assert "E0&#34;" in browser.open(older[1])
    assert "No more letters" in browser.open(f"{PAGE}?before=1")
