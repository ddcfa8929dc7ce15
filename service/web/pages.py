"""How a page leaves the house: templates with escaping, headers that allow no foreign or inline script, static files.

Knows no noun: each noun keeps its own templates in `<noun>/templates` and its own routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def words(name: str) -> str:
    """A code as people say it.

    >>> words("cannot_tell"), words("post_sale")
    ('cannot tell', 'post sale')
    """
    return name.replace("_", " ")


@cache
def environment(*nouns: Path) -> Environment:
    """Templates of these nouns over the base templates. A name that the page was not given is an error, not a blank."""
    loader = FileSystemLoader([*(noun / "templates" for noun in nouns), _HERE / "templates"])
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    found.filters["words"] = words
    return found


def page(
    noun: Path, template: str, context: Mapping[str, Any], status: int = 200, beside: Sequence[Path] = ()
) -> HTMLResponse:
    """Render a template of the noun whose folder is given; `beside` are nouns whose templates it includes."""
    html = environment(noun, *beside).get_template(template).render(context)
    return HTMLResponse(html, status, headers=_HEADERS)


def wants_part(request: Request) -> bool:
    """True where htmx asks, so that only the part to swap is needed."""
    return request.headers.get("hx-request") == "true"


@router.get("/static/{path:path}")
async def static_file(path: str, request: Request) -> Response:
    """The stylesheet, the scripts and the icon; not modified answers included."""
    answer = await StaticFiles(directory=_HERE / "static").get_response(path, request.scope)
    answer.headers["Cache-Control"] = "no-cache"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
