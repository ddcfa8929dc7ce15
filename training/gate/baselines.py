"""The first gate: a bundle loses to no simple baseline of any question that it was trained for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

TIED_NATS = 0.01
"""A loss larger than this is none of luck's, however few cases there are."""


def gate(figures: Mapping[str, Any]) -> tuple[bool, str]:
    """Beside every baseline of every question that was trained, on the test slice: better, or apart by luck alone.

    What lies above by no more than `TIED_NATS`, with an interval that holds zero, is a tie: refusing it would leave
    whoever has little data with an old champion in every other week, by luck.

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
    above = list(_above(trained))
    lost = [told for told, tied in above if not tied]
    if lost:
        return False, "; ".join(f"{one} nats" for one in lost)
    ties = "".join(f"; {told} nats, which is luck" for told, _ in above)
    return True, f"{'loses to no' if ties else 'beats every'} baseline: {', '.join(trained)}{ties}"


def _above(trained: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """What is not better than a baseline, and whether it is tied with it."""
    for name, one in trained.items():
        for baseline, theirs in one["baselines"].items():
            found = theirs["ours_minus_theirs"]
            if not found["mean"] < 0:
                interval = found.get("interval")
                tied = bool(interval) and found["mean"] <= TIED_NATS and interval[0] <= 0
                yield f"{name} loses to {baseline} by {found['mean']:.4f}", tied
