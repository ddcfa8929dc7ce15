"""Prediction sets are never empty, nested in alpha, and contain what happens as often as promised."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.confidence.calibration import softmax
from models.confidence.conformal import Method, SplitConformal, conformal_quantile
from models.confidence.metrics import coverage

Floats = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)
methods = st.sampled_from(["lac", "aps", "raps"])


def world(rng: np.random.Generator, n: int, overconfidence: float = 1.0) -> tuple[Floats, NDArray[np.int64]]:
    """What a model claims of five classes, and what happens; above 1 it claims too much."""
    logits = rng.normal(0.0, 1.5, size=(n, 5))
    label = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(overconfidence * logits), label


@given(seeds, methods, st.integers(1, 150), st.booleans())
def test_sets_are_nested_in_alpha_never_empty_and_hold_the_top_class(
    seed: int, method: Method, n: int, coarse: bool
) -> None:
    rng = np.random.default_rng(seed)
    prob, label = world(rng, n)
    asked, _ = world(rng, 20)
    if coarse:
        prob, asked = (np.round(p, 1) / np.round(p, 1).sum(axis=1, keepdims=True) for p in (prob, asked))
    wider = np.ones(asked.shape, dtype=bool)
    for alpha in (0.02, 0.1, 0.3, 0.6):
        sets = SplitConformal.conformalize(prob, label, alpha=alpha, method=method).predict_set(asked)
        assert (sets <= wider).all()
        assert sets[np.arange(20), asked.argmax(axis=1)].all()
        wider = sets


@given(seeds, methods, st.booleans())
def test_json_and_the_order_of_cases_change_nothing(seed: int, method: Method, small: bool) -> None:
    rng = np.random.default_rng(seed)
    n = 5 if small else 90
    prob, label = world(rng, n)
    group = rng.choice(["shop", "chat"], n)
    order = rng.permutation(n)
    options: dict[str, Any] = {"method": method, "minimum_group": 30}
    one = SplitConformal.conformalize(prob, label, group, **options)
    other = SplitConformal.conformalize(prob[order], label[order], group[order], **options)
    assert one == other == SplitConformal.from_dict(json.loads(json.dumps(other.to_dict(), allow_nan=False)))


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_sets_contain_what_happens_at_least_as_often_as_promised_even_by_a_wrong_model(method: Method) -> None:
    rng = np.random.default_rng(8)
    held = []
    for _ in range(150):
        prob, label = world(rng, 99, overconfidence=3.0)
        fresh, truth = world(rng, 200, overconfidence=3.0)
        held.append(coverage(SplitConformal.conformalize(prob, label, method=method).predict_set(fresh), truth))
    assert np.mean(held) >= 0.9 - 0.012


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_randomised_sets_are_exact_where_ties_would_make_them_too_wide(method: Method) -> None:
    rng = np.random.default_rng(9)
    claimed = np.array([[0.5, 0.25, 0.125, 0.125]])
    held = {False: 0.0, True: 0.0}
    for _ in range(200):
        label = rng.choice(4, 99, p=claimed[0])
        truth = rng.choice(4, 100, p=claimed[0])
        for randomised in held:
            drawn, new = (rng.random(99), rng.random(100)) if randomised else (None, None)
            held_out = np.repeat(claimed, 99, 0)
            measured = SplitConformal.conformalize(held_out, label, alpha=0.2, method=method, luck=drawn)
            held[randomised] += coverage(measured.predict_set(np.repeat(claimed, 100, 0), luck=new), truth) / 200
    assert held[True] == pytest.approx(0.8, abs=0.02)
    assert held[False] > 0.85


def test_a_harder_group_gets_its_own_wider_sets_and_its_own_coverage() -> None:
    rng = np.random.default_rng(10)
    easy, easy_label = world(rng, 2000)
    hard, _ = world(rng, 2000)
    hard_label = rng.integers(0, 5, 2000)
    group = np.repeat(["easy", "hard"], 2000)
    prob, label = np.concatenate([easy, hard]), np.concatenate([easy_label, hard_label])
    half = rng.random(4000) < 0.5
    measured = SplitConformal.conformalize(prob[half], label[half], group[half])
    sets = measured.predict_set(prob[~half], group[~half])
    for name in ("easy", "hard"):
        of = group[~half] == name
        assert coverage(sets[of], label[~half][of]) == pytest.approx(0.9, abs=0.035)
    everybody = measured.predict_set(prob[~half])
    assert coverage(everybody[group[~half] == "hard"], label[~half][group[~half] == "hard"]) < 0.85


def test_a_group_with_too_few_cases_is_answered_by_all() -> None:
    rng = np.random.default_rng(12)
    prob, label = world(rng, 300)
    measured = SplitConformal.conformalize(prob, label, np.repeat(["many", "few"], [280, 20]))
    assert measured.n == {"all": 300, "many": 280}
    assert (measured.group_of("few"), measured.group_of("never seen")) == ("all", "all")
    np.testing.assert_array_equal(measured.predict_set(prob[:5], np.repeat("few", 5)), measured.predict_set(prob[:5]))


def test_too_few_cases_promise_nothing_and_name_every_class() -> None:
    prob, label = world(np.random.default_rng(0), 8)
    assert SplitConformal.conformalize(prob, label).predict_set(prob).all()


@given(st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.5]))
def test_the_quantile_leaves_at_most_the_allowed_rank_above(n: int, alpha: float) -> None:
    quantile = conformal_quantile(np.arange(1.0, n + 1), alpha)
    smallest = next((k for k in range(1, n + 1) if k >= (n + 1) * (1 - alpha) - 1e-9), np.inf)
    assert quantile == smallest


def test_raps_sets_are_shorter_at_their_longest_than_aps_sets() -> None:
    rng = np.random.default_rng(13)
    prob, label = world(rng, 3000)
    sizes = {
        method: SplitConformal.conformalize(prob, label, method=method, penalty=0.2).predict_set(prob).sum(axis=1)
        for method in ("aps", "raps")
    }
    assert (sizes["raps"] >= 4).mean() < (sizes["aps"] >= 4).mean()


def test_luck_that_only_breaks_ties_leaves_sets_without_ties_as_they_were() -> None:
    rng = np.random.default_rng(14)
    prob, label = world(rng, 2000)
    asked, _ = world(rng, 2000)
    plain = SplitConformal.conformalize(prob, label).predict_set(asked)
    broken = SplitConformal.conformalize(prob, label, luck=rng.random(2000)).predict_set(asked, luck=rng.random(2000))
    assert broken.sum() == pytest.approx(plain.sum(), rel=0.001)


def test_cases_that_come_by_customer_leave_room_for_one_more_customer() -> None:
    """Thirty customers who each think alike: a new one's cases are covered as promised, which cases alone miss."""
    rng = np.random.default_rng(15)
    held: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(300):
        size = rng.integers(1, 40, 31)
        who = np.repeat(np.arange(31), size)
        strange = np.clip(rng.beta(2, 2, 31)[who] * 0.8 + 0.1 + rng.normal(0, 0.02, len(who)), 0.01, 0.99)
        prob = np.column_stack([1 - strange, strange])
        known = who < 30
        for by_customer, found in held.items():
            sets = SplitConformal.conformalize(
                prob[known], np.zeros(int(known.sum()), dtype=int), customer=who[known] if by_customer else None
            )
            found.append(float((strange[~known] <= sets.thresholds["all"]).mean()))
    assert np.mean(held[True]) >= 0.9
    assert np.mean(held[False]) < np.mean(held[True])


def test_a_group_needs_customers_not_only_cases() -> None:
    rng = np.random.default_rng(16)
    prob, label = world(rng, 1000)
    group, who = np.repeat(["shop", "chat"], 500), np.concatenate([np.arange(500), np.arange(500) // 250])
    measured = SplitConformal.conformalize(prob, label, group, customer=who)
    assert set(measured.thresholds) == {"all", "shop"}


def test_bad_requests_are_refused_with_the_fix() -> None:
    prob, label = world(np.random.default_rng(0), 20)
    with pytest.raises(ValueError, match="allowed are lac, aps, raps"):
        SplitConformal.conformalize(prob, label, method="topk")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rename that group"):
        SplitConformal.conformalize(prob, label, np.repeat("all", 20))
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        SplitConformal.conformalize(prob, label, alpha=1.5)
    with pytest.raises(ValueError, match="luck is missing"):
        SplitConformal.conformalize(prob, label, luck=np.zeros(20)).predict_set(prob)
    with pytest.raises(ValueError, match="one group for each"):
        SplitConformal.conformalize(prob, label, np.array(["a"]))


def test_one_case_alone_gets_the_set_that_it_gets_among_others() -> None:
    rng = np.random.default_rng(11)
    prob, label = rng.dirichlet(np.ones(5), 400), rng.integers(0, 5, 400)
    sets = SplitConformal.conformalize(prob, label)
    together = sets.predict_set(prob)
    assert (np.concatenate([sets.predict_set(prob[row : row + 1]) for row in range(400)]) == together).all()


@pytest.mark.parametrize("row", [[0.5, 0.6], [-0.1, 1.1], [float("nan"), 1.0], [float("inf"), 0.0], 0.5])
def test_one_case_that_is_no_probability_is_refused_as_many_are(row: object) -> None:
    sets = SplitConformal.conformalize(np.tile([0.7, 0.3], (99, 1)), np.zeros(99, dtype=int))
    with pytest.raises(ValueError, match="prob "):
        sets.predict_set(np.array([row]))
