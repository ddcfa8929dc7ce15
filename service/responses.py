"""What answers have in common: JSON without pydantic, and entity tags: who knows an answer need not get it again.

Knows nothing of what is answered.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from starlette.responses import Response

JSON = "application/json"


def as_json(told: Any, status: int = 200) -> Response:
    """The answer as JSON."""
    return Response(msgspec.json.encode(told), status, media_type=JSON)


def etag_of(body: bytes) -> str:
    """Names these bytes; weak, for the same answer may go out gzipped.

    >>> etag_of(b"{}")
    'W/"01e7b720ff566d53"'
    """
    return f'W/"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'


def unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has this very answer already (RFC 9110, section 13.1.2: compared weakly).

    >>> unchanged('"b", W/"a"', 'W/"a"'), unchanged("*", 'W/"a"'), unchanged(None, 'W/"a"')
    (True, True, False)
    """
    if if_none_match is None:
        return False
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def conditional(body: bytes, if_none_match: str | None) -> Response:
    """The answer, or 304 where the caller has it."""
    etag = etag_of(body)
    headers = {"Cache-Control": "private, no-cache", "ETag": etag}
    if unchanged(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=JSON)
