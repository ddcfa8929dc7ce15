"""The array types of this package, and the checks at its doors.

It turns what callers hold (float32 scores, 0/1 labels) into float64, int64 and bool arrays, or says what is wrong with
it. It measures nothing.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

Reals = NDArray[np.floating]
"""Numbers as callers hold them; float32 and float64 alike."""
Labels = NDArray[np.integer] | NDArray[np.bool_]
"""Class numbers, or 0/1 and False/True where there are two."""
Groups = NDArray[np.str_] | NDArray[np.integer] | NDArray[np.object_]
"""One name or number a case: its customer, its channel."""

ROW_SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of one case may add up; float32 softmax stays far inside it."""


def reals(field: str, values: Reals, ndim: int = 1, length: int | None = None) -> Floats:
    """``values`` as finite float64 with ``ndim`` axes and, where given, ``length`` cases."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{field} has shape {array.shape}; give an array with {ndim} axes")
    if length is not None and len(array) != length:
        raise ValueError(f"{field} has {len(array)} cases, the others have {length}; give one value for each case")
    if not np.isfinite(array).all():
        raise ValueError(f"{field} holds NaN or infinity; remove or fill these cases first")
    return array


def probabilities(field: str, values: Reals, ndim: int = 1, length: int | None = None) -> Floats:
    """``values`` as probabilities: all in 0..1 and, with two axes, each row adding up to 1."""
    array = np.asarray(values, dtype=np.float64)
    if ndim == 2 and array.ndim == 2 and length is None and array.size and _adds_up(array):
        return array
    array = reals(field, values, ndim, length)
    if array.size and (array.min() < 0.0 or array.max() > 1.0):
        raise ValueError(f"{field} ranges {array.min():.4g}..{array.max():.4g}; probabilities lie in 0..1")
    if ndim == 2 and array.size and np.abs(array.sum(axis=1) - 1.0).max() > ROW_SUM_TOLERANCE:
        raise ValueError(f"{field} has rows that do not add up to 1; apply softmax to logits first")
    return array


def _adds_up(array: Floats) -> bool:
    """Whether nothing can be wrong with these rows, told by two sums: NaN and infinity fail both."""
    off = array @ np.ones(array.shape[1]) - 1.0
    return bool(array.min() >= 0.0 and abs(off).max() <= ROW_SUM_TOLERANCE and array.max() <= 1.0)


def classes(field: str, values: Labels, length: int, n_classes: int) -> Ints:
    """``values`` as class numbers 0..n_classes-1, one for each of ``length`` cases."""
    array = np.asarray(values)
    if array.shape != (length,):
        raise ValueError(f"{field} has shape {array.shape}; give one class number for each of {length} cases")
    if array.size and (array.min() < 0 or array.max() >= n_classes):
        raise ValueError(f"{field} ranges {array.min()}..{array.max()}; class numbers lie in 0..{n_classes - 1}")
    return array.astype(np.int64)


def flags(field: str, values: Labels, length: int | None = None) -> Flags:
    """``values`` as False/True; numbers other than 0 and 1 are refused."""
    array = np.asarray(values)
    if array.ndim != 1 or (length is not None and len(array) != length):
        raise ValueError(f"{field} has shape {array.shape}; give one 0 or 1 for each of {length} cases")
    if array.size and not np.isin(array, (0, 1)).all():
        raise ValueError(f"{field} holds {np.unique(array)[:5]}; allowed are 0 and 1, or False and True")
    return array.astype(np.bool_)


def group_names(values: Groups | None, length: int) -> NDArray[np.str_] | None:
    """The groups of ``length`` cases as text, or None where none are given."""
    if values is None:
        return None
    array = np.asarray(values).astype(np.str_)
    if array.shape != (length,):
        raise ValueError(f"group has shape {array.shape}; give one group for each of {length} cases")
    return array


def share(field: str, value: float) -> float:
    """``value`` as a number strictly between 0 and 1 (an accepted risk, a confidence level)."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{field} is {value}; give a number strictly between 0 and 1")
    return float(value)
