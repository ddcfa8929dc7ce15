"""GET /v1/catalogue: the rules that history speaks, what each took, and events that no rule names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from models.journey.event import format_time
from service.access.keys import Key, require
from service.errors import Forbidden, Invalid, Unauthorized, Unavailable, documented
from service.events import remap
from service.events.catalogue_report import MOST_UNMAPPED, in_force, report_of
from service.state import State, state_of

router = APIRouter()


@router.get("/v1/catalogue", tags=["events"], responses=documented(Unauthorized, Forbidden, Invalid, Unavailable))
def catalogue(
    _: Annotated[Key, Depends(require("admin"))],
    state: Annotated[State, Depends(state_of)],
    limit: Annotated[int, Query(ge=1, le=MOST_UNMAPPED)] = 20,
) -> dict[str, Any]:
    """The rules in force with their shares of history, and events that no rule names, each with a suggested rule."""
    with state.service.read() as connection:
        speaks, tally, since = in_force(connection, state.catalogue)
        left = remap.rows_left(connection)
    return {
        "digest": speaks.digest,
        "in_force_since": None if since is None else format_time(since),
        "rows_to_remap": left,
        **report_of(speaks, tally, limit).to_dict(),
    }
