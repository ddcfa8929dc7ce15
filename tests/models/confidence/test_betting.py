"""Bounds that hold at every moment, a monitor that withdraws in time and seldom wrongly, and what it cannot notice."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.confidence.betting import (
    BLOCK,
    KEPT,
    ConfidenceSequence,
    Monitor,
    capital_of,
    noticing,
    smallest_noticed,
    withdrawals,
)
from models.confidence.binomial import clopper_pearson

seeds = st.integers(0, 2**32 - 1)


def test_all_capital_adds_up_to_one() -> None:
    blocks = np.arange(1_000_000)
    capital = capital_of(blocks)
    assert 0.99 < capital.sum() < 1.0
    assert (np.diff(capital) < 0).all()


def test_an_error_twice_as_frequent_as_promised_is_withdrawn_in_time() -> None:
    found = withdrawals(np.random.default_rng(1).random((2000, 2000)) < 0.10, 0.05, 0.05)
    assert (found > 0).all()
    assert np.median(found) <= 200
    assert np.quantile(found, 0.9) <= 500


@pytest.mark.parametrize("error", [0.05, 0.045, 0.02])
def test_a_promise_that_holds_is_withdrawn_at_most_as_often_as_delta_over_ten_thousand_audits(error: float) -> None:
    found = withdrawals(np.random.default_rng(2).random((400, 10_000)) < error, 0.05, 0.05)
    assert clopper_pearson(int((found > 0).sum()), len(found), 0.99)[0] <= 0.05


def test_an_error_that_begins_late_is_not_hidden_by_a_good_past() -> None:
    rng = np.random.default_rng(3)
    streams = np.concatenate([rng.random((300, 2000)) < 0.03, rng.random((300, 1500)) < 0.10], axis=1)
    late = withdrawals(streams, 0.05, 0.05) - 2000
    assert np.median(late[late > 0]) < 500


@given(seeds, st.floats(0.02, 0.3), st.integers(0, 3 * BLOCK))
@settings(max_examples=12, deadline=None)
def test_many_streams_at_once_are_withdrawn_as_each_by_itself(seed: int, error: float, audits: int) -> None:
    outcomes = np.random.default_rng(seed).random((2, audits)) < error
    each = [Monitor.of(0.05, 0.05).after(one).withdrawn_at or 0 for one in outcomes]
    assert withdrawals(outcomes, 0.05, 0.05).tolist() == each


@given(seeds, st.floats(0.01, 0.9), st.integers(1, 120))
@settings(max_examples=12, deadline=None)
def test_a_monitor_kept_as_json_goes_on_as_if_never_stopped(seed: int, error: float, audits: int) -> None:
    outcomes = np.random.default_rng(seed).random(audits) < error
    whole, kept = Monitor.of(0.1, 0.05).after(outcomes), Monitor.of(0.1, 0.05)
    for one in outcomes:
        kept = Monitor.from_dict(json.loads(json.dumps(kept.to_dict()))).after(bool(one))
    assert kept == whole


@given(seeds, st.floats(0.0, 1.0))
@settings(max_examples=12, deadline=None)
def test_bounds_only_ever_close_in(seed: int, error: float) -> None:
    now = ConfidenceSequence(0.05)
    for one in np.random.default_rng(seed).random(80) < error:
        following = now.after(bool(one))
        assert now.lower <= following.lower
        assert following.upper <= now.upper
        now = following


@pytest.mark.parametrize("share", [0.05, 0.7])
def test_the_true_share_lies_between_the_bounds_at_all_moments_at_once(share: float) -> None:
    rng, delta, streams = np.random.default_rng(4), 0.1, 30
    above = below = 0
    for _ in range(streams):
        found = ConfidenceSequence(delta).after(rng.random(100) < share)  # bounds are running: the last say it all
        above, below = above + (found.lower > share), below + (found.upper < share)
    assert max(clopper_pearson(above, streams, 0.99)[0], clopper_pearson(below, streams, 0.99)[0]) <= delta


def test_bounds_are_mirrored_where_right_and_wrong_change_places() -> None:
    outcomes = np.random.default_rng(5).random(120) < 0.2
    found, mirrored = ConfidenceSequence(0.05).after(outcomes), ConfidenceSequence(0.05).after(~outcomes)
    assert found.lower == pytest.approx(1 - mirrored.upper, abs=1e-4)
    assert found.upper == pytest.approx(1 - mirrored.lower, abs=1e-4)


def test_the_lower_bound_passes_a_claim_exactly_when_its_bet_has_won_enough() -> None:
    outcomes = np.random.default_rng(6).random(300) < 0.12
    now = ConfidenceSequence(0.05)
    won = 0.0
    for one in outcomes:
        now = now.after(bool(one))
        won = max(won, now.against(0.05))
        assert (now.lower >= 0.05 * (1 - 2e-4)) == (won >= 20.0) or abs(won - 20.0) < 0.1


def test_a_withdrawn_promise_stays_withdrawn_and_tells_since_when_it_was_doubtful() -> None:
    failed = Monitor.of(0.05, 0.05).after([False] * 100).after([True] * 30)
    assert failed.withdraw
    assert failed.withdrawn_at is not None
    assert 100 <= failed.last_good < failed.withdrawn_at <= 130
    after = failed.after([False] * 500)
    assert (after.withdrawn_at, after.last_good) == (failed.withdrawn_at, failed.last_good)


def test_a_long_life_is_kept_in_little_room() -> None:
    old = ConfidenceSequence(0.05, 49_999, 1000, 0.01, 0.03, tuple((at * BLOCK, at) for at in range(800, 1000)))
    assert len(old.after([True, False, True]).starts) == KEPT


def test_what_is_noticed_agrees_with_streams_that_were_watched() -> None:
    told = noticing(0.10, 0.05, 0.05, audit_share=0.02, releases_a_day=100.0)
    found = withdrawals(np.random.default_rng(7).random((1500, 1200)) < 0.10, 0.05, 0.05)
    assert told.audits[0] is not None
    assert told.audits[1] is not None
    assert np.median(found) == pytest.approx(told.audits[0], rel=0.1)
    assert np.quantile(found, 0.9) <= told.audits[1] * 1.1
    assert told.releases[1] == told.audits[1] * 50
    assert told.days[1] == pytest.approx(told.audits[1] / 2, abs=0.1)


def test_after_a_quiet_past_noticing_takes_longer() -> None:
    early, late = (noticing(0.10, 0.05, 0.05, 0.02, 100.0, quiet).audits for quiet in (0, 1010))
    assert early[0] is not None
    assert late[0] is not None
    assert early[0] < late[0] < 600


def test_four_hundred_audits_notice_a_doubled_error_and_no_smaller_one() -> None:
    smallest = smallest_noticed(400, 0.05, 0.05)
    assert smallest is not None
    assert 0.09 < smallest < 0.11
    assert smallest_noticed(1, 0.05, 0.05) is None


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: Monitor.of(0.0, 0.05), "alpha is 0.0"),
        (lambda: ConfidenceSequence(1.5), "delta is 1.5"),
        (lambda: ConfidenceSequence(0.05, 3, 4), "wrong is 4 of 3"),
        (lambda: noticing(0.1, 0.05, 0.05, 0.02, 0.0), "releases_a_day is 0.0"),
        (lambda: smallest_noticed(0, 0.05, 0.05), "audits is 0"),
        (lambda: withdrawals(np.zeros((1, BLOCK * KEPT + 1), dtype=np.bool_), 0.05, 0.05), "at most 10000"),
    ],
)
def test_bad_input_is_refused_with_its_name(action, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        action()
