"""Which texts are unlike those that a reader of feelings was taught on: its answers about them rest on nothing known.

It hears what the encoder hears of a text, not what the text is about in words. It names strangers and judges nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Floats = NDArray[np.float64]

DOMAIN_FILE = "domain.safetensors"
STRANGE_SHARE = 0.01
"""Of texts of the same kind at most so many are taken for strangers."""
LEAST_TAUGHT, LEAST_HELD = 200, 60
"""With fewer texts taught or held back nothing is said of strangers."""
_DIRECTIONS = 128


@dataclass(frozen=True, slots=True)
class Domain:
    """What the vectors of known texts have in common: the directions in which they vary.

    A text is strange by what of its vector lies in no such direction (the Q statistic of Jackson and Mudholkar 1979;
    of the ways tried it found most strangers, see decision 0012). From which strangeness on it counts is the conformal
    bound of texts held back, so that of texts of the same kind one in a hundred is flagged.

    Attributes:
        mean: (d,) of the vectors taught.
        directions: (q, d) orthonormal, those of the largest variance.
        far: strangeness above which a text is a stranger.

    >>> rng = np.random.default_rng(0)
    >>> known = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 8))
    >>> domain = Domain.of(known[:300], known[300:])
    >>> bool(domain.strange(known).mean() <= 0.02), domain.strange(known[:2] + rng.normal(size=8)).tolist()
    (True, [True, True])
    """

    mean: Floats
    directions: Floats
    far: float

    @classmethod
    def of(cls, taught: Floats, held: Floats) -> Domain | None:
        """From vectors (n, d) that taught and others (m, d) that did not; None where there are too few of either."""
        if len(taught) < LEAST_TAUGHT or len(held) < LEAST_HELD:
            return None
        mean = taught.mean(axis=0)
        directions = np.linalg.svd(taught - mean, full_matrices=False)[2][: min(_DIRECTIONS, len(taught) // 4)]
        if len(directions) >= taught.shape[1]:
            directions = directions[: taught.shape[1] // 2]
        domain = cls(mean, directions, np.inf)
        ranked = np.sort(domain.strangeness(held))
        place = int(np.ceil((len(held) + 1) * (1 - STRANGE_SHARE)))
        return cls(mean, directions, float(ranked[min(place, len(held)) - 1]))

    def strangeness(self, vectors: Floats) -> Floats:
        """(n,) length of what is left of each vector (n, d) when all known directions are taken out."""
        centred = vectors - self.mean
        left: Floats = np.sqrt(np.square(centred - centred @ self.directions.T @ self.directions).sum(axis=1))
        return left

    def strange(self, vectors: Floats) -> NDArray[np.bool_]:
        """(n,) True for strangers."""
        found: NDArray[np.bool_] = self.strangeness(vectors) > self.far
        return found

    def save(self, folder: Path) -> None:
        """Write `domain.safetensors`."""
        tensors = {"mean": self.mean, "directions": self.directions, "far": np.array([self.far])}
        save_file(
            {name: np.ascontiguousarray(one, dtype=np.float32) for name, one in tensors.items()}, folder / DOMAIN_FILE
        )

    @classmethod
    def load(cls, folder: Path) -> Domain | None:
        """Read `domain.safetensors`; None where there is none. Raises SafetensorError or KeyError for a damaged one."""
        file = folder / DOMAIN_FILE
        if not file.is_file():
            return None
        tensors = {name: one.astype(np.float64) for name, one in load_file(file).items()}
        return cls(tensors["mean"], tensors["directions"], float(tensors["far"][0]))
