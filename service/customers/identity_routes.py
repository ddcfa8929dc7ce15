"""GET /v1/customers/{id}/identity, and POST /v1/customers/{id}/split with scope admin."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from service.access.keys import Key, require
from service.body import documented, read_model
from service.customers import identity
from service.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from service.errors import documented as told
from service.state import State, state_of

router = APIRouter(prefix="/v1/customers", tags=["customers"])

BODY_BYTES = 16_384
_Services = Annotated[State, Depends(state_of)]
_NO_NUL = r"^[^\x00]*$"


class SplitIn(BaseModel):
    """The id that does not belong to this customer; what is there only through it leaves with it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    id: str = Field(min_length=1, max_length=600, pattern=_NO_NUL, examples=["a:dev9"],
                    description="As `identity` lists it, or without its kind.")  # fmt: skip
    reason: str = Field(default="", max_length=500, pattern=_NO_NUL, description="In a few words, for the record.")
    by: str | None = Field(default=None, min_length=1, max_length=100, pattern=_NO_NUL,
                           description="Who decided it; the key's name where none is given.")  # fmt: skip


async def split_body(request: Request) -> SplitIn:
    return await read_model(request, SplitIn, BODY_BYTES)


@router.get("/{customer_id}/identity", responses=told(Unauthorized, Forbidden, NotFound, Unavailable))
def read_identity(
    customer_id: str, state: _Services, _: Annotated[Key, Depends(require("read", "provisional", "admin"))]
) -> dict[str, Any]:
    """Every id of one customer, asked for by any of them: what joined them, what was refused, and what was undone."""
    customer = identity.find_customer(state, customer_id)
    with state.service.read() as connection:
        return identity.identity_of(connection, customer).to_dict()


@router.post(
    "/{customer_id}/split",
    openapi_extra=documented(SplitIn),
    responses=told(Unauthorized, Forbidden, NotFound, Conflict, Invalid, Unavailable),
)
def split_customer(
    customer_id: str,
    state: _Services,
    key: Annotated[Key, Depends(require("admin"))],
    body: Annotated[SplitIn, Depends(split_body)],
) -> dict[str, Any]:
    """Undo what joined an id to this customer: its events go back, and both are concluded anew."""
    stays, left, undone = identity.split(state, customer_id, body.id, body.by or key.name, body.reason)
    return {
        "customer": stays.to_dict(),
        "split_off": left.to_dict(),
        "undone": [{"id": id, "owner": owner} for id, owner in undone],
    }
