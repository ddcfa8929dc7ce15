"""GET /v1/policy, GET /v1/promises and what was released; a person with scope admin reinstates. Decides nothing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from models.journey.event import format_time
from service.access.keys import Key, require
from service.body import documented, read_model
from service.insights import promised
from service.insights.conclude import moment
from service.live.bundles import LiveBundles, bundles_of
from service.promises import store, watching
from service.reviews import promises_told
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["models"])

BODY_BYTES = 16_384
_Reader = Annotated[Key, Depends(require("read", "provisional", "review", "admin"))]
_Admin = Annotated[Key, Depends(require("admin"))]
_State = Annotated[State, Depends(state_of)]
_Bundles = Annotated[LiveBundles, Depends(bundles_of)]


class ReinstateBody(BaseModel):
    """A person answers for a promise that was withdrawn; `why` is kept and shown."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: str = Field(min_length=1, max_length=200, examples=["feeling"])
    group: str = Field("all", min_length=1, max_length=200)
    why: str = Field(min_length=10, max_length=2_000, examples=["The mistakes were one campaign's irony; it is over."])
    by: str | None = Field(None, min_length=1, max_length=80, examples=["Ada"])


async def reinstate_body(request: Request) -> ReinstateBody:
    return await read_model(request, ReinstateBody, BODY_BYTES)


@router.get("/policy")
def read_policy(state: _State, key: _Reader) -> dict[str, Any]:
    """The policy in force: what the operator's file says, its digest, and which policies were in force before."""
    policy = state.settings.promises
    with state.service.read() as connection:
        history = store.policy_history(connection, 20)
    return {
        "digest": policy.digest, "release_digest": policy.release.digest, "policy": policy.to_dict(),
        "history": [{**one, "since": format_time(one["since"])} for one in history],
    }  # fmt: skip


@router.get("/promises")
def read_promises(state: _State, bundles: _Bundles, key: _Reader) -> dict[str, Any]:
    """Every promise of the live bundle: on what it rests, whether it stands, its checks, and what an audit can notice.

    `quality` is the share of answers that people found wrong, weighted by one over each answer's chance of being read,
    beside the plain share; `load` is what reviewers face; `inputs` whether words and behaviour are as they were.
    """
    return promises_told.told(state, bundles.now())


@router.get("/promises/released")
def read_released(
    state: _State,
    bundles: _Bundles,
    key: _Admin,
    group: Annotated[str, Query(max_length=200)] = "all",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[str, Query(max_length=200)] = "",
) -> dict[str, Any]:
    """Feelings that went out unread under a withdrawn promise since all was well for the last time."""
    with state.service.read() as connection:
        digest = bundles.now().model.digest or ""
        return promises_told.released(connection, digest, ("feeling", group), limit, after)


@router.post("/promises/reinstate", openapi_extra=documented(ReinstateBody))
def reinstate(
    state: _State, bundles: _Bundles, key: _Admin, body: Annotated[ReinstateBody, Depends(reinstate_body)]
) -> dict[str, Any]:
    """Let a withdrawn promise stand again, for a reason that is kept; it is watched anew from now on."""
    with state.service.write() as connection:
        by = body.by or key.name
        happened = promised.reinstate(
            connection, bundles.now().model.digest, (body.kind, body.group), by, body.why, moment(connection, state)
        )
    return watching.told(happened)
