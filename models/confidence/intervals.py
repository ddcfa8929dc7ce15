"""Watching probabilities that were told with an interval: do outcomes still come as often as the intervals allow?

Bettors against "no more often than the high ends" and against "no less often than the low ends", as in betting.py: the
capital of all together reaches 1/delta with a probability of delta at most while the promise holds. Each case has a
claim of its own, so capitals are likelihood ratios of odds (Waudby-Smith & Ramdas 2024, section 5.5). Half of the
capital bets on every case, a quarter on those told to be likelier than most before them, a quarter on the others: what
is too high here and too low there does not cancel out. Cases must be as good as independent: give one of each customer.
"""

from bisect import insort
from dataclasses import dataclass

import numpy as np

from models.confidence.arrays import Flags, Floats, Labels, Reals, flags, probabilities, share
from models.confidence.betting import CAPITAL, ODDS

_EDGE = 1e-6  # an interval that ends at 0 or 1 promises as much as one that ends this near


@dataclass(frozen=True, slots=True)
class Watched:
    """What outcomes said of a promise: after how many cases it must be withdrawn (None: not), and how often they came.

    ``last_good`` is the last case at which the bettors had won nothing. ``low`` and ``high`` are the mean ends.
    """

    cases: int
    happened: int
    low: float
    high: float
    withdrawn_at: int | None
    last_good: int


def watch(happened: Labels, low: Reals, high: Reals, delta: float) -> Watched:
    """Follow cases in their order: ``happened`` 0/1 (n,), and the interval (n,), (n,) that was told of each.

    >>> often, low, high = np.tile([1, 0, 0], 40), np.full(120, 0.2), np.full(120, 0.4)
    >>> watch(often, low, high, 0.05).withdrawn_at, watch(often, low / 2, high / 4, 0.05).withdrawn_at
    (None, 22)
    """
    ends = [np.clip(probabilities(name, one), _EDGE, 1.0 - _EDGE) for name, one in (("low", low), ("high", high))]
    came = flags("happened", happened, len(ends[0]))
    if not len(came):
        return Watched(0, 0, float("nan"), float("nan"), None, 0)
    likelier = _likelier((ends[0] + ends[1]) / 2.0)
    parts = ((np.ones(len(came), dtype=np.bool_), 0.25), (likelier, 0.125), (~likelier, 0.125))
    directions = ((came, ends[1]), (~came, 1.0 - ends[0]))
    owned = np.concatenate(
        [_logs(hit, claim, part) + np.log(worth) for hit, claim in directions for part, worth in parts], axis=1
    )
    most = owned.max(axis=1)
    capital = most + np.log(np.exp(owned - most[:, None]).sum(axis=1))
    refuted = np.flatnonzero(capital >= -np.log(share("delta", delta)))
    at = int(refuted[0]) + 1 if len(refuted) else None
    good = np.flatnonzero((capital <= 0.0)[:at])
    mean_low, mean_high = (float(one.mean()) for one in ends)
    return Watched(len(came), int(came.sum()), mean_low, mean_high, at, int(good[-1]) + 1 if len(good) else 0)


def _likelier(told: Floats) -> Flags:
    """(n,) which cases were told to be at least as likely as most that came before them."""
    before: list[float] = []
    found = np.zeros(len(told), dtype=np.bool_)
    for at, one in enumerate(told.tolist()):
        found[at] = not before or one >= before[len(before) // 2]
        insort(before, one)
    return found


def _logs(came: Flags, claim: Floats, part: Flags) -> Floats:
    """(n, 5) the log of what each bet has become after each case that "came" at most as often as claimed (n,)."""
    odds = (claim / (1.0 - claim))[:, None]
    on_none = np.log1p(odds) - np.log1p(ODDS * odds)
    grown = np.where(came[:, None], np.log(ODDS) + on_none, on_none) * part[:, None]
    return np.asarray(np.cumsum(grown, axis=0) + np.log(CAPITAL), dtype=np.float64)
