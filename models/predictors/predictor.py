"""What every predictor has in common: where it is loaded from, and what one failing to load says.

Holds no model. How each answers is in its own file; how far to trust an answer is confidence's part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_SLOWER = ["SkipLayerNormFusion"]
"""Rewritings of ONNX Runtime 1.31 that cost more than they save: its fused sum and layer norm takes five times as long
as one after the other."""


class PredictorError(ValueError):
    """A predictor's folder is incomplete, of a foreign format or damaged; the message names the file and the fix."""


@dataclass(frozen=True)
class NextTouchpointPrediction:
    """What comes next, and when.

    distribution          (C, K) float64  over the vocabulary's touchpoints, given that one comes; rows sum to 1
    none_within_horizon   (C,)   float64  chance that no touchpoint comes within the horizon
    expected_in_seconds   (C, 3) float64  10 %, 50 % and 90 % quantile of the time from as_of to the next touchpoint
    """

    distribution: NDArray[np.float64]
    none_within_horizon: NDArray[np.float64]
    expected_in_seconds: NDArray[np.float64]


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX graph on the CPU. One thread a session is fastest on small shared machines, so it is the default."""
    if not path.is_file():
        raise PredictorError(f"{path.name} is missing in {path.parent.name}/; train the bundle again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
        )
    except Exception as error:
        raise PredictorError(f"{path.name} in {path.parent.name}/ is no readable ONNX graph: {error}") from error
