"""The catalogue as a file: YAML text to rules, and every mistake in it with its line, key, value and what is allowed.

Reads the tree of YAML nodes and not the values alone, for only nodes know their line. Applies no rule (touchpoint.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from models.journey.rating import STARS, is_scale
from models.journey.rule import PATHS, STAGES, TOUCHPOINT_KINDS, Rule, Words, is_path, paths_of, slug, template

RULE_KEYS = ("kind", "event", "where", "channel", "action", "stage", "text", "rating", "scale", "amount",
             "contact")  # fmt: skip
DOCUMENT_KEYS = ("lists", "rules")
_ALLOWED_KEYS = ", ".join(RULE_KEYS)
_ALLOWED_PATHS = ", ".join(PATHS)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. `line` from 1; `rule` and `key` where it is one rule's, one key's."""

    line: int
    said: str
    rule: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        return f"line {self.line}: {self.said}"


class CatalogueError(ValueError):
    """The catalogue file is wrong; the message names each line, rule, key and value, and what is allowed."""

    def __init__(self, message: str, mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(message)
        self.mistakes = tuple(mistakes)


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules that the YAML text holds. Raises CatalogueError with all mistakes, in the order of their lines.

    >>> read_rules("rules:\\n  - {channel: web, action: seen, stage: later}")
    Traceback (most recent call last):
    models.journey.rulefile.CatalogueError: line 2: rule 1: stage 'later'; allowed: convenience, sale, post_sale
    """
    loader = yaml.SafeLoader(text)
    try:
        reading = _Reading(loader)
        rules = reading.document(loader.get_single_node())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        said = f"the catalogue is no YAML: {getattr(error, 'problem', None) or error}"
        raise CatalogueError(f"line {line}: {said}", [Mistake(line, said)]) from None
    finally:
        loader.dispose()
    if reading.mistakes:
        found = sorted(reading.mistakes, key=lambda mistake: mistake.line)
        raise CatalogueError("\n".join(map(str, found)), found)
    return tuple(rules)


@dataclass
class _Reading:
    """Goes through the nodes and notes every mistake, so that one run shows them all."""

    loader: yaml.SafeLoader
    mistakes: list[Mistake] = field(default_factory=list)

    def document(self, node: Any) -> list[Rule]:
        needs = "the catalogue needs a list called 'rules' with at least one rule in it"
        if not isinstance(node, yaml.MappingNode):
            self._note(node, needs)
            return []
        found = dict(self._pairs(node, None))
        for key, (key_node, _) in found.items():
            if key not in DOCUMENT_KEYS:
                self._note(key_node, f"the catalogue: unknown key {key!r}; allowed: {', '.join(DOCUMENT_KEYS)}")
        if "lists" in found:
            self._lists(found["lists"][1])
        listed = found["rules"][1] if "rules" in found else None
        if not isinstance(listed, yaml.SequenceNode) or not listed.value:
            self._note(listed or node, needs)
            return []
        read = [_RuleReading(self, number, one).rule() for number, one in enumerate(listed.value, 1)]
        rules = [rule for rule in read if rule is not None]
        last = read[-1]
        if last is not None and not last.takes_all:
            said = f"rule {last.number} is the last and must match every event: leave kind, event and where out of it"
            self._note(listed.value[-1], said, last.number)
        return rules

    def _lists(self, node: Any) -> None:
        """Values that several rules use, by YAML's anchors; only looked at here."""
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"lists {self.value(node)!r:.40}; allowed: a mapping of name to a list of values")
            return
        for name, (key_node, value) in self._pairs(node, None):
            if not is_words(self.value(value)):
                self._note(key_node, f"lists: {name} {self.value(value)!r:.40}; allowed: a value or a list of values")

    def _pairs(self, node: Any, rule: int | None) -> Iterator[tuple[str, tuple[Any, Any]]]:
        """Key, and the nodes of key and value; a key that is there twice is a mistake, for YAML would keep the last."""
        before = set[str]()
        for key_node, value in node.value:
            key = str(self.value(key_node))
            if key in before:
                self._note(key_node, f"{_of(rule)}{key!r} is there twice; allowed: once", rule, key)
            before.add(key)
            yield key, (key_node, value)

    def value(self, node: Any) -> Any:
        return self.loader.construct_object(node, deep=True)

    def _note(self, node: Any, said: str, rule: int | None = None, key: str | None = None) -> None:
        line = 1 if node is None else node.start_mark.line + 1
        self.mistakes.append(Mistake(line, said, rule, key))


def _of(rule: int | None) -> str:
    return "the catalogue: " if rule is None else f"rule {rule}: "


@dataclass
class _RuleReading:
    """One rule's nodes."""

    reading: _Reading
    number: int
    node: Any
    keys: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def rule(self) -> Rule | None:
        """The rule; None where it has a mistake."""
        before = len(self.reading.mistakes)
        if not isinstance(self.node, yaml.MappingNode):
            said = f"rule {self.number} is no mapping, but {self.reading.value(self.node)!r:.40}"
            self.reading._note(self.node, f"{said}; allowed keys: {_ALLOWED_KEYS}", self.number)
            return None
        for key, (key_node, value) in self.reading._pairs(self.node, self.number):
            self.keys[key], self.values[key] = key_node, self.reading.value(value)
            if key not in RULE_KEYS:
                self._note(key, f"unknown key {key!r}; allowed: {_ALLOWED_KEYS}")
        made = self._made()
        return made if len(self.reading.mistakes) == before else None

    def _made(self) -> Rule:
        kinds = self._words("kind")
        for wrong in sorted((kinds.exact | set(kinds.patterns)) - set(TOUCHPOINT_KINDS) if kinds else ()):
            self._note("kind", f"kind {wrong!r}; allowed: {', '.join(TOUCHPOINT_KINDS)}")
        stage, contact = self.values.get("stage"), self.values.get("contact", False)
        if stage not in STAGES:
            self._note("stage", f"stage {stage!r}; allowed: {', '.join(STAGES)}")
        if not isinstance(contact, bool):
            self._note("contact", f"contact {contact!r}; allowed: true, false")
        scale = self.values.get("scale", STARS)
        if not isinstance(scale, str) or not is_scale(scale):
            self._note("scale", f"scale {scale!r}; allowed: worst-best, such as 1-5, 0-10 or 1-100")
        text, rating, amount = map(self._paths, ("text", "rating", "amount"))
        return Rule(
            channel=self._word("channel"), action=self._word("action"), stage=str(stage),
            kinds=kinds.exact if kinds else frozenset(), events=self._words("event"), where=tuple(self._where()),
            text=text, rating=rating, amount=amount, contact=contact is True,
            number=self.number, line=self.node.start_mark.line + 1, scale=str(scale),
        )  # fmt: skip

    def _word(self, key: str) -> str:
        """A channel or action: spelled out, or "{path|path}". A dot in it would move the border between the two."""
        value = self.values.get(key)
        if not isinstance(value, str):
            self._note(key, f"{key} {value!r}; every rule says channel, action and stage, as text")
        elif template(value):
            for path in paths_of(value):
                self._check_path(key, path)
        elif not value or value != slug(value, ""):
            meant = f" (did you mean {slug(value, '')!r}?)" if slug(value, "") else ""
            self._note(key, f"{key} {value!r}{meant}; allowed: small_words, {{path}} or {{path|path}}")
        return str(value)

    def _words(self, key: str) -> Words | None:
        if key not in self.values:
            return None
        return self._values(key, key, self.values[key])

    def _where(self) -> Iterator[tuple[str, Words]]:
        where: Any = self.values.get("where", {})
        if not isinstance(where, Mapping):
            self._note("where", f"where {where!r:.40}; allowed: a mapping of path to values")
            return
        for path, values in where.items():
            self._check_path("where", path)
            yield str(path), self._values("where", str(path), values)

    def _values(self, key: str, named: str, values: Any) -> Words:
        """The values that a rule accepts, in small letters."""
        if not is_words(values):
            self._note(key, f"{named} {values!r:.40}; allowed: a value or a list of values")
            return Words.of([])
        return Words.of(values if isinstance(values, list) else [values])

    def _paths(self, key: str) -> tuple[str, ...]:
        if key not in self.values:
            return ()
        value = self.values[key]
        paths = tuple(value.split("|")) if isinstance(value, str) else (value,)
        for path in paths:
            self._check_path(key, path)
        return paths

    def _check_path(self, key: str, path: object) -> None:
        if not is_path(path):
            self._note(key, f"{key}: path {path!r}; allowed: {_ALLOWED_PATHS}")

    def _note(self, key: str, said: str) -> None:
        self.reading._note(self.keys.get(key, self.node), f"rule {self.number}: {said}", self.number, key)


def is_words(values: object) -> bool:
    """A value, or a list of some."""
    some = values if isinstance(values, list) else [values]
    return bool(some) and all(isinstance(word, str | int | float) for word in some)
