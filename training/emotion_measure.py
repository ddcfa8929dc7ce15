"""What each emotion's probability is worth: calibration, from where it is answered, from where it cannot be ruled out.

Measured on texts that the head was not fitted on; it fits no head.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence.calibration import Sigmoid, Uncalibrated
from models.confidence.conformal import conformal_quantile
from models.predictors.feedback import EMOTIONS

LEAST_FELT = 8
"""With fewer texts that carry an emotion its probability is taken as it is."""
MISSED = 0.1
"""Of the texts that carry an emotion, at most about so many lack it in the prediction set."""

Floats = NDArray[np.float64]


def measure_emotions(chance: Floats, felt: NDArray[np.bool_]) -> dict[str, Any]:
    """Calibrate (n, 28) probabilities on (n, 28) labels.

    Returns for each emotion `slope` and `intercept` (Platt scaling of the logit), `answer_from` (the calibrated
    probability from which answering it gives the highest F1 to expect) and `possible_from` (the one that `MISSED` of
    the texts which carry the emotion fall below: conformal sets for each label; Vovk et al. 2005, chapter 4.6).
    """
    told: dict[str, Any] = {
        "names": list(EMOTIONS),
        "slope": [],
        "intercept": [],
        "answer_from": [],
        "possible_from": [],
    }
    for k in range(chance.shape[1]):
        enough = int(felt[:, k].sum()) >= LEAST_FELT
        fitted = Sigmoid.fit(chance[:, k], felt[:, k]) if enough else Uncalibrated()
        calibrated = fitted.apply(chance[:, k])
        told["slope"].append(round(fitted.slope, 5) if isinstance(fitted, Sigmoid) else 1.0)
        told["intercept"].append(round(fitted.intercept, 5) if isinstance(fitted, Sigmoid) else 0.0)
        told["answer_from"].append(round(best_threshold(calibrated), 5))
        told["possible_from"].append(_possible_from(calibrated[felt[:, k]]) if enough else 0.0)
    return told


def best_threshold(calibrated: Floats) -> float:
    """The threshold on calibrated probabilities (n,) with the highest F1 to expect (Lipton et al. 2014).

    >>> best_threshold(np.array([0.9, 0.8, 0.1, 0.05]))
    0.8
    """
    ordered = np.sort(calibrated)[::-1]
    expected = 2 * ordered.cumsum() / (np.arange(1, len(ordered) + 1) + ordered.sum())
    return float(ordered[int(expected.argmax())])


def _possible_from(felt: Floats) -> float:
    missing = conformal_quantile(1 - felt, MISSED)
    return round(max(0.0, 1 - missing), 5) if np.isfinite(missing) else 0.0
