"""One rule of the catalogue: which events it takes, and which words it gives them. Reads from an event by paths.

Knows nothing of other rules (touchpoint.py) nor of the file that they stand in (rulefile.py).
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from models.journey import origin
from models.journey.event import Event
from models.journey.rating import STARS

STAGES = ("convenience", "sale", "post_sale")
TOUCHPOINT_KINDS = ("track", "page", "screen")
PATHS = ("event", "kind", "properties.*", "context.*", *origin.PATHS)
"""What a path may be; a star stands for a name, or several with dots between."""
_PATH = re.compile(rf"event|kind|(properties|context)(\.[^.{{}}|]+)+|{origin.PATH}")
_FIELDS = {"event": "name", "kind": "kind", "properties": "properties", "context": "context"}
_REMEMBERED = 8192


@dataclass(frozen=True, slots=True)
class Words:
    """The values that a rule accepts, in small letters; `*` stands for any letters, alone for anything but nothing.

    >>> hosts = Words.of(["bing.com", "www.google.*"])
    >>> "www.google.de" in hosts, "bing.com" in hosts, "www.google" in hosts, "" in Words.of(["*"])
    (True, True, False, False)
    """

    exact: frozenset[str]
    patterns: tuple[str, ...] = ()
    _fits: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, values: Iterable[object]) -> Words:
        """True and numbers are compared as they are written."""
        words = [str(value).lower() for value in values]
        patterns = tuple(word for word in words if "*" in word)
        spelled = (".+" if word == "*" else fnmatch.translate(word.replace("[", "[[]").replace("?", "[?]"))
                   for word in patterns)  # fmt: skip
        fits = _remembering(re.compile("|".join(spelled), re.DOTALL)) if patterns else None
        return cls(frozenset(word for word in words if "*" not in word), patterns, fits)

    def __contains__(self, word: str) -> bool:
        return word in self.exact or (self._fits is not None and self._fits(word))

    def covers(self, other: Words) -> bool:
        """Whether every word that the other surely accepts is accepted here; patterns are compared as they are written.

        >>> Words.of(["paid*"]).covers(Words.of(["paid", "paid_social"])), Words.of(["a"]).covers(Words.of(["*"]))
        (True, False)
        """
        return all(word in self for word in other.exact) and all(
            "*" in self.patterns or pattern in self.patterns for pattern in other.patterns
        )


def _remembering(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    """Whether a word fits; remembered, for every page view is held against the same few patterns."""

    @lru_cache(maxsize=_REMEMBERED)
    def fits(word: str) -> bool:
        return pattern.fullmatch(word) is not None

    return fits


@dataclass(frozen=True, slots=True)
class Rule:
    """If kind, event name and every `where` path match, then channel, action, stage; `{path}` reads from the event."""

    channel: str
    action: str
    stage: str
    kinds: frozenset[str]
    events: Words | None
    where: tuple[tuple[str, Words], ...]
    text: tuple[str, ...]
    rating: tuple[str, ...]
    amount: tuple[str, ...]
    contact: bool
    number: int
    line: int
    """Where it stands in the file: the how manyth rule, and in which line; both from 1."""
    scale: str = STARS
    """Of the rating, its worst and its best: see rating.py."""

    @property
    def takes_all(self) -> bool:
        return not (self.kinds or self.events or self.where)

    def holds(self, event: Event, seen: dict[str, str]) -> bool:
        """Whether every `where` does; `seen` keeps what was looked up for the rules that follow."""
        for path, allowed in self.where:
            word = seen.get(path)
            if word is None:
                word = seen[path] = str(look_up(event, path)).lower()
            if word not in allowed:
                return False
        return True

    def can_spell(self, channel: str, action: str) -> bool:
        """Whether some event could get these words from this rule."""
        return self.channel in (channel, template(self.channel)) and self.action in (action, template(self.action))


def look_up(event: Event, path: str) -> Any:
    """Follow a dotted path: `event`, `kind`, `properties.a.b`, `context.a.b` or one of origin.py; missing gives ''."""
    field, steps = _steps(path)
    if field is None:
        return origin.look_up(event, path)
    value: Any = getattr(event, field)
    for step in steps:
        # The exact type first: asking whether something is a Mapping is slow, and this runs for every event.
        if type(value) is not dict and not isinstance(value, Mapping):
            return ""
        value = value.get(step, "")
    return "" if value is None else value


def first_of(event: Event, paths: Iterable[str]) -> Any:
    """What the first of these paths holds that holds something; '' where none does."""
    for path in paths:
        value = look_up(event, path)
        if value != "":
            return value
    return ""


@lru_cache(maxsize=_REMEMBERED)
def _steps(path: str) -> tuple[str | None, tuple[str, ...]]:
    """The field of an event, and the steps into it; no field for what is worked out."""
    head, *steps = path.split(".")
    return _FIELDS.get(head), tuple(steps)


def is_path(text: object) -> bool:
    return isinstance(text, str) and _PATH.fullmatch(text) is not None


def slug(value: object, otherwise: str) -> str:
    """Lower-case words joined by underscores, at most 60 characters.

    >>> slug("Organic Search (brand)", "other"), slug("", "other")
    ('organic_search_brand', 'other')
    """
    return _slug(str(value)[:200]) or otherwise


@lru_cache(maxsize=_REMEMBERED)
def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"\W+", "_", plain).strip("_")[:60].rstrip("_")


def template(text: str) -> str | None:
    """The text itself where it is "{path}" or "{path|path}", to be filled from the event; else None."""
    return text if text.startswith("{") and text.endswith("}") else None


@lru_cache(maxsize=_REMEMBERED)
def paths_of(text: str) -> tuple[str, ...]:
    """The paths of a template; none where it is spelled out."""
    return tuple(text[1:-1].split("|")) if template(text) else ()


def fill(text: str, event: Event, otherwise: str) -> str:
    """A channel or an action for this event."""
    paths = paths_of(text)
    if not paths:
        return text
    value = first_of(event, paths)
    return otherwise if value == "" else slug(value, otherwise)
