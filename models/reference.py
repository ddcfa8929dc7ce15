"""What inputs looked like when promises were measured: a sample of embeddings or features, to tell a shift by.

Numbers only, no text and no id. One file beside each predictor that has one; tests nothing (confidence/shift.py does).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save_file

REFERENCE_FILE = "reference.safetensors"
MOST_CASES = 400


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Cases (n, d) as they were, and the names of their columns where they have names."""

    cases: NDArray[np.float32]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, cases: NDArray[np.floating], names: tuple[str, ...], rng: np.random.Generator) -> Self:
        """Some of the cases (m, d), at random."""
        chosen = rng.choice(len(cases), min(MOST_CASES, len(cases)), replace=False)
        return cls(np.ascontiguousarray(cases[np.sort(chosen)], dtype=np.float32), names)

    def save(self, folder: Path) -> None:
        """Write `reference.safetensors`."""
        save_file({"cases": self.cases}, folder / REFERENCE_FILE, {"names": json.dumps(self.names)})

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What `save` wrote; None where there is none, as in bundles of before."""
        path = folder / REFERENCE_FILE
        if not path.is_file():
            return None
        raw = path.read_bytes()
        head = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        names = json.loads(head.get("__metadata__", {}).get("names", "[]"))
        return cls(load(raw)["cases"], tuple(map(str, names)))


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The samples of a bundle: of words, and of the features of each target's probabilities."""

    words: Sample | None = None
    features: Mapping[str, Sample] = field(default_factory=dict)
