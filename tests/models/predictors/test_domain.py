"""Texts unlike those that taught are told from the others, and the others are left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import SafetensorError

from models.predictors.domain import DOMAIN_FILE, LEAST_HELD, LEAST_TAUGHT, Domain


def _alike(rows: int, seed: int, wide: int = 12, known: int = 3) -> NDArray[np.float64]:
    """Vectors that vary in a few directions, the same for every seed, and a little in all."""
    directions = np.random.default_rng(0).normal(size=(known, wide))
    rng = np.random.default_rng(seed)
    return 5.0 + rng.normal(size=(rows, known)) @ directions + 0.05 * rng.normal(size=(rows, wide))


def test_strangers_are_found_and_texts_of_the_same_kind_are_not() -> None:
    domain = Domain.of(_alike(400, 1), _alike(200, 2))
    assert domain is not None
    assert domain.strange(np.random.default_rng(3).normal(size=(100, 12))).all()
    assert domain.strange(_alike(2_000, 4)).mean() < 0.03


@given(seed=st.integers(1, 10_000))
def test_over_many_draws_one_in_a_hundred_of_the_same_kind_is_flagged(seed: int) -> None:
    shares = []
    for draw in range(20):
        domain = Domain.of(_alike(200, seed + 7 * draw), _alike(120, seed + 7 * draw + 1))
        assert domain is not None
        shares.append(domain.strange(_alike(200, seed + 7 * draw + 2)).mean())
    assert np.mean(shares) < 0.03


def test_nothing_is_said_of_strangers_where_little_is_known() -> None:
    assert Domain.of(_alike(LEAST_TAUGHT - 1, 1), _alike(LEAST_HELD, 2)) is None
    assert Domain.of(_alike(LEAST_TAUGHT, 1), _alike(LEAST_HELD - 1, 2)) is None


def test_it_is_the_same_after_it_was_kept(tmp_path: Path) -> None:
    domain, asked = Domain.of(_alike(300, 1), _alike(100, 2)), np.vstack([_alike(50, 3), np.zeros((5, 12))])
    assert domain is not None
    domain.save(tmp_path)
    again = Domain.load(tmp_path)
    assert again is not None
    assert again.strange(asked).tolist() == domain.strange(asked).tolist()
    assert Domain.load(tmp_path / "elsewhere") is None


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / DOMAIN_FILE).write_bytes(b"torn")
    with pytest.raises(SafetensorError):
        Domain.load(tmp_path)
