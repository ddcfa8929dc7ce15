"""Whether JSON of a stranger can be stored exactly as it was sent: what cannot is refused, and said why.

Knows bytes, texts, numbers and nesting; what an event must hold is tracking.py's part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn, Self, TypeVar

import msgspec

from service.events.splitting import CANNOT_DECODE

Struct = TypeVar("Struct", bound=msgspec.Struct)

MAX_DEPTH = 64
"""Deepest nesting of an event: whoever reads the log later does so with room to spare."""

_INT64_DIGITS = 19
_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_MANY_DIGITS = b"0" * _INT64_DIGITS
_BEFORE_A_NUMBER = b" \t\r\n:,[-"


class RefusedError(ValueError):
    """Why an event is not kept."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason

    def found(self, where: str) -> Self:
        """The same, with the place at which it was found."""
        return type(self)(self.code, f"{where}: {self.reason}")


def decode(raw: bytes, kind: type[Struct], plain: bool) -> Struct:
    """One object; `plain` where `is_plain` said so of it, or of more around it. Raises RefusedError."""
    try:
        found = msgspec.json.decode(raw, type=kind)
    except CANNOT_DECODE:
        _refuse(raw)
    if not plain or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check(msgspec.structs.astuple(found))
    return found


def decode_any(raw: msgspec.Raw) -> Any:
    """Any value; None for no bytes. Raises RefusedError."""
    sent = bytes(raw)
    if not sent:
        return None
    try:
        value = msgspec.json.decode(sent)
    except CANNOT_DECODE:
        _refuse(sent)
    _check([value])
    return value


def is_plain(raw: bytes) -> bool:
    """True where these bytes hold neither NUL nor a number that may be too long: quick to ask, and mostly so.

    >>> is_plain(b'{"a": 1, "b": "12345678901234567890"}'), is_plain(b'{"a": 12345678901234567890}')
    (True, False)
    """
    return b"\\u0000" not in raw and not _has_long_number(raw)


def _refuse(raw: bytes) -> NoReturn:
    """Say what keeps these bytes from being read, by a reader that puts up with more."""
    try:
        text = raw.decode()
        value = json.loads(text, strict=False, parse_constant=_constant, parse_int=_whole)
    except UnicodeDecodeError:
        raise RefusedError("invalid_text", "the event is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise RefusedError("not_json", f"the event is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    _check([value])
    if not isinstance(value, dict):
        raise RefusedError("not_an_object", "an event is a JSON object")
    raise RefusedError("not_json", "the event is no JSON: control characters in a string must be escaped")


def _constant(name: str) -> NoReturn:
    raise RefusedError("invalid_number", f"{name} is no number that JSON knows")


def _whole(digits: str) -> int:
    if len(digits) > _INT64_DIGITS + 1:
        raise _beyond_64_bits()
    return int(digits)


def _has_long_number(raw: bytes) -> bool:
    """Whether as many digits as may be too many stand where a number can stand, and not in the middle of a text."""
    digits = raw.translate(_DIGITS)
    at = digits.find(_MANY_DIGITS)
    while at > 0:
        if raw[at - 1] in _BEFORE_A_NUMBER:
            return True
        at = digits.find(_MANY_DIGITS, digits.find(b" ", at))
    return False


def _check(values: Sequence[Any]) -> None:
    """Refuse what JSON can say and the log, or somebody who reads it, cannot. Does not recurse."""
    level, depth = list(values), 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, int):
                if not -(2**63) <= value < 2**63:
                    raise _beyond_64_bits()
            elif isinstance(value, float):
                if not math.isfinite(value):
                    raise RefusedError("invalid_number", "a number is too large to be kept")
            elif isinstance(value, dict):
                below += (*value, *value.values())
            elif isinstance(value, list):
                below += value
        level = below


def _check_text(text: str) -> None:
    if "\0" in text:
        raise RefusedError("invalid_text", "a text holds the character NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RefusedError("invalid_text", "a text holds half of a surrogate pair") from None


def _beyond_64_bits() -> RefusedError:
    return RefusedError("invalid_number", "a whole number lies beyond 64 bits; send it as a string")


def _too_deep() -> RefusedError:
    return RefusedError("nested_too_deep", f"an event is nested at most {MAX_DEPTH} deep")
