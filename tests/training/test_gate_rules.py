"""The rules of the gate by themselves: what counts as worse, as a tie, as a part left behind, as another meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import LoadedBundle
from models.journey.target import Target
from models.measured import Measured
from training.behaviour.suite import Passed
from training.gate.baselines import gate
from training.gate.bundles import lost_capabilities, of_bundles
from training.gate.cases import Cases, Named, Sets, over
from training.gate.compare import compared, holm
from training.policies import GatePolicy

LENIENT = GatePolicy(draws=50, latency_ms=1e6)


def _beside(mean: float, low: float) -> tuple[bool, str]:
    apart = {"ours_minus_theirs": {"mean": mean, "interval": [low, 2 * mean - low]}}
    nothing = {"status": "not_trained"}
    return gate({"next_touchpoint": nothing, "feeling": nothing,
                 "purchase": {"visit": {"status": "trained", "baselines": {"logistic": apart}}}})  # fmt: skip


def test_a_tie_with_a_baseline_is_no_loss() -> None:
    assert _beside(-0.01, -0.02) == (True, "beats every baseline: purchase visit")
    told = "loses to no baseline: purchase visit; purchase visit loses to logistic by 0.0025 nats, which is luck"
    assert _beside(0.0025, -0.002) == (True, told)
    assert _beside(0.0025, 0.001) == (False, "purchase visit loses to logistic by 0.0025 nats")
    assert _beside(0.02, -0.01) == (False, "purchase visit loses to logistic by 0.0200 nats")


def _cases(ours: float, n: int = 400, part: str = "web") -> Cases:
    """Outcomes of one in two; the champion says .5, the challenger is off by `ours` in one channel."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, n)
    channel = np.where(np.arange(n) % 4 == 0, part, "email")
    champion = np.where(label == 1, 0.6, 0.4)
    challenger = np.where(channel == part, np.clip(champion + np.where(label == 1, -ours, ours), 0.01, 0.99), champion)
    return Cases("purchase: x", champion, challenger, label, np.arange(n), {"channel": channel})


def test_one_channel_left_behind_is_enough_to_refuse() -> None:
    policy = replace(LENIENT, worse_nats=10.0, worse_brier=10.0)
    found = {one.name: one for one in compared(_cases(0.3), policy, np.random.default_rng(0))}
    assert found["segments"].outcome == "failed"
    assert found["segments"].told.startswith("channel web +")
    small = {one.name: one for one in compared(_cases(0.3, 120), policy, np.random.default_rng(0))}
    assert small["segments"].outcome == "passed"
    assert "2 too small to decide" in small["segments"].told  # 30 and 90 cases


def test_luck_alone_refuses_nothing_and_a_loss_that_is_no_luck_does() -> None:
    rng = np.random.default_rng(3)
    label, noise = rng.integers(0, 2, 400), rng.uniform(-1.0, 1.0, 400)
    champion = np.full(400, 0.5)

    def judged_by(loss: float, spread: float) -> Any:
        """A challenger whose loss is higher by so much on average, and by chance differs in each case."""
        lost = np.log(2) + loss + spread * (noise - noise.mean())
        right = np.exp(-lost)
        cases = Cases("purchase: x", champion, np.where(label == 1, right, 1 - right), label, np.arange(400), {})
        return next(one for one in compared(cases, replace(LENIENT, draws=200), np.random.default_rng(0)))

    unsure, sure, little = judged_by(0.02, 0.6), judged_by(0.02, 0.1), judged_by(0.008, 0.01)
    assert (unsure.outcome, sure.outcome, little.outcome) == ("passed", "failed", "passed")
    assert "so much comes by luck in" in unsure.told
    assert unsure.figures["would_have_seen"] > 0.02  # how large a loss these cases could have shown


def test_who_is_right_more_often_than_it_says_is_not_refused_for_its_calibration_error() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1000)
    said = {
        "champion": (0.60, 0.6),
        "righter": (0.64, 0.9),
        "surer": (0.9, 0.6),
    }  # what each says, how often it is right

    def told(name: str) -> Any:
        says, right = said[name]
        likeliest = np.where(np.arange(1000) < 1000 * right, label, 1 - label)
        return np.where(likeliest[:, None] == np.arange(2), says, 1 - says)

    def judged_by(name: str) -> Any:
        cases = Cases("next touchpoint", told("champion"), told(name), label, np.arange(1000), {})
        return {one.name: one for one in compared(cases, LENIENT, np.random.default_rng(0))}

    righter, surer = judged_by("righter"), judged_by("surer")
    assert (righter["log-loss"].outcome, righter["ECE"].outcome) == ("passed", "passed")
    assert "are surely lower" in righter["ECE"].told
    assert (surer["log-loss"].outcome, surer["ECE"].outcome) == ("failed", "failed")


def test_a_calibration_error_that_so_few_cases_cannot_tell_refuses_nobody() -> None:
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 110)
    right = np.where(rng.random(110) < 0.7, label, 1 - label)  # of both
    said = [
        np.where(right[:, None] == np.arange(2), one[:, None], 1 - one[:, None])
        for one in rng.uniform(0.75, 0.95, (2, 110))
    ]
    policy = replace(LENIENT, worse_nats=10.0, worse_brier=10.0, worse_ece=0.0, draws=200)
    found = {}
    for ours, theirs in (said, said[::-1]):
        cases = Cases("feeling", ours, theirs, label, np.arange(110), {})
        one = next(one for one in compared(cases, policy, np.random.default_rng(0)) if one.name == "ECE")
        found[one.figures["challenger"]["ece"] > one.figures["champion"]["ece"]] = one
    assert found[True].outcome == "passed"
    assert "of draws it is not above" in found[True].told


def _read(missed: set[int], n: int = 20, floor: float = 0.5) -> Passed:
    return Passed("irony", "", n, n - len(missed), floor, (), missed=frozenset(missed))


def test_one_sentence_is_no_lost_capability_and_several_are() -> None:
    def lost(ours: list[Passed], theirs: list[Passed]) -> list[str]:
        return list(lost_capabilities([*ours, *others], [*theirs, *others], GatePolicy()))

    others = [_read(set())] * 9
    before = _read({0, 1, 2})
    assert lost([_read({0, 1, 2, 3, 4})], [before]) == []  # two of twenty
    assert lost([_read({0, 1, 2, 3, 4, 5, 6})], [before]) == ["irony 65% after 85%"]
    assert lost([_read({3, 4, 5, 6, 7, 8})], [before]) == []  # six lost, three gained: luck


def test_a_little_lost_everywhere_and_a_floor_that_gives_way_are_seen() -> None:
    fine, three = _read(set()), _read({0, 1, 2})
    assert list(lost_capabilities([three] * 4, [fine] * 4, GatePolicy())) == [
        "12 sentences of the whole suite, 0 gained"
    ]
    at, below = _read(set(range(11))), _read(set(range(12)))  # the floor is at ten
    assert list(lost_capabilities([at], [_read(set(range(10)))], GatePolicy())) == []
    assert list(lost_capabilities([below], [at], GatePolicy())) == ["irony 40% after 45%"]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_of_many_parts_the_surest_count_first_and_never_more_than_each_alone(p_values: list[float]) -> None:
    counts = holm(p_values, 0.05)
    alone = [one <= 0.05 for one in p_values]
    shared = [one <= 0.05 / len(p_values) for one in p_values]
    assert all(one <= two for one, two in zip(counts, alone, strict=True))
    assert all(one >= two for one, two in zip(counts, shared, strict=True))
    told = sorted(zip(p_values, counts, strict=True))
    assert [one for _, one in told] == sorted((one for _, one in told), reverse=True)


def test_too_few_cases_decide_nothing() -> None:
    found = list(compared(_cases(0.3, 60), LENIENT, np.random.default_rng(0)))
    assert [(one.name, one.outcome) for one in found] == [("log-loss", "not_asked")]


def test_what_a_bundle_never_heard_of_has_no_chance() -> None:
    told = over(("a", "b", "c", "d"), ("b", "a"), np.array([[0.25, 0.75]]))
    assert told[0].tolist() == [0.75, 0.25, 0.0, 0.0]


def _named(champion_alone: int, challenger_alone: int) -> Any:
    cases = replace(_cases(0.0), named=Named(1000, champion_alone, challenger_alone))
    return next(one for one in compared(cases, LENIENT, np.random.default_rng(0)) if one.name == "names")


def test_a_name_that_the_champion_had_may_not_be_lost_and_a_new_one_costs_nothing() -> None:
    assert [_named(0, 300).outcome, _named(5, 0).outcome, _named(6, 300).outcome] == ["passed", "passed", "failed"]
    assert "the challenger alone for 300" in _named(0, 300).told


def test_where_the_world_moved_away_under_both_sets_are_measured_by_the_champions() -> None:
    held, more = np.arange(400) % 10 < 7, np.arange(400) % 10 < 8

    def judged_by(champion: Any, challenger: Any) -> str:
        cases = replace(_cases(0.0), sets=Sets(champion, challenger))
        return next(one.outcome for one in compared(cases, LENIENT, np.random.default_rng(0)) if one.name == "coverage")

    assert [judged_by(held, more), judged_by(more, held), judged_by(more, more)] == ["passed", "failed", "passed"]


def _asking(**horizons: int) -> LoadedBundle:
    targets = {name: Target(name, ("dealer.visit",), seconds) for name, seconds in horizons.items()}
    return LoadedBundle("", {"figures": {}}, Measured(None, {}, None), targets, None, {}, None)


def test_under_one_name_nothing_else_may_be_asked() -> None:
    def judged_by(champion: LoadedBundle, challenger: LoadedBundle) -> Any:
        checks = of_bundles(champion, challenger, Path(), None, LENIENT)
        return next(one for one in checks if one.name == "meaning")

    days, hours, other = _asking(visit=30 * 86_400), _asking(visit=30 * 3_600), _asking(visit_soon=30 * 3_600)
    assert [judged_by(days, days).outcome, judged_by(days, other).outcome] == ["passed", "passed"]
    found = judged_by(days, hours)
    assert found.outcome == "failed"
    assert found.told.startswith(
        "purchase: visit is dealer.visit within 1.25 days, of the champion dealer.visit within 30 days"
    )
