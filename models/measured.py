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
from models.confidence.conformal import SplitConformal, luck_of
from models.confidence.risk import CalibrationTable, ReleaseRule
from models.confidence.scaling import Scaling, scaling_from_dict
from models.journey.journeys import Ints, Journeys

Floats = NDArray[np.float64]
COVERAGES = (0.8, 0.9, 0.95)
"""Coverages for which sets are measured, so that an operator can choose one without training again."""

THIN_TOUCHPOINTS = 3
"""A history of at most so many touchpoints is thin."""

LEAST_COVERAGE_CASES = 100
LEAST_CALIBRATION_CASES = 200
"""Fewer held-out cases than these promise nothing: the answer is then the base rate, decided `abstain`."""


@dataclass(frozen=True)
class MeasuredNextTouchpoint:
    """The scaling of the distribution and a conformal set for each coverage on offer, by the last touchpoint.

    `base_rate` (K,) is there where held-out customers do not show that the model knows more than it: then it is said
    of everybody.
    """

    scaling: Scaling
    sets: Mapping[float, SplitConformal]
    n: int
    base_rate: tuple[float, ...] | None = None

    def chance(self, said: Floats, lengths: Ints) -> Floats:
        """What a predictor said (C, K), calibrated; the base rates of empty journeys stay as they are."""
        if self.base_rate is not None:
            return np.where((lengths > 0)[:, None], np.array(self.base_rate), said)
        return np.where((lengths > 0)[:, None], self.scaling.apply(said), said)

    def sets_of(self, chance: Floats, seen: Journeys, coverage: float) -> NDArray[np.bool_]:
        """(C, K) what is in each set; the same journey always gets the same.

        Nobody's silence was held out: with an empty journey go the likeliest that add up to the coverage.
        """
        inside = self.set_for(coverage).predict_set(chance, np.array(last_touchpoints(seen), dtype=np.str_), luck(seen))
        for row in np.flatnonzero(seen.lengths == 0):
            order = np.argsort(-chance[row], kind="stable")
            before = np.cumsum(chance[row, order]) - chance[row, order]
            inside[row, order] = before < coverage
        return inside

    def set_for(self, coverage: float) -> SplitConformal:
        if coverage not in self.sets:
            raise ValueError(f"coverage {coverage} was not measured; allowed: {', '.join(map(str, sorted(self.sets)))}")
        return self.sets[coverage]

    def to_dict(self) -> dict[str, Any]:
        sets = [[coverage, one.to_dict()] for coverage, one in self.sets.items()]
        base = None if self.base_rate is None else list(self.base_rate)
        return {"scaling": self.scaling.to_dict(), "sets": sets, "n": self.n, "base_rate": base}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasuredNextTouchpoint:
        sets = {float(coverage): SplitConformal.from_dict(one) for coverage, one in data["sets"]}
        base = data.get("base_rate")  # bundles of before have none
        told = None if base is None else tuple(map(float, base))
        scaling = scaling_from_dict(data["scaling"] if "scaling" in data else data["temperature"])
        return cls(scaling, sets, int(data["n"]), told)


def last_touchpoints(seen: Journeys) -> list[str]:
    """(C,) the group whose threshold answers for each journey: the name of its last touchpoint; empty for none."""
    ends = zip(seen.starts[1:] - 1, seen.lengths, strict=True)
    return [seen.names[seen.code[end]] if length else "" for end, length in ends]


def luck(seen: Journeys) -> Floats:
    """(C,) what breaks the ties of each journey's set: drawn by who it is and how far they have come, so that somebody
    asked about twice gets the same set.
    """
    return luck_of(f"{customer} {length}" for customer, length in zip(seen.customers, seen.lengths, strict=True))


@dataclass(frozen=True)
class MeasuredPurchase:
    """The calibration of a probability, the bands around it, and what a change of the times may do to them.

    `thin` is the band of customers with at most THIN_TOUCHPOINTS alone: theirs must hold both their observed share and
    that of everybody of this probability, so a thin history is never surer than a long one.
    `drift` is how far, in logits, all probabilities were off when the model first met later data (0 within noise): the
    next step in time may do as much again, either way. `held` says whether, on the latest data, observed shares lay
    inside their intervals; where they did not, nothing is promised.
    """

    calibrator: Calibrator
    band: ProbabilityBand
    drift: float = 0.0
    held: bool = True
    thin: ProbabilityBand | None = None

    @property
    def n(self) -> int:
        return len(self.band.scores)

    def interval(self, calibrated: Floats, lengths: Ints | None = None) -> tuple[Floats, Floats]:
        """Low and high end (C,) of each calibrated probability (C,) for histories of these `lengths` (C,).

        The band, moved apart by the drift.
        """
        low, high = self.band.interval(calibrated)
        if self.thin is not None and lengths is not None:
            few = np.flatnonzero(lengths <= THIN_TOUCHPOINTS)
            lowest, highest = self.thin.interval(calibrated[few])
            low[few], high[few] = np.minimum(low[few], lowest), np.maximum(high[few], highest)
        return shifted(low, -self.drift), shifted(high, self.drift)

    def to_dict(self) -> dict[str, Any]:
        own = {"drift": self.drift, "held": self.held, "thin": self.thin.to_dict() if self.thin else None}
        return {"calibrator": self.calibrator.to_dict(), "band": self.band.to_dict(), **own}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasuredPurchase:
        calibrator, band = calibrator_from_dict(data["calibrator"]), ProbabilityBand.from_dict(data["band"])
        thin = data.get("thin")  # bundles of before have none
        few = None if thin is None else ProbabilityBand.from_dict(thin)
        return cls(calibrator, band, float(data["drift"]), bool(data["held"]), few)


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
