"""A touchpoint: an event in our words, and the catalogue of rules (data, one YAML file) that finds those words.

Does not assemble journeys and keeps nothing: the same event and catalogue always give the same touchpoint. What a rule
is stands in rule.py, how the file is read in rulefile.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from models.journey.event import Event
from models.journey.rating import STARS, Rating
from models.journey.rule import STAGES, TOUCHPOINT_KINDS, Rule, fill, first_of, look_up, slug
from models.journey.rulefile import CatalogueError, read_rules

__all__ = ["STAGES", "TOUCHPOINT_KINDS", "Catalogue", "CatalogueError", "Rule", "Touchpoint", "default_text", "look_up",
           "slug"]  # fmt: skip

_MAX_MINOR = 10**13
"""A hundred billion in whole units: a journey of 900,000 such touchpoints still adds up exactly in int64."""
_REMEMBERED = 8192
_MEANING = 1
"""Counts the changes of what this code makes of the same rules: history is then mapped anew, see `digest`."""


@dataclass(frozen=True, slots=True)
class Touchpoint:
    """Where (channel), what (action) and in which stage; with the money and the words that came with it."""

    channel: str
    action: str
    stage: str
    amount_minor: int = 0
    text: str | None = None
    rating: int | None = None
    contact: bool = False
    """True where the company reached out (an e-mail sent), false where the customer did."""
    rule: int = field(default=0, compare=False)
    """Which rule of the catalogue found it, counted from 1; 0 where no rule did."""
    rated: float | None = None
    scale: str | None = None
    """The rating as it was given and its scale, where that is another than stars."""

    @property
    def name(self) -> str:
        return f"{self.channel}.{self.action}"


def default_text() -> str:
    """The file that comes with the product."""
    return (files("models.journey") / "catalogue.yaml").read_text("utf-8")


@dataclass(frozen=True)
class Catalogue:
    """Rules in order of precedence; the last one must match everything, so no event is without a touchpoint.

    >>> event = Event("m1", "track", "Test Drive Booked", "c1", None, 0, 0, {"channel": "dealer"})
    >>> Catalogue.default().touchpoint(event).name
    'dealer.test_drive'
    """

    rules: tuple[Rule, ...]
    text: str = field(default="", repr=False, compare=False)
    """The file's text, so that it can be kept and read again."""

    @classmethod
    def default(cls) -> Catalogue:
        """The catalogue that comes with the product."""
        return cls.parse(default_text())

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue of one's own. Raises CatalogueError."""
        try:
            return cls.parse(path.read_text("utf-8"))
        except CatalogueError as error:
            raise CatalogueError("\n".join(f"{path}: {line}" for line in str(error).splitlines()),
                                 error.mistakes) from None  # fmt: skip
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogueError(f"{path}: cannot be read: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Catalogue:
        """Read the YAML text. Raises CatalogueError."""
        return cls(read_rules(text), text)

    @cached_property
    def digest(self) -> str:
        """Of what the rules say, in their order: comments, blanks and the names of lists change nothing."""
        told = [
            [rule.channel, rule.action, rule.stage, sorted(rule.kinds), _sorted(rule.events),
             [(path, _sorted(words)) for path, words in rule.where], rule.text, rule.rating, rule.scale, rule.amount,
             rule.contact]
            for rule in self.rules
        ]  # fmt: skip
        return hashlib.sha256(json.dumps([_MEANING, told]).encode()).hexdigest()

    def touchpoint(self, event: Event) -> Touchpoint | None:
        """The event in our words, by the first rule that matches; None for calls that only say who somebody is."""
        known = self._named.get(event.kind)
        if known is None:
            return None
        name = event.name.lower()
        rules: Iterable[Rule] | None = known.get(name)
        if rules is None:
            rules = (rule for rule in self._unnamed[event.kind] if rule.events is None or name in rule.events)
        seen: dict[str, str] = {}
        for rule in rules:
            if not rule.where or rule.holds(event, seen):
                return self._apply(rule, event)
        raise AssertionError("unreachable: the last rule matches every event")

    def _apply(self, rule: Rule, event: Event) -> Touchpoint:
        channel, action = fill(rule.channel, event, "other"), fill(rule.action, event, "seen")
        text = first_of(event, rule.text) if rule.text else None
        rating = _rating(first_of(event, rule.rating), rule.scale) if rule.rating else None
        given = (rating.value, rule.scale) if rating and rule.scale != STARS else (None, None)
        return Touchpoint(
            channel,
            action,
            self._stage(channel, action),
            _minor(first_of(event, rule.amount)) if rule.amount else 0,
            text if isinstance(text, str) and text.strip() else None,
            rating.stars if rating else None,
            rule.contact,
            rule.number,
            *given,
        )

    @cached_property
    def _stage(self) -> Callable[[str, str], str]:
        """A touchpoint has one stage, whichever rule found it, or a journey would change with what others did.

        It is that of the first rule that spells the name out, else of the first whose "{path}" can give it.
        """
        spelled = {(rule.channel, rule.action): rule.stage for rule in reversed(self.rules)}

        @lru_cache(maxsize=_REMEMBERED)
        def stage(channel: str, action: str) -> str:
            found = spelled.get((channel, action))
            return found or next(rule.stage for rule in self.rules if rule.can_spell(channel, action))

        return stage

    @cached_property
    def _named(self) -> dict[str, dict[str, tuple[Rule, ...]]]:
        """By kind and by each name that some rule spells out: the rules that can match it, in order."""
        names = {name for rule in self.rules if rule.events for name in rule.events.exact}
        return {
            kind: {name: tuple(rule for rule in rules if rule.events is None or name in rule.events) for name in names}
            for kind in TOUCHPOINT_KINDS
            for rules in [[rule for rule in self.rules if not rule.kinds or kind in rule.kinds]]
        }

    @cached_property
    def _unnamed(self) -> dict[str, tuple[Rule, ...]]:
        """By kind: the rules that can match a name that no rule spells out."""
        open_ = [rule for rule in self.rules if rule.events is None or rule.events.patterns]
        return {
            kind: tuple(rule for rule in open_ if not rule.kinds or kind in rule.kinds) for kind in TOUCHPOINT_KINDS
        }


def _sorted(words: Any) -> list[str] | None:
    return None if words is None else sorted({*words.exact, *words.patterns})


def _minor(value: Any) -> int:
    """Money as whole hundredths, bounded; what is no amount counts as none.

    >>> _minor(29.33), _minor("1.005"), _minor("x"), _minor(float("nan")), _minor("1e999999")
    (2933, 100, 0, 0, 0)
    """
    if value == "" or isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        text = str(value)
        amount = Decimal(text) * 100 if len(text) <= 40 else Decimal(0)
    except (DecimalException, ValueError):
        return 0
    if not amount.is_finite() or abs(amount) > _MAX_MINOR:
        return 0
    return round(amount)


def _rating(value: Any, scale: str) -> Rating | None:
    """A whole number on this scale, as number or text; anything else is none.

    >>> [one and one.stars for one in (_rating(5, "1-5"), _rating("4.0", "1-5"), _rating("9", "0-10"))]
    [5, 4, 5]
    >>> [_rating(value, "1-5") for value in (4.5, 6, True, "", "good")]
    [None, None, None, None, None]
    """
    if value == "" or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        return Rating.of(int(number), scale) if number.is_integer() else None
    except (ValueError, OverflowError):
        return None
