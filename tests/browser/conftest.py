"""A real browser (Debian's chromium) before a real server on loopback. Without a browser these tests are skipped; in CI
they fail, so that nobody believes they ran."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from models.review import ReviewPolicy
from service.app import create_app
from service.reviews.desks import review_policy
from service.settings import Settings
from tests.service.fakes import CountingIds, FakeClock
from tests.service.reviews.fakes import PASSWORD, SHOWN, Company, FixedBundles

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing; install it with `apt-get install chromium`"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
    yield browser
    browser.close()


@dataclass
class Site:
    """A service that listens on loopback, and a browser window on it."""

    company: Company
    url: str
    page: Page

    def insight(self, customer: str) -> dict[str, Any]:
        """The customer's feeling, as a tool reads it over HTTP."""
        headers = {"Authorization": f"Bearer {self.company.key('read')}"}
        answer = self.page.request.get(f"{self.url}/v1/customers/{customer}/insight", headers=headers)
        assert answer.ok
        found: dict[str, Any] = answer.json()["feeling"]
        return found

    def sign_in(self, name: str = "Ada", role: str = "reviewer") -> None:
        """By keyboard: the cursor is in the name already."""
        self.company.member(name, role)
        self.page.goto(f"{self.url}/reviews")
        expect(self.page.locator("#name")).to_be_focused()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("text=Feelings waiting for a person")
        self.page.wait_for_load_state()


OpenSite = Callable[..., Site]


@pytest.fixture
def site(chromium: Browser, tmp_path: Path) -> Iterator[OpenSite]:
    """Opens a site: `site(policy=…, **options of the browser window)`. Errors in its console fail the test."""
    with _closing() as cleanup:

        def open_site(policy: ReviewPolicy = SHOWN, **options: Any) -> Site:
            running, url, stop = _serve(tmp_path, policy)
            context = chromium.new_context(**options)
            page = context.new_page()
            errors: list[str] = []
            page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            cleanup.extend([lambda: _none(errors), stop, context.close])
            page.set_default_timeout(10_000)
            return Site(running, url, page)

        yield open_site


@contextmanager
def _closing() -> Iterator[list[Callable[[], None]]]:
    todo: list[Callable[[], None]] = []
    yield todo
    for close in reversed(todo):
        close()


def _none(errors: list[str]) -> None:
    of_network = ("Failed to load resource", "Failed to fetch")
    assert [error for error in errors if not any(kind in error for kind in of_network)] == []


def _serve(folder: Path, policy: ReviewPolicy) -> tuple[Company, str, Callable[[], None]]:
    clock, bundles = FakeClock(), FixedBundles()
    settings = Settings(data_dir=folder / "data", mlruns_dir=folder / "mlruns")
    app = create_app(settings, clock=clock, bundles=bundles, ids=CountingIds())
    app.dependency_overrides[review_policy] = lambda: policy
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(1000):
        if server.started:
            break
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]

    def stop() -> None:
        server.should_exit = True
        thread.join(10)

    return Company(app, TestClient(app), clock, bundles), f"http://127.0.0.1:{port}", stop
