"""What was measured about each predictor on data it was not fitted on: numbers that a bundle carries as JSON.

Holds calibration, sets, bands and the table behind the promise; fitted by training, read when concluding.
Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence.band import ProbabilityBand, shifted
from models.confidence.calibration import Calibrator, Temperature, calibrator_from_dict
from models.confidence.conformal import SplitConformal
from models.confidence.risk import CalibrationTable, ReleaseRule

Floats = NDArray[np.float64]
COVERAGES = (0.8, 0.9, 0.95)
"""Coverages for which sets are measured, so that an operator can choose one without training again."""

LEAST_COVERAGE_CASES = 100
LEAST_CALIBRATION_CASES = 200
"""Fewer held-out cases than these promise nothing: the answer is then the base rate, decided `abstain`."""


@dataclass(frozen=True)
class MeasuredNextTouchpoint:
    """The temperature of the distribution and a conformal set for each coverage on offer."""

    temperature: Temperature
    sets: Mapping[float, SplitConformal]
    n: int

    def set_for(self, coverage: float) -> SplitConformal:
        if coverage not in self.sets:
            raise ValueError(f"coverage {coverage} was not measured; allowed: {', '.join(map(str, sorted(self.sets)))}")
        return self.sets[coverage]

    def to_dict(self) -> dict[str, Any]:
        sets = [[coverage, one.to_dict()] for coverage, one in self.sets.items()]
        return {"temperature": self.temperature.to_dict(), "sets": sets, "n": self.n}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasuredNextTouchpoint:
        sets = {float(coverage): SplitConformal.from_dict(one) for coverage, one in data["sets"]}
        return cls(Temperature.from_dict(data["temperature"]), sets, int(data["n"]))


@dataclass(frozen=True)
class MeasuredPurchase:
    """The calibration of a probability, the band around it, and what a change of the times may do to both.

    `drift` is how far, in logits, all probabilities were off when the model first met later data (noise taken off): the
    next step in time may do as much again, either way. `held` says whether, on the latest data, observed shares lay
    inside their intervals; where they did not, nothing is promised.
    """

    calibrator: Calibrator
    band: ProbabilityBand
    drift: float = 0.0
    held: bool = True

    @property
    def n(self) -> int:
        return len(self.band.scores)

    def interval(self, calibrated: Floats) -> tuple[Floats, Floats]:
        """Low and high end (C,) of each calibrated probability (C,): the band, moved apart by the drift."""
        low, high = self.band.interval(calibrated)
        return shifted(low, -self.drift), shifted(high, self.drift)

    def to_dict(self) -> dict[str, Any]:
        own = {"drift": self.drift, "held": self.held}
        return {"calibrator": self.calibrator.to_dict(), "band": self.band.to_dict(), **own}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasuredPurchase:
        calibrator, band = calibrator_from_dict(data["calibrator"]), ProbabilityBand.from_dict(data["band"])
        return cls(calibrator, band, float(data["drift"]), bool(data["held"]))


@dataclass(frozen=True)
class MeasuredFeeling:
    """The temperature of the polarity and the table (score, wrong, channel) behind the promise.

    The table holds only texts that no flag sends to a person: the promise is about what would be released.
    """

    temperature: Temperature
    table: CalibrationTable

    def rule(self, alpha: float, delta: float, channel: str) -> ReleaseRule:
        """What may be released on this channel under this risk."""
        return self.table.release_rule(alpha, delta, channel)

    def to_dict(self) -> dict[str, Any]:
        return {"temperature": self.temperature.to_dict(), "table": self.table.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasuredFeeling:
        return cls(Temperature.from_dict(data["temperature"]), CalibrationTable.from_dict(data["table"]))


@dataclass(frozen=True)
class Measured:
    """What was measured for each thing that was trained; what was not trained is absent."""

    next_touchpoint: MeasuredNextTouchpoint | None = None
    purchase: Mapping[str, MeasuredPurchase] | None = None
    feeling: MeasuredFeeling | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "next_touchpoint": self.next_touchpoint.to_dict() if self.next_touchpoint else None,
            "purchase": {name: one.to_dict() for name, one in (self.purchase or {}).items()},
            "feeling": self.feeling.to_dict() if self.feeling else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measured:
        following, feeling = data["next_touchpoint"], data["feeling"]
        return cls(
            MeasuredNextTouchpoint.from_dict(following) if following else None,
            {name: MeasuredPurchase.from_dict(one) for name, one in data["purchase"].items()},
            MeasuredFeeling.from_dict(feeling) if feeling else None,
        )
