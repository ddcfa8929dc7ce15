"""Sends one call of each kind and many track calls by @segment/analytics-next from a page in a real browser.

The page lies on a port of its own, so that it is of another origin than the service. Ends when every event was answered
with 200; fails where some were not, or where the page asked anything of anybody but this machine.
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, Request, Response, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM

NODE = Path(__file__).parents[1] / "node"
NOWHERE_ELSE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
OTHER_CALLS = 5
PATIENCE_SECONDS = 90


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "key", "customer", "tracks"):
        parser.add_argument(name)
    parser.add_argument("--strategy", default="standard", help="standard: a request each; batching")
    parser.add_argument("--page", type=Path, default=NODE / "page.html")
    parser.add_argument("--events", type=int, help="how many the page sends")
    return parser.parse_args()


@contextmanager
def website(page: Path) -> Iterator[str]:
    """The page, and the bundle of the library under /node_modules."""

    class Files(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return str(page) if path.startswith("/page.html") else super().translate_path(path)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    handler = lambda *given: Files(*given, directory=str(NODE))  # noqa: E731
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/page.html"
        server.shutdown()


class Watched:
    """What a page asked, and which events were answered with 200."""

    def __init__(self, page: Page) -> None:
        self.arrived: set[str] = set()
        self.asked_far: list[str] = []
        page.on("response", self._answered)
        page.on("request", self._asked)
        page.on("console", lambda line: _tell(line.text))
        page.on("pageerror", lambda error: _tell(str(error)))

    def _answered(self, response: Response) -> None:
        if response.request.method == "POST" and response.status == 200:
            told = json.loads(response.request.post_data or "{}")
            self.arrived.update(event["messageId"] for event in told.get("batch", [told]))

    def _asked(self, request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            self.asked_far.append(request.url)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(given: argparse.Namespace) -> None:
    wanted = given.events or int(given.tracks) + OTHER_CALLS
    told = {name: getattr(given, name) for name in ("url", "key", "customer", "tracks", "strategy")}
    with website(given.page.resolve()) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, NOWHERE_ELSE])
        page = browser.new_page()
        watched = Watched(page)
        page.goto(f"{url}?{urlencode(told)}")
        for _ in range(PATIENCE_SECONDS * 20):
            if len(watched.arrived) == wanted:
                break
            page.wait_for_timeout(50)
        browser.close()
    if len(watched.arrived) != wanted or watched.asked_far:
        sys.exit(f"{len(watched.arrived)} of {wanted} events were answered with 200; asked far: {watched.asked_far}")


if __name__ == "__main__":
    main(options())
