"""What other predictors say, as columns: in nats, only where asked for, and never of one who was learned from."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.vocabulary import Vocabulary
from models.journey.target import Target
from models.predictors.predictor import NextTouchpointPrediction
from models.predictors.stacking import MONOTONE, Feelings, Following, Said, stacked, stacked_features

TARGET = Target("drive", ("dealer.test_drive",), 90 * 86_400)
VOCABULARY = Vocabulary(("dealer.test_drive", "web.visit"), ("sale", "convenience"))


def following(chance: float, nothing: float) -> Following:
    distribution = np.array([[chance, 1 - chance]])
    return Following(NextTouchpointPrediction(distribution, np.array([nothing]), np.zeros((1, 3))), VOCABULARY)


def test_chances_are_told_in_nats_and_only_as_far_as_something_comes() -> None:
    names = [feature.name for feature in stacked_features(["next_touchpoint"])]
    row = dict(zip(names, stacked(TARGET, ["next_touchpoint"], Said(following(0.25, 0.2)))[0], strict=True))
    assert row["next:target"] == pytest.approx(-np.log(0.25 * 0.8), rel=1e-6)
    assert row["next:nothing"] == pytest.approx(-np.log(0.2), rel=1e-6)
    assert row["next:convenience"] == pytest.approx(-np.log(0.75 * 0.8), rel=1e-6)
    assert row["next:post_sale"] == pytest.approx(-np.log(1e-6), rel=1e-6)


def test_feelings_are_zeros_where_nothing_was_said() -> None:
    told = Feelings.none(2)
    told.polarity[1], told.days_since[1] = [0.7, 0.1, 0.1, 0.1], 3.0
    rows = stacked(TARGET, ["feeling"], Said(feelings=told))
    assert rows.shape == (2, len(stacked_features(["feeling"])))
    assert rows[0].tolist() == [0, 0, 0, 0, 0, 3650]
    assert rows[1].tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1, 0.7, 3])


@pytest.mark.parametrize("source", ["next_touchpoint", "feeling"])
def test_who_was_taught_with_a_source_must_be_told_by_it(source: str) -> None:
    with pytest.raises(ValueError, match="was taught with"):
        stacked(TARGET, [source], Said())


def test_constraints_are_on_columns_that_exist() -> None:
    assert set(MONOTONE) <= {feature.name for feature in stacked_features(["next_touchpoint", "feeling"])}
