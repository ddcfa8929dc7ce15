"""The page of forecasts: who sees it, and what was told beside what happened."""

from fastapi.testclient import TestClient

from service.forecasts import checking
from tests.service.reviews.fakes import Company, serve, signed_in

PAGE = "/reviews/forecasts"


def test_nobody_sees_it_without_signing_in(dealer: Company) -> None:
    answer = TestClient(dealer.app, follow_redirects=False).get(PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/reviews")


def test_with_nothing_served_the_page_says_so(dealer: Company) -> None:
    assert "Nothing to check yet" in signed_in(dealer).open(PAGE)


def test_too_few_cases_are_counted_and_not_measured(dealer: Company) -> None:
    serve(dealer, ("ada", 0.4, True), ("bob", 0.4, False))
    checking.measure(dealer.state)
    shown = signed_in(dealer).open(PAGE)
    assert "1 of 2 happened" in shown
    assert "too few cases" in shown


def test_what_was_told_stands_beside_what_happened(dealer: Company) -> None:
    serve(dealer, *((f"c{number}", 0.2 + 0.6 * (number % 2), number % 10 < 5) for number in range(100)))
    checking.measure(dealer.state)
    shown = signed_in(dealer).open(PAGE)
    assert "car purchase" in shown
    assert "told 20.0%, happened" in shown
    assert "told 80.0%, happened" in shown
    assert "By version" in shown
    assert "By channel" in shown
    assert "not whom a campaign would move" in shown
