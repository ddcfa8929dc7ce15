"""Drawn journeys follow the odds, and the clock of a day does not change them."""

import numpy as np
import pytest

from training.simulator import odds
from training.simulator.company import Company, Mark, car_dealer, coin_tosser
from training.simulator.process import clock, draw


def test_everybody_has_a_first_touchpoint_and_time_runs_forward_inside_the_calendar() -> None:
    drawn = draw(car_dealer(), 500, 548.0, np.random.default_rng(1))
    assert np.all(np.diff(drawn.offsets) >= 1)
    assert drawn.days.min() >= 0
    assert drawn.days.max() < 548
    same = drawn.customer[1:] == drawn.customer[:-1]
    assert np.all(np.diff(drawn.days)[same] > 0)


def test_touchpoints_come_as_often_as_the_rates_say() -> None:
    drawn = draw(coin_tosser(0.05), 20_000, 200.0, np.random.default_rng(2))
    first = drawn.days[drawn.offsets[:-1]]
    expected = 0.05 * (200.0 - first).sum()
    assert len(drawn.days) - 20_000 == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_a_jump_happens_at_its_mark() -> None:
    company = car_dealer()
    drawn = draw(company, 4000, 548.0, np.random.default_rng(3))
    names = np.array(company.touchpoints)[company.touchpoint_of_mark[drawn.mark]]
    after: dict[str, set[str]] = {"dealer.purchase": set(), "dealer.return": set()}
    for row in range(len(names) - 1):
        if names[row] in after and drawn.customer[row] == drawn.customer[row + 1]:
            after[names[row]].add(str(names[row + 1]))
    assert "refund.paid" in after["dealer.return"]
    assert "dealer.offer" not in after["dealer.return"]
    assert "app.connect" in after["dealer.purchase"]


def test_a_day_on_the_clock_is_a_day_of_activity() -> None:
    days = np.linspace(0, 5, 1001)
    assert np.all(np.diff(clock(days)) > 0)
    np.testing.assert_allclose(clock(days + 90.0), clock(days) + 90.0, atol=1e-9)


def test_a_company_with_shares_that_do_not_add_up_is_refused() -> None:
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match="start"):
        Company(("web.visit",), (Mark("web.visit"),), ("any",), np.array([0.5]), one, np.zeros((1, 1)), {})
    with pytest.raises(ValueError, match="drift"):
        Company(("web.visit",), (Mark("web.visit"),), ("any",), np.ones(1), one, one, {})


def test_the_odds_speak_of_known_phases_touchpoints_and_channels() -> None:
    phases, channels = set(odds.RATES), {name.split(".")[0] for name in odds.TOUCHPOINTS}
    assert set(odds.EVENT_NAMES.values()) == set(odds.TOUCHPOINTS)
    assert set(odds.START) <= phases == set(odds.MOOD)
    for rows in (odds.DRIFT, *odds.JUMPS.values()):
        assert set(rows) <= phases
        assert {phase for row in rows.values() for phase in row} <= phases
    assert {name for row in odds.RATES.values() for name in row} == set(odds.TOUCHPOINTS)
    assert {channel for _, lifts in odds.PERSONAS.values() for channel in lifts} <= channels
    assert len(channels) >= 10
    assert set(odds.TOUCHPOINTS.values()) == {"convenience", "sale", "post_sale"}
