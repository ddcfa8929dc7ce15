"""A touchpoint: an event in our words, and the catalogue of rules (data, one YAML file) that finds those words.

Does not assemble journeys and keeps nothing: the same event and catalogue always give the same touchpoint.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from models.journey.event import Event

STAGES = ("convenience", "sale", "post_sale")
TOUCHPOINT_KINDS = ("track", "page", "screen")
_RULE_KEYS = ("kind", "event", "where", "channel", "action", "stage", "text", "rating", "amount", "contact")
_ALLOWED_KEYS = ", ".join(_RULE_KEYS)
_MONEY_AND_WORDS = ("text", "rating", "amount")
_PATH = re.compile(r"event|kind|(properties|context)(\.[^.{}|]+)+")
_MAX_MINOR = 10**13
"""A hundred billion in whole units: a journey of 900,000 such touchpoints still adds up exactly in int64."""
_REMEMBERED = 8192


class CatalogueError(ValueError):
    """The catalogue file is wrong; the message names the rule, the key, the value and what is allowed."""


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

    @property
    def name(self) -> str:
        return f"{self.channel}.{self.action}"


@dataclass(frozen=True, slots=True)
class Rule:
    """If kind, event name and every `where` path match, then channel, action, stage; `{path}` reads from the event."""

    channel: str
    action: str
    stage: str
    kinds: frozenset[str]
    events: frozenset[str]
    where: tuple[tuple[str, frozenset[str]], ...]
    text: str | None
    rating: str | None
    amount: str | None
    contact: bool

    def matches(self, event: Event) -> bool:
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.events or event.name.lower() in self.events)
            and (not self.where or all(str(look_up(event, p)).lower() in allowed for p, allowed in self.where))
        )

    def can_spell(self, channel: str, action: str) -> bool:
        """Whether some event could get these words from this rule."""
        return self.channel in (channel, _template(self.channel)) and self.action in (action, _template(self.action))


@dataclass(frozen=True)
class Catalogue:
    """Rules in order of precedence; the last one must match everything, so no event is without a touchpoint.

    >>> event = Event("m1", "track", "Test Drive Booked", "c1", None, 0, 0, {"channel": "dealer"})
    >>> Catalogue.default().touchpoint(event).name
    'dealer.test_drive'
    """

    rules: tuple[Rule, ...]

    @classmethod
    def default(cls) -> Catalogue:
        """The catalogue that comes with the product."""
        return cls.parse((files("models.journey") / "catalogue.yaml").read_text("utf-8"))

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue of one's own. Raises CatalogueError."""
        try:
            return cls.parse(path.read_text("utf-8"))
        except CatalogueError as error:
            raise CatalogueError(f"{path}: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogueError(f"{path}: cannot be read: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Catalogue:
        """Read the YAML text. Raises CatalogueError."""
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise CatalogueError(f"the catalogue is no YAML: {error}") from None
        if not isinstance(document, dict) or not isinstance(document.get("rules"), list) or not document["rules"]:
            raise CatalogueError("the catalogue needs a list called 'rules' with at least one rule in it")
        if unknown := sorted(map(str, set(document) - {"rules"})):
            raise CatalogueError(f"the catalogue: unknown key {unknown[0]!r}; allowed: rules")
        rules = tuple(_rule(number, raw) for number, raw in enumerate(document["rules"], 1))
        last = rules[-1]
        if last.kinds or last.events or last.where:
            raise CatalogueError(
                f"rule {len(rules)} is the last and must match every event: leave kind, event and where out of it"
            )
        return cls(rules)

    def touchpoint(self, event: Event) -> Touchpoint | None:
        """The event in our words, by the first rule that matches; None for calls that only say who somebody is."""
        if event.kind not in TOUCHPOINT_KINDS:
            return None
        for rule in self._by_event.get(event.name.lower(), self._unnamed):
            if rule.matches(event):
                return self._apply(rule, event)
        raise AssertionError("unreachable: the last rule matches every event")

    def _apply(self, rule: Rule, event: Event) -> Touchpoint:
        channel, action = _fill(rule.channel, event, "other"), _fill(rule.action, event, "seen")
        text = look_up(event, rule.text) if rule.text else None
        return Touchpoint(
            channel=channel,
            action=action,
            stage=self._stage(channel, action),
            amount_minor=_minor(look_up(event, rule.amount)) if rule.amount else 0,
            text=text if isinstance(text, str) and text.strip() else None,
            rating=_stars(look_up(event, rule.rating)) if rule.rating else None,
            contact=rule.contact,
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
    def _by_event(self) -> dict[str, tuple[Rule, ...]]:
        names = {name for rule in self.rules for name in rule.events}
        return {name: tuple(rule for rule in self.rules if not rule.events or name in rule.events) for name in names}

    @cached_property
    def _unnamed(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if not rule.events)


def look_up(event: Event, path: str) -> Any:
    """Follow a dotted path: `event`, `kind`, `properties.a.b` or `context.a.b`; a missing step gives ''."""
    head, steps = _steps(path)
    value: Any = getattr(event, head)
    for step in steps:
        # The exact type first: asking whether something is a Mapping is slow, and this runs for every event.
        if type(value) is not dict and not isinstance(value, Mapping):
            return ""
        value = value.get(step, "")
    return "" if value is None else value


@lru_cache(maxsize=_REMEMBERED)
def _steps(path: str) -> tuple[str, tuple[str, ...]]:
    """The field of an event, and the steps into it."""
    head, *steps = path.split(".")
    return {"event": "name"}.get(head, head), tuple(steps)


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


def _template(text: str) -> str | None:
    """The text itself where it is "{path}" or "{path|path}", to be filled from the event; else None."""
    return text if text.startswith("{") and text.endswith("}") else None


@lru_cache(maxsize=_REMEMBERED)
def _paths(template: str) -> tuple[str, ...]:
    return tuple(template[1:-1].split("|")) if _template(template) else ()


def _fill(template: str, event: Event, otherwise: str) -> str:
    paths = _paths(template)
    if not paths:
        return template
    for path in paths:
        value = look_up(event, path)
        if value != "":
            return slug(value, otherwise)
    return otherwise


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


def _stars(value: Any) -> int | None:
    """A rating of 1 to 5 whole stars, as number or text; anything else is none.

    >>> _stars(5), _stars("4.0"), _stars(4.5), _stars(True), _stars("")
    (5, 4, None, None, None)
    """
    if value == "" or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        stars = float(value)
    except (ValueError, OverflowError):
        return None
    return int(stars) if stars in (1, 2, 3, 4, 5) else None


def _rule(number: int, raw: Any) -> Rule:
    if not isinstance(raw, dict):
        raise CatalogueError(f"rule {number} is no mapping, but {raw!r:.40}; allowed keys: {_ALLOWED_KEYS}")
    for key in raw:
        if key not in _RULE_KEYS:
            raise CatalogueError(f"rule {number}: unknown key {key!r}; allowed: {_ALLOWED_KEYS}")
    if raw.get("stage") not in STAGES:
        raise CatalogueError(f"rule {number}: stage {raw.get('stage')!r}; allowed: {', '.join(STAGES)}")
    where, contact = raw.get("where", {}), raw.get("contact", False)
    if not isinstance(where, dict):
        raise CatalogueError(f"rule {number}: where {where!r:.40}; allowed: a mapping of path to values")
    if not isinstance(contact, bool):
        raise CatalogueError(f"rule {number}: contact {contact!r}; allowed: true, false")
    text, rating, amount = (_path(number, key, raw[key]) if key in raw else None for key in _MONEY_AND_WORDS)
    kinds, events = (_words(number, key, raw[key]) if key in raw else frozenset() for key in ("kind", "event"))
    if wrong := sorted(kinds - set(TOUCHPOINT_KINDS)):
        raise CatalogueError(f"rule {number}: kind {wrong[0]!r}; allowed: {', '.join(TOUCHPOINT_KINDS)}")
    return Rule(
        channel=_word(number, "channel", raw.get("channel")),
        action=_word(number, "action", raw.get("action")),
        stage=raw["stage"],
        kinds=kinds,
        events=events,
        where=tuple((_path(number, "where", path), _words(number, path, some)) for path, some in where.items()),
        text=text,
        rating=rating,
        amount=amount,
        contact=contact,
    )


def _word(number: int, key: str, value: Any) -> str:
    """A channel or action: spelled out, or "{path|path}". A dot in it would move the border between the two."""
    if not isinstance(value, str):
        raise CatalogueError(f"rule {number}: {key} {value!r}; every rule says channel, action and stage, as text")
    if _template(value):
        for path in _paths(value):
            _path(number, key, path)
    elif value != _slug(value) or not value:
        meant = f" (did you mean {_slug(value)!r}?)" if _slug(value) else ""
        raise CatalogueError(f"rule {number}: {key} {value!r}{meant}; allowed: small_words, {{path}} or {{path|path}}")
    return value


def _path(number: int, key: str, value: Any) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise CatalogueError(f"rule {number}: {key}: path {value!r}; allowed: event, kind, properties.*, context.*")
    return value


def _words(number: int, key: str, value: Any) -> frozenset[str]:
    """The values that a rule accepts, in small letters."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(word, str | int | float) for word in values):
        raise CatalogueError(f"rule {number}: {key} {value!r:.40}; allowed: a value or a list of values")
    return frozenset(str(word).lower() for word in values)
