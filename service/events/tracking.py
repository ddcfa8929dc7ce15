"""The tracking API's JSON as events: what each call must carry, what is refused and why, and when it happened.

Pure: knows neither HTTP nor the log. A bad event is refused by itself; the others of its batch are not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from models.journey.event import KINDS, Event, Micros, parse_time
from service.body import no_json
from service.clock import Ids
from service.errors import BadRequest, TooLarge, shown
from service.settings import Settings

MAX_MESSAGE_ID = 100
MAX_ID = 256
MAX_NAME = 256
CANNOT_DECODE = (msgspec.MsgspecError, ValueError, RecursionError)
"""All that decoding bytes of a stranger can raise: no JSON, bad UTF-8, numbers out of range, nested too deeply."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was not kept, and why; `index` counts from 0 within the request."""

    index: int
    code: str
    reason: str
    message_id: str | None

    def to_dict(self) -> dict[str, Any]:
        return {"index": self.index, "code": self.code, "reason": self.reason, "message_id": self.message_id}


@dataclass
class Received:
    """What one request held."""

    write_key: str | None = None
    events: list[Event] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class _Envelope(msgspec.Struct, rename="camel"):
    """What stands beside the events of a request."""

    context: Any = None
    sent_at: Any = None
    write_key: Any = None


class _Batch(_Envelope, rename="camel"):
    batch: list[msgspec.Raw] = msgspec.field(default_factory=list)


_AnyEnvelope = TypeVar("_AnyEnvelope", bound=_Envelope)
_SHAPE = 'Send one event as an object, or {"batch": [event, …]}.'


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


class _RefusedError(ValueError):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Reader:
    """Reads the bodies of one request. `now` is when they were received."""

    settings: Settings
    now: Micros
    ids: Ids

    def read(self, call: str, body: bytes) -> Received:
        """`call` is a kind of event, or `batch`. Raises BadRequest for no JSON, TooLarge for too many events."""
        if call != "batch":
            single = _envelope(body, _Envelope)
            found = Received(_text(single.write_key))
            self._add(found, 0, body, call, _Envelope(sent_at=single.sent_at))
            return found
        envelope = _envelope(body, _Batch)
        found = Received(_text(envelope.write_key))
        most = self.settings.events_per_batch
        if len(envelope.batch) > most:
            raise TooLarge(f"The batch holds {len(envelope.batch)} events.", "Send them in several batches.",
                           code="too_many_events", field="batch", allowed=(f"at most {most} events",))  # fmt: skip
        for index, raw in enumerate(envelope.batch):
            self._add(found, index, bytes(raw), None, envelope)
        return found

    def _add(self, found: Received, index: int, raw: bytes, kind: str | None, envelope: _Envelope) -> None:
        item: _Item | None = None
        try:
            if len(raw) > self.settings.event_bytes:
                raise _RefusedError("too_large", f"an event has at most {self.settings.event_bytes} bytes")
            item = _decode(raw)
            found.events.append(self._event(item, kind, envelope))
        except _RefusedError as refused:
            known = item.message_id if item is not None and isinstance(item.message_id, str) else None
            found.refusals.append(Refusal(index, refused.code, refused.reason, shown(known) if known else None))

    def _event(self, item: _Item, kind: str | None, envelope: _Envelope) -> Event:
        kind = kind or item.type
        if kind not in KINDS:
            raise _RefusedError("unknown_type", f"type {shown(kind)!r}; allowed: {', '.join(KINDS)}")
        user_id, anonymous_id = _id("userId", item.user_id), _id("anonymousId", item.anonymous_id)
        if user_id is None and anonymous_id is None:
            raise _RefusedError("id_missing", "userId and anonymousId are both missing; send at least one")
        context = {**_mapping("context", envelope.context), **_mapping("context", item.context)}
        return Event(
            message_id=_id("messageId", item.message_id, MAX_MESSAGE_ID) or self.ids(),
            kind=kind,
            name=_name(kind, item),
            user_id=user_id,
            anonymous_id=anonymous_id,
            occurred_at=self._occurred_at(item, envelope.sent_at),
            received_at=self.now,
            properties=_properties(kind, item, context),
            context=context,
            previous_id=_previous_id(item, user_id) if kind == "alias" else None,
        )

    def _occurred_at(self, item: _Item, sent_with_batch: Any) -> Micros:
        """Corrected by the skew of the client's clock where it sent both moments, else as it says, else now."""
        original = _time("originalTimestamp", item.original_timestamp)
        sent_at = _lenient_time(item.sent_at if item.sent_at is not None else sent_with_batch)
        if original is not None and sent_at is not None:
            moment = self.now - (sent_at - original)
        else:
            given = _time("timestamp", item.timestamp)
            moment = next((at for at in (given, original) if at is not None), self.now)
        return within_reason(moment, self.now, self.settings.future_tolerance, "timestamp")


def within_reason(moment: Micros, now: Micros, tolerance: Micros, name: str) -> Micros:
    """A moment a little ahead counts as now: clocks differ. Raises ValueError far ahead, or before 1970.

    >>> within_reason(5, 9, 2, "timestamp"), within_reason(10, 9, 2, "timestamp")
    (5, 9)
    """
    if moment < 0:
        raise _RefusedError("invalid_time", f"{name} lies before 1970")
    if moment > now + tolerance:
        raise _RefusedError(
            "in_the_future", f"{name} lies more than {tolerance // 1_000_000} seconds ahead of our clock"
        )
    return min(moment, now)


def _envelope(body: bytes, kind: type[_AnyEnvelope]) -> _AnyEnvelope:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body has not the shape of this call: {shown(error)}.", _SHAPE, code="no_json") from None
    except CANNOT_DECODE:
        raise no_json() from None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _decode(raw: bytes) -> _Item:
    try:
        return msgspec.json.decode(raw, type=_Item)
    except CANNOT_DECODE:
        raise _RefusedError("not_an_object", "an event is a JSON object") from None


def _id(name: str, value: Any, longest: int = MAX_ID) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _RefusedError("invalid_value", f"{name} must be a string")
    if len(value) > longest or "\0" in value:
        raise _RefusedError("invalid_value", f"{name} must have at most {longest} characters and no NUL")
    return value


def _name(kind: str, item: _Item) -> str:
    """What the event is called: `event` of a track, `name` of a page or screen."""
    if kind not in ("track", "page", "screen"):
        return ""
    value = item.event if kind == "track" else item.name
    if value is None and kind != "track" and isinstance(item.properties, dict):
        value = item.properties.get("name")
    if kind == "track" and (not isinstance(value, str) or not value.strip()):
        raise _RefusedError("event_missing", "a track call needs event, the name of what happened")
    if value is not None and (not isinstance(value, str) or len(value) > MAX_NAME or "\0" in value):
        raise _RefusedError("invalid_value", f"the name must be a string of at most {MAX_NAME} characters without NUL")
    return value or ""


def _properties(kind: str, item: _Item, context: Mapping[str, Any]) -> dict[str, Any]:
    """`properties`, or the traits of a call that says who somebody is; RudderStack sends those in the context."""
    if kind in ("track", "page", "screen"):
        return _mapping("properties", item.properties)
    traits = _mapping("traits", item.traits if item.traits is not None else context.get("traits"))
    if kind == "group":
        group_id = _id("groupId", item.group_id)
        if group_id is None:
            raise _RefusedError("group_id_missing", "a group call needs groupId")
        return {**traits, "groupId": group_id}
    return traits


def _previous_id(item: _Item, user_id: str | None) -> str:
    previous_id = _id("previousId", item.previous_id)
    if previous_id is None or user_id is None:
        raise _RefusedError("previous_id_missing", "an alias call needs previousId and userId")
    return previous_id


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _RefusedError("invalid_value", f"{name} must be a JSON object")
    return value


def _time(name: str, value: Any) -> Micros | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)[:40]!r} is no ISO 8601 time such as 2026-11-21T10:15:00Z")
        return parse_time(value)
    except (ValueError, OverflowError) as error:
        raise _RefusedError("invalid_time", f"{name}: {error}") from None


def _lenient_time(value: Any) -> Micros | None:
    """A sentAt that cannot be read corrects nothing; it is no reason to refuse the event."""
    try:
        return _time("sentAt", value)
    except _RefusedError:
        return None


def answer(found: Received, new: int) -> Mapping[str, Any]:
    """The body of the 200: how many were kept, were known already, or were refused, and why."""
    refusals: Sequence[Refusal] = found.refusals
    return {
        "success": True,
        "accepted": new,
        "repeated": len(found.events) - new,
        "refused": [refusal.to_dict() for refusal in refusals],
    }
