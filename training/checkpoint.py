"""What a fit has learned so far, in one file that is whole or not there: tensors and numbers, nothing that runs.

A safetensors file whose header carries the numbers as JSON; nothing is pickled. Knows no net and no optimiser: what
belongs into it is the loop's part (`training/loop.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT = "journey-insight checkpoint 1"


class CheckpointError(ValueError):
    """A checkpoint is damaged or foreign; the message names the file and the fix."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and numbers that JSON can hold (floats come back to the bit)."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Take the place of whatever checkpoint was there, in one step."""
        own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        write_whole(path, save(own, {"format": FORMAT, "numbers": json.dumps(dict(self.numbers))}))

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """None where there is none. Raises CheckpointError."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, "pt") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise CheckpointError(f"{path}: format {header.get('format')!r}, not {FORMAT!r}; begin anew")
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, no mapping
            return cls(tensors, json.loads(header["numbers"]))
        except (SafetensorError, KeyError, OSError) as error:
            raise CheckpointError(f"{path}: is damaged ({error}); remove it to learn from the beginning") from error

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without the prefix."""
        return {name.removeprefix(prefix): one for name, one in self.tensors.items() if name.startswith(prefix)}


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever looks sees the old one or the new one, also after the power went."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
