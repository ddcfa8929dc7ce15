"""A day of reviewing in a real browser: sixty cases by keyboard alone, the connection cut in the middle of a verdict, a
lease that runs out, and a disagreement that an adjudicator settles. Nothing is lost and nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenSite, Site
from tests.service.reviews.fakes import SHOWN, signed_in

pytestmark = pytest.mark.browser

CASES = 60
ANSWERS = {"1": "negative", "2": "neutral", "3": "positive", "4": "mixed", "0": "cannot_tell", "Enter": "positive"}
"""The keys, and what each answers; Enter confirms the model, which always says positive here."""
KEYS = list(ANSWERS)
TEAM = replace(SHOWN, hidden_share=0.1, twice_share=0.1, adjudicators=frozenset({"Lea"}))


def verdicts(site: Site) -> list[dict[str, Any]]:
    with site.company.state.service.read() as connection:
        wanted = "SELECT * FROM verdicts WHERE undone_at IS NULL ORDER BY decided_at, verdict_id"
        return [row._asdict() for row in connection.exec_driver_sql(wanted)]


def case_on(page: Page) -> str | None:
    """The conclusion on the page; None where there is no case."""
    held = page.locator(".answering [name=conclusion_id]")
    return held.input_value() if held.count() else None


def ready(page: Page, before: str | None) -> str | None:
    """Waits until another case than before, or none, is there to be read, and the focus is where reading begins."""
    page.wait_for_function(
        """before => {
          const held = document.querySelector(".answering [name=conclusion_id]");
          return document.querySelector("#case")?.hidden === false && (held ? held.value !== before : true);
        }""",
        arg=before,
    )
    here = case_on(page)
    if here is not None:
        expect(page.locator("#words")).to_be_focused()
    page.wait_for_timeout(320)
    return here


def test_sixty_cases_by_keyboard_alone_with_the_connection_cut_twice(site: OpenSite) -> None:
    ours = site(policy=replace(SHOWN, hidden_share=0.1))
    page, company = ours.page, ours.company
    company.say(*(f"Words number {chr(97 + n // 26)}{chr(97 + n % 26)}, each unlike the others" for n in range(CASES)))
    ours.sign_in()
    page.keyboard.press("Enter")
    here = ready(page, None)
    given: dict[str, str] = {}
    hidden = 0

    def lose_the_answer(route: Route) -> None:
        """The verdict arrives and is saved; what comes back is lost."""
        route.fetch(max_redirects=0)
        route.abort()

    for number in range(CASES):
        assert here is not None
        shown = page.get_by_role("button", name="Confirm the model").count() == 1
        hidden += not shown
        key = KEYS[number % len(KEYS)]
        key = key if shown or key != "Enter" else "2"
        given[here] = ANSWERS[key]
        if number in (20, 40):  # cut before the verdict gets through, and after it did
            page.route("**/reviews/case/verdict", (lambda route: route.abort()) if number == 20 else lose_the_answer)
            page.keyboard.press(key)
            expect(page.locator("#trouble")).to_contain_text("Press the same key again")
            expect(page.locator("#words")).to_be_focused()
            page.unroute("**/reviews/case/verdict")
            page.wait_for_timeout(320)
        if number == 30:
            page.keyboard.press("e")
            page.keyboard.press("d")
            page.keyboard.press("-")
            page.keyboard.press("-")
        page.keyboard.press(key)
        here = ready(page, here)
        company.clock.forward(18)
    expect(page.get_by_role("heading", name="That was the last one")).to_be_visible()

    kept = verdicts(ours)
    assert len(kept) == len({row["subject"] for row in kept}) == CASES
    assert {row["conclusion_id"]: row["answer"] for row in kept} == given
    assert 0 < hidden == sum(not row["model_answer_shown"] for row in kept)
    felt = next(row for row in kept if row["intensity"] is not None)
    assert (felt["emotions"], felt["intensity"]) == ('["disappointment"]', -2)
    assert all(row["guideline_version"] == "1" and row["policy_digest"] and row["digest"] for row in kept)


def test_a_disagreement_is_adjudicated_and_a_lease_that_ran_out_goes_to_another(site: OpenSite) -> None:
    ours = site(policy=replace(TEAM, twice_share=1))
    page, company = ours.page, ours.company
    company.say("Not one thing to complain about, and believe me, I looked.", customer="c1")
    bo = signed_in(company, "Bo")
    bo.send("/reviews/next")
    assert "Hidden: two people read this case" in bo.html
    bo.answer("positive")

    ours.sign_in("Ada")
    page.keyboard.press("Enter")
    ready(page, None)
    company.clock.forward(601)  # Ada is called away; the lease ends by itself
    cy = signed_in(company, "Cy")
    assert "believe me, I looked" in cy.send("/reviews/next")
    page.keyboard.press("1")
    expect(page.get_by_role("alert").filter(has_text="Another reviewer is working on this case")).to_be_visible()
    assert len(verdicts(ours)) == 1, "Bo's reading alone"
    cy.answer("negative")
    assert ours.insight("c1")["answer"] is None

    page.context.clear_cookies()
    ours.sign_in("Lea", "adjudicator")
    expect(page.get_by_text("for an adjudicator", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    ready(page, None)
    expect(page.get_by_label("About this case")).to_contain_text("Bo read it as positive")
    expect(page.get_by_label("About this case")).to_contain_text("Cy read it as negative")
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="That was the last one")).to_be_visible()
    assert (ours.insight("c1")["answer"], ours.insight("c1")["decided_by"]) == ("negative", "person")
    assert [(row["reviewer"], row["given_as"], row["final"]) for row in verdicts(ours)] == [
        ("Bo", "reading", 0), ("Cy", "reading", 0), ("Lea", "adjudication", 1),
    ]  # fmt: skip


def test_the_next_case_is_there_before_its_answer_comes_and_keys_wait_for_it(site: OpenSite) -> None:
    ours = site()
    page, company = ours.page, ours.company
    company.say("First of all.", "Second of all.", "Third of all.")
    ours.sign_in()
    page.keyboard.press("Enter")
    with page.expect_response("**/reviews/case/ahead*"):
        pass
    here = ready(page, None)
    held: list[Route] = []
    page.route("**/reviews/case/verdict", lambda route: held.append(route))
    page.keyboard.press("1")
    preview = page.locator("[aria-busy=true]")
    expect(preview).to_contain_text("Second of all.")
    expect(preview.locator(".words")).to_be_focused()
    page.wait_for_timeout(350)
    page.keyboard.press("3")
    assert verdicts(ours) == []
    held[0].continue_()
    ready(page, here)
    expect(page.locator("#words")).to_contain_text("Second of all.")
    assert [row["answer"] for row in verdicts(ours)] == ["negative"]


def test_where_another_took_the_case_that_was_shown_ahead_its_reader_sees_the_true_one(site: OpenSite) -> None:
    ours = site()
    page, company = ours.page, ours.company
    company.say("First of all.", "Second of all.", "Third of all.")
    ours.sign_in()
    page.keyboard.press("Enter")
    here = ready(page, None)
    assert "Second of all." in signed_in(company, "Bo").send("/reviews/next")
    page.keyboard.press("1")
    ready(page, here)
    expect(page.locator("#words")).to_contain_text("Third of all.")
