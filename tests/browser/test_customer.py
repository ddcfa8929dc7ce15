"""The page of one customer in a real browser: by keyboard, on a phone, and without JavaScript."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from models.journey.event import Event
from service.events import store as log
from tests.browser.conftest import OpenSite, Site
from tests.service.reviews.fakes import PASSWORD

pytestmark = pytest.mark.browser

WORDS = "Third visit, third different answer. I have started bringing a notebook."


def a_customer(site: Site, many: int = 0) -> None:
    company = site.company
    names = ("Website Visited", "Email Opened", "Test Drive Booked", "Order Completed", "Workshop Visited")
    company.did("c1", *["Product Viewed"] * many, *names)
    bought = {"value": 32_490, "currency": "EUR", "channel": "dealer"}
    at = company.clock.at
    log.append(company.state.log, [Event("o1", "track", "Order Completed", "c1", "dev9", at, at, bought)], at)
    company.clock.forward(3_600)
    company.say(WORDS, customer="c1", rating=2)


def no_wider_than_the_window(site: Site) -> bool:
    fits: bool = site.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return fits


def test_the_whole_timeline_is_one_key_away_from_the_case(site: OpenSite) -> None:
    ours = site(viewport={"width": 1280, "height": 860})
    a_customer(ours)
    ours.sign_in()
    ours.page.keyboard.press("Enter")
    expect(ours.page.locator("#words")).to_contain_text(WORDS)
    ours.page.wait_for_timeout(350)
    ours.page.keyboard.press("t")
    expect(ours.page.get_by_role("heading", name="c1", exact=True)).to_be_visible()
    lines = ours.page.locator(".timeline > li")
    expect(lines).to_have_count(7)
    expect(lines.first).to_contain_text(WORDS)
    expect(lines.first).to_contain_text("left to a person")
    expect(lines.nth(1)).to_contain_text("32,490.00 EUR")
    assert "0.61" not in ours.page.content(), "nothing of the model's answer while a person has yet to look"


def test_somebody_is_looked_up_by_any_id_and_older_pages_follow(site: OpenSite) -> None:
    ours = site()
    a_customer(ours, many=40)
    ours.sign_in()
    ours.page.get_by_role("link", name="Customers").click()
    expect(ours.page.get_by_role("heading", name="Whom are you looking for?")).to_be_visible()
    ours.page.keyboard.type("nobody")
    ours.page.keyboard.press("Enter")
    expect(ours.page.get_by_role("heading", name="Nobody is known by that id")).to_be_visible()
    ours.page.locator("#id").fill("dev9")
    ours.page.keyboard.press("Enter")
    expect(ours.page.get_by_role("heading", name="c1", exact=True)).to_be_visible()
    expect(ours.page.locator("main")).to_contain_text("Known by dev9 too.")
    ours.page.get_by_role("link", name="Older ones").click()
    expect(ours.page.get_by_role("link", name="Back to the newest")).to_be_visible()
    expect(ours.page.locator(".timeline > li")).to_have_count(22)
    expect(ours.page.get_by_role("link", name="Older ones")).to_have_count(0)


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_an_objection_is_taken_down_and_lifted(site: OpenSite, script: bool) -> None:
    ours = site(java_script_enabled=script)
    a_customer(ours)
    ours.company.member("Ada")
    ours.page.goto(f"{ours.url}/reviews")
    ours.page.get_by_label("Your name").fill("Ada")
    ours.page.get_by_label("Password").fill(PASSWORD)
    ours.page.get_by_role("button", name="Sign in").click()
    ours.page.get_by_role("link", name="Customers").click()
    ours.page.locator("#id").fill("c1")
    ours.page.get_by_role("button", name="Look up").click()
    ours.page.get_by_text("The customer objects", exact=True).click()
    ours.page.get_by_label("How we know").fill("said so on the phone")
    ours.page.get_by_role("button", name="Stop profiling").click()
    expect(ours.page.get_by_role("status").filter(has_text="Not profiled.")).to_be_visible()
    expect(ours.page.locator("main")).to_contain_text("taken down by Ada: said so on the phone.")
    assert ours.insight("c1")["flags"][0]["code"] == "do_not_profile"
    ours.page.get_by_role("link", name="Queue").click()
    expect(ours.page.get_by_role("heading", name="Nothing is waiting")).to_be_visible()

    ours.page.goto(f"{ours.url}/reviews/customer?id=dev9")
    ours.page.get_by_text("The customer agrees again", exact=True).click()
    ours.page.get_by_role("button", name="Profile again").click()
    expect(ours.page.get_by_text("Conclusions are drawn from this timeline")).to_be_visible()
    assert ours.insight("c1")["decision"] == "review"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_a_phone_and_a_desk_in_both_themes(site: OpenSite, tmp_path: Path, scheme: str, width: int) -> None:
    ours = site(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    a_customer(ours)
    ours.sign_in()
    for name, query in (("customer", "?id=c1"), ("nobody", "?id=nobody"), ("start", "")):
        ours.page.goto(f"{ours.url}/reviews/customer{query}")
        ours.page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
        assert no_wider_than_the_window(ours), name
