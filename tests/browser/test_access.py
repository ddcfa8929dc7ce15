"""Every page is free of what axe-core finds against WCAG 2.2 AA: light and dark, on a phone, at 200 % zoom, and in each
state that a page can be in. Without npm the checker is not there and these tests are skipped; in CI they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page

from service.forecasts import checking
from tests.browser.conftest import OpenSite, Site
from tests.browser.deliveries import some_deliveries
from tests.browser.test_pictures import a_dealer, a_team, purchases
from tests.service.reviews.fakes import serve

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[1] / "clients" / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES: Mapping[str, tuple[int, int]] = {"desk": (1280, 860), "phone": (360, 740), "200 % zoom": (640, 430)}


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        reason = f"{AXE} is missing; run `make setup` where npm is"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return AXE.read_text("utf-8")


@dataclass(frozen=True)
class Checked:
    """A page with the checker in it."""

    page: Page
    axe: str

    def violations(self) -> list[str]:
        """What is wrong, each with where."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(self.axe)
        run = "rules => axe.run(document, {runOnly: rules}).then(found => found.violations)"
        found: Sequence[Mapping[str, Any]] = self.page.evaluate(run, RULES)
        return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]

    def is_fine(self, name: str) -> None:
        assert self.violations() == [], name
        fits = self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert fits, f"{name} is wider than the window"


def pages(site: Site) -> Iterator[str]:
    """Goes through the product, yielding where it is."""
    page, url = site.page, site.url
    for name, path in (("sign in, nobody on the team", ""),):
        page.goto(f"{url}/reviews{path}")
        yield name
    site.company.member("Lea", "lead")
    page.get_by_label("Your name").fill("Lea")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    yield "sign in, refused"
    site.sign_in("Lea", "lead")
    yield "an empty queue"
    for empty in ("case", "mine", "team", "customer", "forecasts", "dead-letters", "promises", "deliveries"):
        page.goto(f"{url}/reviews/{empty}")
        yield f"{empty}, empty"
    page.get_by_role("link", name="Lea").click()
    for field in ("The password you have now", "The new one, 12", "The new one once more"):
        page.get_by_label(field).fill(field)
    page.get_by_role("button", name="Change it").click()
    page.get_by_role("alert").wait_for()
    yield "another password, refused"
    a_dealer(site)
    page.goto(f"{url}/reviews")
    yield "the queue"
    page.goto(f"{url}/reviews?channel=chat&kind=feeling")
    yield "the queue, filtered"
    page.goto(f"{url}/reviews")
    page.keyboard.press("Enter")
    page.wait_for_selector("#words")
    page.wait_for_timeout(350)
    yield "a case"
    page.keyboard.press("e")
    page.keyboard.press("a")
    page.keyboard.press("+")
    yield "a case, emotions open"
    page.get_by_role("link", name="Keys").click()
    yield "the list of keys"
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.get_by_role("button", name="Undo").wait_for()
    page.wait_for_timeout(350)
    yield "a case, one saved"
    page.goto(f"{url}/reviews/mine")
    yield "decisions"
    page.get_by_role("link", name="Answer again").first.click()
    yield "answering again"
    page.goto(f"{url}/reviews/customer?id=Mira")
    yield "a customer"
    page.goto(f"{url}/reviews/customer?id=nobody")
    yield "nobody"
    page.get_by_text("Figures", exact=True).click()
    yield "a menu"
    page.goto(f"{url}/reviews/guideline")
    yield "the guideline"
    a_team(site)
    page.goto(f"{url}/reviews/team")
    yield "the team"
    serve(site.company, *purchases()[:400])
    checking.measure(site.company.state)
    page.goto(f"{url}/reviews/forecasts")
    yield "forecasts"
    some_deliveries(site)
    page.goto(f"{url}/reviews/deliveries")
    yield "deliveries"
    page.goto(f"{url}/reviews/deliveries?webhook=mail&which=failed")
    page.locator("summary", has_text="Attempts").first.click()
    yield "deliveries, what failed"
    page.goto(f"{url}/reviews/deliveries?webhook=old")
    yield "deliveries, one off"
    page.goto(f"{url}/reviews/case")
    yield "no case"


def test_no_page_breaks_a_rule_of_access_in_either_theme_at_any_size(site: OpenSite, axe: str) -> None:
    ours = site(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    checked, seen = Checked(ours.page, axe), 0
    for name in pages(ours):
        seen += 1
        for size, (width, height) in SIZES.items():
            ours.page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                ours.page.emulate_media(color_scheme=scheme)
                checked.is_fine(f"{name}, {scheme}, {size}")
                if folder := os.environ.get("JOURNEY_SHOTS"):
                    target = Path(folder) / f"{seen:02}-{name.replace(' ', '-')}-{scheme}-{size[:5]}.png"
                    ours.page.screenshot(path=target, full_page=True)
        ours.page.set_viewport_size({"width": 1280, "height": 860})
    assert seen >= 25


def test_no_page_breaks_a_rule_with_forced_colours(site: OpenSite, axe: str) -> None:
    ours = site(forced_colors="active", reduced_motion="reduce")
    a_dealer(ours)
    ours.sign_in()
    Checked(ours.page, axe).is_fine("the queue")
    ours.page.keyboard.press("Enter")
    ours.page.wait_for_selector("#words")
    Checked(ours.page, axe).is_fine("a case")
