"""/v1/reviews for programs: list, claim, answer, give back; refusals are problems with a stable code."""

from pathlib import Path
from typing import Any

from models.review import ReviewPolicy
from tests.service.reviews.fakes import Company, company, signed_in


def call(dealer: Company, method: str, path: str, body: Any = None, scope: str = "review") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {dealer.key(scope, name='robot')}"}
    answer = dealer.client.request(method, path, headers=headers, json=body)
    return answer.status_code, answer.json()


def claim(dealer: Company, reviewer: str = "Ada") -> dict[str, Any]:
    status, body = call(dealer, "POST", "/v1/reviews/claim", {"reviewer": reviewer})
    assert status == 200
    found: dict[str, Any] = body["case"]
    return found


def test_only_a_key_that_may_review_sees_the_queue(dealer: Company) -> None:
    assert dealer.client.get("/v1/reviews").status_code == 401
    status, body = call(dealer, "GET", "/v1/reviews", scope="provisional")
    assert (status, body["code"]) == (403, "scope_missing")


def test_the_queue_is_listed_page_by_page_in_the_order_it_is_worked(dealer: Company) -> None:
    dealer.say("First of all.", "Urgent: a threat.", "Second of all.", "Urgent: another.")
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        status, body = call(dealer, "GET", f"/v1/reviews?limit=1&offset={offset}")
        assert status == 200
        seen += [one["feedback_id"] for one in body["waiting"]]
        offset = body["next_offset"]
    assert seen == ["f2", "f4", "f1", "f3"]
    assert body["counts"] == {"open": 4, "urgent": 2, "adjudicate": 0, "claimed": 0}


def test_counts_agree_while_a_case_is_claimed(dealer: Company) -> None:
    dealer.say("First of all.", "Urgent: a threat.")
    claim(dealer)
    _, body = call(dealer, "GET", "/v1/reviews")
    assert body["counts"] == {"open": 1, "urgent": 0, "adjudicate": 0, "claimed": 1}
    assert [one["status"] for one in body["waiting"]] == ["claimed", "open"]


def test_the_list_never_tells_what_the_model_thinks(dealer: Company) -> None:
    dealer.say("First of all.")
    _, body = call(dealer, "GET", "/v1/reviews")
    assert "positive" not in str(body)


def test_a_claimed_case_carries_all_that_a_reader_needs(dealer: Company) -> None:
    dealer.say("First of all.", rating=2)
    case = claim(dealer)
    assert (case["text"], case["rating"], case["model_answer_shown"]) == ("First of all.", 2, True)
    assert case["conclusion"]["answer"] is None
    assert case["conclusion"]["provisional"]["answer"] == "positive"
    assert case["guideline_version"] == "1"


def test_a_hidden_case_withholds_the_models_answer(tmp_path: Path) -> None:
    with company(tmp_path, ReviewPolicy(hidden_share=1)) as dealer:
        dealer.say("First of all.")
        case = claim(dealer)
        assert case["model_answer_shown"] is False
        assert "positive" not in str(case)


def test_nobody_gets_a_case_that_another_holds(dealer: Company) -> None:
    dealer.say("First of all.", "Second of all.")
    first, second = claim(dealer, "Ada"), claim(dealer, "Bo")
    assert first["conclusion_id"] != second["conclusion_id"]
    assert claim(dealer, "Ada")["conclusion_id"] == first["conclusion_id"]
    assert call(dealer, "POST", "/v1/reviews/claim", {"reviewer": "Cy"}) == (200, {"case": None})


def test_a_verdict_over_http_changes_the_insight_at_once(dealer: Company) -> None:
    dealer.say("First of all.")
    case = claim(dealer)
    status, body = call(
        dealer, "POST", f"/v1/reviews/{case['conclusion_id']}/verdict",
        {"reviewer": "Ada", "answer": "mixed", "emotions": ["relief"], "intensity": 1, "note": "both"},
    )  # fmt: skip
    assert status == 200
    assert (body["answer"], body["reviewer"], body["model_answer_shown"]) == ("mixed", "Ada", True)
    assert dealer.feeling("c1")["answer"] == "mixed"


def test_a_repeated_verdict_is_the_same_verdict(dealer: Company) -> None:
    dealer.say("First of all.")
    path = f"/v1/reviews/{claim(dealer)['conclusion_id']}/verdict"
    body = {"reviewer": "Ada", "answer": "mixed", "verdict_id": "mine"}
    assert call(dealer, "POST", path, body) == call(dealer, "POST", path, body)


def test_refusals_have_stable_codes(dealer: Company) -> None:
    dealer.say("First of all.", "Second of all.")
    case = claim(dealer, "Ada")
    path = f"/v1/reviews/{case['conclusion_id']}"
    sent: list[tuple[str, dict[str, Any], int, str]] = [
        (f"{path}/verdict", {"reviewer": "Bo", "answer": "mixed"}, 409, "held_by_another"),
        (f"{path}/verdict", {"reviewer": "Ada", "answer": "angry"}, 422, "invalid_verdict"),
        (f"{path}/verdict", {"reviewer": "Ada", "answer": "mixed", "intensity": 9}, 422, "invalid_verdict"),
        (f"{path}/verdict", {"reviewer": "Ada"}, 422, "invalid_value"),
        (f"{path}/verdict", {"reviewer": "Ada", "answer": "mixed", "mood": 1}, 422, "invalid_value"),
        ("/v1/reviews/nothing/verdict", {"reviewer": "Ada", "answer": "mixed"}, 404, "not_waiting"),
        (f"{path}/release", {"reviewer": "Bo"}, 409, "held_by_another"),
    ]
    for where, body, status, code in sent:
        found, problem = call(dealer, "POST", where, body)
        assert (found, problem["code"]) == (status, code)
    call(dealer, "POST", f"{path}/verdict", {"reviewer": "Ada", "answer": "mixed"})
    found, problem = call(dealer, "POST", f"{path}/verdict", {"reviewer": "Bo", "answer": "mixed"})
    assert (found, problem["code"]) == (409, "already_decided")


def test_a_released_case_is_open_and_a_skipped_one_goes_to_others(dealer: Company) -> None:
    dealer.say("First of all.")
    case = claim(dealer, "Ada")
    path = f"/v1/reviews/{case['conclusion_id']}/release"
    assert call(dealer, "POST", path, {"reviewer": "Ada", "skip": True}) == (200, {"status": "open"})
    assert call(dealer, "POST", "/v1/reviews/claim", {"reviewer": "Ada"}) == (200, {"case": None})
    assert claim(dealer, "Bo")["conclusion_id"] == case["conclusion_id"]


def test_the_page_and_the_api_speak_of_the_same_queue(dealer: Company) -> None:
    dealer.say("First of all.")
    claim(dealer, "Ada")
    browser = signed_in(dealer, "Bo")
    assert "being read" in browser.open("/reviews")


def test_a_verdict_is_answered_again_in_place_of_the_one_that_stands(dealer: Company) -> None:
    dealer.say("First of all.", customer="c9")
    path = f"/v1/reviews/{claim(dealer, 'Ada')['conclusion_id']}/verdict"
    again = {"reviewer": "Ada", "answer": "mixed", "again": True}
    status, told = call(dealer, "POST", path, again)
    assert (status, told["code"]) == (409, "not_decided")
    assert call(dealer, "POST", path, {"reviewer": "Ada", "answer": "negative"})[0] == 200
    dealer.clock.forward(86_400)
    for _ in range(2):
        status, told = call(dealer, "POST", path, again | {"verdict_id": "v2"})
        assert (status, told["verdict_id"], told["answer"]) == (200, "v2", "mixed")
    assert dealer.feeling("c9")["answer"] == "mixed"
    with dealer.state.service.read() as connection:
        rows = connection.exec_driver_sql("SELECT answer, given_as, superseded_by FROM verdicts ORDER BY decided_at")
        assert [tuple(row) for row in rows] == [("negative", "single", "v2"), ("mixed", "revision", None)]
        counted = connection.exec_driver_sql("SELECT answered, overturned FROM overturns WHERE flag = 'polite_anger'")
        assert tuple(counted.one()) == (1, 1)
