"""GET /v1/customers/{id}/export, DELETE /v1/customers/{id}, and the receipts of erasures; with scope admin."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from service.access.keys import Key, require
from service.customers import erasure
from service.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable, documented
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["customers"])

Services = Annotated[State, Depends(state_of)]
Admin = Annotated[Key, Depends(require("admin"))]
_MAY_FAIL = documented(Unauthorized, Forbidden, NotFound, Conflict, Invalid, Unavailable)
MOST_LISTED = 100


@router.get("/customers/{customer_id}/export", responses=_MAY_FAIL)
def export_customer(customer_id: str, state: Services, _: Admin) -> Response:
    """All that is held of one customer, by any of their ids: every row of every table."""
    return Response(msgspec.json.encode(erasure.everything(state, customer_id)), media_type="application/json")


@router.delete("/customers/{customer_id}", responses=_MAY_FAIL)
def erase_customer(customer_id: str, state: Services, key: Admin) -> dict[str, Any]:
    """Erase one customer, by any of their ids, and keep them out; answers with the receipt, again as well."""
    return erasure.erase(state, customer_id, by=f"key {key.key_id}").to_dict()


@router.get("/erasures", responses=_MAY_FAIL)
def list_erasures(
    state: Services,
    _: Admin,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20,
) -> dict[str, Any]:
    """The receipts of erasures, the newest first."""
    found = erasure.receipts(state, cursor, limit)
    following = found[-1].begun_at if len(found) == limit else None
    return {"erasures": [one.to_dict() for one in found], "next_cursor": following}


@router.get("/erasures/{tombstone_id}", responses=_MAY_FAIL)
def read_erasure(tombstone_id: str, state: Services, _: Admin) -> dict[str, Any]:
    """The receipt of one erasure."""
    return erasure.receipt(state, tombstone_id).to_dict()
