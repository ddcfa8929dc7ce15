"""A company with known odds, as arrays: who its customers are, what they do, how they change without being seen.

A customer's hidden *state* (phase of intent and persona) is a continuous-time Markov chain. In a state, *marks* arrive
as Poisson processes; a mark is a touchpoint, and where the touchpoint has words, also their polarity. The state changes
in silence, and may change at a mark. This file builds such companies and checks them; it draws nothing (`process.py`)
and infers nothing (`truth.py`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.simulator import odds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mark:
    """What is seen of one touchpoint: its name and, where it has words, the polarity of them."""

    touchpoint: str
    polarity: str | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """A Markov-modulated marked Poisson process: Z hidden states, M marks, K touchpoints. Rates are per day.

    Raises ValueError where an array has the wrong shape, a negative rate, or shares that do not add up to one.
    """

    touchpoints: tuple[str, ...]  # K names
    marks: tuple[Mark, ...]  # M
    states: tuple[str, ...]  # Z names
    start: Floats  # (Z,) shares of the states at the first touchpoint
    rates: Floats  # (Z, M) marks a day
    drift: Floats  # (Z, Z) silent changes a day, zero on the diagonal
    jumps: dict[int, Floats]  # mark -> (Z, Z) what the mark does to the state; marks not named change nothing
    purchase: str = odds.PURCHASE
    calendar_start_us: int = 1_704_067_200_000_000  # day 0 as microseconds, UTC: 2024-01-01

    def __post_init__(self) -> None:
        z, m = len(self.states), len(self.marks)
        shapes = {"start": (z,), "rates": (z, m), "drift": (z, z)}
        for field, shape in shapes.items():
            array: Floats = getattr(self, field)
            if array.shape != shape or not np.all(array >= 0):
                raise ValueError(f"{field}: expected numbers >= 0 of shape {shape}, got shape {array.shape}")
        if np.any(np.diag(self.drift)):
            raise ValueError("drift: the diagonal must be zero, a state cannot change into itself in silence")
        if not np.all(self.rates.sum(axis=1) > 0):
            raise ValueError("rates: every state must have a mark that can happen in it")
        for field, shares in {"start": self.start[None], **{f"jumps[{k}]": v for k, v in self.jumps.items()}}.items():
            if shares.shape[1] != z or not np.allclose(shares.sum(axis=1), 1.0):
                raise ValueError(f"{field}: the shares of the {z} states must add up to 1")

    @property
    def touchpoint_of_mark(self) -> Ints:
        """The index of each mark's touchpoint, shape (M,)."""
        index = {name: k for k, name in enumerate(self.touchpoints)}
        return np.array([index[mark.touchpoint] for mark in self.marks], dtype=np.int64)

    @property
    def is_purchase(self) -> NDArray[np.bool_]:
        """Which marks are purchases, shape (M,)."""
        return np.array([mark.touchpoint == self.purchase for mark in self.marks])


def marks_of(touchpoints: tuple[str, ...]) -> tuple[Mark, ...]:
    """All marks of these touchpoints: one each, or one for each polarity that its words can have.

    >>> [mark.polarity for mark in marks_of(("web.visit", "call.complaint"))]
    [None, 'negative', 'neutral', 'mixed']
    """
    return tuple(Mark(name, polarity) for name in touchpoints for polarity in odds.SPOKEN.get(name, (None,)))


def car_dealer() -> Company:
    """The omnichannel car dealer of `odds.py`: 11 phases of intent times 3 personas."""
    touchpoints = tuple(odds.TOUCHPOINTS)
    marks = marks_of(touchpoints)
    phases, personas = tuple(odds.RATES), tuple(odds.PERSONAS)
    shares = np.array([share for share, _ in odds.PERSONAS.values()])
    begin = np.array([odds.START.get(phase, 0.0) for phase in phases])
    rates = np.array([[_rate(phase, persona, mark) for mark in marks] for persona in personas for phase in phases])
    return Company(
        touchpoints=touchpoints,
        marks=marks,
        states=tuple(f"{phase}/{persona}" for persona in personas for phase in phases),
        start=np.kron(shares, begin),
        rates=rates,
        drift=_for_each(len(personas), _table(odds.DRIFT, phases)),
        jumps={
            m: _for_each(len(personas), jump)
            for m, mark in enumerate(marks)
            if (jump := _jump(mark, phases)) is not None
        },
    )


def coin_tosser(touches_a_day: float = 0.045) -> Company:
    """A company of which nothing can be learned: one state, every touchpoint equally likely at any time."""
    touchpoints = tuple(odds.TOUCHPOINTS)
    marks = marks_of(touchpoints)
    each = [touches_a_day / len(touchpoints) / len(odds.SPOKEN.get(mark.touchpoint, "1")) for mark in marks]
    return Company(touchpoints, marks, ("any",), np.ones(1), np.array([each]), np.zeros((1, 1)), {})


def _for_each(personas: int, table: Floats) -> Floats:
    """The same table for every persona; nobody changes persona."""
    return np.asarray(np.kron(np.eye(personas), table), dtype=np.float64)


def _rate(phase: str, persona: str, mark: Mark) -> float:
    rate = odds.RATES[phase].get(mark.touchpoint, 0.0)
    rate *= odds.PERSONAS[persona][1].get(mark.touchpoint.split(".")[0], 1.0)
    if mark.polarity is None:
        return rate
    mood = dict(zip(("negative", "neutral", "positive", "mixed"), odds.MOOD[phase], strict=True))
    return rate * mood[mark.polarity] / sum(mood[polarity] for polarity in odds.SPOKEN[mark.touchpoint])


def _table(rows: dict[str, dict[str, float]], phases: tuple[str, ...]) -> Floats:
    return np.array([[rows.get(before, {}).get(after, 0.0) for after in phases] for before in phases])


def _jump(mark: Mark, phases: tuple[str, ...]) -> Floats | None:
    rows = odds.JUMPS.get((mark.touchpoint, mark.polarity)) or odds.JUMPS.get((mark.touchpoint, None))
    if rows is None:
        return None
    return _table({phase: rows.get(phase, {phase: 1.0}) for phase in phases}, phases)
