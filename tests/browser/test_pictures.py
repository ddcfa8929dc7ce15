"""Pictures of the pages, light and dark. With JOURNEY_PICTURES=1 they are written to docs/pictures/, for the docs; else
only to a temporary folder. What they show is made up."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from models.conclude import feeling_about
from models.insight import Conclusion, Decision, ReleasePolicy, flags
from models.journey.assembly import Feedback
from models.journey.event import DAY
from service.forecasts import checking
from tests.browser.conftest import OpenSite, Site
from tests.service.reviews.fakes import ObedientBundle, serve

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
LARGEST_BYTES = 150_000
FEWEST_COLOURS = 8
READ: dict[str, tuple[list[str], dict[str, float], str, float]] = {
    "Urgent: the brakes failed on the motorway this morning, my children were in the car.": (
        ["urgent"], {"negative": 0.94, "neutral": 0.04, "mixed": 0.01, "positive": 0.01}, "fear", -3.4),
    "Third visit, third different answer. I have started bringing a notebook.": (
        ["resignation", "low_margin"], {"negative": 0.52, "neutral": 0.43, "mixed": 0.04, "positive": 0.01},
        "annoyance", -1.6),
    "Your mechanic was an angel and drove me home herself. That I needed driving home I will not forget either.": (
        ["mixed_feelings"], {"mixed": 0.58, "positive": 0.31, "negative": 0.09, "neutral": 0.02}, "gratitude", 0.4),
    "Not one thing to complain about, and believe me, I looked.": (
        ["negated_praise", "raters_would_split"], {"positive": 0.48, "negative": 0.37, "mixed": 0.1, "neutral": 0.05},
        "approval", 1.1),
    "Ok then.": (["too_short"], {"neutral": 0.81, "negative": 0.13, "positive": 0.05, "mixed": 0.01}, "neutral", -0.2),
}  # fmt: skip
"""What was said, and what the model thinks of it: flags, polarities, an emotion, an intensity."""
CUSTOMERS = ("Sam", "Mira", "Jonas", "Li", "Ada")


@dataclass(frozen=True)
class PicturedBundle(ObedientBundle):
    """Thinks what stands above."""

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        return [self._think(one) for one in feedback]

    def _think(self, one: Feedback) -> Conclusion:
        codes, chances, emotion, intensity = READ[one.text]
        answer = max(chances, key=lambda polarity: chances[polarity])
        details = {
            "confidence": chances[answer],
            "distribution": [{"polarity": name, "probability": chance} for name, chance in chances.items()],
            "emotions": [{"emotion": emotion, "probability": 0.7}],
            "intensity": {"mean": intensity, "spread": 0.8},
        }
        return Conclusion("feeling", Decision.REVIEW, flags(codes), answer, details, feeling_about(one))


def a_dealer(site: Site) -> None:
    """Made-up customers, two of them with a journey worth reading."""
    company = site.company
    company.did("Mira", "Website Visited", "Product Configured", "Test Drive Booked", "Offer Made", "Order Completed",
                "Workshop Visited", "Workshop Visited", "Workshop Visited")  # fmt: skip
    company.did("Jonas", "Email Opened", "Product Viewed", "Dealer Visited")
    company.clock.at += DAY // 24
    company.bundles.fixed = replace(company.bundles.fixed, bundle=PicturedBundle())
    for text, customer in zip(READ, CUSTOMERS, strict=True):
        company.say(text, customer=customer)
        company.clock.forward(1500)


def purchases() -> list[tuple[str, float, bool]]:
    """A thousand customers of whom a likelihood was told that is honest, but for the likeliest."""
    rng = np.random.default_rng(1)
    told = np.round(rng.beta(1, 7, 1000), 4)
    came = rng.random(1000) < np.where(told > 0.27, told * 0.55, told)
    names = [f"buyer-{number}" for number in range(len(told))]
    return list(zip(names, told.tolist(), came.tolist(), strict=True))


def take(page: Page, folder: Path, name: str) -> Path:
    page.wait_for_load_state()
    page.wait_for_timeout(350)
    path = folder / f"{name}.png"
    page.screenshot(path=path, animations="disabled", caret="hide")
    with Image.open(path) as taken:
        taken.convert("RGB").quantize(128).save(path, optimize=True)
    return path


def colours(path: Path) -> int:
    with Image.open(path) as taken:
        found = taken.convert("RGB").getcolors(maxcolors=1 << 24)
    return len(found or [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_pictured(site: OpenSite, tmp_path: Path, scheme: str) -> None:
    folder = PICTURES if os.environ.get("JOURNEY_PICTURES") == "1" else tmp_path
    folder.mkdir(exist_ok=True)
    ours = site(viewport={"width": 1120, "height": 760}, color_scheme=scheme, reduced_motion="reduce")
    a_dealer(ours)
    ours.page.goto(f"{ours.url}/reviews")
    taken = [take(ours.page, folder, f"sign-in-{scheme}")]
    ours.sign_in()
    taken.append(take(ours.page, folder, f"queue-{scheme}"))
    for key in ("Enter", "1"):
        ours.page.keyboard.press(key)
        ours.page.wait_for_selector("#words")
        ours.page.wait_for_timeout(350)
    taken.append(take(ours.page, folder, f"case-{scheme}"))
    ours.page.goto(f"{ours.url}/reviews/guideline")
    taken.append(take(ours.page, folder, f"guideline-{scheme}"))
    serve(ours.company, *purchases())
    checking.measure(ours.company.state)
    ours.page.goto(f"{ours.url}/reviews/forecasts")
    taken.append(take(ours.page, folder, f"forecasts-{scheme}"))

    assert [path.name for path in taken] == [
        f"{name}-{scheme}.png" for name in ("sign-in", "queue", "case", "guideline", "forecasts")
    ]
    assert len({path.read_bytes() for path in taken}) == len(taken)
    for path in taken:
        assert colours(path) >= FEWEST_COLOURS, path
        assert path.stat().st_size < LARGEST_BYTES, path
