"""Which of several independent variables is the highest, how probably: beta variables, or the shares of a Dirichlet.

By quadrature on one grid for all, in numpy. What hangs on one variable alone is remembered, for customers have most of
theirs in common; of each integral only the part of the grid is looked at where the variable lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shape = tuple[float, float]

_STEP = 0.04
_LOG_ODDS = np.arange(-16.0, 16.0 + _STEP / 2, _STEP)
_LOG_SHARE, _LOG_REST = -np.log1p(np.exp(-_LOG_ODDS)), -np.log1p(np.exp(_LOG_ODDS))
_AMOUNT_STEP = _STEP / 4  # amounts of several hundred vary by a twentieth of their size
_LOG_AMOUNT = np.arange(-12.0, 12.0, _AMOUNT_STEP)
_AMOUNT = np.exp(_LOG_AMOUNT)
_FAR, _WEIGHT = np.polynomial.laguerre.laggauss(48)
_REMEMBERED = 512
"""Variables of each kind: at most some 20 MB."""
_NOTHING = 1e-14
"""Weights that together are less than this are left out."""


@dataclass(frozen=True, slots=True)
class _Variable:
    """One variable on a grid of G points: `below` (G,) how probably it lies below each, and `weights` (W,) from the
    point `first` on, so that weights @ f is the integral of f over its distribution. Outside of the grid its density
    falls off as exp(left t) and exp(-right t), and there it is with probability `before` and `after`.
    """

    below: Floats
    weights: Floats
    first: int
    left: float
    right: float
    before: float
    after: float

    @classmethod
    def of(cls, log_density: Floats, left: float, right: float, step: float) -> Self:
        density = np.exp(log_density - log_density.max())
        pieces = (density[1:] + density[:-1]) * (step / 2)
        before, after = density[0] / left, density[-1] / right
        total = pieces.sum() + before + after
        below = np.concatenate([[before], before + np.cumsum(pieces)]) / total
        by_density = step * density
        by_density[[0, -1]] /= 2
        by_mass = (np.append(pieces, 0.0) + np.append(0.0, pieces)) / 2
        weights = (2 * by_density + by_mass) / (3 * total)  # their leading errors are as 1 to -2, and cancel
        first, end = np.searchsorted(np.cumsum(weights), (_NOTHING, weights.sum() - _NOTHING))
        return cls(below, weights[first : end + 1].copy(), int(first), left, right, before / total, after / total)

    @property
    def where(self) -> slice:
        return slice(self.first, self.first + len(self.weights))


@lru_cache(maxsize=_REMEMBERED)
def _rate(shape: Shape) -> _Variable:
    a, b = shape
    return _Variable.of(a * _LOG_SHARE + b * _LOG_REST, a, b, _STEP)


@lru_cache(maxsize=_REMEMBERED)
def _amount(weight: float) -> _Variable:
    return _Variable.of(weight * _LOG_AMOUNT - _AMOUNT, weight, 1.0, _AMOUNT_STEP)


@lru_cache(maxsize=65_536)
def highest_rate(shapes: tuple[Shape, ...], asked: tuple[int, ...]) -> tuple[float, ...]:
    """How probable it is that each of `asked` is the highest of independent beta variables of these shapes.

    P(i) = integral of f_i times the product of all other F_j, by the trapezoidal rule over log odds: the densities are
    smooth there whatever their shapes, and what lies outside the grid is added in closed form.

    >>> [round(one, 3) for one in highest_rate(((1.0, 1.0), (1.0, 1.0), (3.0, 1.0)), (0, 1, 2))]
    [0.2, 0.2, 0.6]
    """
    variables = [_rate(shape) for shape in shapes]
    return tuple(_highest(variables, which) for which in asked)


@lru_cache(maxsize=65_536)
def largest_share(weights: tuple[float, ...], asked: int, beside: tuple[float, ...] = ()) -> float:
    """How probable it is that the share `asked` is the largest of a Dirichlet distribution of these weights.

    Shares are independent gamma variables over their sum, so the largest share is the largest gamma variable. `beside`
    holds weights of further shares, such as many have in common: what they do together is remembered.

    >>> round(largest_share((1.0, 1.0, 1.0, 1.0), 2), 3), round(largest_share((1.0, 1.0), 1, (1.0, 1.0)), 3)
    (0.25, 0.25)
    """
    return _highest([*map(_amount, weights), *([_amounts(beside)] if beside else [])], asked)


@lru_cache(maxsize=_REMEMBERED)
def _amounts(weights: tuple[float, ...]) -> _Variable:
    """The largest of several amounts, as far as another one must exceed it: not asked for its own weights."""
    each = [_amount(weight) for weight in weights]
    below = np.prod([one.below for one in each], axis=0)
    return _Variable(below, np.empty(0), 0, sum(one.left for one in each), 1.0, float(below[0]), 0.0)


def _highest(variables: Sequence[_Variable], which: int) -> float:
    """So far to the left that the grid ends, all fall off together, and who is the highest there is as their `left` are
    to one another."""
    mine, others = variables[which], [*variables[:which], *variables[which + 1 :]]
    product, at_the_start = mine.weights.copy(), mine.before
    for one in others:
        product *= one.below[mine.where]
        at_the_start *= one.below[0]
    found = product.sum() + at_the_start * mine.left / sum(one.left for one in variables)
    if mine.after > _NOTHING:
        found += mine.after * _highest_beyond(mine, others)
    return float(found)


def _highest_beyond(mine: _Variable, others: Sequence[_Variable]) -> float:
    """How probable it is that one beyond the right end of the grid is the highest: each of the others is beyond it too
    with some probability, and falls off so many times steeper. By Gauss and Laguerre, over how far out it lies.
    """
    there = np.array([1 - one.below[-1] for one in others])
    steeper = np.array([one.right / mine.right for one in others])
    ahead = there[:, None] * np.exp(-steeper[:, None] * _FAR)
    return float((1 - ahead).prod(axis=0) @ _WEIGHT)
