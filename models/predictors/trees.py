"""The trees of a boosting as columns, and exactly how much each feature moved one answer: TreeSHAP in numpy.

ONNX graphs keep no node counts, which a conditional expectation needs, so the trees stand beside the graph. Explains
and never predicts what is served; knows no feature's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.predictors.predictor import PredictorError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Ranges = dict[int, tuple[float, float, float]]
"""{feature: (above, up to, share of the examples that went this way)}."""


class _Paths(NamedTuple):
    """The way to each of L leaves, told by the D features at most that it asks about (padded: feature 0, all passes).

    feature (L, D), low and high (L, D): the leaf is reached where low < x <= high; share (L, D): of the examples that
    came to these splits, how many went this way; value (L,).
    """

    feature: Ints
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    share: Floats
    value: Floats


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees in one row after another; a split sends x <= threshold left.

    roots (T,)     the first node of each tree        feature, left, right (N,)  -1 in a leaf
    threshold (N,) float32    value (N,) log-odds of a leaf    count (N,) examples that came by    base: log-odds
    """

    roots: Ints
    feature: Ints
    threshold: NDArray[np.float32]
    left: Ints
    right: Ints
    value: Floats
    count: Floats
    base: float

    @classmethod
    def load(cls, path: Path) -> Trees:
        """Raises PredictorError for a missing or damaged file."""
        try:
            read = load_file(path)
            base = float(read.pop("base")[0])
            return cls(**read, base=base)
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise PredictorError(
                f"{path.name} in {path.parent.name}/ cannot be read ({error}); train the bundle again"
            ) from error

    def save(self, path: Path) -> None:
        columns = ("roots", "feature", "threshold", "left", "right", "value", "count")
        kept = {name: np.ascontiguousarray(getattr(self, name)) for name in columns}
        save_file(kept | {"base": np.array([self.base])}, path)

    @cached_property
    def expected(self) -> float:
        """The mean log-odds of the examples, as the counts tell it: what a row of which nothing is known gets."""
        paths = self._paths
        return self.base + float((paths.value * paths.share.prod(axis=1)).sum())

    def log_odds(self, row: NDArray[np.float32]) -> float:
        """What the trees say of one row (F,): the base and the values of the leaves that it reaches."""
        paths = self._paths
        return self.base + float(paths.value[_passed(paths, row).all(axis=1)].sum())

    def moved(self, row: NDArray[np.float32]) -> Floats:
        """(F,) how far each feature of one row (F,) moved the log-odds away from `expected`; they add up to the rest.

        Shapley values of the conditional expectation that follows the trees' paths (Lundberg et al. 2020, "From local
        explanations to global understanding with explainable AI for trees", algorithm 2, tree_path_dependent). For a
        leaf of value v, reached by feature j (o_j = 1) or not (0), where a share z_j goes that way, Shapley's weights
        are an integral: phi_i = v (o_i - z_i) * int_0^1 prod_{j != i} (t o_j + (1 - t) z_j) dt. The integrand is a
        polynomial of degree D - 1 in t, which Gauss and Legendre's rule of ceil(D / 2) points integrates exactly.
        """
        paths = self._paths
        depth = paths.feature.shape[1]
        nodes, weights = np.polynomial.legendre.leggauss(max(1, -(-depth // 2)))
        t, weights = (nodes + 1) / 2, weights / 2
        passed = _passed(paths, row).astype(np.float64)
        factor = t[:, None, None] * passed + (1 - t)[:, None, None] * paths.share  # (Q, L, D)
        ones = np.ones((*factor.shape[:2], 1))
        before = np.cumprod(np.concatenate([ones, factor[:, :, :-1]], axis=2), axis=2)
        after = np.cumprod(np.concatenate([ones, factor[:, :, :0:-1]], axis=2), axis=2)[:, :, ::-1]
        others = np.tensordot(weights, before * after, axes=1)  # (L, D)
        each = paths.value[:, None] * (passed - paths.share) * others
        return np.bincount(paths.feature.ravel(), weights=each.ravel(), minlength=len(row)).astype(np.float64)

    @cached_property
    def _paths(self) -> _Paths:
        found = [leaf for root in self.roots.tolist() for leaf in self._leaves(root, {})]
        depth = max([1, *(len(ranges) for ranges, _ in found)])
        shape = (len(found), depth)
        feature, share = np.zeros(shape, dtype=np.int64), np.ones(shape)
        low, high = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
        for number, (ranges, _) in enumerate(found):
            for place, (name, (lowest, highest, went)) in enumerate(ranges.items()):
                feature[number, place], share[number, place] = name, went
                low[number, place], high[number, place] = lowest, highest
        return _Paths(feature, low, high, share, np.array([value for _, value in found]))

    def _leaves(self, node: int, ranges: _Ranges) -> list[tuple[_Ranges, float]]:
        """The leaves below a node, each with the range and the share of every feature asked on the way."""
        name = int(self.feature[node])
        if name < 0:
            return [(ranges, float(self.value[node]))]
        at, below = float(self.threshold[node]), list[tuple[_Ranges, float]]()
        low, high, went = ranges.get(name, (-np.inf, np.inf, 1.0))
        for child, span in ((self.left[node], (low, min(high, at))), (self.right[node], (max(low, at), high))):
            share = went * float(self.count[child] / self.count[node])
            below += self._leaves(int(child), ranges | {name: (*span, share)})
        return below


def _passed(paths: _Paths, row: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(L, D) whether the row goes the leaf's way at each of its features."""
    asked = row[paths.feature]
    return (asked > paths.low) & (asked <= paths.high)
