"""How well anyone could do on the simulated data: the truth against the base rate and against a Markov chain.

Sums are kept chunk by chunk, so that memory stays flat however many customers there are. Rows later than one purchase
horizon before the calendar ends are left out, since what follows them is not wholly seen. Log-losses are in nats.
"""

from dataclasses import dataclass, field

import numpy as np

from training.simulator.company import Company, Floats, Ints
from training.simulator.process import Drawn
from training.simulator.truth import Truth

_DOUBTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # how many counts a shorter context is worth; the best for Markov is kept


def buys_within(company: Company, drawn: Drawn, customer: Ints, days: Floats, horizon_days: float) -> np.ndarray:
    """Whether each customer buys after the moment, no later than the horizon: (N,) of bool."""
    bought = np.flatnonzero(company.is_purchase[drawn.mark])
    span = float(drawn.days.max(initial=0.0) + days.max(initial=0.0) + horizon_days + 1.0)  # keeps customers apart
    when = np.append(drawn.customer[bought] * span + drawn.days[bought], np.inf)
    moment = customer * span + days
    return np.asarray(when[np.searchsorted(when, moment, side="right")] - moment <= horizon_days)


@dataclass(slots=True)
class PurchaseScore:
    """The truth against the base rate, for a purchase within the horizon."""

    rows: int = 0
    bought: int = 0
    truth_loss: float = 0.0

    def add(self, happened: np.ndarray, truth: Floats) -> None:
        """One more batch: what happened and the probabilities given to it, both (N,)."""
        self.rows += len(happened)
        self.bought += int(happened.sum())
        self.truth_loss -= float(np.log(np.maximum(np.where(happened, truth, 1.0 - truth), 1e-15)).sum())

    def told(self) -> dict[str, float | int | None]:
        """Rows, base rate and mean losses; None where there are no rows."""
        if not self.rows:
            return {"rows": 0, "base_rate": None, "base_rate_loss": None, "truth_loss": None}
        rate = self.bought / self.rows
        entropy = -sum(p * float(np.log(p)) for p in (rate, 1.0 - rate) if p > 0)
        truth = self.truth_loss / self.rows
        return {"rows": self.rows, "base_rate": rate, "base_rate_loss": entropy, "truth_loss": truth}


@dataclass(slots=True)
class NextScore:
    """The truth against an interpolated second-order Markov chain, for the next touchpoint given that one comes.

    The chain is counted on customers of even number and judged on those of odd number, with the doubt that suits it
    best there: an advantage no fitted model has. Each context is smoothed by the shorter one (MacKay and Peto 1995,
    doi:10.1017/S1351324900000218).
    """

    touchpoints: int
    counts: np.ndarray = field(init=False)  # (2, K + 1, K, K): odd or even, the one before (K: none), now, next
    truth_loss: float = 0.0

    def __post_init__(self) -> None:
        self.counts = np.zeros((2, self.touchpoints + 1, self.touchpoints, self.touchpoints), dtype=np.int64)

    def add(self, customer: Ints, before: Ints, now: Ints, after: Ints, truth: Floats) -> None:
        """One more batch of steps; truth (N,) is the probability given to `after`."""
        np.add.at(self.counts, (customer % 2, before, now, after), 1)
        self.truth_loss -= float(np.log(np.maximum(truth[customer % 2 == 1], 1e-15)).sum())

    def told(self) -> dict[str, float | int | None]:
        """Rows judged and mean losses; None where there are no rows."""
        rows = int(self.counts[1].sum())
        if not rows:
            return {"rows": 0, "markov2_loss": None, "truth_loss": None}
        losses = [self._markov_loss(first, second) for first in _DOUBTS for second in _DOUBTS]
        return {"rows": rows, "markov2_loss": min(losses) / rows, "truth_loss": self.truth_loss / rows}

    def _markov_loss(self, doubt_first: float, doubt_second: float) -> float:
        pairs = self.counts[0]
        single, alone = pairs.sum(axis=0), pairs.sum(axis=(0, 1))
        order0 = (alone + 1.0) / (alone.sum() + self.touchpoints)
        order1 = (single + doubt_first * order0) / (single.sum(axis=1, keepdims=True) + doubt_first)
        order2 = (pairs + doubt_second * order1) / (pairs.sum(axis=2, keepdims=True) + doubt_second)
        return -float((self.counts[1] * np.log(order2)).sum())


class Reference:
    """Both scores over a whole simulation, fed chunk by chunk."""

    def __init__(self, company: Company, horizon_days: float, calendar_days: float) -> None:
        self._company, self._horizon, self._until = company, horizon_days, calendar_days - horizon_days
        self._purchase = {"touchpoint": PurchaseScore(), "random": PurchaseScore()}
        self._next = NextScore(len(company.touchpoints))

    def add(self, drawn: Drawn, moments: Floats, touchpoint: Truth, random: Truth) -> None:
        """One more chunk: its journeys and random moments, and the truth after touchpoints and at those moments."""
        everyone = np.arange(len(moments))
        for kind, who, days, truth in (("touchpoint", drawn.customer, drawn.days, touchpoint),
                                       ("random", everyone, moments, random)):  # fmt: skip
            early = days <= self._until
            happened = buys_within(self._company, drawn, who[early], days[early], self._horizon)
            self._purchase[kind].add(happened, truth.purchase[early])
        name = self._company.touchpoint_of_mark[drawn.mark]
        before = np.concatenate([[len(self._company.touchpoints)], name[:-1]])
        before[drawn.offsets[:-1]] = len(self._company.touchpoints)
        step = np.flatnonzero((drawn.customer[1:] == drawn.customer[:-1]) & (drawn.days[:-1] <= self._until))
        given = touchpoint.next_touchpoint[step, name[step + 1]]
        self._next.add(drawn.customer[step], before[step], name[step], name[step + 1], given)

    def told(self) -> dict[str, dict[str, object]]:
        """The losses by question, as `company.json` keeps them."""
        purchase: dict[str, object] = {kind: score.told() for kind, score in self._purchase.items()}
        return {"purchase_within_horizon": purchase, "next_touchpoint": dict(self._next.told())}
