"""POST /v1/jobs and what became of a job: its progress, its result as a file, and an end to it before its time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta, Struct
from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from models.journey.event import Micros
from service.access.keys import Key, require
from service.body import documented, read_body
from service.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    TooLarge,
    Unauthorized,
    Unavailable,
    shown,
)
from service.errors import documented as problems
from service.insights.asked import Id, JourneyIn, read
from service.insights.conclude import moment
from service.insights.predictions import Predictions
from service.jobs import store
from service.jobs.runner import folder_of, hand_out
from service.jobs.scoring import Format, Given, Order, Scoring, as_lines
from service.live.bundles import LiveBundles, bundles_of
from service.outbox import audiences
from service.responses import as_json
from service.state import State, state_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MOST_LISTED = 100
MOST_OPEN = 100
"""Jobs that wait or run."""
MOST_NAMED = 100_000
BODY_BYTES = 16_777_216
MEDIA = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv; charset=utf-8"}
Services = Annotated[State, Depends(state_of)]
Bundles = Annotated[LiveBundles, Depends(bundles_of)]
Reader = Annotated[Key, Depends(require("read", "provisional"))]
_FAILS = (Unauthorized, Forbidden, NotFound, Invalid, Unavailable)


class JobIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What to score: all customers, those named, or an audience; as of when the job is made."""

    customers: Annotated[
        Literal["all"] | Annotated[list[Id], Meta(min_length=1, max_length=MOST_NAMED)] | None,
        Meta(description="`all`, or ids; missing where `audience_id` is given, else `all`."),
    ] = None
    audience_id: Annotated[str, Meta(max_length=100, description="An audience, in place of customers.")] | None = None
    format: Annotated[Format, Meta(description="Of the result.")] = "parquet"


@router.post("", status_code=201, openapi_extra=documented(JobIn), responses=problems(*_FAILS, Conflict, TooLarge))
async def create_job(request: Request, state: Services, bundles: Bundles, key: Reader) -> Response:
    """Score many customers in the background; GET /v1/jobs/{job_id} tells how far it is."""
    given = read(await read_body(request, BODY_BYTES), JobIn)
    return await run_in_threadpool(_create, state, bundles, key, given)


@router.post(
    "/journeys", status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {
        "schema": {"type": "string", "format": "binary"},
    }}}},
    responses=problems(*_FAILS, Conflict, TooLarge),
)  # fmt: skip
async def create_job_of_journeys(
    request: Request, state: Services, bundles: Bundles, key: Reader, format: Format = "parquet"
) -> Response:
    """Score journeys of a file: one a line, each as in POST /v1/predictions. The file is deleted with the last part."""
    body = await read_body(request, state.settings.job_bytes, seconds=state.settings.job_seconds)
    return await run_in_threadpool(_create_of_journeys, state, bundles, key, body, format)


@router.get("", responses=problems(*_FAILS))
def list_jobs(
    state: Services, _: Reader, limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:  # fmt: skip
    """The newest jobs first."""
    before = None if cursor is None else _read_cursor(cursor)
    with state.service.read() as connection:
        rows = store.newest(connection, limit, before)
    more = _cursor(rows[-1].made_at, rows[-1].job_id) if len(rows) == limit else None
    return as_json({"jobs": [store.told(row) for row in rows], "next_cursor": more})


@router.get("/{job_id}", responses=problems(*_FAILS))
def read_job(job_id: str, state: Services, _: Reader) -> Response:
    """Where a job stands."""
    return as_json(store.told(_known(state, job_id)))


@router.post("/{job_id}/cancel", responses=problems(*_FAILS, Conflict))
def cancel_job(job_id: str, state: Services, _: Reader) -> Response:
    """End a job before its time; what was scored is deleted. Once more is no harm."""
    with state.service.write() as connection:
        row = store.get(connection, job_id)
        if row is not None and row.cancelled_at is None and row.finished_at is None:
            store.change(connection, job_id, cancelled_at=state.clock())
    found = _known(state, job_id)
    if found.cancelled_at is None:
        raise Conflict("This job is over.", "Nothing is left to cancel.", code="job_over", field="job_id",
                       value=job_id)  # fmt: skip
    return as_json(store.told(found))


@router.get(
    "/{job_id}/result", response_class=Response,
    responses={**problems(*_FAILS, Conflict), 200: {"content": {kind: {} for kind in MEDIA.values()}}},
)  # fmt: skip
def read_result(job_id: str, state: Services, _: Reader) -> Response:
    """The result of a finished job as a file, flattened with dots; the schema is in the guide."""
    row = _known(state, job_id)
    if store.state_of(row) != "finished":
        raise Conflict(f"This job is {store.state_of(row)}, so it has no result.", "Ask GET /v1/jobs/{job_id} first.",
                       code="no_result", field="job_id", value=job_id)  # fmt: skip
    kind: Format = msgspec.json.decode(row.request)["format"]
    path = folder_of(state, job_id) / f"result.{kind}"
    if not path.is_file():
        raise NotFound("The result was deleted: it was too old, or somebody in it was erased.", "Make the job again.",
                       code="result_deleted", field="job_id", value=job_id)  # fmt: skip
    return FileResponse(path, media_type=MEDIA[kind], filename=f"{job_id}.{kind}")


def _create(state: State, bundles: LiveBundles, key: Key, given: JobIn) -> Response:
    if given.customers is not None and given.audience_id is not None:
        raise Invalid("Both customers and audience_id are given.", "Send one of them.", field="audience_id")
    if given.audience_id is not None:
        with state.service.read() as connection:
            if audiences.get(connection, given.audience_id) is None:
                raise NotFound("There is no such audience.", "See GET /v1/audiences.", code="unknown_audience",
                               field="audience_id", value=given.audience_id)  # fmt: skip
        return _made(state, bundles, key, {"customers": "audience", "audience_id": given.audience_id}, given.format)
    if isinstance(given.customers, list):
        return _made(state, bundles, key, {"customers": "named"}, given.format, ("customers", given.customers))
    return _made(state, bundles, key, {"customers": "all"}, given.format)


def _create_of_journeys(state: State, bundles: LiveBundles, key: Key, body: bytes, format: Format) -> Response:
    lines = [line for line in body.splitlines() if line.strip()]
    if not lines:
        raise Invalid("The file holds no journey.", "Send one a line, as JSON.", field="body")
    predictions = Predictions(state)
    for number, line in enumerate(lines, 1):
        try:
            predictions.check_one(read(line, JourneyIn))
        except Problem as problem:
            raise Invalid(f"Line {number}: {problem.message}", problem.fix, field=f"line {number}") from None
    return _made(state, bundles, key, {"customers": "journeys"}, format, ("journeys", map(msgspec.Raw, lines)))


def _made(
    state: State, bundles: LiveBundles, key: Key, asked: dict[str, Any], format: Format,
    given: tuple[Given, Iterable[Any]] | None = None,
) -> Response:  # fmt: skip
    """The row, and before it the folder where it is known who is scored: a folder without a job harms nobody."""
    job_id, model = state.ids(), bundles.now().model
    with state.service.read() as connection:
        now = moment(connection, state)
        if store.count_open(connection) >= MOST_OPEN:
            raise Unavailable(f"{MOST_OPEN} jobs wait already.", retry_seconds=60)
    hand_out(state, job_id, now)
    if given is not None:
        kind, values = given
        Scoring.begin(folder_of(state, job_id), Order(kind, now, format, model.version, model.digest),
                      as_lines(values))  # fmt: skip
    row = {
        "job_id": job_id, "kind": "score", "made_at": now, "made_by": key.name, "version": model.version,
        "digest": model.digest, "request": msgspec.json.encode({**asked, "format": format}).decode(),
    }  # fmt: skip
    with state.service.write() as connection:
        store.add(connection, row)
        made = store.get(connection, job_id)
    answer = as_json({} if made is None else store.told(made), 201)
    answer.headers["Location"] = f"/v1/jobs/{job_id}"
    return answer


def _known(state: State, job_id: str) -> Row[Any]:
    with state.service.read() as connection:
        row = store.get(connection, job_id)
    if row is None:
        raise NotFound(f"There is no job {shown(job_id)!r}.", "See GET /v1/jobs.", code="unknown_job", field="job_id",
                       value=job_id)  # fmt: skip
    return row


def _cursor(at: Micros, job_id: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([at, job_id])).decode().rstrip("=")


def _read_cursor(told: str) -> tuple[Micros, str]:
    try:
        padded = told.encode() + b"=" * (-len(told) % 4)
        at, job_id = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=tuple[int, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        at, job_id = -1, ""
    if not 0 <= at < 2**63:
        raise Invalid("The cursor is none of ours.", "Send `next_cursor` of an earlier answer, or none to begin.",
                      field="cursor", value=told)  # fmt: skip
    return at, job_id
