"""Priors of who answers where: found again in a company whose odds are known, and the stated confidence is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.journey.assembly import Step, columns, journeys_of
from models.journey.event import DAY
from models.journey.journeys import Journeys
from models.journey.touchpoint import Touchpoint
from models.predictors.channel import EVERYBODY, ChannelPredictor
from training.channel import fit_channels, fit_dirichlet
from training.errors import TooLittleData

SHAPES = {"email": (0.8, 6.0), "call": (1.5, 2.5), "sms": (1.0, 4.0), "push": (0.5, 9.0)}
"""By which each customer's rate of answering is drawn, channel by channel."""
CONTACTS = {"email": 12, "call": 2, "sms": 4, "push": 6}
END = 1_000 * DAY


def company(customers: int, seed: int) -> tuple[Journeys, list[str]]:
    """Customers who answer at rates of their own, come to the web in between, and where each answers most."""
    rng, most = np.random.default_rng(seed), []
    steps: list[Step] = []

    def step(customer: str, channel: str, at: float, contact: bool) -> Step:
        touchpoint = Touchpoint(channel, "sent" if contact else "come", "sale", contact=contact)
        return Step(customer, int(at), int(at), f"{customer}-{len(steps):07d}", touchpoint)

    for number in range(customers):
        customer = f"c{number:05d}"
        rate = {channel: float(rng.beta(a, b)) for channel, (a, b) in SHAPES.items()}
        most.append(max(rate, key=lambda channel: rate[channel]))
        for channel, mean in CONTACTS.items():
            for at in rng.uniform(0, 900 * DAY, rng.poisson(mean)):
                steps.append(step(customer, channel, at, contact=True))
                if rng.random() < rate[channel]:
                    steps.append(step(customer, channel, at + rng.exponential(DAY), contact=False))
        steps.extend(step(customer, "web", at, contact=False) for at in rng.uniform(0, 900 * DAY, rng.poisson(5)))
    return columns(steps), most


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ChannelPredictor:
    folder = tmp_path_factory.mktemp("channel")
    fit_channels(company(900, 1)[0], END, folder)
    return ChannelPredictor.load(folder)


def test_the_odds_of_a_made_up_company_are_found_again(fitted: ChannelPredictor) -> None:
    everybody = fitted.segments[EVERYBODY]
    for channel, (a, b) in SHAPES.items():
        found_a, found_b = everybody.responses[channel]
        assert found_a / (found_a + found_b) == pytest.approx(a / (a + b), rel=0.12)
        assert found_a + found_b == pytest.approx(a + b, rel=0.45)
    assert max(everybody.visits, key=lambda name: everybody.visits[name]) == "web"


def test_of_those_told_with_some_confidence_so_many_are_right(fitted: ChannelPredictor) -> None:
    """Within three standard errors in every band of confidence, and over all of them."""
    journeys, most = company(1500, 2)
    as_of = np.full(len(journeys), END)
    told = fitted.preferences(journeys.seen_at(as_of), as_of)
    answered = [(one, truth) for one, truth in zip(told, most, strict=True) if one.basis == "responses"]
    assert len(answered) > 1200
    confidence = np.array([one.confidence for one, _ in answered])
    right = np.array([one.channel == truth for one, truth in answered])
    bands = [(low, low + 0.2) for low in (0.2, 0.4, 0.6, 0.8)]
    for low, high in [(0.0, 1.0), *bands]:
        inside = (confidence >= low) & (confidence <= high)
        said, kept, n = float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())
        assert n > 100
        assert abs(said - kept) < 3 * (said * (1 - said) / n) ** 0.5, (low, said, kept, n)


def test_a_channel_or_a_segment_of_few_customers_gets_no_odds_of_its_own(tmp_path: Path) -> None:
    steps = []
    for number in range(60):
        channel, stage = ("fax", "sale") if number < 5 else ("email", "convenience")
        for at, contact in ((0, True), (DAY, False), (20 * DAY, False)):
            point = Touchpoint(channel, "x", stage, contact=contact)
            steps.append(Step(str(number), at, at, f"{number}-{at}", point))
    figures = fit_channels(columns(steps), END, tmp_path)
    assert set(figures["segments"]) == {EVERYBODY, "convenience"}
    assert set(figures["channels"]) == {"*", "email"}
    assert figures["channels"]["email"]["answered"] == figures["channels"]["email"]["contacts"] == 55


def test_who_is_known_by_next_to_nothing_is_not_learned_from(tmp_path: Path) -> None:
    with pytest.raises(TooLittleData, match="1 customers were reached or came; 20 are needed"):
        fit_channels(journeys_of({"a": [("web.visit", 0)]}), END, tmp_path)


def test_the_same_customers_give_the_same_file(tmp_path: Path) -> None:
    journeys = company(60, 3)[0]
    for name in ("one", "two"):
        fit_channels(journeys, END, tmp_path / name)
    assert (tmp_path / "one" / "channel.json").read_bytes() == (tmp_path / "two" / "channel.json").read_bytes()


def test_weights_are_those_that_drew_the_counts() -> None:
    rng, wanted = np.random.default_rng(5), np.array([0.6, 2.0, 5.0])
    counts = np.array([rng.multinomial(rng.integers(1, 30), rng.dirichlet(wanted)) for _ in range(4000)])
    each = {name: histogram(counts[:, i]) for i, name in enumerate("abc")}
    found = fit_dirichlet(each, histogram(counts.sum(axis=1)))
    assert list(found.values()) == pytest.approx(wanted, rel=0.1)


def histogram(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> dict[int, int]:
    values, times = np.unique(counts[counts > 0], return_counts=True)
    return dict(zip(values.tolist(), times.tolist(), strict=True))
