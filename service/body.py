"""A request's body as bytes: read up to a limit and in time, gunzipped up to the same limit, whatever its type says.

Parses nothing but the check of a pydantic model; what the bytes mean is the caller's part.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from service.errors import BadRequest, TooLarge, TooSlow, Unsupported, invalid_body

Model = TypeVar("Model", bound=BaseModel)
BODY_SECONDS = 30.0
MAX_GZIP_MEMBERS = 100
"""Each member costs a copy of what follows it; real clients send one."""
_CLOSE = {"Connection": "close"}
"""What a client still sends of a body that nobody will read ends with the connection."""
_GZIP = 16 + zlib.MAX_WBITS


async def read_body(request: Request, limit_bytes: int, seconds: float = BODY_SECONDS) -> bytes:
    """The body after gunzip. Raises TooLarge once the limit is passed, TooSlow when time is up, Unsupported, or
    BadRequest when it is cut short."""
    received = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                received += chunk
                if len(received) > limit_bytes:
                    raise too_large(limit_bytes)
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {seconds:g} seconds.", "Send it again, in smaller parts.",
                      field="body", headers=_CLOSE) from None  # fmt: skip
    except ClientDisconnect:
        raise cut_short("body") from None
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return bytes(received)
    if encoding in ("gzip", "x-gzip"):
        return gunzip(bytes(received), limit_bytes)
    raise Unsupported(f"Content-Encoding {encoding[:40]!r} is not understood.", "Send gzip, or no encoding.",
                      field="Content-Encoding", value=encoding, allowed=("gzip", "identity"))  # fmt: skip


def gunzip(data: bytes, limit_bytes: int) -> bytes:
    """Gunzip, all members, never making more than `limit_bytes` (and one) of output.

    >>> import gzip
    >>> gunzip(gzip.compress(b"a") + gzip.compress(b"b"), 10)
    b'ab'
    """
    found, members = bytearray(), 0
    while data:
        members += 1
        if members > MAX_GZIP_MEMBERS:
            raise BadRequest(f"The gzipped body has more than {MAX_GZIP_MEMBERS} members.", "Gzip it as one.",
                             code="no_gzip")  # fmt: skip
        member = zlib.decompressobj(_GZIP)
        try:
            found += member.decompress(data, limit_bytes + 1 - len(found))
        except zlib.error:
            raise BadRequest("The body is labelled gzip but is none.", "Gzip it, or drop Content-Encoding.",
                             code="no_gzip") from None  # fmt: skip
        if len(found) > limit_bytes:
            raise too_large(limit_bytes)
        if not member.eof:
            raise cut_short("gzipped body")
        data = member.unused_data
    return bytes(found)


def cut_short(what: str) -> BadRequest:
    return BadRequest(f"The {what} is cut short.", "Send it again, whole.", code="cut_short")


def too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit_bytes} bytes.", "Send less at once.", field="body",
                    headers=_CLOSE, allowed=(f"at most {limit_bytes} bytes after gunzip",))  # fmt: skip


async def read_model(request: Request, model: type[Model], limit_bytes: int) -> Model:
    """The body as a pydantic model. Raises Invalid naming the first field that is wrong."""
    body = await read_body(request, limit_bytes)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if errors[0]["type"] == "json_invalid":
            raise no_json() from None
        raise invalid_body(errors) from None


def no_json() -> BadRequest:
    return BadRequest("The body is no JSON.", "Send one JSON object in UTF-8.", code="no_json", field="body")


def documented(model: type[BaseModel] | type[msgspec.Struct]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself: one schema that refers to nothing else."""
    whole = model.model_json_schema() if issubclass(model, BaseModel) else msgspec.json.schema(model)
    content = {"schema": _inlined(whole, whole.pop("$defs", {}))}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _inlined(schema: Any, named: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(one, named) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(named[schema["$ref"].rpartition("/")[2]], named)
    return {key: _inlined(value, named) for key, value in schema.items()}
