"""What small sets teach, and the mean of what several passes learned. It runs no pass (`training/pretrain.py` does).

Averaging the weights of passes that began from the same ones answers at least as well as the best of them, and is
steadier on texts of another kind (Izmailov et al. 2018, "Averaging weights leads to wider optima"; Wortsman et al.
2022, "Model soups").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHORT: tuple[Mapping[str, float], ...] = (
    {"movies": 0.4, "news": 0.4, "tweets": 0.6, "sarcasm": 2, "twins": 2, "own": 2,
     "goemotions": 0.1, "clothing": 0.05, "titles": 0.05},
)  # fmt: skip
"""How often each text of a set is read in each short pass; less than once: so large a part of them is."""


def often(source: NDArray[np.str_], times: Mapping[str, float], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the texts of a short pass, those read twice named twice.

    >>> often(np.array(["a", "a", "b"]), {"a": 0.5, "b": 2}, np.random.default_rng(0)).tolist()
    [0, 2, 2]
    """
    rows: list[NDArray[np.int64]] = []
    for name, count in times.items():
        of = np.flatnonzero(source == name)
        part = rng.permutation(of)[: round((count - int(count)) * len(of))]
        rows += [of] * int(count) + [part]
    return np.sort(np.concatenate(rows))


def mean(learned: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the same tensors of several passes.

    >>> mean([{"w": torch.zeros(1)}, {"w": torch.ones(1)}])
    {'w': tensor([0.5000])}
    """
    return {name: torch.stack([one[name] for one in learned]).mean(0) for name in learned[0]}
