"""Agreement: published examples, laws, and intervals that hold what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.confidence.agreement import (
    alpha_interval,
    difference_interval,
    kappa_interval,
    krippendorff_alpha,
    nominal,
    share_interval,
    squared,
)
from models.confidence.metrics import cohen_kappa

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units, gaps (0).
OBSERVED = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
])  # fmt: skip
NAMED = np.array([np.bincount(unit, minlength=6)[1:] for unit in OBSERVED.T])


def test_alpha_is_what_krippendorff_computed() -> None:
    assert krippendorff_alpha(NAMED, nominal(5)) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(NAMED, squared([1, 2, 3, 4, 5])) == pytest.approx(0.849, abs=5e-4)


@given(st.integers(0, 2**32 - 1))
def test_alpha_does_not_depend_on_the_order_of_units_nor_on_what_one_reader_read_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    named = rng.integers(0, 3, size=(20, 3))
    shuffled = np.concatenate([rng.permutation(named), np.eye(3, dtype=np.int64)])
    np.testing.assert_allclose(krippendorff_alpha(named, nominal(3)), krippendorff_alpha(shuffled, nominal(3)))


def test_readers_who_always_agree_have_alpha_one_and_who_answer_at_random_about_none() -> None:
    agree = np.repeat(2 * np.eye(4, dtype=np.int64), 5, axis=0)
    assert krippendorff_alpha(agree, nominal(4)) == 1
    rng = np.random.default_rng(0)
    random = np.array([np.bincount(rng.integers(0, 4, 2), minlength=4) for _ in range(4000)])
    found = alpha_interval(random, nominal(4), rng)
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.1


def test_where_all_name_one_category_agreement_beyond_chance_is_not_defined() -> None:
    assert np.isnan(alpha_interval(np.array([[2, 0], [2, 0]]), nominal(2), np.random.default_rng(0)).mean)
    assert np.isnan(kappa_interval(np.array([[9, 0], [0, 0]]), np.random.default_rng(0)).mean)
    assert np.isnan(alpha_interval(np.zeros((0, 2), np.int64), nominal(2), np.random.default_rng(0)).mean)


def test_kappa_with_its_interval_is_cohens_kappa() -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 4, 300)
    other = np.where(rng.random(300) < 0.7, one, rng.integers(0, 4, 300))
    table = np.zeros((4, 4), np.int64)
    np.add.at(table, (one, other), 1)
    assert kappa_interval(table, rng).mean == pytest.approx(cohen_kappa(one, other))


def test_intervals_of_kappa_and_alpha_hold_the_truth_about_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(2), np.zeros(2)
    truth = 0.7  # so many answers are the other's and an even chance decides the rest: both are that share
    for _ in range(200):
        one = rng.integers(0, 2, 120)
        other = np.where(rng.random(120) < truth, one, rng.integers(0, 2, 120))
        table = np.zeros((2, 2), np.int64)
        np.add.at(table, (one, other), 1)
        named = np.stack([(one == k).astype(np.int64) + (other == k) for k in range(2)], axis=1)
        for number, found in enumerate((kappa_interval(table, rng, 400), alpha_interval(named, nominal(2), rng, 400))):
            held[number] += found.low <= truth <= found.high
    assert (held >= 0.9 * 200).all()


def test_a_share_of_nothing_has_no_interval_and_a_difference_is_symmetric() -> None:
    assert np.isnan(share_interval(0, 0).mean)
    forth, back = difference_interval((56, 70), (48, 80)), difference_interval((48, 80), (56, 70))
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert difference_interval((0, 10), (0, 10)).mean == 0
