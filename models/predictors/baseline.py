"""Plain baselines for the next touchpoint: what any net must beat, and what it leans on where it knows little.

Counting only, in numpy: an interpolated Markov model, the majority, the last touchpoint again, and the observed gaps.
Nothing here knows of stages, gaps before a touchpoint or calibration. Tokens are those of `Vocabulary`; histories are
left-aligned as in `Sequences`; answers are over the K touchpoints, in the vocabulary's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.features.vocabulary import FIRST_TOUCHPOINT, PADDING
from models.journey.journeys import Ints
from models.predictors.predictor import PredictorError

Floats = NDArray[np.float64]

MAX_ORDER = 3
LEVELS = (np.arange(101) + 0.5) / 101
"""The levels at which observed gaps are kept: 101 quantiles, the median among them."""


_FIELDS = ("key", "starts", "follower", "count", "cases")


@dataclass(frozen=True)
class Counts:
    """What followed each context, as sparse rows: context i was followed `count[j]` times by touchpoint `follower[j]`,
    for j in starts[i]:starts[i+1]. `key` (X,) is sorted; `follower` counts from 0. A count is the weight of the cases,
    whose number is `cases[j]`.
    """

    key: Ints
    starts: Ints
    follower: Ints
    count: Floats
    cases: Ints

    @classmethod
    def of(cls, key: Ints, follower: Ints, weight: Floats, touchpoints: int) -> Counts:
        contexts, context = np.unique(key, return_inverse=True)
        pairs, pair = np.unique(context * touchpoints + follower, return_inverse=True)
        starts = np.searchsorted(pairs // touchpoints, np.arange(len(contexts) + 1)).astype(np.int64)
        count = np.bincount(pair, weights=weight, minlength=len(pairs)).astype(np.float64)
        cases = np.bincount(pair, minlength=len(pairs)).astype(np.int64)
        return cls(contexts, starts, pairs % touchpoints, count, cases)

    def followers(self, key: int, touchpoints: int) -> Ints:
        """(K,) how often each touchpoint followed this context."""
        found = np.zeros(touchpoints, dtype=np.int64)
        at = int(np.searchsorted(self.key, key))
        if at < len(self.key) and self.key[at] == key:
            pairs = slice(self.starts[at], self.starts[at + 1])
            found[self.follower[pairs]] = self.cases[pairs]
        return found

    def interpolate(self, key: Ints, rows: Ints, lower: Floats) -> None:
        """Witten-Bell: fold the counts of each context into the lower order's distribution `lower[rows]`, in place.

        p(w|h) = (count(h,w) + kinds(h) * p(w|shorter h)) / (count(h) + kinds(h)); unseen contexts are left as they are.
        """
        if not len(self.key):
            return
        at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        found = self.key[at] == key
        at, rows = at[found], rows[found]
        kinds = self.starts[at + 1] - self.starts[at]
        total = np.add.reduceat(self.count, self.starts[:-1])[at]
        # every (row, follower) pair once, so plain indexing adds each count once
        pair = np.repeat(self.starts[at] - np.cumsum(kinds) + kinds, kinds) + np.arange(kinds.sum())
        lower[rows] *= (kinds / (total + kinds))[:, None]
        lower[np.repeat(rows, kinds), self.follower[pair]] += self.count[pair] / np.repeat(total + kinds, kinds)


@dataclass(frozen=True)
class InterpolatedMarkov:
    """Orders 0 to `order`, interpolated by Witten-Bell smoothing (Witten & Bell 1991, method C); never zero.

    The journey's beginning is a context like any other, so "first was a search" differs from "a search just now". An
    empty history gets the smoothed distribution of first touchpoints.

    >>> histories, lengths = np.array([[2, 3], [3, 2], [2, 3], [0, 0]]), np.array([2, 2, 2, 0])
    >>> markov = InterpolatedMarkov.fit(histories, lengths, np.array([2, 3, 2, 2]), touchpoints=2, order=1)
    >>> markov.predict(np.array([[3], [2], [0]]), np.array([1, 1, 0])).round(3)
    array([[0.867, 0.133],
           [0.3  , 0.7  ],
           [0.8  , 0.2  ]])
    """

    order: int
    base: Floats  # (K,) order 0: what comes next, whatever came before
    first: Floats  # (K,) what a journey begins with
    counts: tuple[Counts, ...]  # orders 1 to `order`
    codes: int  # token codes in all

    @classmethod
    def fit(
        cls,
        tokens: Ints,
        lengths: Ints,
        following: Ints,
        touchpoints: int,
        order: int = 2,
        weight: Floats | None = None,
        fallback: Ints | None = None,
    ) -> Self:
        """Count S examples: histories (S, >= order) with their lengths (S,), and the token (S,) that followed each.

        `weight` (S,), at most 1, lets an example count for less, so that what is old says less than what is new.
        `fallback` is that of the `Vocabulary`: what follows a channel answers for a touchpoint of it that is new.
        """
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order {order} must be from 1 to {MAX_ORDER}")
        instead = np.arange(FIRST_TOUCHPOINT + touchpoints) if fallback is None else fallback
        if len(instead) ** order > 2**62:
            raise ValueError(f"order {order} is too high for {touchpoints} touchpoints; take {order - 1}")
        follower, each = following - FIRST_TOUCHPOINT, np.ones(len(following)) if weight is None else weight
        some = lengths > 0
        base = _smoothed(follower[some], each[some], np.full(touchpoints, 1 / touchpoints))
        first = _smoothed(follower[~some], each[~some], base)
        counts = []
        for k in range(1, order + 1):
            rows = np.flatnonzero(_reaches(lengths, k))
            key = _context(tokens[rows], lengths[rows], k, len(instead))
            if k == 1:
                new = np.flatnonzero(instead[key] != key)
                rows, key = np.concatenate([rows, rows[new]]), np.concatenate([key, instead[key[new]]])
            counts.append(Counts.of(key, follower[rows], each[rows], touchpoints))
        return cls(order, base, first, tuple(counts), len(instead))

    def predict(self, tokens: Ints, lengths: Ints, order: int | None = None) -> Floats:
        """(C, K) distribution of the next touchpoint for left-aligned histories (C, L) of these lengths (C,).

        `order` asks for a lower order than the fitted one. A row must hold the journey's last `order` touchpoints.
        """
        answer = np.where((lengths > 0)[:, None], self.base, self.first)
        for k, counts in enumerate(self.counts[:order], 1):
            rows = np.flatnonzero(_reaches(lengths, k))
            counts.interpolate(_context(tokens[rows], lengths[rows], k, self.codes), rows, answer)
        return answer

    def followers(self, tokens: Ints, order: int) -> Ints:
        """(K,) how often each touchpoint followed a history that ended with these last `order` touchpoints (order,).

        What was counted, before anything is smoothed. An order of one more than the history asks after its beginning.
        """
        key = _context(tokens[None, :], np.array([len(tokens)]), order, self.codes)
        return self.counts[order - 1].followers(int(key[0]), len(self.base))

    def save(self, path: Path) -> None:
        arrays: dict[str, NDArray[np.generic]] = {
            "base": self.base,
            "first": self.first,
            "codes": np.array([self.codes]),
        }
        for k, c in enumerate(self.counts, 1):
            arrays |= {f"{k}.{field}": getattr(c, field) for field in _FIELDS}
        save_file(arrays, str(path))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises PredictorError for a missing, damaged or incomplete file."""
        if not path.is_file():
            raise PredictorError(f"{path.name} is missing in {path.parent.name}/; train the bundle again")
        try:
            arrays = load_file(str(path))
            orders = sum(name.endswith(".key") for name in arrays)
            counts = tuple(Counts(*(arrays[f"{k}.{field}"] for field in _FIELDS)) for k in range(1, orders + 1))
            return cls(orders, arrays["base"], arrays["first"], counts, int(arrays["codes"][0]))
        except (SafetensorError, KeyError) as error:
            raise PredictorError(f"{path.name} in {path.parent.name}/ holds no Markov model: {error}") from error


def majority(markov: InterpolatedMarkov, customers: int) -> Floats:
    """(C, K) the base rate for everybody: what comes next most often, always."""
    return np.tile(markov.base, (customers, 1))


def repeat_last(tokens: Ints, lengths: Ints, base: Floats, again: float) -> Floats:
    """(C, K) the last touchpoint comes again with probability `again`; the rest is shared by base rate, (K,) or (C, K).

    >>> repeat_last(np.array([[3, 0]]), np.array([1]), np.array([0.5, 0.5]), again=0.6)
    array([[0.2, 0.8]])
    """
    answer = np.array(np.broadcast_to(base, (len(tokens), base.shape[-1])))
    last = _last(tokens, lengths) - FIRST_TOUCHPOINT
    rows = np.flatnonzero((last >= 0) & (last < base.shape[-1]))
    answer[rows] *= 1 - again
    answer[rows, last[rows]] += again
    return answer


@dataclass(frozen=True)
class EmpiricalGaps:
    """The gaps that followed each kind of touchpoint, as quantiles in seconds; unseen kinds get those of all.

    Describes gaps that ended (a touchpoint came), as a plain look at the past would. It is for reports.
    """

    seconds: Floats  # (V, 101) by token of the last touchpoint; row 0 is all

    @classmethod
    def fit(cls, last: Ints, gap_seconds: Floats, touchpoints: int) -> EmpiricalGaps:
        """From S observed gaps and the token of the touchpoint before each. Raises ValueError without any."""
        if not len(last):
            raise ValueError("no gap was observed; at least one customer needs two touchpoints")
        table = np.tile(np.quantile(gap_seconds, LEVELS), (touchpoints + FIRST_TOUCHPOINT, 1))
        for token in np.unique(last):
            table[token] = np.quantile(gap_seconds[last == token], LEVELS)
        return cls(table)

    def quantiles(self, tokens: Ints, lengths: Ints, levels: Floats) -> Floats:
        """(C, Q) seconds from the last touchpoint to the next, at these levels (Q,)."""
        last = _last(tokens, lengths)
        rows = self.seconds[np.where(last < len(self.seconds), last, 0)]
        return np.stack([np.interp(levels, LEVELS, row) for row in rows]).reshape(len(tokens), len(levels))


def _smoothed(follower: Ints, weight: Floats, lower: Floats) -> Floats:
    count = np.bincount(follower, weights=weight, minlength=len(lower))
    kinds = max(1, int((count > 0).sum()))
    return np.asarray((count + kinds * lower) / (count.sum() + kinds), dtype=np.float64)


def _reaches(lengths: Ints, k: int) -> NDArray[np.bool_]:
    """Histories that say something at order k: k touchpoints, or k - 1 and the knowledge that they are the first."""
    return lengths >= max(1, k - 1)


def _context(tokens: Ints, lengths: Ints, k: int, codes: int) -> Ints:
    """(S,) the last k tokens as one integer, the latest in the lowest digit; 0 stands for "before the beginning"."""
    key = np.zeros(len(tokens), dtype=np.int64)
    rows = np.arange(len(tokens))
    for back in range(k, 0, -1):
        at = lengths - back
        key = key * codes + np.where(at >= 0, tokens[rows, np.maximum(at, 0)], PADDING)
    return key


def _last(tokens: Ints, lengths: Ints) -> Ints:
    """(C,) the token of the last touchpoint; padding for an empty history."""
    last: Ints = np.where(lengths > 0, tokens[np.arange(len(tokens)), np.maximum(lengths - 1, 0)], PADDING)
    return last
