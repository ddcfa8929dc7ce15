"""The filter is exact: against matrix exponentials step by step, and against counting in many drawn journeys."""

import numpy as np
import pytest
from scipy.linalg import expm

from training.simulator.company import Company, Floats, Mark, car_dealer
from training.simulator.process import Drawn, draw
from training.simulator.reference import buys_within
from training.simulator.truth import Observer, truth_of

HORIZON, SILENCE = 4.0, 1.5


def tiny_company() -> Company:
    """Two moods, a look, a chat and a purchase after which the mood is always the first."""
    return Company(
        touchpoints=("web.visit", "chat.message", "dealer.purchase"),
        marks=(
            Mark("web.visit"),
            Mark("chat.message", "positive"),
            Mark("chat.message", "negative"),
            Mark("dealer.purchase"),
        ),
        states=("cold", "warm"),
        start=np.array([0.7, 0.3]),
        rates=np.array([[0.5, 0.05, 0.20, 0.01], [0.3, 0.60, 0.05, 0.25]]),
        drift=np.array([[0.0, 0.08], [0.15, 0.0]]),
        jumps={3: np.array([[1.0, 0.0], [1.0, 0.0]]), 2: np.array([[1.0, 0.0], [0.4, 0.6]])},
    )


def direct_belief(company: Company, marks: list[int], gaps: list[float]) -> Floats:
    """The filter written out with scipy's matrix exponential, one customer, no shortcut."""
    quiet = company.drift - np.diag(company.drift.sum(axis=1) + company.rates.sum(axis=1))
    belief = company.start * company.rates[:, marks[0]] / company.rates.sum(axis=1)
    belief = belief @ company.jumps.get(marks[0], np.eye(len(belief)))
    for mark, gap in zip(marks[1:], gaps, strict=True):
        belief = (belief @ expm(quiet * gap)) * company.rates[:, mark]
        belief = belief @ company.jumps.get(mark, np.eye(len(belief)))
    return np.asarray(belief / belief.sum())


@pytest.mark.parametrize("company", [tiny_company(), car_dealer()], ids=["tiny", "car dealer"])
def test_the_filter_equals_matrix_exponentials_step_by_step(company: Company) -> None:
    observer = Observer(company, HORIZON, SILENCE)
    drawn = draw(company, 60, 300.0, np.random.default_rng(1))
    for customer in range(60):
        rows = slice(int(drawn.offsets[customer]), int(drawn.offsets[customer + 1]))
        marks, gaps = drawn.mark[rows].tolist(), np.diff(drawn.days[rows]).tolist()
        belief = observer.begin(np.array(marks[:1]))
        for mark, gap in zip(marks[1:], gaps, strict=True):
            belief = observer.see(observer.wait(belief, np.array([gap])), np.array([mark]))
        np.testing.assert_allclose(belief[0], direct_belief(company, marks, gaps), atol=1e-9)


def test_the_truth_of_a_batch_equals_the_filter_of_each_customer() -> None:
    company, observer = tiny_company(), Observer(tiny_company(), HORIZON, SILENCE)
    drawn = draw(company, 40, 30.0, np.random.default_rng(2))
    moments = np.full(40, 30.0)
    after, at_end = truth_of(observer, drawn, moments)
    for customer in range(40):
        rows = slice(int(drawn.offsets[customer]), int(drawn.offsets[customer + 1]))
        days = drawn.days[rows]
        belief = direct_belief(company, drawn.mark[rows].tolist(), np.diff(days).tolist())[None]
        last = int(drawn.offsets[customer + 1]) - 1
        np.testing.assert_allclose(after.next_touchpoint[last], observer.next_touchpoint(belief)[0], atol=1e-9)
        later = observer.wait(belief, np.array([30.0 - days[-1]]))
        np.testing.assert_allclose(at_end.purchase[customer], observer.purchase(later)[0], atol=1e-9)


def test_what_follows_from_a_belief_equals_integrals_and_matrix_exponentials() -> None:
    company, observer = tiny_company(), Observer(tiny_company(), HORIZON, SILENCE)
    quiet = company.drift - np.diag(company.drift.sum(axis=1) + company.rates.sum(axis=1))
    belief = np.array([[0.25, 0.75]])
    step = 0.002
    alive = np.array([belief[0] @ expm(quiet * t) for t in np.arange(step / 2, 60, step)])
    by_mark = (alive * step) @ company.rates
    expected = np.array([by_mark[:, 0].sum(), by_mark[:, 1:3].sum(), by_mark[:, 3].sum()])
    np.testing.assert_allclose(observer.next_touchpoint(belief)[0], expected, atol=1e-5)
    assert observer.silence(belief)[0] == pytest.approx((belief @ expm(quiet * SILENCE)).sum())
    unsold = quiet + sum(np.diag(company.rates[:, m]) @ company.jumps.get(m, np.eye(2)) for m in range(3))
    assert observer.purchase(belief)[0] == pytest.approx(1 - (belief @ expm(unsold * HORIZON)).sum())


def test_counting_in_many_drawn_journeys_gives_the_same_odds_for_what_was_seen() -> None:
    company = tiny_company()
    drawn = draw(company, 60_000, 30.0, np.random.default_rng(3))
    after, _ = truth_of(Observer(company, HORIZON, SILENCE), drawn, np.full(60_000, 30.0))
    early = np.flatnonzero((drawn.days < 15.0) & (drawn.customer == np.roll(drawn.customer, -1)))
    bought = buys_within(company, drawn, drawn.customer[early], drawn.days[early], HORIZON)
    silent = drawn.days[early + 1] - drawn.days[early] > SILENCE
    following = company.touchpoint_of_mark[drawn.mark[early + 1]]
    for told, happened in (
        (after.purchase, bought),
        (after.silence, silent),
        *((after.next_touchpoint[:, k], following == k) for k in range(3)),
    ):
        for seen in _as_seen(drawn, early):
            odds = told[early][seen]
            spread = np.sqrt((odds * (1 - odds)).sum()) / seen.sum()
            # neighbouring rows of one customer share their future, so the band is wider than for independent ones
            assert abs(odds.mean() - happened[seen].mean()) < 6 * spread


def _as_seen(drawn: Drawn, rows: np.ndarray) -> list[np.ndarray]:
    """Groups of rows that look alike: the last mark, the one before, and whether the gap between them was long."""
    before = np.where(drawn.customer[rows - 1] == drawn.customer[rows], drawn.mark[rows - 1], -1)
    gap = drawn.days[rows] - drawn.days[rows - 1] > 1.0
    groups = [
        (drawn.mark[rows] == now) & (before == earlier) & (gap == late)
        for now in range(4)
        for earlier in range(-1, 4)
        for late in (False, True)
    ]
    return [group for group in groups if group.sum() >= 400]


def test_waiting_in_two_steps_is_waiting_once() -> None:
    observer = Observer(car_dealer())
    belief = observer.begin(np.arange(4))
    twice = observer.wait(observer.wait(belief, np.full(4, 3.0)), np.full(4, 9.0))
    np.testing.assert_allclose(twice, observer.wait(belief, np.full(4, 12.0)), atol=1e-9)


def test_a_moment_before_the_first_touchpoint_is_refused() -> None:
    drawn = draw(tiny_company(), 3, 10.0, np.random.default_rng(4))
    with pytest.raises(ValueError, match="moments"):
        truth_of(Observer(tiny_company()), drawn, np.full(3, -1.0))
