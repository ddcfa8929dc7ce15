"""Where a net learns and in what numbers: the processor in float32, or a GPU, in bfloat16 where it can.

Weights, their average and the optimiser stay in float32: bfloat16 is for the products of a step alone. Moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch

DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Compute:
    """A device, and whether a step multiplies in bfloat16.

    >>> str(Compute.on("cpu"))
    'cpu, float32'
    """

    device: torch.device
    bfloat16: bool = False

    @classmethod
    def on(cls, name: DeviceName) -> Self:
        """`auto` takes a GPU where there is one. Raises ValueError where one is asked for and there is none."""
        check_device(name)
        there = torch.cuda.is_available()
        if name == "cuda" and not there:
            raise ValueError("device 'cuda': this PyTorch sees no GPU; take 'auto' or 'cpu', or install one that does")
        if name == "cpu" or not there:
            return cls(torch.device("cpu"))
        return cls(torch.device("cuda"), torch.cuda.is_bf16_supported(including_emulation=False))

    def autocast(self) -> torch.autocast:
        """A context in which matrices are multiplied in bfloat16, where that was chosen."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def __str__(self) -> str:
        return f"{self.device.type}, {'bfloat16' if self.bfloat16 else 'float32'}"


def check_device(name: str) -> None:
    """Raises ValueError for a name that is not known."""
    if name not in get_args(DeviceName):
        raise ValueError(f"device {name!r} is not known; allowed are {', '.join(get_args(DeviceName))}")
