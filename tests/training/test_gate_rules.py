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
from training.gate.baselines import gate
from training.gate.bundles import of_bundles
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
