"""The first gate: a bundle beats every simple baseline of every question that it was trained for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def gate(figures: Mapping[str, Any]) -> tuple[bool, str]:
    """A champion beats every baseline of every question that was trained, on the test slice.

    >>> gate({"next_touchpoint": {"status": "not_trained"}, "purchase": {}, "feeling": {"status": "not_trained"}})
    (False, 'nothing could be trained')
    """
    questions_asked = {
        "next touchpoint": figures["next_touchpoint"],
        **{f"purchase {name}": one for name, one in figures["purchase"].items()},
        "feeling": figures["feeling"],
    }
    trained = {name: one for name, one in questions_asked.items() if one["status"] == "trained"}
    if not trained:
        return False, "nothing could be trained"
    lost = [
        f"{name} loses to {baseline} by {theirs['ours_minus_theirs']['mean']:.4f} nats"
        for name, one in trained.items()
        for baseline, theirs in one["baselines"].items()
        if not theirs["ours_minus_theirs"]["mean"] < 0
    ]
    if lost:
        return False, "; ".join(lost)
    return True, f"beats every baseline: {', '.join(trained)}"
