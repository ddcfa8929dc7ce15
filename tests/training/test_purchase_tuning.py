"""Tuning: never worse on the same folds, the same for the same seed, and only within what is searched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.crossfit import BoostingConfig, cross_fit
from training.purchase_tuning import tune

CONFIG = BoostingConfig(most_rounds=60, folds=2)


@pytest.fixture(scope="module")
def examples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + rng.normal(size=900) > 0).astype(np.int8)
    return x, y, np.arange(900, dtype=np.int64) % 2


def test_settings_found_cost_no_more_than_those_given_and_are_the_same_again(
    examples: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    given = replace(CONFIG, leaves=2, learning_rate=0.2)  # two leaves cannot tell a product
    lines: list[str] = []
    found, again = (tune(*examples, given, 5, 3, None, lines.append) for _ in range(2))
    assert found == again
    assert found.log_loss <= found.log_loss_before
    assert found.config.most_rounds == CONFIG.most_rounds
    assert len(lines) == 10
    told = found.to_dict()
    assert (told["trials"], told["leaves"]) == (5, found.config.leaves)


def test_what_is_said_out_of_fold_is_honest(examples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, _, fold = examples
    noise = np.random.default_rng(1).integers(0, 2, 900).astype(np.int8)
    learned = cross_fit(x, noise, fold, CONFIG, 0)
    assert np.corrcoef(learned.said, noise)[0, 1] < 0.1  # nothing to learn, and nothing is claimed
    assert learned.held_out["mixture"] <= learned.held_out["boosting"] + 1e-9
    assert learned.chance(x).shape == (900,)


def test_a_constraint_holds_everywhere(examples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, fold = examples
    learned = cross_fit(x, y, fold, CONFIG, 0, constraints=[0, 0, 1, 0, 0])
    row = np.repeat(x[:1], 50, axis=0)
    row[:, 2] = np.linspace(-3, 3, 50)
    assert (np.diff(learned.boosting.predict_proba(row)[:, 1]) >= -1e-12).all()
