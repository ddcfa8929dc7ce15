"""Pictures of the pages, light and dark. With JOURNEY_PICTURES=1 they are written to docs/pictures/, for the docs; else
only to a temporary folder. What they show is made up."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from models.conclude import feeling_about
from models.insight import Conclusion, Decision, ReleasePolicy, flags
from models.journey.assembly import Feedback
from models.journey.event import DAY
from models.review import Answer, ReviewPolicy
from service.forecasts import checking
from service.reviews.logic import Desk
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
MOVED = dict(
    zip(
        READ,
        (
            (("brakes failed", 0.3), ("children", 0.12)),
            (("third different answer", 0.22), ("bringing", -0.05), ("notebook", 0.1)),
            (("angel", 0.2), ("drove me home", -0.08), ("will not forget", 0.15)),
            (("Not one thing", 0.12), ("complain", -0.2), ("believe me", 0.06)),
        ),
        strict=False,
    )
)
"""The words that moved it, in the order in which they stand."""
PAGES = ("sign-in", "queue", "case", "emotions", "decisions", "guideline", "forecasts", "team")
CUSTOMERS = ("Sam", "Mira", "Jonas", "Li", "Ada")


@dataclass(frozen=True)
class PicturedBundle(ObedientBundle):
    """Thinks what stands above."""

    def conclude_feedback(self, feedback: Sequence[Feedback], policy: ReleasePolicy) -> list[Conclusion]:
        return [self._think(one) for one in feedback]

    def why_words(self, text: str, answer: str, orders: int) -> Mapping[str, Any]:
        """The words that a person would underline."""
        found = [(word, text.find(word), weight) for word, weight in MOVED.get(text, ())]
        return {"words": [{"start": at, "end": at + len(word), "weight": weight} for word, at, weight in found]}

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


def a_team(site: Site) -> None:
    """Three people who read, half of the cases twice: mostly of one mind, and swayed a little by the model."""
    company, rng = site.company, np.random.default_rng(4)
    company.bundles.fixed = replace(company.bundles.fixed, bundle=ObedientBundle())
    for name, role in (("Bo", "reviewer"), ("Cy", "reviewer"), ("Lea", "adjudicator")):
        company.member(name, role)
    policy = ReviewPolicy(hidden_share=0.4, twice_share=0.5, adjudicators=frozenset({"Lea"}))
    company.say(
        *(f"Message {chr(97 + n // 26)}{chr(97 + n % 26)} of many, each about something else" for n in range(120))
    )
    for name in ("Bo", "Cy", "Lea", "Ada"):
        while read_one(site, name, policy, rng):
            pass


def read_one(site: Site, name: str, policy: ReviewPolicy, rng: np.random.Generator) -> bool:
    """Take the next case and answer it after some seconds; False where there is none. What is felt goes by the case."""
    company, ids = site.company, site.company.state.ids
    with company.state.service.write() as connection:
        row = Desk(connection, name, company.clock.at, policy, ids, lambda *_: None).take_next()
    if row is None:
        return False
    company.clock.forward(int(rng.integers(8, 45)))
    felt = int(row.subject[1:]) % 3
    sway = 0.2 if policy.shows_model_answer(row.subject) else 0.0
    slip = int(rng.integers(0, 4)) if rng.random() < 0.15 else felt
    polarity = "positive" if rng.random() < sway else ("negative", "positive", "neutral", "mixed")[slip]
    intensity = {"negative": -2, "positive": 2, "neutral": 0, "mixed": 0}[polarity] + int(rng.integers(-1, 2))
    with company.state.service.write() as connection:
        desk = Desk(connection, name, company.clock.at, policy, ids, lambda *_: None)
        desk.answer(row.conclusion_id, Answer(polarity, (), intensity), ids())
    return True


def take(page: Page, folder: Path, name: str) -> Path:
    page.wait_for_load_state()
    page.wait_for_timeout(350)
    path = folder / f"{name}.png"
    page.screenshot(path=path, animations="disabled", caret="hide")
    with Image.open(path) as taken:
        taken.convert("RGB").quantize(255).save(path, optimize=True)
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
    ours.company.member("Ada", "lead")
    ours.page.goto(f"{ours.url}/reviews")
    taken = [take(ours.page, folder, f"sign-in-{scheme}")]
    ours.sign_in("Ada", "lead")
    taken.append(take(ours.page, folder, f"queue-{scheme}"))
    for key in ("Enter", "1"):
        ours.page.keyboard.press(key)
        ours.page.wait_for_selector("#words")
        ours.page.wait_for_timeout(350)
    taken.append(take(ours.page, folder, f"case-{scheme}"))
    ours.page.keyboard.press("e")
    taken.append(take(ours.page, folder, f"emotions-{scheme}"))
    for key in ("3", "4", "1"):
        ours.page.keyboard.press(key)
        ours.page.wait_for_timeout(700)
    for number, customer in enumerate(("Sam", "Li", "Mira", "Jonas")):
        ours.company.clock.forward(2 * 3_600)
        ours.company.did(customer, ("Workshop Visited", "Test Drive Booked", "Website Visited", "Email Opened")[number])
    ours.page.goto(f"{ours.url}/reviews/mine")
    taken.append(take(ours.page, folder, f"decisions-{scheme}"))
    ours.page.goto(f"{ours.url}/reviews/guideline")
    taken.append(take(ours.page, folder, f"guideline-{scheme}"))
    serve(ours.company, *purchases())
    checking.measure(ours.company.state)
    ours.page.goto(f"{ours.url}/reviews/forecasts")
    taken.append(take(ours.page, folder, f"forecasts-{scheme}"))
    a_team(ours)
    ours.page.goto(f"{ours.url}/reviews/team")
    ours.page.evaluate("document.getElementById('agreement').scrollIntoView()")
    taken.append(take(ours.page, folder, f"team-{scheme}"))

    assert [path.name for path in taken] == [f"{name}-{scheme}.png" for name in PAGES]
    assert len({path.read_bytes() for path in taken}) == len(taken)
    for path in taken:
        assert colours(path) >= FEWEST_COLOURS, path
        assert path.stat().st_size < LARGEST_BYTES, path
