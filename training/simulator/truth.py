"""The truth given what can be observed: an exact filter over the hidden state, and what follows from it.

A *belief* is the probability of each hidden state given every touchpoint so far, the polarity of its words read
rightly, and the silence since. Nothing else that is recorded (device, wording, nuance, rating, value, lateness) depends
on the state, so no observer of the log can know more. The observer learns of a touchpoint when it occurs, not when its
record is received. There is no approximation but floating point; the odds are taken as known, nothing is fitted.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from training.simulator.company import Company, Floats, Ints
from training.simulator.process import Drawn


class Observer:
    """Someone who knows the odds of a company and sees only its touchpoints. Beliefs are (N, Z), rows add up to one.

    Between marks a belief moves as ``p expm(G dt)`` with ``G = drift - diag(all rates out)``, renormalised; a mark m
    multiplies it by the rates of m and moves it by the jump of m (the forward recursion of the Markov-modulated Poisson
    process, Rydén 1996, doi:10.1016/0167-9473(95)00025-9).
    """

    def __init__(self, company: Company, purchase_horizon_days: float = 90, silence_horizon_days: float = 30) -> None:
        states, leaving = len(company.states), company.drift.sum(axis=1)
        marked = company.rates.sum(axis=1)
        quiet = company.drift - np.diag(leaving + marked)  # G: everything that happens while nothing is seen
        self.company = company
        self._modes, self._into, self._back = _eigen(quiet)
        self._first = company.rates / marked[:, None]
        first_name = np.zeros((states, len(company.touchpoints)))
        np.add.at(first_name.T, company.touchpoint_of_mark, np.linalg.solve(-quiet, company.rates).T)
        self._next_name = first_name
        self._no_touchpoint = expm(quiet * silence_horizon_days).sum(axis=1)
        self._no_purchase = expm(_without_purchase(company) * purchase_horizon_days).sum(axis=1)

    def begin(self, marks: Ints) -> Floats:
        """Beliefs right after a first touchpoint: marks (N,) -> (N, Z)."""
        return self._jump(self.company.start * self._first.T[marks], marks)

    def wait(self, belief: Floats, days: Floats) -> Floats:
        """Beliefs after `days` (N,) of silence."""
        later = ((belief @ self._into) * np.exp(days[:, None] * self._modes)) @ self._back
        return _normalised(np.maximum(later.real, 0.0))

    def see(self, belief: Floats, marks: Ints) -> Floats:
        """Beliefs right after one more touchpoint, marks (N,)."""
        return self._jump(belief * self.company.rates.T[marks], marks)

    def purchase(self, belief: Floats) -> Floats:
        """Probability (N,) of a purchase within the purchase horizon."""
        return np.asarray(np.clip(1.0 - belief @ self._no_purchase, 0.0, 1.0))

    def silence(self, belief: Floats) -> Floats:
        """Probability (N,) of no touchpoint at all within the silence horizon."""
        return np.asarray(np.clip(belief @ self._no_touchpoint, 0.0, 1.0))

    def next_touchpoint(self, belief: Floats) -> Floats:
        """Probability (N, K) that the next touchpoint, whenever it comes, is each one; rows add up to one."""
        return _normalised(belief @ self._next_name)

    def _jump(self, belief: Floats, marks: Ints) -> Floats:
        for mark, jump in self.company.jumps.items():
            hit = np.flatnonzero(marks == mark)
            if len(hit):
                belief[hit] = belief[hit] @ jump
        return _normalised(belief)


@dataclass(frozen=True, slots=True)
class Truth:
    """What could be known at N moments, the columns of `truth.parquet`."""

    purchase: Floats  # (N,)
    silence: Floats  # (N,)
    next_touchpoint: Floats  # (N, K)


def truth_of(observer: Observer, drawn: Drawn, moments: Floats) -> tuple[Truth, Truth]:
    """The truth right after each touchpoint (R rows), and at one later moment of each customer (days of activity)."""
    lengths = np.diff(drawn.offsets)
    seen = _seen_by(drawn, moments)
    beliefs = np.empty((len(drawn.mark), len(observer.company.states)))
    order = np.argsort(-lengths, kind="stable")
    starts, still = drawn.offsets[:-1][order], lengths[order]
    belief = observer.begin(drawn.mark[starts])
    beliefs[starts] = belief
    for step in range(1, int(lengths.max())):
        active = int(np.searchsorted(-still, -step, side="left"))  # customers with more than `step` touchpoints
        rows = starts[:active] + step
        belief = observer.wait(belief[:active], drawn.days[rows] - drawn.days[rows - 1])
        belief = observer.see(belief, drawn.mark[rows])
        beliefs[rows] = belief
    waited = observer.wait(beliefs[seen], moments - drawn.days[seen])
    return _told(observer, beliefs), _told(observer, waited)


def _told(observer: Observer, belief: Floats) -> Truth:
    return Truth(observer.purchase(belief), observer.silence(belief), observer.next_touchpoint(belief))


def _seen_by(drawn: Drawn, moments: Floats) -> Ints:
    """The row of each customer's last touchpoint at or before its moment."""
    before = drawn.days <= moments[drawn.customer]
    count = np.bincount(drawn.customer[before], minlength=len(moments))
    if not np.all(count):
        raise ValueError("moments: each must be at or after the customer's first touchpoint")
    return drawn.offsets[:-1] + count - 1


def _without_purchase(company: Company) -> Floats:
    """The generator of the hidden state with marks unseen, where a purchase leaves for good."""
    total = company.drift - np.diag(company.drift.sum(axis=1) + company.rates.sum(axis=1))
    staying = np.eye(len(company.states))
    for mark in np.flatnonzero(~company.is_purchase).tolist():
        total = total + company.rates[:, mark, None] * company.jumps.get(mark, staying)
    return total


def _eigen(generator: Floats) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues and both bases: ``expm(G t) = (into * exp(values t)) @ back``; refuses what cannot be exact."""
    values, into = np.linalg.eig(generator)
    back = np.linalg.inv(into)
    for days in (0.01, 1.0, 30.0, 365.0):
        if not np.allclose((into * np.exp(values * days)) @ back, expm(generator * days), rtol=0, atol=1e-10):
            raise ValueError("drift, rates: their generator has no stable eigenbasis; change one of the rates slightly")
    return values, into, back


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
