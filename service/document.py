"""The OpenAPI document of the app: what FastAPI makes of the routes, and what holds for all of them.

Every operation may answer a problem (RFC 9457), so that is its `default`; each but those for probes wants a key. Its
examples lie in examples.json, written by a test that asks a real service and fails where an answer differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from service.errors import Problem, documented

PROBLEM = "Problem"
OPEN = ("/healthz", "/readyz", "/metrics", "/v1/projects/")
METHODS = ("get", "put", "post", "patch", "delete")
EXAMPLES = Path(__file__).with_name("examples.json")
"""By method and path: `sent`, the body of a request where it had one, and the `answer`, with its `kind` of content."""
ABOUT_EXAMPLES = "Examples are answers of a real service to one made-up company; long lists are cut short."


def document(app: FastAPI, routers: Sequence[APIRouter]) -> Callable[[], dict[str, Any]]:
    """For `app.openapi`: made once, when it is first asked for."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _made(app, routers)
        return app.openapi_schema

    return made


def _made(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    problem = next(iter(documented(Problem).values()))["content"]["application/problem+json"]["schema"]
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no answer has
        schemas.pop(name, None)
    schemas[PROBLEM] = problem
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "A key of yours."}}
    for path, operations in found["paths"].items():
        for method in METHODS:
            if method in operations:
                _complete(path, operations[method])
    found["info"]["description"] = ABOUT_EXAMPLES
    for name, example in msgspec.json.decode(EXAMPLES.read_bytes()).items():
        method, path = name.split(" ")
        if method.lower() in found["paths"].get(path, {}):
            _show(found["paths"][path][method.lower()], example)
    _name(routers, found)
    return found


def _name(routers: Sequence[APIRouter], found: dict[str, Any]) -> None:
    """Operations by the name of their function, as generated clients call them; a path that is short for another keeps
    the name that FastAPI made."""
    taken = set[str]()
    for route in _routes(routers):
        for method in route.methods or ():
            operation = found["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None and route.name not in taken:
                operation["operationId"] = route.name
                taken.add(route.name)


def _routes(routers: Sequence[APIRouter]) -> Iterator[APIRoute]:
    return (route for router in routers for route in router.routes if isinstance(route, APIRoute))


def _complete(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    told = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}}
    for status in [status for status in responses if not status.startswith("2")]:
        responses[status]["content"] = told
    if "422" in responses:
        responses["422"]["description"] = "Invalid value"
    responses["default"] = {"description": "A problem, with a code and a sentence that says the fix.", "content": told}
    if not path.startswith(OPEN):
        operation["security"] = [{"key": []}]


def _show(operation: dict[str, Any], example: dict[str, Any]) -> None:
    """Put an example where it belongs: its body with the request, its answer with the first success."""
    if "sent" in example and "requestBody" in operation:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example["sent"]
    if "answer" in example:
        success = next(told for status, told in operation["responses"].items() if status.startswith("2"))
        success.setdefault("content", {}).setdefault(example["kind"], {})["example"] = example["answer"]
