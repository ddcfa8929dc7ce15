"""The tracking API's JSON as events: what each call must carry, what is refused and why, and when it happened.

Pure: knows neither HTTP nor the log. A bad event is refused by itself; the others of its batch are not touched. A value
that could not be stored as it was sent is refused, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from models.journey.event import KINDS, Event, Micros, parse_time
from service.clock import Ids
from service.errors import shown
from service.events.splitting import Beside, Sent
from service.events.storable import RefusedError, decode, decode_any, is_plain
from service.settings import Settings

MAX_MESSAGE_ID = 100
MAX_ID = 256
MAX_NAME = 256
MAX_BESIDE_BYTES = 8_192
"""Most bytes of context and integrations beside a batch: they are kept with each of its events."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was not kept, and why; `index` counts from 0 within the request. `raw` is the event as sent."""

    index: int
    code: str
    reason: str
    message_id: str | None
    raw: bytes

    def to_dict(self) -> dict[str, Any]:
        return {"index": self.index, "code": self.code, "reason": self.reason, "message_id": self.message_id}


@dataclass(frozen=True)
class Received:
    """What one request held."""

    events: list[Event] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class _Item(msgspec.Struct, rename="camel"):
    type: Any = None
    event: Any = None
    name: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    previous_id: Any = None
    group_id: Any = None
    message_id: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    properties: Any = None
    traits: Any = None
    context: Any = None
    integrations: Any = None


@dataclass(frozen=True, slots=True)
class _Common:
    """What counts for every event of a batch, found once.

    `plain`: no NUL and no long number anywhere. `most_bytes` are left for each event. `wrong`: why none can be kept.
    """

    context: Mapping[str, Any]
    integrations: Mapping[str, Any]
    sent_at: Micros | None
    plain: bool
    most_bytes: int
    tolerance: Micros
    wrong: RefusedError | None


@dataclass(frozen=True)
class Reader:
    """Reads events that were received at `received_at`, with the rules of `now`: the same moment but in a replay."""

    settings: Settings
    now: Micros
    ids: Ids
    received_at: Micros

    def read(self, sent: Sent) -> Received:
        """Every event of a request, or why it is refused."""
        found = Received()
        kind = None if sent.call == "batch" else sent.call
        common = self._common(sent.beside, [sent.body])
        for index, raw in enumerate(sent.items):
            one = self._one(index, raw, kind, common)
            if isinstance(one, Event):
                found.events.append(one)
            else:
                found.refusals.append(one)
        return found

    def reread(self, call: str, raw: bytes, beside: Beside) -> Event | Refusal:
        """One event that was refused before."""
        return self._one(0, raw, None if call == "batch" else call, self._common(beside, [raw, *beside.parts()]))

    def _one(self, index: int, raw: bytes, kind: str | None, common: _Common) -> Event | Refusal:
        item: _Item | None = None
        try:
            if common.wrong is not None:
                raise common.wrong
            if len(raw) > common.most_bytes:
                most = self.settings.event_bytes
                raise RefusedError("too_large", f"an event, with the context of its batch, has at most {most} bytes")
            item = decode(raw, _Item, common.plain)
            return self._event(item, kind, common)
        except RefusedError as refused:
            known = item.message_id if item is not None and isinstance(item.message_id, str) else None
            return Refusal(index, refused.code, refused.reason, shown(known) if known else None, raw)

    def _event(self, item: _Item, kind: str | None, common: _Common) -> Event:
        kind = kind or item.type
        if kind not in KINDS:
            raise RefusedError("unknown_type", f"type {shown(kind)!r}; allowed: {', '.join(KINDS)}")
        user_id, anonymous_id = _id("userId", item.user_id), _id("anonymousId", item.anonymous_id)
        if user_id is None and anonymous_id is None:
            raise RefusedError("id_missing", "userId and anonymousId are both missing; send at least one")
        context = _context(item, common)
        message_id = _id("messageId", item.message_id, MAX_MESSAGE_ID) or self.ids()
        occurred_at = self._occurred_at(item, common.sent_at, common.tolerance)
        properties = _properties(kind, item, context)
        previous_id = _previous_id(item, user_id) if kind == "alias" else None
        return Event(message_id, kind, _name(kind, item), user_id, anonymous_id, occurred_at, self.received_at,
                     properties, context, previous_id)  # fmt: skip

    def _occurred_at(self, item: _Item, sent_with_batch: Micros | None, tolerance: Micros) -> Micros:
        """Corrected by the skew of the client's clock where it sent both moments, else as it says, else now.

        Nothing happens after it is sent: where a client's clock was set back in between, it happened when we got it.
        """
        original = _time("originalTimestamp", item.original_timestamp)
        sent_at = sent_with_batch if item.sent_at is None else _lenient_time(item.sent_at)
        if original is not None and sent_at is not None:
            moment = self.received_at - max(0, sent_at - original)
        else:
            given = _time("timestamp", item.timestamp)
            moment = next((at for at in (given, original) if at is not None), self.received_at)
        return within_reason(moment, self.now, tolerance, "timestamp")

    def _common(self, beside: Beside, sent: Sequence[bytes]) -> _Common:
        """What counts for all events of these bytes."""
        plain = all(map(is_plain, sent))
        tolerance, most_bytes = self.settings.future_tolerance, self.settings.event_bytes
        try:
            size = sum(map(len, beside.parts()))
            if size > MAX_BESIDE_BYTES:
                raise RefusedError("too_large", f"context and integrations have at most {MAX_BESIDE_BYTES} bytes there")
            context = _mapping("context", decode_any(beside.context))
            integrations = _mapping("integrations", decode_any(beside.integrations))
        except RefusedError as error:
            return _Common({}, {}, None, plain, most_bytes, tolerance, error.found("beside the batch"))
        try:
            sent_at = _lenient_time(decode_any(beside.sent_at))
        except RefusedError:
            sent_at = None
        return _Common(context, integrations, sent_at, plain, most_bytes - size, tolerance, None)


def within_reason(moment: Micros, now: Micros, tolerance: Micros, name: str) -> Micros:
    """A moment a little ahead counts as now: clocks differ. Raises ValueError far ahead, or before 1970.

    >>> within_reason(5, 9, 2, "timestamp"), within_reason(10, 9, 2, "timestamp")
    (5, 9)
    """
    if moment < 0:
        raise RefusedError("invalid_time", f"{name} lies before 1970")
    if moment > now + tolerance:
        raise RefusedError(
            "in_the_future", f"{name} lies more than {tolerance // 1_000_000} seconds ahead of our clock"
        )
    return min(moment, now)


def _context(item: _Item, common: _Common) -> dict[str, Any]:
    """The event's own context over that of its batch; `integrations` are kept in it."""
    context = _mapping("context", item.context)
    if common.context:
        context = {**common.context, **context}
    integrations = _mapping("integrations", item.integrations)
    if common.integrations:
        integrations = {**common.integrations, **integrations}
    return {**context, "integrations": integrations} if integrations else context


def _id(name: str, value: Any, longest: int = MAX_ID) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise RefusedError("invalid_value", f"{name} must be a string")
    if len(value) > longest or "\0" in value:
        raise RefusedError("invalid_value", f"{name} must have at most {longest} characters and no NUL")
    return value


def _name(kind: str, item: _Item) -> str:
    """What the event is called: `event` of a track, `name` of a page or screen."""
    if kind not in ("track", "page", "screen"):
        return ""
    value = item.event if kind == "track" else item.name
    if value is None and kind != "track" and isinstance(item.properties, dict):
        value = item.properties.get("name")
    if kind == "track" and (not isinstance(value, str) or not value.strip()):
        raise RefusedError("event_missing", "a track call needs event, the name of what happened")
    if value is not None and (not isinstance(value, str) or len(value) > MAX_NAME or "\0" in value):
        raise RefusedError("invalid_value", f"the name must be a string of at most {MAX_NAME} characters without NUL")
    return value or ""


def _properties(kind: str, item: _Item, context: Mapping[str, Any]) -> dict[str, Any]:
    """`properties`, or the traits of a call that says who somebody is; RudderStack sends those in the context."""
    if kind in ("track", "page", "screen"):
        return _mapping("properties", item.properties)
    traits = _mapping("traits", item.traits if item.traits is not None else context.get("traits"))
    if kind == "group":
        group_id = _id("groupId", item.group_id)
        if group_id is None:
            raise RefusedError("group_id_missing", "a group call needs groupId")
        return {**traits, "groupId": group_id}
    return traits


def _previous_id(item: _Item, user_id: str | None) -> str:
    previous_id = _id("previousId", item.previous_id)
    if previous_id is None or user_id is None:
        raise RefusedError("previous_id_missing", "an alias call needs previousId and userId")
    return previous_id


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError("invalid_value", f"{name} must be a JSON object")
    return value


def _time(name: str, value: Any) -> Micros | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)[:40]!r} is no ISO 8601 time such as 2026-11-21T10:15:00Z")
        return parse_time(value)
    except (ValueError, OverflowError) as error:
        raise RefusedError("invalid_time", f"{name}: {error}") from None


def _lenient_time(value: Any) -> Micros | None:
    """A sentAt that cannot be read corrects nothing; it is no reason to refuse the event."""
    try:
        return _time("sentAt", value)
    except RefusedError:
        return None


def answer(found: Received, new: int) -> Mapping[str, Any]:
    """The body of the 200: how many were kept, were known already, or were refused, and why."""
    return {
        "success": True,
        "accepted": new,
        "repeated": len(found.events) - new,
        "refused": [refusal.to_dict() for refusal in found.refusals],
    }
