"""What a bundle remembers of its inputs is what the service would ask: begun today, it sees no shift."""

from __future__ import annotations

import numpy as np

from models.bundle import LoadedBundle
from models.confidence.shift import feature_shift
from models.journey.journeys import Journeys

pytest_plugins = ["tests.trained"]


def _asked(
    bundle: LoadedBundle, journeys: Journeys, share_of_the_log: float
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """What the bundle keeps, and the features of everybody at one moment; without what other predictors say."""
    (target,) = bundle.reference.features
    kept, predictor = bundle.reference.features[target], bundle.purchase[target]
    first, last = journeys.occurred_at.min(), journeys.occurred_at.max()
    as_of = np.full(len(journeys), first + int(share_of_the_log * (last - first)))
    seen = journeys.seen_at(as_of)
    now = predictor.features(seen, as_of, bundle.said(seen, as_of, [None] * len(journeys)))
    plain = [place for place, name in enumerate(kept.names) if not name.startswith("next:")]
    return kept.cases[:, plain], now[:, plain].astype(np.float32), tuple(kept.names[place] for place in plain)


def test_it_is_of_customers_at_the_end_of_the_log(bundle: LoadedBundle, journeys: Journeys) -> None:
    kept, now, _ = _asked(bundle, journeys, 1.0)
    everybody = {row.tobytes() for row in now}
    assert all(row.tobytes() in everybody for row in kept)


def test_the_first_look_of_a_service_sees_no_shift_and_one_long_ago_does(
    bundle: LoadedBundle, journeys: Journeys
) -> None:
    kept, now, names = _asked(bundle, journeys, 1.0)
    assert not [one.name for one in feature_shift(kept, now.astype(np.float64), names, 0.01) if one.shifted]
    kept, before, names = _asked(bundle, journeys, 0.4)
    assert [one.name for one in feature_shift(kept, before.astype(np.float64), names, 0.01) if one.shifted]
