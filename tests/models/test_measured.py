"""What was measured goes through JSON unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.confidence.band import binomial_band
from models.confidence.calibration import Sigmoid, Temperature
from models.confidence.conformal import SplitConformal
from models.confidence.risk import CalibrationTable
from models.confidence.scaling import VectorScaling
from models.measured import COVERAGES, Measured, MeasuredFeeling, MeasuredNextTouchpoint, MeasuredPurchase

RNG = np.random.default_rng(5)
CHANCE = RNG.dirichlet(np.ones(4), 300)
LABEL = RNG.integers(0, 4, 300)
LIKELY = RNG.random(300)
HAPPENED = RNG.integers(0, 2, 300)


def _measured() -> Measured:
    sets = {one: SplitConformal.conformalize(CHANCE, LABEL, alpha=round(1 - one, 6)) for one in COVERAGES}
    purchase = MeasuredPurchase(Sigmoid.fit(LIKELY, HAPPENED), binomial_band(LIKELY, HAPPENED))
    table = CalibrationTable.of(LIKELY, LIKELY < 0.02, np.repeat(["survey", "email"], 150))
    return Measured(
        MeasuredNextTouchpoint(VectorScaling(1.3, (0.0, 0.1, 0.0, -0.1)), sets, 300, (0.4, 0.3, 0.2, 0.1)),
        {"buy": purchase},
        MeasuredFeeling(Temperature(0.8), table),
    )


def _through_json(measured: Measured) -> Measured:
    return Measured.from_dict(json.loads(json.dumps(measured.to_dict(), allow_nan=False)))


def test_every_answer_is_the_same_after_json() -> None:
    before, after = _measured(), _through_json(_measured())
    assert before.to_dict() == after.to_dict()
    assert before.next_touchpoint is not None
    assert after.next_touchpoint is not None
    for coverage in COVERAGES:
        ours, theirs = (
            one.set_for(coverage).predict_set(CHANCE) for one in (before.next_touchpoint, after.next_touchpoint)
        )
        np.testing.assert_array_equal(ours, theirs)
    assert before.purchase is not None
    assert after.purchase is not None
    bought, again = before.purchase["buy"], after.purchase["buy"]
    np.testing.assert_array_equal(bought.calibrator.apply(LIKELY), again.calibrator.apply(LIKELY))
    np.testing.assert_array_equal(bought.band.interval(LIKELY), again.band.interval(LIKELY))
    assert again.n == 300
    assert before.feeling is not None
    assert after.feeling is not None
    assert before.feeling.rule(0.05, 0.05, "survey") == after.feeling.rule(0.05, 0.05, "survey")


def test_a_bundle_of_before_has_a_temperature_and_no_base_rate() -> None:
    told = _measured().to_dict()
    kept = {key: value for key, value in told["next_touchpoint"].items() if key not in ("scaling", "base_rate")}
    old = told | {"next_touchpoint": kept | {"temperature": {"name": "temperature", "temperature": 1.3}}}
    following = Measured.from_dict(json.loads(json.dumps(old))).next_touchpoint
    assert following is not None
    assert (following.scaling, following.base_rate) == (Temperature(1.3), None)


def test_what_was_not_trained_stays_absent() -> None:
    assert _through_json(Measured()) == Measured(None, {}, None)


def test_a_set_that_needs_every_class_survives_json() -> None:
    few = SplitConformal.conformalize(CHANCE[:5], LABEL[:5], alpha=0.1)
    measured = Measured(MeasuredNextTouchpoint(Temperature(1.0), {0.9: few}, 5))
    following = _through_json(measured).next_touchpoint
    assert following is not None
    assert following.set_for(0.9).predict_set(CHANCE[:2]).all()


def test_a_coverage_that_was_not_measured_names_those_that_were() -> None:
    following = _measured().next_touchpoint
    assert following is not None
    with pytest.raises(ValueError, match=r"coverage 0\.5 was not measured; allowed: 0\.8, 0\.9, 0\.95"):
        following.set_for(0.5)
