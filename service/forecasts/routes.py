"""GET /v1/forecasts: how good served purchase probabilities turned out to be, by target. Changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from models.journey.event import format_time
from service.access.keys import Key, require
from service.forecasts import store
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/forecasts")
def read_quality(
    state: Annotated[State, Depends(state_of)], key: Annotated[Key, Depends(require("read", "review", "admin"))]
) -> dict[str, Any]:
    """What was told and what happened: AUC, Brier score, calibration and lift, overall, by version, channel and stage.

    `pending` probabilities wait for the end of their horizon. A group is `measured` from 20 cases that happened and 20
    that did not.
    """
    return {"targets": told(state)}


def told(state: State) -> list[dict[str, Any]]:
    """Every target that something was kept about, with its counts and its figures; `quality` is null at first."""
    now = state.clock()
    with state.service.read() as connection:
        found = store.get_quality(connection)
        counted = {name: store.counts(connection, name, now) for name in store.names(connection)}
    return [
        {
            "definition": name,
            **counts,
            "computed_at": format_time(found[name][0]) if name in found else None,
            "quality": found[name][1] if name in found else None,
        }
        for name, counts in counted.items()
    ]
