"""The channel that a customer prefers: where they answer, shrunk to customers like them, and how sure that is.

Empirical Bayes (Casella 1985, "An introduction to empirical Bayes data analysis"): the rate at which a customer answers
on a channel has a beta prior, fitted to everybody of their segment (training/channel.py), and their own answers over
contacts turn it into a posterior, each channel by itself. Who answers nothing is told where they come by themselves:
the shares of the channels have a Dirichlet prior. Numpy only, no randomness. What an answer is, features/answers.py
says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from models.features.answers import answers
from models.journey.journeys import Ints, Journeys
from models.predictors.about import read_about
from models.predictors.highest import Shape, highest_rate, largest_share
from models.predictors.predictor import PredictorError

FORMAT_VERSION = 1
FILE = "channel.json"
EVERYBODY = "all"
ANY_CHANNEL = "*"
"""The prior of a channel that training saw too little of: that of all channels together."""
REASONS = {
    "not_trained": "The model that is live has not learned how customers answer.",
    "nothing_known": "This customer was never reached on any channel and never came.",
    "never_answered": "This customer was reached, has answered nothing, and never came by themselves.",
}
"""Why no channel is told."""

Basis = Literal["responses", "own_visits"]


@dataclass(frozen=True, slots=True)
class Segment:
    """What customers of one kind do, `customers` of them.

    responses: channel -> (a, b) of the beta distribution of the rate at which they answer, "*" for any channel
    visits: channel -> weight in the Dirichlet distribution of the shares of the channels by which they come themselves
    """

    customers: int
    responses: Mapping[str, Shape]
    visits: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        responses = {name: list(shape) for name, shape in self.responses.items()}
        return {"customers": self.customers, "responses": responses, "visits": dict(self.visits)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        responses = {str(name): (float(a), float(b)) for name, (a, b) in data["responses"].items()}
        return cls(int(data["customers"]), responses, {str(k): float(v) for k, v in data["visits"].items()})


@dataclass(frozen=True, slots=True)
class ChannelPreference:
    """`channel` is None where `reason` says why. `confidence`: how probable it is that no channel is answered more
    (basis "responses"), or come by more (basis "own_visits"). `counted` holds what it rests on, most telling first.
    """

    channel: str | None
    confidence: float | None
    basis: Basis | None
    reason: str | None
    counted: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        confidence = None if self.confidence is None else round(self.confidence, 4)
        return {
            "basis": self.basis, "confidence": confidence, "reason": self.reason,
            "channels": [dict(one) for one in self.counted],
        }  # fmt: skip


def nothing_preferred(reason: str) -> ChannelPreference:
    """No channel, and why; `reason` is one of REASONS."""
    return ChannelPreference(None, None, None, reason)


@dataclass(frozen=True)
class ChannelPredictor:
    """The priors, by segment: "all", and the stages that most of a customer's own touchpoints are of."""

    segments: Mapping[str, Segment]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises PredictorError for a missing, damaged or foreign file."""
        about = read_about(folder / FILE, FORMAT_VERSION)
        try:
            segments = {str(name): Segment.from_dict(one) for name, one in about["segments"].items()}
            return cls({EVERYBODY: segments.pop(EVERYBODY), **segments})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PredictorError(f"{FILE} in {folder.name}/ is damaged ({error}); train the bundle again") from error

    def save(self, folder: Path) -> None:
        """Write the folder that `load` reads."""
        segments = {name: one.to_dict() for name, one in self.segments.items()}
        text = json.dumps({"format_version": FORMAT_VERSION, "segments": segments}, indent=1, sort_keys=True)
        (folder / FILE).write_text(text + "\n", "utf-8")

    def preferences(self, seen: Journeys, as_of: Ints) -> list[ChannelPreference]:
        """One for each journey already cut by `seen_at(as_of)` (C,)."""
        found, told = answers(seen, as_of), []
        for row, stage in enumerate(found.stage):
            contacts, answered = found.contacts[row].tolist(), found.answered[row].tolist()
            reached = {name: (n, k) for name, n, k in zip(found.channels, contacts, answered, strict=True) if n}
            visits = {name: n for name, n in zip(found.channels, found.visits[row].tolist(), strict=True) if n}
            told.append(self.preference(stage, reached, visits))
        return told

    def preference(
        self, stage: str, reached: Mapping[str, tuple[int, int]], visits: Mapping[str, int]
    ) -> ChannelPreference:
        """Of one customer: contacts and answers by channel reached, and visits by channel come by.

        >>> everybody = Segment(90, {"call": (2.0, 2.0), "email": (1.0, 9.0), "*": (1.0, 4.0)}, {"web": 1.0})
        >>> prefers = ChannelPredictor({"all": everybody}).preference("sale", {"email": (100, 0), "call": (3, 2)}, {})
        >>> prefers.channel, prefers.basis, prefers.confidence > 0.99
        ('call', 'responses', True)
        """
        if any(k for _, k in reached.values()) and len(priors := self._responses(stage, reached)) > 1:
            return _by_answers(priors, reached)
        if visits:
            return _by_visits(self._visits(stage), visits)
        return nothing_preferred("never_answered" if reached else "nothing_known")

    def _responses(self, stage: str, reached: Mapping[str, tuple[int, int]]) -> dict[str, Shape]:
        """The prior of each channel that the company reaches people on, and of those that it reached this one on."""
        everybody, alike = self.segments[EVERYBODY].responses, self.segments.get(stage)
        known = {**everybody, **(alike.responses if alike else {})}
        any_channel = known.pop(ANY_CHANNEL, (1.0, 1.0))
        return {name: known.get(name, any_channel) for name in sorted({*known, *reached})}

    def _visits(self, stage: str) -> Mapping[str, float]:
        return (self.segments.get(stage) or self.segments[EVERYBODY]).visits


def _by_answers(priors: Mapping[str, Shape], reached: Mapping[str, tuple[int, int]]) -> ChannelPreference:
    """Of the channels that this customer has answered on, the one most probably answered more than any other."""
    posterior = {}
    for name, (a, b) in priors.items():
        n, k = reached.get(name, (0, 0))
        posterior[name] = (a + k, b + n - k)
    names = list(posterior)
    asked = tuple(names.index(name) for name, (_, k) in reached.items() if k)
    chance = dict(zip((names[i] for i in asked), highest_rate(tuple(posterior.values()), asked), strict=True))
    best = min(chance, key=lambda name: (-chance[name], name))
    rate = {name: _mean(posterior[name]) for name in reached}
    order = sorted(reached, key=lambda name: (name != best, -rate[name], name))
    counted = tuple(
        {"channel": name, "contacts": reached[name][0], "answered": reached[name][1], "rate": round(rate[name], 4)}
        for name in order
    )
    return ChannelPreference(best, chance[best], "responses", None, counted)


def _by_visits(priors: Mapping[str, float], visits: Mapping[str, int]) -> ChannelPreference:
    """The channel that this customer most probably comes by more than by any other.

    One that training never saw has the weight of the rarest.
    """
    rarest = min(priors.values(), default=1.0)
    weights = {name: priors.get(name, rarest) + count for name, count in visits.items()}
    best = min(visits, key=lambda name: (-weights[name], name))
    others = tuple(weight for name, weight in priors.items() if name not in visits)
    chance = largest_share(tuple(weights.values()), list(weights).index(best), others)
    order = sorted(visits, key=lambda name: (name != best, -visits[name], name))
    counted = tuple({"channel": name, "visits": visits[name]} for name in order)
    return ChannelPreference(best, chance, "own_visits", None, counted)


def _mean(shape: Shape) -> float:
    return shape[0] / (shape[0] + shape[1])
