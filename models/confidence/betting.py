"""Watching a promise while it is lived: bounds on a share of mistakes that hold at every moment, looked at or not.

A bettor against the claim "at most this share is wrong" stakes a part of their capital on each audited answer. While
the claim is true nobody multiplies their capital by 1/delta more often than delta, ever (Ville 1939); so a claim is
given up when they do. Betting confidence sequences: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random
variables by betting", section 5.5: the capital is spread over constant bets ("diversified Kelly"). Half of it bets from
the first audit on. The other half is handed to bettors who begin later, one every `BLOCK` audits, so that an error that
starts late is not hidden behind a good past (a mixture of starts as in Shin, Ramdas & Rinaldo 2024, "E-detectors").

It counts mistakes of answers drawn at random, and tells in days what so many audits can notice and what they cannot. It
draws nothing and withdraws nothing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.confidence.arrays import Flags, Floats, Ints, share

ODDS = np.array([1.25, 1.5, 2.0, 3.0, 6.0])
"""Each bet is the one that would be best if the odds of a mistake were so many times those claimed."""
CAPITAL = np.array([0.05, 0.15, 0.5, 0.2, 0.1])
"""The part of the capital on each bet: half expects odds twice as bad, as a withdrawal then has to come soonest."""
FROM_THE_START = 0.5
"""The part of all capital that bets from the first audit on."""
BLOCK = 50
"""So many audits after one bettor the next one begins."""
KEPT = 200
"""So many of the latest later bettors are followed; what older ones had is thrown away, which only makes us slower."""
_UNHURRIED = 10.0  # how slowly the capital of later bettors falls: about as (block + this) ** -1.5
_EDGE = 1e-12


def capital_of(block: Ints | int) -> Floats:
    """The part of all capital that begins to bet at each block, (n,); over all blocks from 0 on it adds up to 1.

    >>> [round(float(capital_of(block)), 4) for block in (0, 1, 20)]
    [0.5, 0.0233, 0.0049]
    """
    at = np.asarray(block, dtype=np.float64) + _UNHURRIED
    later = math.sqrt(_UNHURRIED) * (np.maximum(at - 1.0, 1.0) ** -0.5 - at**-0.5)
    return np.where(np.asarray(block) == 0, FROM_THE_START, (1.0 - FROM_THE_START) * later)


def log_growth(claim: float) -> tuple[Floats, Floats]:
    """By how much (log) each bet (5,) grows on a mistake, and on a right answer, where at most ``claim`` are wrong."""
    odds = claim / (1.0 - claim)
    on_right = np.log1p(odds) - np.log1p(ODDS * odds)
    return np.log(ODDS) + on_right, on_right


def log_capital(audits: Ints, wrong: Ints, capital: Floats, claim: float) -> Floats:
    """The log of what each bettor owns who began with ``capital`` (n,), after ``audits`` (n,) with ``wrong`` (n,).

    It falls as ``claim`` grows: who claims less is easier to refute.
    """
    on_wrong, on_right = log_growth(claim)
    bets = wrong[:, None] * on_wrong + (audits - wrong)[:, None] * on_right + np.log(CAPITAL)
    return _log_sum(bets) + np.log(capital)


def _log_sum(logs: Floats) -> Floats:
    """The log of a sum over the last axis, of numbers too large or small to be raised."""
    most = logs.max(axis=-1)
    return np.asarray(most + np.log(np.exp(logs - most[..., None]).sum(axis=-1)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """A share of mistakes followed audit by audit; `after` gives the next one, `to_dict` keeps it.

    With confidence 1 - ``delta`` the true share was above ``lower`` at some audit, at all moments at once; the same
    holds for ``upper`` by itself. Nothing is asked of the share but that audits are drawn at random: it may change.

    >>> seen = ConfidenceSequence(delta=0.05).after(([False] * 9 + [True]) * 10)
    >>> seen.audits, seen.wrong, round(seen.lower, 3), round(seen.upper, 3)
    (100, 10, 0.034, 0.195)
    """

    delta: float
    audits: int = 0
    wrong: int = 0
    lower: float = 0.0
    upper: float = 1.0
    starts: tuple[tuple[int, int], ...] = ()  # audits and mistakes so far when each later bettor began

    def __post_init__(self) -> None:
        share("delta", self.delta)
        if not 0 <= self.wrong <= self.audits:
            raise ValueError(f"wrong is {self.wrong} of {self.audits} audits; give 0 <= wrong <= audits")

    def after(self, wrong: bool | Iterable[bool]) -> Self:
        """As it stands after one more audited answer, or several in their order: True where it was a mistake."""
        now = self
        for one in [wrong] if isinstance(wrong, (bool, np.bool_)) else wrong:
            now = now._after(bool(one))
        return now

    def against(self, claim: float) -> float:
        """What a capital of 1 that bets against "at most ``claim`` are wrong" has become; at 1/delta it is refuted.

        >>> round(ConfidenceSequence(0.05).after([True] * 5).against(0.05))
        149
        """
        return math.exp(min(700.0, self._log_against(share("claim", claim), mistakes=True)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        return asdict(self) | {"starts": [list(one) for one in self.starts]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(**{**data, "starts": tuple((int(audits), int(wrong)) for audits, wrong in data["starts"])})

    def _after(self, wrong: bool) -> Self:
        starts = self.starts
        if self.audits and self.audits % BLOCK == 0:
            starts = (*starts, (self.audits, self.wrong))[-KEPT:]
        now = replace(self, audits=self.audits + 1, wrong=self.wrong + wrong, starts=starts)
        # Only a mistake can raise the lower bound and only a right answer can press the upper one.
        if wrong:
            return replace(now, lower=now._refuted(self.lower, mistakes=True))
        return replace(now, upper=1.0 - now._refuted(1.0 - self.upper, mistakes=False))

    def _log_against(self, claim: float, *, mistakes: bool) -> float:
        """Against "at most ``claim`` are wrong", or of right answers: that at most so many are right."""
        began = np.array([(0, 0), *self.starts], dtype=np.int64)
        audits, wrong = self.audits - began[:, 0], self.wrong - began[:, 1]
        counted = wrong if mistakes else audits - wrong
        return float(_log_sum(log_capital(audits, counted, capital_of(began[:, 0] // BLOCK), claim)))

    def _refuted(self, before: float, *, mistakes: bool) -> float:
        """The highest claim that is refuted now, or was ``before``; to a ten-thousandth of its odds, never too high."""
        enough, most = -math.log(self.delta), -math.log(_EDGE)

        def refuted(log_odds: float) -> bool:
            return self._log_against(1.0 / (1.0 + math.exp(-min(log_odds, most))), mistakes=mistakes) >= enough

        low = max(before, _EDGE)
        left, step = math.log(low) - math.log1p(-low), 0.02
        if not refuted(left):
            return before
        while refuted(left + step) and left < most:  # bounds move little at a time
            left, step = left + step, 2.0 * step
        right = left + step
        while right - left > 1e-4:
            middle = (left + right) / 2.0
            left, right = (middle, right) if refuted(middle) else (left, middle)
        return max(before, 1.0 / (1.0 + math.exp(-left)))


@dataclass(frozen=True, slots=True)
class Monitor:
    """Says when a promise of at most ``alpha`` mistakes must be withdrawn: when the lower bound passes it.

    A promise that holds is withdrawn with probability delta at most, over its whole life. Once withdrawn it stays so;
    a new promise begins with a new monitor.

    >>> watched = Monitor.of(alpha=0.05, delta=0.05).after([False] * 60)
    >>> watched.withdraw, watched.after([True, False] * 10).withdraw, watched.after([True, False] * 10).last_good
    (False, True, 70)
    """

    alpha: float
    sequence: ConfidenceSequence
    last_good: int = 0  # audits up to the last moment at which a bet against the promise had won nothing
    withdrawn_at: int | None = None  # audits until it was withdrawn

    @classmethod
    def of(cls, alpha: float, delta: float) -> Self:
        """The monitor of a new promise."""
        return cls(share("alpha", alpha), ConfidenceSequence(delta))

    @property
    def withdraw(self) -> bool:
        """Whether answers may no longer go out under this promise."""
        return self.withdrawn_at is not None

    def after(self, wrong: bool | Iterable[bool]) -> Self:
        """As it stands after one more audited answer, or several in their order: True where it was a mistake."""
        now = self
        for one in [wrong] if isinstance(wrong, (bool, np.bool_)) else wrong:
            now = now._after(bool(one))
        return now

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        own = {"alpha": self.alpha, "last_good": self.last_good, "withdrawn_at": self.withdrawn_at}
        return own | {"sequence": self.sequence.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(**{**data, "sequence": ConfidenceSequence.from_dict(data["sequence"])})

    def _after(self, wrong: bool) -> Self:
        sequence = self.sequence.after(wrong)
        won = sequence.against(self.alpha)  # at 1/delta the lower bound is at alpha
        good = not self.withdraw and won <= 1.0
        withdrawn = sequence.audits if won >= 1.0 / sequence.delta else None
        return replace(
            self,
            sequence=sequence,
            last_good=sequence.audits if good else self.last_good,
            withdrawn_at=withdrawn if self.withdrawn_at is None else self.withdrawn_at,
        )


def withdrawals(wrong: Flags, alpha: float, delta: float) -> Ints:
    """After how many audits each stream (n, audits) is withdrawn, (n,); 0 where it never is.

    What `Monitor` says of each, for many at once and for up to `BLOCK` times `KEPT` audits.

    >>> withdrawals(np.array([[True] * 9, [False] * 9]), 0.05, 0.05).tolist()
    [4, 0]
    """
    on_wrong, on_right = (np.exp(one) for one in log_growth(share("alpha", alpha)))
    streams, audits = np.asarray(wrong, dtype=np.bool_).shape
    if audits > BLOCK * KEPT:
        raise ValueError(f"wrong has {audits} audits a stream; at most {BLOCK * KEPT} are followed")
    owned = np.zeros((streams, len(ODDS)))
    found: NDArray[np.int64] = np.zeros(streams, dtype=np.int64)
    for at in range(audits):
        if at % BLOCK == 0:
            owned += float(capital_of(at // BLOCK)) * CAPITAL
        owned *= np.where(wrong[:, at, None], on_wrong, on_right)
        found[(found == 0) & (owned.sum(axis=1) >= 1.0 / share("delta", delta))] = at + 1
    return found


# -- what an audit can notice ------------------------------------------------------------------------------------------

_MOST_AUDITS = 20_000


@dataclass(frozen=True, slots=True)
class Noticing:
    """When a true share of mistakes ``error`` is noticed: in half of all cases, and in nine of ten; None: not in time.

    In audits, in answers released meanwhile, and in days. It takes at most so long: only the bettor who begins next is
    counted on, and others may be sooner.
    """

    error: float
    audits: tuple[int | None, int | None]
    releases: tuple[int | None, int | None]
    days: tuple[float | None, float | None]


def noticing(
    error: float, alpha: float, delta: float, audit_share: float, releases_a_day: float, quiet_audits: int = 0
) -> Noticing:
    """What a check of an ``audit_share`` of releases notices, in calendar terms; exact, by adding up all ways there.

    ``quiet_audits`` is how many audits found nothing before the error became so.

    >>> told = noticing(error=0.10, alpha=0.05, delta=0.05, audit_share=0.02, releases_a_day=1000)
    >>> told.audits, told.releases, told.days
    ((165, 398), (8250, 19900), (8.2, 19.9))
    >>> noticing(0.06, 0.05, 0.05, 0.02, 1000).days  # a small excess goes unseen for most of a year
    (262.8, 626.0)
    """
    share("audit_share", audit_share)
    if releases_a_day <= 0:
        raise ValueError(f"releases_a_day is {releases_a_day}; give a number above 0")
    block = math.ceil(quiet_audits / BLOCK)
    passed = _withdrawn_by(share("error", error), alpha, delta, block)
    waits = block * BLOCK - quiet_audits

    def until(chance: float) -> int | None:
        return int(np.searchsorted(passed, chance)) + waits if passed[-1] >= chance else None

    audits = (until(0.5), until(0.9))
    releases = tuple(None if one is None else math.ceil(one / audit_share) for one in audits)
    days = tuple(None if one is None else round(one / releases_a_day, 1) for one in releases)
    return Noticing(error, audits, (releases[0], releases[1]), (days[0], days[1]))


def smallest_noticed(audits: int, alpha: float, delta: float, chance: float = 0.9) -> float | None:
    """The smallest true share of mistakes that ``audits`` from the start notice with this chance; None: not even 1.

    >>> round(smallest_noticed(400, 0.05, 0.05), 3), smallest_noticed(2, 0.05, 0.05)
    (0.1, None)
    """
    if not 0 < audits <= _MOST_AUDITS:
        raise ValueError(f"audits is {audits}; give 1 to {_MOST_AUDITS}")
    share("chance", chance)
    low, high = share("alpha", alpha), 1.0 - 1e-6
    if _withdrawn_by(high, alpha, delta, 0)[audits] < chance:
        return None
    while high - low > 5e-4:
        middle = (low + high) / 2.0
        enough = _withdrawn_by(middle, alpha, delta, 0)[audits] >= chance
        low, high = (low, middle) if enough else (middle, high)
    return high


@lru_cache(maxsize=256)
def _withdrawn_by(error: float, alpha: float, delta: float, block: int) -> Floats:
    """The chance that the bettor who begins at ``block`` has refuted ``alpha`` after so many audits, (audits + 1,)."""
    needed = _refuted_from(alpha, delta, block)
    still, passed = np.zeros(int(needed.max()) + 2), np.zeros(_MOST_AUDITS + 1)
    still[0] = 1.0  # the chance of so many mistakes so far, not yet withdrawn
    for audits in range(1, _MOST_AUDITS + 1):
        still[1:], still[0] = still[1:] * (1.0 - error) + still[:-1] * error, still[0] * (1.0 - error)
        at = int(needed[audits])
        passed[audits] = passed[audits - 1] + still[at:].sum()
        still[at:] = 0.0
        if passed[audits] > 1.0 - 1e-9:
            passed[audits:] = passed[audits]
            break
    return passed


@lru_cache(maxsize=32)
def _refuted_from(alpha: float, delta: float, block: int) -> Ints:
    """How many mistakes of so many audits refute ``alpha``, (audits + 1,), for the bettor who begins at ``block``."""
    enough = -math.log(share("delta", delta))
    audits = np.arange(_MOST_AUDITS + 1)
    low, high = np.full(len(audits), -1), audits + 1  # not enough; enough, or more than there are
    capital = np.full(len(audits), capital_of(block))
    while (high - low > 1).any():
        middle = (low + high) // 2
        refuted = log_capital(audits, middle, capital, share("alpha", alpha)) >= enough
        low, high = np.where(refuted, low, middle), np.where(refuted, middle, high)
    return high
