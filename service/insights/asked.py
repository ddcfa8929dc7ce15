"""What POST /v1/predictions is asked: journeys in the body, read and checked without pydantic. Concludes nothing."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.body import no_json
from service.errors import Invalid
from service.errors import shown as shown_value
from service.events.tracking import MAX_ID, MAX_NAME

T = TypeVar("T")
Id = Annotated[str, Meta(max_length=MAX_ID)]
_WHERE = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>[^`]*)`")
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|\.?([^.\[\]]+)")


class EventIn(Struct, frozen=True, gc=False):
    """An event as the tracking API has it, or in short: `event`, `timestamp`, `channel`, `value`; else ignored."""

    timestamp: Annotated[str, Meta(description="When, ISO 8601; without a zone it is UTC.")]
    event: Annotated[
        str, Meta(max_length=MAX_NAME, description="What happened; the name of a page where `type` is page.")
    ] = ""
    type: Literal["track", "page", "screen"] = "track"
    messageId: Annotated[Id | None, Meta(description="Events with the same one are repeats.")] = None  # noqa: N815
    channel: Annotated[str | None, Meta(description="Short for properties.channel.")] = None
    value: Annotated[float | str | None, Meta(description="Short for properties.value.")] = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


class WordsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that the customer said."""

    text: str
    said_at: Annotated[str | None, Meta(description="ISO 8601; missing: at `as_of`.")] = None
    channel: Annotated[str, Meta(max_length=200)] = "other"
    rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    id: Id | None = None


class JourneyIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One customer's events, in any order, and what they said."""

    customer_id: Annotated[Id | None, Meta(description="Comes back in the answer.")] = None
    events: list[EventIn] = []
    feedback: list[WordsIn] = []


class PredictionsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to a thousand journeys, all seen from one moment."""

    journeys: Annotated[list[JourneyIn], Meta(min_length=1)]
    as_of: Annotated[str | None, Meta(description="ISO 8601; missing: now. Later events change nothing.")] = None
    explain: Annotated[bool, Meta(description="Say why beside each answer that can be explained.")] = False


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def read(body: bytes, kind: type[T]) -> T:
    """The body as this structure. Raises BadRequest where it is no JSON, Invalid naming the field that is wrong.

    >>> read(b'{"journeys": [{"events": [{"timestamp": 3}]}]}', PredictionsIn)
    Traceback (most recent call last):
    service.errors.Invalid: journeys.0.events.0.timestamp: Expected `str`, got `int`.
    """
    decoder = _DECODERS.get(kind) or _DECODERS.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        found: T = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise no_json() from None
    return found


def _invalid(told: str) -> Invalid:
    found = _WHERE.fullmatch(told)
    reason, path = (found["reason"], found["path"] or "") if found else (told, "")
    steps = [index or name for index, name in _STEP.findall(path)]
    if named := _NAMED.match(reason):
        steps.append(named["name"])
    field = shown_value(".".join(steps)) or "body"
    return Invalid(f"{field}: {reason}.", f"Correct {field} and send it again.", field=field)
