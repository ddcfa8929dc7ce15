"""Next touchpoint on made-up journeys whose odds, and so whose reachable scores, are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.confidence.metrics import log_loss
from models.features.vocabulary import Vocabulary
from models.journey.assembly import journeys_of
from models.journey.event import DAY, SECOND
from models.journey.journeys import Journeys
from models.nets.next_touchpoint import NetShape
from models.predictors.next_touchpoint import NextTouchpointPredictor
from models.predictors.predictor import PredictorError
from training.errors import TooLittleData
from training.markov import fit_baselines
from training.mixing import mix
from training.next_touchpoint import NextTouchpointConfig, NextTouchpointFit, fit_next_touchpoint

NAMES = ("web.a", "web.b", "web.c")
HORIZON_SECONDS = 5 * 86_400
SMALL = NextTouchpointConfig(
    shape=NetShape(length=16, width=32, layers=1, heads=2, gap_components=3, dropout=0.0),
    epochs=24,
    batch_windows=16,
    learning_rate=1e-2,
)
CHAIN = np.array([[[0.8 if c == (a + b) % 3 else 0.1 for c in range(3)] for b in range(3)] for a in range(3)])
NOISE = np.full((3, 3, 3), 1 / 3)
MEAN_GAP_DAYS = np.array([1.0, 10.0, 10.0])
ENTROPY = -(0.8 * np.log(0.8) + 0.2 * np.log(0.1))


def simulated(customers: int, steps: int, odds: np.ndarray, seed: int) -> Journeys:
    """A second-order chain with the odds of c after a, b, and exponential gaps that depend on the last touchpoint."""
    rng = np.random.default_rng(seed)
    journeys = {}
    for customer in range(customers):
        codes = list(rng.integers(0, 3, 2))
        at = [int(rng.uniform(0, 100) * DAY)]
        while len(codes) < steps:
            codes.append(int(rng.choice(3, p=odds[codes[-2], codes[-1]])))
        for code in codes[:-1]:
            at.append(at[-1] + int(rng.exponential(MEAN_GAP_DAYS[code]) * DAY) + SECOND)
        journeys[f"{seed}-{customer}"] = [(NAMES[code], moment) for code, moment in zip(codes, at, strict=True)]
    return journeys_of(journeys)


@dataclass(frozen=True)
class Fitted:
    fit: NextTouchpointFit
    predictor: NextTouchpointPredictor
    folder: Path


def fitted(odds: np.ndarray, folder: Path) -> Fitted:
    journeys = simulated(300, 14, odds, seed=1)
    until = int(np.quantile(journeys.occurred_at, 0.9))
    fit = fit_next_touchpoint(
        journeys, Vocabulary.of(journeys), until, HORIZON_SECONDS, SMALL, 3, folder, lambda line: None
    )
    return Fitted(fit, NextTouchpointPredictor.load(folder), folder)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted(CHAIN, tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted(NOISE, tmp_path_factory.mktemp("noise"))


def asked(odds: np.ndarray) -> tuple[Journeys, np.ndarray, np.ndarray, np.ndarray]:
    """New journeys cut after some touchpoint: what was seen, when, what came next, and after how many seconds."""
    journeys = simulated(1500, 12, odds, seed=2)
    kept = np.random.default_rng(4).integers(2, 12, len(journeys))
    last = journeys.starts[:-1] + kept - 1
    seen = journeys.first(np.arange(len(journeys)), kept)
    gap = (journeys.occurred_at[last + 1] - journeys.occurred_at[last]) / SECOND
    return seen, journeys.occurred_at[last], journeys.code[last + 1], gap


def test_a_second_order_chain_is_learned_up_to_its_entropy(chain: Fitted) -> None:
    seen, as_of, label, _ = asked(CHAIN)
    loss = log_loss(chain.predictor.predict(seen, as_of).distribution, label)
    own = CHAIN[seen.code[seen.starts[1:] - 2], seen.code[seen.starts[1:] - 1]]
    assert loss - log_loss(own, label) < 0.03
    assert abs(log_loss(own, label) - ENTROPY) < 0.06


def test_on_pure_noise_it_says_the_base_rate(noise: Fitted) -> None:
    seen, as_of, label, _ = asked(NOISE)
    prediction = noise.predictor.predict(seen, as_of)
    assert log_loss(prediction.distribution, label) < np.log(3) + 0.02


def test_the_chance_of_silence_follows_the_rate_of_each_touchpoint(chain: Fitted) -> None:
    seen, as_of, _, gap = asked(CHAIN)
    prediction = chain.predictor.predict(seen, as_of)
    last = seen.code[seen.starts[1:] - 1]
    for code, days in enumerate(MEAN_GAP_DAYS):
        said = prediction.none_within_horizon[last == code].mean()
        assert abs(said - np.exp(-HORIZON_SECONDS / 86_400 / days)) < 0.06
    below = gap[:, None] <= prediction.expected_in_seconds
    assert np.abs(below.mean(axis=0) - [0.1, 0.5, 0.9]).max() < 0.06


def test_having_waited_already_changes_the_wait_as_the_rate_says(chain: Fitted) -> None:
    seen, as_of, _, _ = asked(CHAIN)
    slow = np.flatnonzero(seen.code[seen.starts[1:] - 1] > 0)
    later = chain.predictor.predict(seen.take(slow), as_of[slow] + 3 * DAY)
    assert abs(later.none_within_horizon.mean() - np.exp(-0.5)) < 0.08  # an exponential wait does not age


def test_the_same_seed_gives_the_same_files(chain: Fitted, tmp_path: Path) -> None:
    fitted(CHAIN, tmp_path)
    for file in sorted(chain.folder.iterdir()):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60))
def test_later_touchpoints_change_nothing(chain: Fitted, seed: int, days: int) -> None:
    journeys = simulated(5, 6, CHAIN, seed)
    as_of = np.full(5, days * DAY)
    later = np.where(journeys.occurred_at > days * DAY, journeys.occurred_at + 17 * DAY, journeys.occurred_at)
    shifted = Journeys(
        journeys.customers, journeys.starts, later, later, journeys.code, journeys.amount_minor, journeys.contact,
        journeys.names, journeys.stages,
    )  # fmt: skip
    one = chain.predictor.predict(journeys.seen_at(as_of), as_of)
    other = chain.predictor.predict(shifted.seen_at(as_of), as_of)
    assert (one.distribution == other.distribution).all()
    assert (one.expected_in_seconds == other.expected_in_seconds).all()
    assert (one.none_within_horizon == other.none_within_horizon).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=8), st.integers(0, 10**6))
def test_one_alone_is_answered_as_in_a_batch(chain: Fitted, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    journeys = journeys_of(
        {
            str(i): [
                (str(rng.choice([*NAMES, "web.unknown"])), int(at)) for at in np.sort(rng.integers(0, 90 * DAY, n))
            ]
            for i, n in enumerate(lengths)
        }
    )
    as_of = np.full(len(lengths), 95 * DAY)
    together = chain.predictor.predict(journeys, as_of)
    for row in range(len(lengths)):
        alone = chain.predictor.predict(journeys.take(np.array([row])), as_of[:1])
        assert np.allclose(alone.distribution[0], together.distribution[row], rtol=0, atol=1e-6)
        assert np.allclose(alone.none_within_horizon[0], together.none_within_horizon[row], rtol=0, atol=1e-6)
        assert np.allclose(alone.expected_in_seconds[0], together.expected_in_seconds[row], rtol=1e-4)


def test_an_empty_journey_gets_the_base_rates_and_nobody_is_no_error(chain: Fitted) -> None:
    empty = journeys_of({"new": []})
    prediction = chain.predictor.predict(empty, np.array([0]))
    assert (prediction.distribution == chain.predictor.markov.first).all()
    assert prediction.distribution.min() > 0
    assert 0 < prediction.none_within_horizon[0] < 1
    assert len(chain.predictor.predict(journeys_of({}), np.empty(0, dtype=np.int64)).distribution) == 0


def test_the_mixture_is_no_worse_than_either_on_held_out_time(chain: Fitted) -> None:
    losses = chain.fit.held_out
    assert losses["mixture"] <= min(losses["net"], losses["markov"]) + 0.005


def test_mixing_weights_follow_what_is_better_for_each_length() -> None:
    lengths = np.repeat([1, 40], 3000)
    by_net = np.where(lengths == 1, 0.2, 0.8)
    weights = mix(by_net, np.full(6000, 0.5), lengths, np.ones(6000))
    assert weights.of(np.array([1]))[0] < 0.2
    assert weights.of(np.array([40]))[0] > 0.8


def test_a_single_kind_of_touchpoint_is_too_little(tmp_path: Path) -> None:
    journeys = journeys_of({str(i): [("shop.purchase", 0), ("shop.purchase", DAY)] for i in range(500)})
    with pytest.raises(TooLittleData, match="only one kind"):
        fit_next_touchpoint(journeys, Vocabulary.of(journeys), 2 * DAY, 60, SMALL, 0, tmp_path / "x", print)
    assert not (tmp_path / "x").exists()


def test_too_few_examples_are_refused_with_their_number(tmp_path: Path) -> None:
    journeys = simulated(3, 5, NOISE, seed=1)
    with pytest.raises(TooLittleData, match=r"12 touchpoints .* at least 100"):
        fit_next_touchpoint(journeys, Vocabulary.of(journeys), 10**6 * DAY, 60, SMALL, 0, tmp_path / "x", print)
    with pytest.raises(TooLittleData, match="no touchpoint was followed"):
        fit_baselines(journeys_of({"a": [("web.a", 0)]}), Vocabulary(("web.a",), ("sale",)), DAY)


def test_a_new_kind_of_touchpoint_is_answered_as_its_channel(tmp_path: Path) -> None:
    """After anything on the web comes a call, after any mail a visit: a page that training never saw is the web."""
    rng = np.random.default_rng(0)
    journeys = {}
    for i in range(240):
        steps: list[tuple[str, int]] = []
        for turn in range(5):
            by = str(rng.choice(["web", "mail"]))
            steps.append((f"{by}.{rng.choice(list('abc'))}", (2 * turn) * DAY + i))
            steps.append(("call.in" if by == "web" else "shop.visit", (2 * turn + 1) * DAY + i))
        journeys[str(i)] = steps
    learned = journeys_of(journeys)
    vocabulary = Vocabulary.of(learned)
    fit_next_touchpoint(
        learned, vocabulary, 20 * DAY, 60, SMALL, 0, tmp_path, lambda line: None, ahead=False
    )  # fmt: skip
    new = journeys_of({name: [("shop.visit", 0), (f"{name}.new", DAY)] for name in ("mail", "radio", "web")})
    predictor, as_of = NextTouchpointPredictor.load(tmp_path), np.full(3, DAY)
    by_channel = dict(zip(new.customers, predictor.predict(new, as_of).distribution, strict=True))
    call, shop = vocabulary.touchpoints.index("call.in"), vocabulary.touchpoints.index("shop.visit")
    assert by_channel["web"][call] > 0.8 > 0.2 > by_channel["web"][shop]
    assert by_channel["mail"][shop] > 0.8 > 0.2 > by_channel["mail"][call]
    assert max(by_channel["radio"]) < 0.7  # a channel that nobody knows says nothing
    counted = predictor.baseline(new, as_of)
    assert counted[list(new.customers).index("web"), call] > 0.8


def test_too_few_customers_to_hold_some_out_are_refused(tmp_path: Path) -> None:
    journeys = simulated(3, 60, NOISE, seed=1)
    with pytest.raises(TooLittleData, match="belong to 3 customers or groups of them; at least 4"):
        fit_next_touchpoint(journeys, Vocabulary.of(journeys), 10**6 * DAY, 60, SMALL, 0, tmp_path / "x", print)


def test_customers_of_one_group_are_held_out_together(tmp_path: Path) -> None:
    """Everybody of a group does the same odd thing, so whoever learned from one of them would know the others."""
    names = ("web.a", "web.b", "web.c", "web.d")
    group = np.arange(160) // 40
    journeys = journeys_of(
        {str(i): [("web.start", i), (names[group[i]], DAY + i), ("web.end", 2 * DAY + i)] for i in range(160)}
    )
    vocabulary, losses = Vocabulary.of(journeys), []
    for groups in (None, group):
        fit = fit_next_touchpoint(
            journeys, vocabulary, 4 * DAY, 60, SMALL, 0, tmp_path, lambda line: None, groups=groups, ahead=False
        )
        start = np.flatnonzero(fit.out_of_fold.label != vocabulary.touchpoints.index("web.end"))
        losses.append(log_loss(fit.out_of_fold.chance[start], fit.out_of_fold.label[start]))
    assert losses[0] < 1.6 < losses[1]


def test_one_net_is_enough_where_there_are_many_examples(tmp_path: Path) -> None:
    journeys = simulated(60, 10, CHAIN, seed=1)
    fit = fit_next_touchpoint(
        journeys, Vocabulary.of(journeys), 10**6 * DAY, 60, replace(SMALL, few_examples=10), 0, tmp_path, print
    )
    assert len(fit.logs) == 1
    assert len(fit.out_of_fold.label) == pytest.approx(fit.examples / 8, rel=0.2)
    assert (tmp_path / "net.onnx").is_file()


def test_a_foreign_format_is_refused(chain: Fitted, tmp_path: Path) -> None:
    for file in chain.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    about = tmp_path / "next_touchpoint.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "format_version": 99}))
    with pytest.raises(PredictorError, match="format_version 99"):
        NextTouchpointPredictor.load(tmp_path)
    about.unlink()
    with pytest.raises(PredictorError, match="missing"):
        NextTouchpointPredictor.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("markov_order", 4), ("epochs", 0), ("members", 1), ("learning_rate", 0.0)]
)
def test_a_wrong_setting_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        NextTouchpointConfig(**{field: value})  # type: ignore[arg-type]
