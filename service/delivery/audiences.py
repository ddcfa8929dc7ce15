"""/v1/audiences: saved conditions over insights, who is in them, counted, paged and as files. Changing one needs admin.

The worker looks at everybody when an audience is made or its condition changes (filling.py); until then `complete` is
false. From then on membership changes with the insight, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from tempfile import TemporaryFile
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row
from starlette.responses import Response, StreamingResponse

from models.journey.event import format_time
from service.access.keys import Key, require
from service.body import documented, read_model
from service.customers.consent import objecting
from service.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from service.errors import documented as problems
from service.insights import columns
from service.insights.store import newest_body, public_bodies
from service.outbox import audiences
from service.outbox.conditions import FIELDS, OPERATORS, read
from service.state import State, state_of

router = APIRouter(prefix="/v1/audiences", tags=["audiences"])

BODY_BYTES = 65_536
MOST_AUDIENCES = 100
MOST_LISTED = 1_000
ROWS = 1_000
"""Insights of one part of a file."""
BLOCK_BYTES = 65_536
_EXAMPLE = {"all": [{"field": "purchase.car_purchase.answer", "op": ">", "value": 0.6},
                    {"not": {"field": "feeling.waiting", "op": "=", "value": True}}]}  # fmt: skip
_MAY_FAIL = problems(Unauthorized, Forbidden, NotFound, Conflict, Invalid, Unavailable)
Services = Annotated[State, Depends(state_of)]
Reader = Annotated[Key, Depends(require("read", "provisional"))]
Admin = Annotated[Key, Depends(require("admin"))]


class AudienceIn(BaseModel):
    """A name and a condition; GET /v1/audiences/fields tells what can be compared how."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$", examples=["Likely buyers"])
    condition: dict[str, Any] = Field(examples=[_EXAMPLE])


class AudienceChange(BaseModel):
    """Another name, another condition, or both."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str | None = Field(default=None, min_length=1, max_length=100, pattern=r"^[^\x00]*$")
    condition: dict[str, Any] | None = None


async def audience_body(request: Request) -> AudienceIn:
    return await read_model(request, AudienceIn, BODY_BYTES)


async def change_body(request: Request) -> AudienceChange:
    return await read_model(request, AudienceChange, BODY_BYTES)


@router.get("", responses=_MAY_FAIL)
def list_audiences(state: Services, _: Reader) -> dict[str, Any]:
    """Every audience with how many are in it."""
    with state.service.read() as connection:
        return {"audiences": [_told(one, audiences.count(connection, one.audience_id))
                              for one in audiences.every(connection)]}  # fmt: skip


@router.get("/fields", responses=_MAY_FAIL)
def list_fields(state: Services, _: Reader) -> dict[str, Any]:
    """What a condition can compare: each field with its kind, operators and allowed values; `*` stands for a name."""
    definitions = _definitions(state)
    told = []
    for name, field in FIELDS.items():
        names = [name.replace("*", one) for one in definitions] if name.startswith("purchase.") else [name]
        told += [{"field": one, "kind": field.kind, "operators": list(OPERATORS[field.kind]),
                  "allowed": list(field.allowed) or None} for one in names or [name]]  # fmt: skip
    return {"fields": told}


@router.post("", status_code=201, openapi_extra=documented(AudienceIn), responses=_MAY_FAIL)
def create_audience(
    state: Services, _: Admin, body: Annotated[AudienceIn, Depends(audience_body)]
) -> dict[str, Any]:  # fmt: skip
    """Save a condition. The worker then looks at everybody, and who comes in is told as `audience.entered`."""
    read(body.condition, _definitions(state))
    audience_id = state.ids()
    with state.service.write() as connection:
        _check_name(audiences.named(connection, body.name), body.name)
        if len(audiences.every(connection)) >= MOST_AUDIENCES:
            raise Conflict(f"There are {MOST_AUDIENCES} audiences already.", "Delete one first.",
                           code="too_many_audiences")  # fmt: skip
        audiences.add(connection, audience_id, body.name, body.condition, state.clock())
    return _one(state, audience_id)


@router.get("/{audience_id}", responses=_MAY_FAIL)
def read_audience(audience_id: str, state: Services, _: Reader) -> dict[str, Any]:
    """One audience with how many are in it."""
    return _one(state, audience_id)


@router.patch("/{audience_id}", openapi_extra=documented(AudienceChange), responses=_MAY_FAIL)
def change_audience(
    audience_id: str, state: Services, _: Admin, body: Annotated[AudienceChange, Depends(change_body)]
) -> dict[str, Any]:
    """Change the name, or the condition: then everybody is looked at again, and who comes or goes is told."""
    if body.condition is not None:
        read(body.condition, _definitions(state))
    values = {name: value for name, value in body.model_dump().items() if value is not None}
    with state.service.write() as connection:
        _known(audiences.get(connection, audience_id), audience_id)
        if body.name is not None:
            _check_name(audiences.named(connection, body.name), body.name, audience_id)
        if values:
            audiences.change(connection, audience_id, state.clock(), **values)
    return _one(state, audience_id)


@router.delete("/{audience_id}", status_code=204, response_class=Response, responses=_MAY_FAIL)
def delete_audience(audience_id: str, state: Services, _: Admin) -> None:
    """Forget an audience. Nobody is told to have left it."""
    with state.service.write() as connection:
        _known(audiences.get(connection, audience_id), audience_id)
        audiences.remove(connection, audience_id)


@router.get("/{audience_id}/customers", responses=_MAY_FAIL)
def list_customers(
    audience_id: str,
    state: Services,
    _: Reader,
    cursor: Annotated[str, Query(max_length=1_000)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
) -> dict[str, Any]:
    """Who is in it, in the order of their ids."""
    with state.service.read() as connection:
        _known(audiences.get(connection, audience_id), audience_id)
        found = audiences.page(connection, audience_id, cursor, limit)
        withheld = objecting(connection, [one.customer_id for one in found])
    listed = [{"customer_id": one.customer_id, "entered_at": format_time(one.entered_at)}
              for one in found if one.customer_id not in withheld]  # fmt: skip
    return {"customers": listed, "next_cursor": found[-1].customer_id if len(found) == limit else None}


@router.get(
    "/{audience_id}/export",
    response_class=Response,
    responses={**_MAY_FAIL, 200: {"content": {"text/csv": {}, "application/vnd.apache.parquet": {}}}},
)
def export_audience(
    audience_id: str, state: Services, _: Reader, format: Literal["csv", "parquet"] = "csv"
) -> Response:
    """The insights of all who are in it as a file, flattened with dots; the schema is in the guide."""
    with state.service.read() as connection:
        _known(audiences.get(connection, audience_id), audience_id)
    definitions = _definitions(state)
    name = {"Content-Disposition": f'attachment; filename="audience.{format}"'}
    if format == "csv":
        lines = columns.csv_lines(definitions, _insights(state, audience_id))
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=name)
    return StreamingResponse(_parquet(state, audience_id, definitions), media_type="application/vnd.apache.parquet",
                             headers=name)  # fmt: skip


def _parquet(state: State, audience_id: str, definitions: Sequence[str]) -> Iterator[bytes]:
    with TemporaryFile() as file:
        columns.write_parquet(file, definitions, _insights(state, audience_id))
        file.seek(0)
        while block := file.read(BLOCK_BYTES):
            yield block


def _insights(state: State, audience_id: str) -> Iterator[list[dict[str, Any]]]:
    """The public insights of who is in it, a part at a time, each part as of one moment."""
    after = ""
    while True:
        with state.service.read() as connection:
            found = [one.customer_id for one in audiences.page(connection, audience_id, after, ROWS)]
            if not found:
                return
            withheld = objecting(connection, found)
            bodies = public_bodies(connection, [one for one in found if one not in withheld])
        yield [msgspec.json.decode(body) for body in bodies.values()]
        after = found[-1]


def _definitions(state: State) -> list[str]:
    """The targets that insights tell of now; none before there is an insight."""
    with state.service.read() as connection:
        body = newest_body(connection)
    return [] if body is None else columns.definitions_of(msgspec.json.decode(body))


def _one(state: State, audience_id: str) -> dict[str, Any]:
    with state.service.read() as connection:
        found = _known(audiences.get(connection, audience_id), audience_id)
        return _told(found, audiences.count(connection, audience_id))


def _told(audience: Row[Any], customers: int) -> dict[str, Any]:
    return {
        "audience_id": audience.audience_id, "name": audience.name,
        "condition": msgspec.json.decode(audience.condition),
        "created_at": format_time(audience.created_at), "changed_at": format_time(audience.changed_at),
        "complete": audience.through is None, "customers": customers,
    }  # fmt: skip


def _known(audience: Row[Any] | None, audience_id: str) -> Row[Any]:
    if audience is None:
        raise NotFound("There is no such audience.", "See GET /v1/audiences.", code="unknown_audience",
                       field="audience_id", value=audience_id)  # fmt: skip
    return audience


def _check_name(other: Row[Any] | None, name: str, mine: str = "") -> None:
    if other is not None and other.audience_id != mine:
        raise Conflict(f"There is an audience {name!r} already.", "Choose another name.", code="audience_name_taken",
                       field="name", value=name)  # fmt: skip
