"""A request's body as its parts: the events as they were sent, what stands beside them, and the write key.

Splits, and reads no event. A body that a strict reader refuses as a whole (NaN in one event, a lone surrogate, nested
without end) is split by its brackets, so that one bad event harms no other; what is in each, tracking.py judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.body import no_json
from service.errors import BadRequest, TooLarge, shown

CANNOT_DECODE = (msgspec.MsgspecError, ValueError, RecursionError)
"""All that decoding bytes of a stranger can raise: no JSON, bad UTF-8, numbers out of range, nested too deeply."""

_SHAPE = 'Send one event as an object, or {"batch": [event, …]}.'
_BLANK = b" \t\r\n"
_CLOSES = {b"{": b"}", b"[": b"]"}
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},"]', re.DOTALL)
_MEMBER = re.compile(rb'\s*("(?:[^"\\]++|\\.)*+")\s*:(.*)', re.DOTALL)


class Beside(msgspec.Struct, rename="camel", omit_defaults=True):
    """What stands beside the events of a batch and counts for each, as it was sent; empty for a single event."""

    context: msgspec.Raw = msgspec.Raw()
    integrations: msgspec.Raw = msgspec.Raw()
    sent_at: msgspec.Raw = msgspec.Raw()

    def parts(self) -> list[bytes]:
        """What is kept with each event."""
        return [bytes(self.context), bytes(self.integrations)]


class _Batch(Beside, rename="camel", kw_only=True):
    batch: list[msgspec.Raw]
    write_key: Any = None


class _Single(msgspec.Struct, rename="camel"):
    write_key: Any = None


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: `call` is a kind of event, or `batch`."""

    call: str
    body: bytes
    items: list[bytes]
    beside: Beside
    write_key: str | None


def split(call: str, body: bytes, most_events: int) -> Sent:
    """The parts of a body. Raises BadRequest where it is no JSON at all, TooLarge for too many events.

    >>> split("batch", b'{"batch": [{"a": 1}, {"a": NaN}], "writeKey": "k"}', 9).items
    [b'{"a": 1}', b'{"a": NaN}']
    """
    if call != "batch":
        return Sent(call, body, [body], Beside(), _write_key_of(body))
    try:
        read = msgspec.json.decode(body, type=_Batch)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body has not the shape of this call: {shown(error)}.", _SHAPE, code="no_json") from None
    except CANNOT_DECODE:
        read = _by_brackets(body)
    if len(read.batch) > most_events:
        raise TooLarge(f"The batch holds {len(read.batch)} events.", "Send them in several batches.",
                       code="too_many_events", field="batch", allowed=(f"at most {most_events} events",))  # fmt: skip
    return Sent(call, body, [bytes(raw) for raw in read.batch], read, _text(read.write_key))


def _write_key_of(body: bytes) -> str | None:
    try:
        return _text(msgspec.json.decode(body, type=_Single).write_key)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body has not the shape of this call: {shown(error)}.", _SHAPE, code="no_json") from None
    except CANNOT_DECODE:
        return _text(_decoded(dict(_members(body)).get("writeKey", b"null")))


def _by_brackets(body: bytes) -> _Batch:
    members = dict(_members(body))
    try:
        items = [msgspec.Raw(one) for one in pieces(members["batch"], b"[")]
    except (KeyError, ValueError):
        raise no_json() from None
    return _Batch(*_beside(members), batch=items, write_key=_decoded(members.get("writeKey", b"null")))


def beside_of(kept: bytes) -> Beside:
    """What stood beside a batch, as one object, as its parts again; empty where there was nothing."""
    return Beside(*_beside(dict(_members(kept)))) if kept else Beside()


def _beside(members: Mapping[str, bytes]) -> list[msgspec.Raw]:
    return [msgspec.Raw(members.get(name, b"")) for name in ("context", "integrations", "sentAt")]


def _members(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and value, as sent, of each member of an object."""
    try:
        for piece in pieces(body, b"{"):
            member = _MEMBER.fullmatch(piece)
            if member is None:
                raise no_json()
            yield str(_decoded(member[1])), member[2].strip(_BLANK)
    except ValueError:
        raise no_json() from None


def pieces(data: bytes, opening: bytes) -> list[bytes]:
    """What stands between the commas of one array (`[`) or object (`{`). Raises ValueError unless its brackets fit.

    Goes through the bytes once and does not recurse, so that no nesting is too deep for it.

    >>> pieces(b' [1, "a,]", {"b": [2, 3]}] ', b"[")
    [b'1', b'"a,]"', b'{"b": [2, 3]}']
    """
    data = data.strip(_BLANK)
    if data[:1] != opening:
        raise ValueError("does not open")
    found, begun, closing = list[bytes](), 1, list[bytes]()
    for token in _TOKEN.finditer(data):
        sign = token[0]
        if sign in _CLOSES:
            closing.append(_CLOSES[sign])
        elif sign == b"," and len(closing) == 1:
            found.append(data[begun : token.start()].strip(_BLANK))
            begun = token.end()
        elif sign in (b"]", b"}"):
            if closing.pop() != sign:
                raise ValueError("brackets do not fit")
            if not closing:
                if token.end() != len(data):
                    raise ValueError("something follows")
                last = data[begun : token.start()].strip(_BLANK)
                return [*found, last] if found or last else []
        elif sign == b'"':
            raise ValueError("a string does not end")
    raise ValueError("cut short")


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except CANNOT_DECODE:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
