"""Where a visit came from, and by what kind of program: worked out from the address, the referrer and the library.

Paths that rules can use beside an event's own: `source` and `medium` as web analytics means them, `referrer.host`,
`url.host`, `url.path`, `url.query.NAME`, and `client`. Which of them make which channel is data (catalogue.yaml).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from models.journey.event import Event

PATHS = ("source", "medium", "client", "url.host", "url.path", "url.query.*", "referrer.host")
PATH = r"source|medium|client|url\.(host|path|query\.[^.{}|]+)|referrer\.host"
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?([^/?#:]*|\[[^\]/?#]*\])(?::\d*)?([^?#]*)(?:\?([^#]*))?", re.IGNORECASE
)
_MOBILE = re.compile(r"ios|android|swift|kotlin|flutter|react[-_]native|cordova|xamarin|unity", re.IGNORECASE)
_BROWSER = re.compile(r"analytics\.js|javascript|browser", re.IGNORECASE)
_MOST_FIELDS = 100


def look_up(event: Event, path: str) -> str:
    """What a path of this file holds for an event; '' where it holds nothing.

    >>> page = {"url": "https://shop.example/sale?utm_source=Google&utm_medium=cpc", "referrer": "https://shop.example/"}
    >>> event = Event("m1", "page", "", None, "d", 0, 0, {}, {"page": page, "library": {"name": "analytics.js"}})
    >>> [look_up(event, path) for path in ("source", "medium", "referrer.host", "url.path", "client")]
    ['Google', 'cpc', '', '/sale', 'web']
    """
    if path == "source":
        return campaign(event, "source") or referring(event)
    if path == "medium":
        return campaign(event, "medium")
    if path == "client":
        return client(event)
    if path == "referrer.host":
        return referring(event)
    host, place, query = address(event)
    if path == "url.host":
        return host
    return place if path == "url.path" else _field(query, path.removeprefix("url.query."))


def campaign(event: Event, name: str) -> str:
    """As the client library told it (`context.campaign`), else as it stands in the address (`utm_source` and so on)."""
    told = _inside(event.context, "campaign", name)
    if told:
        return told
    url = _url(event)
    return _field(_split(url)[2], f"utm_{name}") if "utm_" in url else ""


def address(event: Event) -> tuple[str, str, str]:
    """Host in small letters without `www.`, path and query of the page that the event happened on."""
    return _split(_url(event))


def referring(event: Event) -> str:
    """The host of the site that led here; '' where there was none, or it was the same site.

    Without a list of who owns which domain, a site is a host and those below it: `shop.example.org` belongs to
    `example.org`, and `blog.example.org` is another one than `shop.example.org`.
    """
    host = _split(_inside(event.context, "page", "referrer") or _text(event.properties.get("referrer")))[0]
    here = address(event)[0]
    if not host or (here and (host == here or host.endswith(f".{here}") or here.endswith(f".{host}"))):
        return ""
    return host


def client(event: Event) -> str:
    """`app`, `web` or '' (a server, a file): by the library's name, else by what the context holds."""
    library = _inside(event.context, "library", "name")
    if _MOBILE.search(library):
        return "app"
    if _BROWSER.search(library) or _inside(event.context, "page", "url"):
        return "web"
    return ""


def _url(event: Event) -> str:
    return _inside(event.context, "page", "url") or _text(event.properties.get("url"))


@lru_cache(maxsize=4096)
def _split(url: str) -> tuple[str, str, str]:
    found = _ADDRESS.match(url)
    if found is None:
        return "", "", ""
    return found[1].lower().removeprefix("www."), found[2], found[3] or ""


def _field(query: str, name: str) -> str:
    if name not in query.lower():
        return ""
    try:
        fields = parse_qsl(query[:10_000], max_num_fields=_MOST_FIELDS)
    except ValueError:
        return ""
    return next((value for key, value in fields if key.lower() == name), "")


def _inside(mapping: Mapping[str, Any], first: str, second: str) -> str:
    inner = mapping.get(first)
    return _text(inner.get(second)) if isinstance(inner, Mapping) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
