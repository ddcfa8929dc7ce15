"""GET /v1/customers/{id}/journey and /consent, PUT of the latter: what is told of one person, by any id; and which
versions learned from them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.access.keys import Key, require
from service.body import documented, read_model
from service.customers import consent
from service.customers.consent import IdKind
from service.customers.identity import find_customer
from service.customers.learned import learned_from_objector
from service.customers.timeline import Order, Place
from service.errors import Forbidden, Invalid, NotFound, Unauthorized, Unavailable, unknown_customer
from service.errors import documented as problems
from service.events.tracking import MAX_ID
from service.insights.conclude import conclude, moment
from service.insights.moments import check_past, moment_of
from service.insights.timeline import answer_of, told_of
from service.live.bundles import LiveBundles, bundles_of
from service.state import State, state_of

router = APIRouter(prefix="/v1/customers", tags=["customers"])

MOST_LISTED = 200
BODY_BYTES = 16_384
_Services = Annotated[State, Depends(state_of)]
_Reader = Annotated[Key, Depends(require("read", "provisional"))]
_NO_NUL = r"^[^\x00]*$"


class ConsentIn(BaseModel):
    """Whether this person may be profiled. `id_kind` says what the id in the path is, where nobody is known by it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    profiling: bool = Field(description="false: the person objects. true: they agree (again).")
    reason: str = Field(default="", max_length=500, pattern=_NO_NUL, description="In a few words, for the record.")
    by: str | None = Field(default=None, min_length=1, max_length=100, pattern=_NO_NUL,
                           description="Who took it down; the key's name where none is given.")  # fmt: skip
    id_kind: IdKind | None = Field(default=None, description="Missing: the kind that is known, else userId.")


async def consent_body(request: Request) -> ConsentIn:
    return await read_model(request, ConsentIn, BODY_BYTES)


@router.get("/{customer_id}/journey", responses=problems(Unauthorized, Forbidden, NotFound, Invalid, Unavailable))
def read_journey(
    customer_id: str,
    state: _Services,
    key: _Reader,
    cursor: Annotated[str | None, Query(max_length=1_000)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50,
    order: Order = "newest",
    as_of: str | None = None,
) -> Response:
    """Every touchpoint of one customer, asked for by any id, with its words and what was concluded then."""
    customer = find_customer(state, customer_id)
    at = None if as_of is None else moment_of("as_of", as_of)
    with state.service.read() as connection:
        now = moment(connection, state)
    if at is not None:
        check_past(at, now)
    after = Place.read(cursor) if cursor is not None else None
    page = told_of(state, customer, limit=limit, after=after, order=order, as_of=at)
    told = answer_of(page, now if at is None else at, provisional="provisional" in key.scopes)
    return Response(msgspec.json.encode(told), media_type="application/json")


@router.get("/{customer_id}/consent", responses=problems(Unauthorized, Forbidden, NotFound, Unavailable))
def read_consent(customer_id: str, state: _Services, _: _Reader) -> dict[str, Any]:
    """Whether one customer may be profiled, and what was said of it, by which id."""
    return _consent(state, customer_id)


@router.get("/{customer_id}/consent/versions", responses=problems(Unauthorized, Forbidden, NotFound, Unavailable))
def read_versions(customer_id: str, state: _Services, _: _Reader) -> dict[str, Any]:
    """The versions of the model that learned from somebody who objects, while they were in the data."""
    customer = find_customer(state, customer_id)
    return {"customer_id": customer, "versions": learned_from_objector(state, customer)}


@router.put(
    "/{customer_id}/consent",
    openapi_extra=documented(ConsentIn),
    responses=problems(Unauthorized, Forbidden, Invalid, Unavailable),
)
def put_consent(
    customer_id: str,
    state: _Services,
    bundles: Annotated[LiveBundles, Depends(bundles_of)],
    key: Annotated[Key, Depends(require("review", "admin"))],
    body: Annotated[ConsentIn, Depends(consent_body)],
) -> dict[str, Any]:
    """Take down whether this person may be profiled, also for somebody who is not known yet. In force on return."""
    if not customer_id.strip() or len(customer_id) > MAX_ID or "\0" in customer_id:
        raise Invalid("The id in the path cannot be an id.", "Send the userId or anonymousId of the person.",
                      field="customer_id", allowed=(f"1 to {MAX_ID} characters",))  # fmt: skip
    with state.service.read() as connection:
        id = consent.id_of(connection, customer_id, body.id_kind)
    take_down(state, bundles, [id], profiling=body.profiling, by=body.by or key.name, reason=body.reason)
    return _consent(state, customer_id)


def take_down(
    state: State, bundles: LiveBundles, ids: list[str], *, profiling: bool, by: str, reason: str = ""
) -> None:
    """A statement for these ids (`u:`, `a:`), and what follows from it at once: conclusions go, or come back."""
    consent.state_it(state, ids, profiling=profiling, by=by, reason=reason)
    with state.service.read() as connection:
        customers = consent.customers_behind(connection, ids)
    if customers:
        conclude(state, bundles.now(), customers)


def _consent(state: State, asked: str) -> dict[str, Any]:
    with state.service.read() as connection:
        found = consent.asked_for(connection, asked)
    if found is None:
        raise unknown_customer(asked)
    return found.to_dict()
