"""The page of deliveries by keyboard alone: from the list of webhooks to what failed, why, and sent again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenSite
from tests.browser.deliveries import REFUSED, some_deliveries

pytestmark = pytest.mark.browser


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus reads so."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText.trim()").startswith(name):
            return
    raise AssertionError(f"no Tab leads to {name!r}")


def test_a_lead_finds_why_a_delivery_failed_and_sends_it_again_by_keyboard(site: OpenSite) -> None:
    ours = site(reduced_motion="reduce")
    some_deliveries(ours)
    ours.sign_in("Lea", "lead")
    page = ours.page
    page.goto(f"{ours.url}/reviews/deliveries")
    tab_to(page, "https://mail.example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="To https://mail.example.org")).to_be_visible()
    tab_to(page, "failed")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Only those that are failed.")).to_be_visible()
    tab_to(page, "Attempts")
    page.keyboard.press("Enter")
    expect(page.locator(".attempts li").first).to_contain_text(REFUSED)
    tab_to(page, "Send again")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Deliveries by state").locator("div", has_text="failed")).to_contain_text("3")
    expect(page.locator("li", has_text="c_1043")).to_contain_text("not sent yet")


def test_a_lead_switches_a_webhook_on_by_keyboard_and_a_reviewer_only_looks(site: OpenSite) -> None:
    ours = site(reduced_motion="reduce")
    some_deliveries(ours)
    ours.sign_in("Ada", "reviewer")
    page = ours.page
    page.goto(f"{ours.url}/reviews/deliveries?webhook=old")
    expect(page.get_by_text("Off because its receiver answered 410 Gone")).to_be_visible()
    expect(page.get_by_role("button", name="Switch it on")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#name")).to_be_visible()
    ours.sign_in("Lea", "lead")
    page.goto(f"{ours.url}/reviews/deliveries?webhook=old")
    tab_to(page, "Switch it on")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Off because")).to_have_count(0)
