"""Which cases somebody asks for: the filters of the queue, read alike from an address, a form and a body of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Connection

from models.insight import FLAGS
from service.errors import Invalid
from service.reviews.queue import FILTERS, Filter, values_of

KINDS = ("feeling",)
"""What cases are about (docs/decisions/0004)."""
FLAGS_OF_CASES = tuple(code for code, kind in FLAGS.items() if kind.severity != "abstain")
MAX_VALUE = 80


def asked_for(kind: str = "", flag: str = "", channel: str = "", language: str = "", version: str = "") -> Filter:
    """FastAPI dependency: the filters of an address. Raises Invalid."""
    return filter_of({"kind": kind, "flag": flag, "channel": channel, "language": language, "version": version})


def filter_of(fields: Mapping[str, str]) -> Filter:
    """The filter that these fields name; empty ones name nothing. Raises Invalid, naming what is allowed.

    >>> filter_of({"flag": "urgent", "channel": ""}).given
    {'flag': 'urgent'}
    """
    given = {name: value for name in FILTERS if (value := fields.get(name, "").strip())}
    for name, allowed in (("kind", KINDS), ("flag", FLAGS_OF_CASES)):
        if given.get(name, allowed[0]) not in allowed:
            raise Invalid(f"There is no {name} {given[name][:MAX_VALUE]!r}.", "Choose one that is allowed.", field=name,
                          value=given[name][:MAX_VALUE], allowed=allowed)  # fmt: skip
    version = given.pop("version", None)
    if version is not None and (not version.isdecimal() or len(version) > 9):
        raise Invalid("A version is a whole number.", "Send the number that an insight tells.", field="version",
                      value=version[:MAX_VALUE])  # fmt: skip
    return Filter(**given, version=None if version is None else int(version))


def query_of(which: Filter) -> str:
    """The filter as the end of an address.

    >>> query_of(Filter(flag="urgent", version=3)), query_of(Filter())
    ('?flag=urgent&version=3', '')
    """
    return f"?{urlencode(which.given)}" if which.given else ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One filter of the page: its name, what can be chosen, and what is."""

    name: str
    values: tuple[str, ...]
    chosen: str


def choices(connection: Connection, which: Filter) -> list[Choice]:
    """What the page offers: flags and kinds that there are, and the rest as it is found among the cases that wait."""
    fixed = {"kind": KINDS, "flag": FLAGS_OF_CASES}
    found = {name: fixed.get(name) or tuple(map(str, values_of(connection, name))) for name in FILTERS}
    return [Choice(name, values, str(which.given.get(name, ""))) for name, values in found.items()]
