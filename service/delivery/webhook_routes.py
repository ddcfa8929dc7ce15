"""/v1/webhooks: where changes are sent, their secrets (shown once, two while one is rotated), deliveries and replay.

All of it with scope admin: a webhook carries data out of the house.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row
from starlette.responses import Response

from models.journey.event import SECOND, Micros, format_time
from service.access.keys import Key, require
from service.body import documented, read_model
from service.delivery import webhooks
from service.delivery.changes import kinds_of
from service.delivery.secrets import print_of, secret_of, signing_key
from service.delivery.sending import check_url, resolve
from service.delivery.webhooks import MOST_WEBHOOKS, STATES
from service.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from service.errors import documented as problems
from service.insights.moments import moment_of
from service.outbox import store
from service.outbox.store import KINDS
from service.state import State, state_of

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

BODY_BYTES = 16_384
MOST_LISTED = 200
HOUR: Micros = 3_600 * SECOND
_MAY_FAIL = problems(Unauthorized, Forbidden, NotFound, Conflict, Invalid, Unavailable)
_NO_NUL = r"^[^\x00]*$"
Services = Annotated[State, Depends(state_of)]
Admin = Annotated[Key, Depends(require("admin"))]


class WebhookIn(BaseModel):
    """Where to send which kinds of changes; none named: all."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    url: str = Field(min_length=1, examples=["https://crm.example.org/hooks/journey"])
    kinds: list[str] = Field(default_factory=list, examples=[["insight.changed", "audience.entered"]])
    description: str = Field(default="", max_length=200, pattern=_NO_NUL)


class WebhookChange(BaseModel):
    """What is to be another; `enabled` true also takes a webhook back that a 410 disabled."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    url: str | None = Field(default=None, min_length=1)
    kinds: list[str] | None = None
    description: str | None = Field(default=None, max_length=200, pattern=_NO_NUL)
    enabled: bool | None = None


class ReplayIn(BaseModel):
    """Which deliveries to send again: what changed `since` a moment, one `message_id`, or all that `failed`."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    since: str | None = Field(default=None, max_length=64, examples=["2026-11-21T00:00:00Z"])
    message_id: str | None = Field(default=None, min_length=1, max_length=64)
    failed: bool = False


async def webhook_body(request: Request) -> WebhookIn:
    return await read_model(request, WebhookIn, BODY_BYTES)


async def change_body(request: Request) -> WebhookChange:
    return await read_model(request, WebhookChange, BODY_BYTES)


async def replay_body(request: Request) -> ReplayIn:
    return await read_model(request, ReplayIn, BODY_BYTES)


@router.get("", responses=_MAY_FAIL)
def list_webhooks(state: Services, _: Admin) -> dict[str, Any]:
    """Every webhook with how many of its deliveries are in which state."""
    with state.service.read() as connection:
        counted = webhooks.counts(connection)
        return {"webhooks": [_told(connection, state, one, counted) for one in webhooks.every(connection)]}


@router.post("", status_code=201, openapi_extra=documented(WebhookIn), responses=_MAY_FAIL)
def create_webhook(
    state: Services, _: Admin, body: Annotated[WebhookIn, Depends(webhook_body)]
) -> dict[str, Any]:  # fmt: skip
    """Send changes there from now on. `secret` is shown here and never again."""
    kinds = kinds_of(body.kinds)
    check_url(body.url, resolve, private=state.settings.webhook_private)
    webhook_id = state.ids()
    with state.service.write() as connection:
        if len(webhooks.every(connection)) >= MOST_WEBHOOKS:
            raise Conflict(f"There are {MOST_WEBHOOKS} webhooks already.", "Delete one first.",
                           code="too_many_webhooks")  # fmt: skip
        newest = store.head(connection).seq
        webhooks.add(connection, webhook_id, body.url, body.description, kinds, state.clock(), newest)
        secret = _new_secret(connection, state, webhook_id)
        return {**_one(connection, state, webhook_id), "secret": secret}


@router.get("/{webhook_id}", responses=_MAY_FAIL)
def read_webhook(webhook_id: str, state: Services, _: Admin) -> dict[str, Any]:
    """One webhook with how many of its deliveries are in which state."""
    with state.service.read() as connection:
        return _one(connection, state, webhook_id)


@router.patch("/{webhook_id}", openapi_extra=documented(WebhookChange), responses=_MAY_FAIL)
def change_webhook(
    webhook_id: str, state: Services, _: Admin, body: Annotated[WebhookChange, Depends(change_body)]
) -> dict[str, Any]:
    """Another URL, other kinds, or on and off. What waits meanwhile is sent once it is enabled."""
    values: dict[str, Any] = {}
    if body.url is not None:
        check_url(body.url, resolve, private=state.settings.webhook_private)
        values["url"] = body.url
    if body.kinds is not None:
        values["kinds"] = " ".join(kinds_of(body.kinds))
    if body.description is not None:
        values["description"] = body.description
    if body.enabled is not None:
        off = None if body.enabled else (state.clock(), "it was switched off")
        values["disabled_at"], values["disabled_because"] = off or (None, None)
    with state.service.write() as connection:
        _known(connection, webhook_id)
        if values:
            webhooks.change(connection, webhook_id, values)
        return _one(connection, state, webhook_id)


@router.delete("/{webhook_id}", status_code=204, response_class=Response, responses=_MAY_FAIL)
def delete_webhook(webhook_id: str, state: Services, _: Admin) -> None:
    """Send nothing there any more, and forget what was."""
    with state.service.write() as connection:
        _known(connection, webhook_id)
        webhooks.remove(connection, webhook_id)


@router.post("/{webhook_id}/secret", responses=_MAY_FAIL)
def rotate_secret(webhook_id: str, state: Services, _: Admin) -> dict[str, Any]:
    """A new secret, shown once. The one before signs beside it for JOURNEY_WEBHOOK_ROTATION_HOURS."""
    with state.service.write() as connection:
        _known(connection, webhook_id)
        secret = _new_secret(connection, state, webhook_id)
        return {**_one(connection, state, webhook_id), "secret": secret}


@router.get("/{webhook_id}/deliveries", responses=_MAY_FAIL)
def list_deliveries(
    webhook_id: str,
    state: Services,
    _: Admin,
    which: Annotated[webhooks.State | None, Query(alias="state")] = None,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50,
) -> dict[str, Any]:
    """What became of each delivery, the newest change first, with every attempt."""
    with state.service.read() as connection:
        _known(connection, webhook_id)
        found = webhooks.listed(connection, webhook_id, which, cursor, limit)
    following = found[-1].seq if len(found) == limit else None
    return {"deliveries": [_delivery(one) for one in found], "next_cursor": following}


@router.post("/{webhook_id}/replay", openapi_extra=documented(ReplayIn), responses=_MAY_FAIL)
def replay(
    webhook_id: str, state: Services, _: Admin, body: Annotated[ReplayIn, Depends(replay_body)]
) -> dict[str, int]:  # fmt: skip
    """Send deliveries again, with the ids that they had; says how many are known to be. With `since`, also changes from
    before the webhook was made, as far as they are kept."""
    if sum((body.since is not None, body.message_id is not None, body.failed)) != 1:
        raise Invalid("A replay names one thing.", "Send `since`, `message_id` or `failed`, one of them.",
                      field="since", allowed=("since", "message_id", "failed"))  # fmt: skip
    since = None if body.since is None else moment_of("since", body.since)
    with state.service.write() as connection:
        hook, now = _known(connection, webhook_id), state.clock()
        if since is None:
            which: webhooks.State | None = "failed" if body.failed else None
            return {"again": webhooks.again(connection, webhook_id, now, state=which, message_id=body.message_id)}
        first = store.first_since(connection, since)
        webhooks.change(connection, webhook_id, {"position": min(hook.position, first - 1)})
        return {"again": webhooks.again(connection, webhook_id, now, first=first)}


def _new_secret(connection: Connection, state: State, webhook_id: str) -> str:
    key, now, secret_id = signing_key(state.settings), state.clock(), state.ids()
    until = now + state.settings.webhook_rotation_hours * HOUR
    webhooks.add_secret(connection, webhook_id, secret_id, print_of(key), now, until)
    return secret_of(key, secret_id)


def _one(connection: Connection, state: State, webhook_id: str) -> dict[str, Any]:
    return _told(connection, state, _known(connection, webhook_id), webhooks.counts(connection))


def _told(connection: Connection, state: State, hook: Row[Any], counted: dict[str, dict[str, int]]) -> dict[str, Any]:
    own: Sequence[Row[Any]] = webhooks.secrets_of(connection, hook.webhook_id, state.clock())
    mine = counted.get(hook.webhook_id, {})
    return {
        "webhook_id": hook.webhook_id, "url": hook.url, "description": hook.description,
        "kinds": [kind for kind in KINDS if kind in hook.kinds.split()], "created_at": format_time(hook.created_at),
        "enabled": hook.disabled_at is None, "disabled_at": _when(hook.disabled_at),
        "disabled_because": hook.disabled_because,
        "secrets": [{"created_at": format_time(one.created_at), "until": _when(one.until)} for one in own],
        "deliveries": {name: mine.get(name, 0) for name in STATES},
    }  # fmt: skip


def _delivery(row: Row[Any]) -> dict[str, Any]:
    return {
        "message_id": row.message_id, "type": row.kind, "customer_id": row.customer_id, "state": row.state,
        "next_attempt_at": format_time(row.due_at) if row.state == "waiting" else None,
        "attempts": msgspec.json.decode(row.history),
    }  # fmt: skip


def _when(at: Micros | None) -> str | None:
    return None if at is None else format_time(at)


def _known(connection: Connection, webhook_id: str) -> Row[Any]:
    found = webhooks.get(connection, webhook_id)
    if found is None:
        raise NotFound("There is no such webhook.", "See GET /v1/webhooks.", code="unknown_webhook",
                       field="webhook_id", value=webhook_id)  # fmt: skip
    return found
