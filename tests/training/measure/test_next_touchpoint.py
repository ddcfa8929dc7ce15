"""Measuring the next touchpoint on made-up logs: one that can be learned, one that cannot, and one with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import SECOND
from models.predictors.baseline import LEVELS
from models.predictors.gap import GapMixture
from tests.training.measure.made_up import ENTROPY, KINDS, LIKELY, quick, write_log
from training.measure.asked import Asked
from training.measure.figures import MeasureError
from training.measure.gap import empirical_quantiles, mixture_quantiles
from training.measure.logs import groups_of, other_customers, read_logs
from training.measure.next_touchpoint import among, losses, measure_next_touchpoint

pytest_plugins = ["tests.trained"]
BASELINES = ["majority", "repeat_last", "markov_1", "markov_2", "markov_3"]


def quiet(line: str) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("chain")
    train = write_log(folder / "a.csv", 160, 1, learnable=True)
    test = write_log(folder / "b.csv", 100, 2, learnable=True, first=1000)
    return measure_next_touchpoint(quick(train, test, "device_id"), quiet)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("noise")
    train = write_log(folder / "a.csv", 160, 3, learnable=False)
    test = write_log(folder / "b.csv", 100, 4, learnable=False, first=1000)
    return measure_next_touchpoint(quick(train, test), quiet)


def test_every_touchpoint_from_the_second_on_is_predicted(chain: dict[str, Any]) -> None:
    assert chain["n"] == 100 * 9
    assert chain["customers"] == 100
    assert chain["late"] == chain["unseen"] == 0


def test_what_can_be_learned_is_learned_and_beats_what_always_says_the_same(chain: dict[str, Any]) -> None:
    assert abs(chain["accuracy"]["value"] - LIKELY) < 0.03
    assert chain["log_loss"]["value"] < ENTROPY + 0.12
    assert list(chain["baselines"]) == BASELINES
    assert chain["baselines"]["majority"]["difference"]["log_loss"]["high"] < -0.5
    assert chain["baselines"]["repeat_last"]["difference"]["accuracy"]["low"] > 0.5


def test_on_pure_noise_nothing_is_claimed(noise: dict[str, Any]) -> None:
    assert noise["log_loss"]["value"] < np.log(KINDS) + 0.02
    assert noise["ece_in_band"] is True
    assert abs(noise["baselines"]["majority"]["difference"]["log_loss"]["value"]) < 0.02


def test_whether_the_model_knows_more_than_the_base_rate_is_told(chain: dict[str, Any], noise: dict[str, Any]) -> None:
    assert (chain["beats_base_rate"], noise["beats_base_rate"]) == (True, False)
    assert abs(noise["baselines"]["majority"]["difference"]["log_loss"]["value"]) < 1e-3  # it is what is given


def test_sets_cover_as_promised_and_stand_beside_plain_lac(chain: dict[str, Any], noise: dict[str, Any]) -> None:
    for told in (chain, noise):
        assert abs(told["coverage"]["value"] - 0.9) < 0.05
        assert told["lac_mean_set_size"]["value"] >= 1
        assert told["mean_set_size"]["value"] <= 1.05 * told["lac_mean_set_size"]["value"]
        assert told["coverage_band"][0] < 0.9 < told["coverage_band"][1]
    assert chain["mean_set_size"]["value"] < 1.5
    assert noise["mean_set_size"]["value"] > 3


def test_sets_cover_after_each_touchpoint_that_is_asked_about_often(chain: dict[str, Any]) -> None:
    assert sum(one["n"] for one in chain["coverage_by_last"].values()) == chain["n"]
    assert all(abs(one["value"] - 0.9) < 0.08 for one in chain["coverage_by_last"].values())


def test_every_figure_has_its_interval_and_its_n(chain: dict[str, Any]) -> None:
    found = list(figures_in({name: told for name, told in chain.items() if name != "coverage_by_last"}))
    assert len(found) > 30
    for one in found:
        assert set(one) == {"value", "low", "high", "n"}
        assert one["low"] <= one["value"] <= one["high"]
        assert one["n"] == chain["n"]


def test_the_gap_stands_beside_the_gaps_that_followed_each_kind(chain: dict[str, Any]) -> None:
    gap = chain["gap"]
    assert set(gap) == {"n", "crps", "mae", "empirical", "difference"}
    assert gap["empirical"]["crps"]["value"] < 0.5  # a log-normal of sigma one half
    assert abs(gap["difference"]["crps"]["value"]) < 0.6
    paired = gap["crps"]["value"] - gap["empirical"]["crps"]["value"]
    assert abs(gap["difference"]["crps"]["value"] - paired) < 1e-5


def test_the_same_seed_gives_the_same_figures(tmp_path: Path, noise: dict[str, Any]) -> None:
    train = write_log(tmp_path / "a.csv", 160, 3, learnable=False)
    test = write_log(tmp_path / "b.csv", 100, 4, learnable=False, first=1000)
    assert measure_next_touchpoint(quick(train, test), quiet) == noise


def test_the_truth_of_a_simulated_company_gives_a_skill(company: Path) -> None:
    events, truth = company / "events.parquet", company / "truth.parquet"
    told = measure_next_touchpoint(quick(events, events, truth=truth), quiet)
    assert 0.1 < told["skill"]["value"] < 1.1
    assert told["truth"]["log_loss"]["value"] < told["log_loss"]["value"]
    assert told["skill"]["n"] > 0.95 * told["n"]


def test_logs_that_share_customers_or_follow_one_another_differ_in_time() -> None:
    early, later = journeys_of({"a": [("x.a", 0), ("x.b", 9)]}), journeys_of({"b": [("x.a", 20), ("x.b", 30)]})
    assert not other_customers(early, later)
    assert not other_customers(early, early)
    assert other_customers(early, journeys_of({"b": [("x.a", 1), ("x.b", 30)]}))


def test_a_touchpoint_never_learned_is_asked_and_missed() -> None:
    log = journeys_of({"a": [("x.a", 0), ("x.b", 1), ("x.new", 2)]})
    asked = Asked.of(log, Vocabulary(("x.a", "x.b"), ("sale", "sale")))
    assert asked.label.tolist() == [1, -1]
    chance = np.array([[0.2, 0.8], [0.5, 0.5]])
    assert among(chance, asked.label, 3).tolist() == [True, False]
    assert losses(chance, asked.label)[1] > 20


def test_what_was_not_known_in_time_is_counted_as_late() -> None:
    log = journeys_of({"a": [("x.a", 0), ("x.b", 10 * SECOND), ("x.a", 20 * SECOND)]})
    log.known_at[0] = 15 * SECOND
    asked = Asked.of(log, Vocabulary.of(log))
    assert (asked.late, asked.label.tolist()) == (1, [0])


def test_customers_who_share_a_device_are_one_group(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.csv", 20, 6, learnable=True)
    (log,) = read_logs(path)
    groups = groups_of(log, "device_id")
    number = {customer: int(group) for customer, group in zip(log.journeys.customers, groups, strict=True)}
    assert number["c0"] == number["c1"] != number["c2"]
    with pytest.raises(MeasureError, match="--group 'tablet'"):
        groups_of(log, "tablet")


def test_events_are_touchpoints_one_to_one_whatever_their_channel(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "customer_id,timestamp,event,channel\na,2026-01-01,visit,email\na,2026-01-02,visit,search\n", "utf-8"
    )
    assert read_logs(path)[0].journeys.names == ("event.visit",)
    path.write_text("customer_id,timestamp,event\na,2026-01-01,Big sale\na,2026-01-02,big-sale\n", "utf-8")
    with pytest.raises(MeasureError, match="become one touchpoint"):
        read_logs(path)


def test_quantiles_of_a_gap_are_those_of_gaps_that_end_while_the_log_is_watched() -> None:
    gap = GapMixture(np.log([[0.2, 0.8]] * 2), np.full((2, 1), 5.0), np.ones((2, 1)))
    wide, narrow = mixture_quantiles(gap, np.array([19.0, 5.0]))
    assert np.abs(wide - norm.ppf(LEVELS, 5.0, 1.0)).max() < 0.05  # those who never come are left out
    assert np.abs(narrow - norm.ppf(LEVELS / 2, 5.0, 1.0)).max() < 0.05


def test_quantiles_of_gaps_seen_before_are_cut_the_same_way() -> None:
    before = norm.ppf(LEVELS, 5.0, 1.0)[None]
    assert np.abs(empirical_quantiles(before, np.array([19.0])) - before).max() < 1e-9
    cut = empirical_quantiles(before, np.array([5.0]))[0]
    assert np.abs(cut[10:] - norm.ppf(LEVELS[10:] / 2, 5.0, 1.0)).max() < 0.05


def figures_in(told: Any) -> Any:
    if isinstance(told, dict):
        if "value" in told:
            yield told
        else:
            for one in told.values():
                yield from figures_in(one)
