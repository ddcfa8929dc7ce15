"""GET /v1/changes: what changed since a cursor, in the order in which it was committed.

A reader keeps `next_cursor` once it has acted on an answer. Cut off in between, it gets the same changes again: each is
told at least once, those of one customer in their order.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection

from service.access.keys import Key, require
from service.errors import Conflict, Forbidden, Invalid, Unauthorized, Unavailable, documented
from service.outbox import store
from service.outbox.store import KINDS, Cursor
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["changes"])

MOST_LISTED = 1_000
NOW = "now"
"""In place of a cursor: nothing of what was, all that comes."""


@router.get("/changes", responses=documented(Unauthorized, Forbidden, Conflict, Invalid, Unavailable))
def read_changes(
    state: Annotated[State, Depends(state_of)],
    _: Annotated[Key, Depends(require("read", "provisional"))],
    since: Annotated[str, Query(max_length=200, description="`next_cursor` of the last answer, or `now`.")] = "",
    kinds: Annotated[str, Query(max_length=500, description="Only these, with commas between.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
) -> dict[str, Any]:
    """What changed since the cursor, oldest first; without one, from the oldest that is kept. Ask again with `more`."""
    wanted = kinds_of(kinds.split(",") if kinds else [])
    with state.service.read() as connection:
        if since == NOW:
            return {"changes": [], "next_cursor": store.head(connection).told(), "more": False}
        cursor = Cursor.read(since) if since else None
        if cursor is not None:
            store.check(connection, cursor)
        found = store.after(connection, cursor.seq if cursor else 0, wanted, limit)
        following = _following(connection, cursor, found, limit)
    return {
        "changes": [one.to_dict() for one in found],
        "next_cursor": following.told(),
        "more": len(found) == limit,
    }


def _following(connection: Connection, cursor: Cursor | None, found: list[store.Change], limit: int) -> Cursor:
    """Past all that was looked at, so that a filter does not look at it again."""
    if len(found) < limit:
        return store.head(connection)
    return Cursor(found[-1].seq, found[-1].changed_at)


def kinds_of(given: list[str]) -> tuple[str, ...]:
    """The kinds asked for, all where none is named. Raises Invalid."""
    for one in given:
        if one not in KINDS:
            raise Invalid(f"There is no kind of change {one!r}.", "Choose allowed ones.", field="kinds", value=one,
                          allowed=KINDS)  # fmt: skip
    return tuple(kind for kind in KINDS if kind in given) or KINDS
