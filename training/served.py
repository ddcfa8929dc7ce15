"""What became of the purchase probabilities that the service handed out: figures over an exported forecasts.parquet.

Reads and measures; teaches nothing. The same figures as the service's own page and endpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.confidence.checked import Checked, quality

COLUMNS = ["definition", "version", "customer_id", "probability", "low", "high", "channel", "stage", "happened"]


def served_figures(path: Path) -> dict[str, dict[str, Any]]:
    """Figures of each target over what was checked, with how many still wait; empty where nothing was served."""
    frame = pd.read_parquet(path, columns=COLUMNS)
    return {str(name): _figures(of_target) for name, of_target in frame.groupby("definition", sort=True)}


def _figures(frame: pd.DataFrame) -> dict[str, Any]:
    known = frame[frame["happened"].notna()]
    probability, low, high = (known[name].to_numpy(dtype=np.float64) for name in ("probability", "low", "high"))
    checked = Checked(
        probability,
        low,
        high,
        known["happened"].to_numpy(dtype=np.bool_),
        _names(known["customer_id"]),
        {
            "version": _names(known["version"]),
            "channel": _names(known["channel"]),
            "stage": _names(known["stage"].replace("", "unknown")),
        },
    )
    return {"waiting": len(frame) - len(known), **quality(checked, np.random.default_rng(len(known)))}


def _names(column: pd.Series) -> np.ndarray:
    return column.astype(str).to_numpy(dtype=np.str_)
