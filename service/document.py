"""The OpenAPI document of the app: what FastAPI makes of the routes, and what holds for all of them.

Every operation may answer a problem (RFC 9457), so that is its `default`; each but those for probes wants a key.
Examples are put back as they are: FastAPI leaves nulls out of them, and an answer has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from service.errors import Problem, documented

PROBLEM = "Problem"
OPEN = ("/healthz", "/readyz", "/metrics", "/v1/projects/")
METHODS = ("get", "put", "post", "patch", "delete")


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
    for holder, given in _examples(routers, found):
        holder["example"] = given
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


def _examples(routers: Sequence[APIRouter], found: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Where the document holds an example, and the example as the route gives it."""
    for route in _routes(routers):
        for method in route.methods or ():
            operation = found["paths"].get(route.path_format, {}).get(method.lower(), {})
            for status, given in route.responses.items():
                shown = operation.get("responses", {}).get(str(status), {})
                yield from _within(shown.get("content", {}), given.get("content", {}))
            asked = (route.openapi_extra or {}).get("requestBody", {})
            yield from _within(operation.get("requestBody", {}).get("content", {}), asked.get("content", {}))


def _within(shown: dict[str, Any], given: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for kind, one in given.items():
        if "example" in one and kind in shown:
            yield shown[kind], one["example"]
