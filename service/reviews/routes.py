"""/v1/reviews: the queue, a claim and a verdict for programs, with a key that may review. The pages are in pages.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from models.journey.event import format_time
from models.review import MAX_NAME, MAX_NOTE, Answer, Ending, ReviewError
from service.access.keys import Key, require
from service.body import documented, read_model
from service.errors import Conflict, Invalid, NotFound, Problem
from service.insights.store import get_conclusion
from service.reviews import (
    customers,
    figures,
    forecasts,
    letters,
    mine,
    own_password,
    pages,
    promise_routes,
    promises,
    view,
)
from service.reviews.desks import PolicyOf, open_desk
from service.reviews.filters import asked_for
from service.reviews.logic import Desk
from service.reviews.queue import Filter
from service.web import pages as web

router = APIRouter()
router.include_router(pages.router)
router.include_router(letters.router)
router.include_router(customers.router)
router.include_router(forecasts.router)
router.include_router(promise_routes.router)
router.include_router(promises.router)
router.include_router(figures.router)
router.include_router(mine.router)
router.include_router(own_password.router)
router.include_router(web.router)

BODY_BYTES = 65_536
MOST_LISTED = 100

_ReviewKey = Annotated[Key, Depends(require("review"))]


class ByReviewer(BaseModel):
    """Who reviews; the key's name where none is given."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reviewer: str | None = Field(None, min_length=1, max_length=MAX_NAME, examples=["Ada"])


class ClaimBody(ByReviewer):
    """`again` also offers cases that this reviewer skipped; the rest says which cases, as in `GET /v1/reviews`."""

    again: bool = False
    kind: str = ""
    flag: str = ""
    channel: str = ""
    language: str = ""
    version: int | None = Field(None, ge=0, le=999_999_999)

    @property
    def which(self) -> Filter:
        """The cases asked for. Raises Invalid."""
        version = "" if self.version is None else str(self.version)
        return asked_for(self.kind, self.flag, self.channel, self.language, version)


class VerdictBody(ByReviewer):
    """A person's answer. Sent twice with one `verdict_id`, it counts once; `together` answers all of the same words,
    `again` takes the place of the verdict that stands."""

    answer: str = Field(examples=["negative"])
    emotions: list[str] = Field(default_factory=list, examples=[["disappointment"]])
    intensity: int | None = Field(None, examples=[-2])
    note: str = Field("", max_length=MAX_NOTE)
    verdict_id: str | None = Field(None, min_length=1, max_length=64)
    together: bool = False
    again: bool = False


class ReleaseBody(ByReviewer):
    """Back into the queue; with `skip`, and not to this reviewer again; with `escalate`, on to an adjudicator."""

    skip: bool = False
    escalate: bool = False
    reason: str = Field("", max_length=MAX_NOTE)


async def claim_body(request: Request) -> ClaimBody:
    return await read_model(request, ClaimBody, BODY_BYTES)


async def verdict_body(request: Request) -> VerdictBody:
    return await read_model(request, VerdictBody, BODY_BYTES)


async def release_body(request: Request) -> ReleaseBody:
    return await read_model(request, ReleaseBody, BODY_BYTES)


@router.get("/v1/reviews", tags=["reviews"])
def waiting(
    request: Request,
    key: _ReviewKey,
    policy: PolicyOf,
    which: Annotated[Filter, Depends(asked_for)],
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> dict[str, Any]:
    """How many feelings wait for a person, and which: urgent first, then by doubt, stake and wait; by filters."""
    with open_desk(request, key.name, policy, which=which, writes=False) as desk:
        listed = view.waiting(desk, limit, offset)
        return {
            "counts": view.counts(desk).to_dict(),
            "waiting": [one.to_dict() for one in listed],
            "next_offset": offset + limit if len(listed) == limit else None,
        }


@router.post("/v1/reviews/claim", tags=["reviews"], openapi_extra=documented(ClaimBody))
def claim(
    request: Request, key: _ReviewKey, policy: PolicyOf, body: Annotated[ClaimBody, Depends(claim_body)]
) -> dict[str, Any]:
    """Take the next case for a limited time; `case` is null where none is left for this reviewer."""
    with _told(), open_desk(request, body.reviewer or key.name, policy, which=body.which) as desk:
        found = desk.take_next(again=body.again)
        return {"case": view.case_dict(desk, found) if found else None}


@router.post("/v1/reviews/{conclusion_id}/verdict", tags=["reviews"], openapi_extra=documented(VerdictBody))
def verdict(
    conclusion_id: str,
    request: Request,
    key: _ReviewKey,
    policy: PolicyOf,
    body: Annotated[VerdictBody, Depends(verdict_body)],
) -> dict[str, Any]:
    """Answer a case. The insight says so at once."""
    with _told(), open_desk(request, body.reviewer or key.name, policy) as desk:
        answer = Answer(body.answer, tuple(body.emotions), body.intensity, body.note)
        verdict_id = body.verdict_id or desk.ids()
        if body.again:
            given = desk.answer_again(_subject(desk, conclusion_id), answer, verdict_id)
        else:
            given = desk.answer(conclusion_id, answer, verdict_id, together=body.together)
    return {
        "verdict_id": given.verdict_id,
        "conclusion_id": given.conclusion_id,
        "reviewer": given.reviewer,
        "answer": given.answer.polarity,
        "decided_at": format_time(given.decided_at),
        "model_answer_shown": given.model_answer_shown,
        "guideline_version": given.guideline_version,
        "final": given.final,
    }


@router.post("/v1/reviews/{conclusion_id}/release", tags=["reviews"], openapi_extra=documented(ReleaseBody))
def release(
    conclusion_id: str,
    request: Request,
    key: _ReviewKey,
    policy: PolicyOf,
    body: Annotated[ReleaseBody, Depends(release_body)],
) -> dict[str, str]:
    """Give a case back, skip it, or escalate it."""
    ending: Ending = "escalated" if body.escalate else "skipped" if body.skip else "released"
    with _told(), open_desk(request, body.reviewer or key.name, policy) as desk:
        desk.give_back(conclusion_id, ending=ending, reason=body.reason)
    return {"status": "open"}


def _subject(desk: Desk, conclusion_id: str) -> str:
    """What the conclusion is about."""
    row = get_conclusion(desk.connection, conclusion_id)
    if row is None:
        raise ReviewError("not_waiting", f"There is no conclusion {conclusion_id[:80]!r}.")
    return str(row.subject)


@contextmanager
def _told() -> Iterator[None]:
    """Let what the rules refuse leave as a problem: unknown 404, wrong 422, not now 409."""
    try:
        yield
    except ReviewError as error:
        kind: type[Problem] = {"not_waiting": NotFound, "invalid_verdict": Invalid}.get(error.code, Conflict)
        raise kind(error.sentence, code=error.code, field=error.field, allowed=error.allowed) from None
