"""Read the behaviour suite's sentences with a model and say how many of each capability were read as a person would.

Teaches nothing. A capability below its floor fails; whoever publishes a model decides what that means.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence.binomial import clopper_pearson
from models.predictors.feedback import POLARITIES, FeedbackPredictor, text_flags

SUITE = Path(__file__).with_name("suite.toml")
SIDE_EPSILON = 0.05
"""Of intensity: two sentences this close are felt equally strongly."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a model makes of n texts: the index of the polarity (n,), the intensity (n,) on -4..4, and whether a flag
    would send the text to a person (n,)."""

    polarity: NDArray[np.int64]
    intensity: NDArray[np.float64]
    flagged: NDArray[np.bool_]


Reader = Callable[[Sequence[str]], Read]


@dataclass(frozen=True, slots=True)
class Passed:
    """Of `n` cases of a capability, how many were read as a person would; `failures` are those that were not, by their
    numbers in `missed`, and `caught` says how many of these a flag would have sent to a person."""

    name: str
    about: str
    n: int
    passed: int
    floor: float
    failures: tuple[str, ...]
    caught: int = 0
    missed: frozenset[int] = frozenset()

    @property
    def rate(self) -> float:
        return self.passed / self.n

    @property
    def holds(self) -> bool:
        return self.rate >= self.floor

    def to_dict(self) -> dict[str, Any]:
        low, high = clopper_pearson(self.passed, self.n)
        return {
            "about": self.about, "n": self.n, "passed": self.passed, "rate": round(self.rate, 4),
            "interval": [round(low, 4), round(high, 4)], "floor": self.floor, "holds": self.holds,
            "caught": self.caught, "failures": list(self.failures),
        }  # fmt: skip


@cache
def sentences() -> Mapping[str, Any]:
    """The suite as it is written."""
    return tomllib.loads(SUITE.read_text("utf-8"))


def run_suite(read: Reader) -> list[Passed]:
    """Every capability, in the order of the suite."""
    suite = sentences()
    found = [_capability(one, read) for one in suite["capability"]]
    found += [_stronger(one, read) for one in suite["stronger"]]
    return found + [_swap(one, read) for one in suite["swap"]]


def reader_of(predictor: FeedbackPredictor) -> Reader:
    """How a predictor that was taught intensity reads."""

    def read(texts: Sequence[str]) -> Read:
        found = predictor.predict(list(texts))
        flagged = [bool(codes) for codes in text_flags(found, list(texts), expected_language=predictor.language)]
        intensity = found.intensity_mean if found.intensity_mean is not None else np.zeros(len(texts))
        return Read(found.polarity.argmax(axis=1).astype(np.int64), intensity, np.array(flagged, dtype=np.bool_))

    return read


def rates(found: Sequence[Passed]) -> dict[str, dict[str, Any]]:
    """By capability, for a report: of how many cases what share passed, and whether that reaches the floor."""
    return {
        one.name: {"n": one.n, "rate": round(one.rate, 4), "floor": one.floor, "holds": one.holds, "caught": one.caught}
        for one in found
    }


def accepted(capability: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each sentence of a capability with the polarities that are right."""
    for names, texts in capability.items():
        if isinstance(texts, list):
            right = tuple(names.split("|"))
            yield from ((text, right) for text in texts)


def _capability(given: Mapping[str, Any], read: Reader) -> Passed:
    cases = list(accepted(given))
    found = read([text for text, _ in cases])
    told = [POLARITIES[code] for code in found.polarity]
    wrong = [row for row, (_, right) in enumerate(cases) if told[row] not in right]
    passed = _passed(given["name"], given, [f"{text} ({told[row]})" for row, (text, _) in enumerate(cases)], wrong)
    return replace(passed, caught=int(found.flagged[wrong].sum()))


def _stronger(given: Mapping[str, Any], read: Reader) -> Passed:
    faint = read([one for one, _ in given["pairs"]]).intensity
    strong = read([other for _, other in given["pairs"]]).intensity
    side = np.sign(strong)
    weaker = side * strong < side * faint - SIDE_EPSILON
    return _passed("intensity", given, [" -> ".join(pair) for pair in given["pairs"]], np.flatnonzero(weaker).tolist())


def _swap(given: Mapping[str, Any], read: Reader) -> Passed:
    """One case is one swap: the sentence with another name must be read as it is with the usual one of its template."""
    cases = [
        (template, template.format(**{slot: word}))
        for template, slot in product(given["templates"], ("name", "place", "relation"))
        if f"{{{slot}}}" in template
        for word in given[slot]
    ]
    found = read([text for _, text in cases]).polarity
    usual = {
        template: np.bincount([code for (of, _), code in zip(cases, found, strict=True) if of == template]).argmax()
        for template in given["templates"]
    }
    wrong = [row for row, ((of, _), code) in enumerate(zip(cases, found, strict=True)) if code != usual[of]]
    return _passed("names, genders, places", given, [text for _, text in cases], wrong)


def _passed(name: str, given: Mapping[str, Any], cases: Sequence[str], wrong: Sequence[int]) -> Passed:
    failures, n = tuple(cases[row] for row in wrong), len(cases)
    return Passed(name, given["about"], n, n - len(wrong), given["floor"], failures, missed=frozenset(wrong))
