"""Reviewing in a real browser: by keyboard alone, without JavaScript, on a phone, and with the connection cut."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from service.reviews.logic import Desk
from tests.browser.conftest import OpenSite, Site
from tests.service.reviews.fakes import PASSWORD, SHOWN

pytestmark = pytest.mark.browser

TEXTS = (
    "Third visit, third different answer. I have started bringing a notebook.",
    "Your mechanic was an angel and drove me home herself. That I needed driving home I will not forget either.",
    "Ok then.",
    "Does the tow bar fit the estate from 2022?",
    "Not one thing to complain about, and believe me, I looked.",
)


def focused(page: Page) -> str:
    found: str = page.evaluate("document.activeElement?.id ?? ''")
    return found


def read_and_press(site: Site, key: str) -> None:
    """Press a key, once there was time to read: a key that comes at once with a case answers nothing."""
    site.page.wait_for_timeout(350)
    site.page.keyboard.press(key)


def press_and_see(site: Site, key: str, text: str) -> None:
    """Press a key, once there was time to read; the case with this text comes, and the focus is on it."""
    read_and_press(site, key)
    expect(site.page.locator("#words")).to_contain_text(text)
    expect(site.page.locator("#words")).to_be_focused()
    site.page.wait_for_load_state()  # keys work once the script is there


def test_five_cases_are_decided_by_keyboard_alone_and_insights_change_at_once(site: OpenSite, tmp_path: Path) -> None:
    ours = site(viewport={"width": 1280, "height": 860})
    ours.company.did("c1", "Product Viewed", "Test Drive Booked", "Order Completed")
    for number, text in enumerate(TEXTS, 1):
        ours.company.say(text, customer=f"c{number}")
    ours.sign_in()
    ours.page.screenshot(path=tmp_path / "queue.png")
    press_and_see(ours, "Enter", TEXTS[0])
    ours.page.screenshot(path=tmp_path / "case.png")
    assert ours.insight("c1")["answer"] is None

    press_and_see(ours, "1", TEXTS[1])
    assert ours.insight("c1")["answer"] == "negative"
    expect(ours.page.locator("#live")).to_contain_text("Saved negative. Next case:")
    press_and_see(ours, "Enter", TEXTS[2])
    assert ours.insight("c2")["answer"] == "positive"
    press_and_see(ours, "u", TEXTS[1])
    assert ours.insight("c2")["answer"] is None
    press_and_see(ours, "4", TEXTS[2])
    assert ours.insight("c2")["answer"] == "mixed"
    press_and_see(ours, "0", TEXTS[3])
    assert (ours.insight("c3")["answer"], ours.insight("c3")["decided_by"]) == (None, "person")
    press_and_see(ours, "2", TEXTS[4])
    ours.page.wait_for_timeout(350)
    read_and_press(ours, "3")
    expect(ours.page.get_by_role("heading", name="That was the last one")).to_be_visible()
    ours.page.screenshot(path=tmp_path / "done.png")
    assert [ours.insight(f"c{n}")["answer"] for n in (1, 2, 3, 4, 5)] == [
        "negative", "mixed", None, "neutral", "positive",
    ]  # fmt: skip


def test_keys_do_nothing_while_a_note_is_written(site: OpenSite) -> None:
    ours = site()
    ours.company.say(*TEXTS[:2])
    ours.sign_in()
    press_and_see(ours, "Enter", TEXTS[0])
    ours.page.keyboard.press("n")
    expect(ours.page.locator("#note")).to_be_focused()
    ours.page.keyboard.type("1 of 3 visits, and u know it?")
    assert ours.insight("c1")["decided_by"] == "model"
    ours.page.keyboard.press("Escape")
    assert focused(ours.page) == "words"
    press_and_see(ours, "1", TEXTS[1])
    assert ours.insight("c1")["answer"] == "negative"


def test_keys_are_listed_the_guideline_is_one_key_away_and_keys_can_be_switched_off(site: OpenSite) -> None:
    ours = site()
    ours.company.say(*TEXTS[:2])
    ours.sign_in()
    press_and_see(ours, "Enter", TEXTS[0])
    ours.page.keyboard.press("?")
    expect(ours.page.get_by_role("dialog", name="Keys")).to_be_visible()
    ours.page.keyboard.press("1")
    ours.page.keyboard.press("Escape")
    expect(ours.page.get_by_role("dialog", name="Keys")).to_be_hidden()
    assert ours.insight("c1")["decided_by"] == "model"
    ours.page.keyboard.press("g")
    expect(ours.page.get_by_role("heading", name="How to read a feeling")).to_be_visible()
    press_and_see(ours, "Enter", TEXTS[0])
    ours.page.get_by_role("link", name="Keys").click()
    ours.page.get_by_role("checkbox", name="Use single keys").uncheck()
    ours.page.keyboard.press("Escape")
    ours.page.locator("#words").focus()
    ours.page.keyboard.press("1")
    ours.page.wait_for_timeout(200)
    assert ours.insight("c1")["decided_by"] == "model"


def test_a_verdict_whose_answer_was_cut_off_is_told_and_counts_once(site: OpenSite) -> None:
    ours = site()
    ours.company.say(*TEXTS[:2])
    ours.sign_in()
    press_and_see(ours, "Enter", TEXTS[0])

    def cut(route: Route) -> None:
        route.fetch(max_redirects=0)
        route.abort()

    ours.page.route("**/reviews/case/verdict", cut)
    read_and_press(ours, "1")
    expect(ours.page.locator("#trouble")).to_contain_text("Press the same key again")
    assert ours.insight("c1")["answer"] == "negative"
    ours.page.unroute("**/reviews/case/verdict")
    press_and_see(ours, "1", TEXTS[1])
    assert ours.insight("c2")["decided_by"] == "model"


def test_everything_works_with_javascript_off(site: OpenSite, tmp_path: Path) -> None:
    ours = site(java_script_enabled=False)
    ours.company.say(*TEXTS[:2])
    page = ours.page
    ours.company.member("Ada")
    page.goto(f"{ours.url}/reviews")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Take the next case").click()
    expect(page.locator("#words")).to_contain_text(TEXTS[0])
    page.locator("details.more summary").click()
    page.get_by_text("disappointment", exact=True).click()
    page.get_by_label("Note").fill("third visit")
    page.get_by_role("button", name="Negative").click()
    expect(page.locator("#words")).to_contain_text(TEXTS[1])
    assert ours.insight("c1")["emotions"] == [{"emotion": "disappointment", "probability": 1.0}]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#words")).to_contain_text(TEXTS[0])
    page.get_by_role("button", name="Skip").click()
    expect(page.locator("#words")).to_contain_text(TEXTS[1])
    page.screenshot(path=tmp_path / "without-javascript.png")
    page.get_by_role("link", name="Keys").click()
    expect(page.get_by_role("main").get_by_text("Undo your last verdict")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to review")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width_or_zoom(site: OpenSite, tmp_path: Path, scheme: str) -> None:
    """A phone, a laptop, and the laptop at 200 % zoom, which is half its width and height."""
    ours = site(color_scheme=scheme)
    ours.company.say("Averyveryverylongwordwithoutanyspace" * 4, *TEXTS)
    ours.sign_in()
    for name, key in (("queue", ""), ("case", "Enter"), ("details", "e"), ("guideline", "g")):
        if key:
            ours.page.keyboard.press(key)
            ours.page.wait_for_load_state()
            ours.page.wait_for_timeout(350)
        for width, height in ((390, 844), (640, 430), (1280, 860)):
            ours.page.set_viewport_size({"width": width, "height": height})
            ours.page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
            assert ours.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)


def test_a_key_struck_twice_does_not_answer_the_next_case_unread(site: OpenSite) -> None:
    ours = site()
    ours.company.say(*TEXTS[:2])
    ours.sign_in()
    press_and_see(ours, "Enter", TEXTS[0])
    # However slow the machine, the second stroke comes a twentieth of a second after the next case.
    ours.page.evaluate("""document.addEventListener("htmx:after:swap", () => setTimeout(() =>
        document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "1", bubbles: true})), 50), {once: true})""")
    press_and_see(ours, "1", TEXTS[1])
    ours.page.wait_for_timeout(200)
    assert ours.insight("c1")["answer"] == "negative"
    assert ours.insight("c2")["decided_by"] == "model"


def test_a_session_that_ended_leads_back_to_the_sign_in_page(site: OpenSite) -> None:
    ours = site()
    ours.company.say(*TEXTS[:2])
    ours.sign_in()
    press_and_see(ours, "Enter", TEXTS[0])
    ours.page.context.clear_cookies()
    ours.page.evaluate("document.querySelector('[data-key=\"1\"]').click()")
    expect(ours.page.get_by_role("alert")).to_contain_text("Sign in again and go on")


def test_filters_work_with_javascript_off_and_stay_until_all_are_shown(site: OpenSite) -> None:
    ours = site(java_script_enabled=False)
    ours.company.say(*TEXTS[:2])
    ours.company.say(TEXTS[2], channel="mail")
    page = ours.page
    ours.company.member("Ada")
    page.goto(f"{ours.url}/reviews")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Channel").select_option("mail")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".excerpt")).to_have_text([TEXTS[2]])
    page.get_by_role("button", name="Take the next case").click()
    expect(page.locator("#words")).to_contain_text(TEXTS[2])
    page.get_by_label("Why you pass it on").fill("not my language")
    page.get_by_role("button", name="Escalate").click()
    expect(page.get_by_role("heading", name="What is left is for others")).to_be_visible()
    page.get_by_role("link", name="Queue", exact=True).click()
    expect(page.locator(".excerpt")).to_have_count(3)
    expect(page.get_by_text("for an adjudicator", exact=True)).to_be_visible()


def test_a_filter_stays_by_keyboard_and_one_key_escalates(site: OpenSite) -> None:
    ours = site()
    ours.company.say(TEXTS[0])
    ours.company.say(TEXTS[1], TEXTS[2], channel="mail")
    ours.sign_in()
    ours.page.goto(f"{ours.url}/reviews?channel=mail")
    press_and_see(ours, "Enter", TEXTS[1])
    press_and_see(ours, "x", TEXTS[2])
    read_and_press(ours, "1")
    expect(ours.page.get_by_role("heading", name="What is left is for others")).to_be_visible()
    assert ours.insight("c3")["answer"] == "negative"
    assert ours.insight("c1")["decided_by"] == "model"


def test_a_case_whose_lease_ran_out_goes_to_another_and_the_first_is_told(site: OpenSite) -> None:
    ours = site()
    ours.company.say(*TEXTS[:2])
    ours.sign_in()
    press_and_see(ours, "Enter", TEXTS[0])
    ours.company.clock.forward(600)
    with ours.company.state.service.write() as connection:
        desk = Desk(connection, "Bo", ours.company.clock.at, SHOWN, ours.company.state.ids, lambda *_: None)
        taken = desk.take_next()
    assert taken is not None
    read_and_press(ours, "1")
    expect(ours.page.get_by_role("alert").filter(has_text="Another reviewer is working on this case")).to_be_visible()
    assert ours.insight("c1")["decided_by"] == "model"
