"""Promises as the service lives by them: draws, blind readings, withdrawal, what was released, reinstatement, pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from models.journey.event import DAY
from models.lottery import lot
from service.insights import promised
from service.insights.store import conclusions
from service.outbox.store import changes
from service.promises import drawing, sets, store
from service.promises.drawing import draws
from service.promises.store import keys as lottery_keys
from tests.service.fakes import FAIR, House, open_house, publish, track
from tests.service.reviews.fakes import Company, FixedBundles, signed_in

ALL_READ = "audit: {share: 1.0}"


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[House]:
    """A service whose every released answer is read blind, by one person."""
    with _opened(tmp_path, ALL_READ) as house:
        yield house


def _opened(folder: Path, policy: str, **given: Any) -> Any:
    path = folder / "policy.yaml"
    path.write_text(policy)
    return open_house(folder, policy_file=path, read_twice_share=0.0, **given)


def say(house: House, number: int, text: str = "All is well.", customer: str | None = None) -> None:
    house.say(f"w{number}", text, customer or f"p{number}")
    house.worker.run_until_idle()


def answer(house: House, said: str, *, reviewer: str = "Ada") -> str:
    """The next case is taken and answered; its text's id."""
    headers = house.key("review")
    case = house.client.post("/v1/reviews/claim", json={"reviewer": reviewer}, headers=headers).json()["case"]
    assert case is not None
    given = house.client.post(
        f"/v1/reviews/{case['conclusion_id']}/verdict", json={"reviewer": reviewer, "answer": said}, headers=headers
    )
    assert given.status_code == 200, given.text
    return str(case["conclusion"]["feedback_id"])


def told(house: House) -> dict[str, Any]:
    found = house.client.get("/v1/promises", headers=house.key("read"))
    assert found.status_code == 200, found.text
    return dict(found.json())


def promise(house: House) -> dict[str, Any]:
    return next(one for one in told(house)["promises"] if one["kind"] == "feeling")


def feeling(house: House, number: int) -> dict[str, Any]:
    return dict(house.insight(f"p{number}")["feeling"])


def test_a_drawn_answer_stays_released_while_it_waits_to_be_read_blind(audited: House) -> None:
    say(audited, 1)
    assert (feeling(audited, 1)["decision"], feeling(audited, 1)["answer"]) == ("auto", "positive")
    case = audited.client.post("/v1/reviews/claim", json={}, headers=audited.key("review")).json()["case"]
    assert case["model_answer_shown"] is False
    assert case["conclusion"]["answer"] is None
    assert "confidence" not in case["conclusion"]
    assert case["conclusion"]["decision"] == "review"
    assert [flag["code"] for flag in case["conclusion"]["flags"]] == ["drawn_at_random"]


def test_nothing_of_the_draw_is_told_to_who_reads_insights(audited: House) -> None:
    say(audited, 1)
    assert not {"drawn", "chance_of_review"} & feeling(audited, 1).keys()


def test_a_draw_can_be_verified_with_the_key(tmp_path: Path) -> None:
    with _opened(tmp_path, "audit: {share: 0.3}") as house:
        for number in range(60):
            say(house, number)
        with house.state.service.read() as connection:
            drawn = set(connection.execute(select(draws.c.subject)).scalars())
            secret = store.secret(connection)
        assert secret == FAIR
        assert drawn == {f"w{n}" for n in range(60) if lot(secret, f"w{n}") < 0.3}
        assert 5 < len(drawn) < 35


def test_every_conclusion_keeps_its_chance_of_review(tmp_path: Path) -> None:
    with _opened(tmp_path, "audit: {share: 0.25}") as house:
        say(house, 1)
        say(house, 2, "I am angry.")
        with house.state.service.read() as connection:
            from_rows = {row.subject: row.stored for row in connection.execute(select(conclusions))}
        assert '"chance_of_review":0.25' in from_rows["w1"]
        assert '"chance_of_review":1.0' in from_rows["w2"]


def test_the_right_answers_of_people_leave_a_promise_standing(audited: House) -> None:
    for number in range(12):
        say(audited, number)
        answer(audited, "positive")
    found = promise(audited)
    assert found["standing"] is True
    assert (found["checks"]["cases"], found["checks"]["wrong"], found["checks"]["by"]) == (12, 0, "people")


def withdrawn(house: House, first: int = 0) -> int:
    """Texts are released, and found wrong until the promise is withdrawn; the number of the next text."""
    for number in range(first, first + 30):
        say(house, number)
        answer(house, "negative")
        if not promise(house)["standing"]:
            return number + 1
    raise AssertionError("it was never withdrawn")


def test_a_promise_is_withdrawn_once_audits_refute_it_and_nothing_more_goes_out(audited: House) -> None:
    for number in range(5):
        say(audited, number)
        answer(audited, "positive")
    number = withdrawn(audited, 5)
    assert number <= 13
    say(audited, number)
    now = feeling(audited, number)
    assert (now["decision"], now["answer"], now["promise"]["standing"]) == ("review", None, False)
    assert now["flags"][0]["code"] == "promise_withdrawn"
    assert "wrong" in now["flags"][0]["text"]


def test_a_withdrawal_is_told_in_the_outbox_and_on_the_page(audited: House) -> None:
    withdrawn(audited)
    with audited.state.service.read() as connection:
        kinds = list(connection.execute(select(changes.c.kind).where(changes.c.kind == "promise.withdrawn")).scalars())
    assert kinds == ["promise.withdrawn"]
    event = told(audited)["events"][0]
    assert (event["what"], event["kind"], event["by"]) == ("withdrawn", "feeling", "the live check")


def test_what_was_released_since_all_was_well_waits_for_people_and_is_listed(audited: House) -> None:
    say(audited, 100)
    answer(audited, "positive")
    audited.clock.forward(60)
    say(audited, 101)  # released, and not read yet when the promise falls
    audited.clock.forward(60)
    for number in range(102, 130):
        say(audited, number)
        audited.clock.forward(1)
    while promise(audited)["standing"]:
        answer(audited, "negative")
    audited.worker.run_until_idle()
    assert feeling(audited, 129)["decision"] == "review"
    kept = feeling(audited, 100)
    assert (kept["decision"], kept["decided_by"], kept["promise"]["standing"]) == ("auto", "person", False)
    listed = audited.client.get("/v1/promises/released", headers=audited.key("admin")).json()
    ids = [one["feedback_id"] for one in listed["released"]]
    assert {"w129", "w101"} <= set(ids)
    assert len(ids) == promise(audited)["released_since_good"]["n"]


def test_one_who_takes_a_verdict_back_takes_the_audit_back(audited: House) -> None:
    say(audited, 1)
    say(audited, 2)
    answer(audited, "positive")
    with audited.state.service.read() as connection:
        before = [row.wrong for row in drawing.audits(connection, "one", "all")]
    with audited.state.service.write() as connection:
        policy = audited.settings.promises
        promised.settle(connection, "w1", None, audited.clock(), policy=policy)
        promised.settle(connection, "w2", None, audited.clock(), policy=policy)
    assert before == [False]
    assert promise(audited)["checks"]["cases"] == 0


def test_who_cannot_tell_refutes_nothing(audited: House) -> None:
    say(audited, 1)
    answer(audited, "cannot_tell")
    assert promise(audited)["checks"]["cases"] == 0


def test_a_person_with_scope_admin_reinstates_with_a_reason(audited: House) -> None:
    number = withdrawn(audited)
    say(audited, number)
    body = {"kind": "feeling", "group": "all", "why": "The texts came from a broken import; it is mended.", "by": "Lea"}
    assert audited.client.post("/v1/promises/reinstate", json=body, headers=audited.key("review")).status_code == 403
    done = audited.client.post("/v1/promises/reinstate", json=body, headers=audited.key("admin"))
    assert (done.status_code, done.json()["by"]) == (200, "Lea")
    audited.worker.run_until_idle()
    assert feeling(audited, number)["decision"] == "auto"
    found = promise(audited)
    assert (found["standing"], found["checks"]["cases"]) == (True, 0)
    again = audited.client.post("/v1/promises/reinstate", json=body, headers=audited.key("admin"))
    assert (again.status_code, again.json()["code"]) == (409, "promise_not_withdrawn")


def test_a_reason_is_asked_of_who_reinstates(audited: House) -> None:
    withdrawn(audited)
    answer = audited.client.post("/v1/promises/reinstate", json={"kind": "feeling", "why": ""},
                                 headers=audited.key("admin"))  # fmt: skip
    assert answer.status_code == 422


def test_another_version_is_watched_from_the_beginning(audited: House) -> None:
    withdrawn(audited)
    publish(audited.settings.mlruns_dir, 2, "two")
    audited.worker.run_until_idle()
    say(audited, 50)
    assert feeling(audited, 50)["promise"]["standing"] is True
    assert feeling(audited, 50)["decision"] == "auto"


def test_predictions_go_out_under_no_withdrawn_promise(audited: House) -> None:
    withdrawn(audited)
    body = {"journeys": [{"customer_id": "x", "feedback": [{"text": "All is well."}]}]}
    found = audited.client.post("/v1/predictions", json=body, headers=audited.key("read")).json()["predictions"][0]
    assert (found["feeling"]["decision"], found["feeling"]["answer"]) == ("review", None)


def test_the_page_says_what_stands_and_what_was_withdrawn(audited: House) -> None:
    say(audited, 1)
    browser = signed_in(Company(audited.app, audited.client, audited.clock, FixedBundles()))
    page = browser.open("/reviews/promises")
    assert "Feelings" in page
    assert "stands" in page
    withdrawn(audited, 2)
    page = browser.open("/reviews/promises")
    assert "withdrawn" in page
    assert "/v1/promises/released" in page


def test_the_policy_and_its_history_can_be_read(tmp_path: Path) -> None:
    with _opened(tmp_path, "feeling: {alpha: 0.1}") as house:
        found = house.client.get("/v1/policy", headers=house.key("read")).json()
        assert found["policy"]["feeling"]["alpha"] == 0.1
        assert [one["digest"] for one in found["history"]] == [found["digest"]]
    with _opened(tmp_path, "feeling: {alpha: 0.02}") as house:
        found = house.client.get("/v1/policy", headers=house.key("read")).json()
        assert len(found["history"]) == 2


def test_another_alpha_concludes_everybody_again(tmp_path: Path) -> None:
    with _opened(tmp_path, "feeling: {alpha: 0.1}") as house:
        say(house, 1)
        with house.state.service.read() as connection:
            (first,) = connection.execute(select(conclusions.c.policy_digest)).scalars()
    with _opened(tmp_path, "feeling: {alpha: 0.02}") as house:
        house.worker.run_until_idle()
        with house.state.service.read() as connection:
            wanted = select(conclusions.c.policy_digest).where(conclusions.c.superseded_at.is_(None))
            (second,) = connection.execute(wanted).scalars()
    assert first != second


def test_a_wrong_policy_stops_the_service_at_its_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"feeling\.alpha is 7; write a number between 0 and 1"), \
            _opened(tmp_path, "feeling: {alpha: 7}"):  # fmt: skip
        pass


def test_what_people_read_is_weighed_by_its_chance(tmp_path: Path) -> None:
    with _opened(tmp_path, "audit: {share: 0.2}") as house:
        with house.state.service.write() as connection:
            connection.execute(update(lottery_keys).values(secret="another"))
        for number in range(25):
            say(house, number)
            say(house, 100 + number, "I am angry.")
        while house.client.get("/v1/reviews", headers=house.key("review")).json()["waiting"]:
            headers = house.key("review")
            case = house.client.post("/v1/reviews/claim", json={}, headers=headers).json()["case"]
            path = f"/v1/reviews/{case['conclusion_id']}/verdict"
            house.client.post(path, json={"answer": "positive"}, headers=headers)
        quality = told(house)["quality"]
    assert quality["wrong"]["share"] < quality["wrong_unweighted"]["share"]


def test_people_who_cannot_keep_up_make_conclusions_wait_and_say_so(tmp_path: Path) -> None:
    with _opened(tmp_path, "reviewers: {minutes_a_day: 1, seconds_a_case: 60}") as house:
        for number in range(12):
            say(house, number, "I am angry.")
        load = told(house)["load"]
        assert (load["keeps_up"], load["days_to_clear"], load["days_to_read"]) == (False, None, 12)
        review = feeling(house, 11)["review"]
        assert review["expected_by"] > review["due_at"]
        assert feeling(house, 11)["answer"] is None


def test_sets_are_checked_by_what_came_once_their_horizon_has_passed(house: House) -> None:
    with house.state.service.write() as connection:
        for number, inside in enumerate(["web.visit", "dealer.visit"]):
            row = {"customer_id": f"c{number}", "digest": "one", "version": 1, "policy_digest": "p",
                   "group_name": "all", "made_at": house.clock() - 40 * DAY, "due_at": house.clock() - 10 * DAY,
                   "touchpoints": f'["{inside}"]'}  # fmt: skip
            connection.execute(sets.sets.insert().values(row))
    for number in range(2):
        house.batch(track("Product Viewed", f"c{number}", "2026-10-20T10:00:00Z"))
    house.worker.run_until_idle()
    with house.state.service.read() as connection:
        rows = sets.checked(connection, "one", "all")
    assert [(row.customer_id, row.missed) for row in rows] == [("c0", rows[0].came != "web.visit"), ("c1", True)]
