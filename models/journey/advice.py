"""What to change in a catalogue: a rule for an event that none names, and rules that an earlier one leaves nothing to.

Judges by names and by what rules say, so both are advice: a person pastes it or does not. Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

import yaml

from models.journey.rule import Rule, is_path, slug
from models.journey.touchpoint import Catalogue

NEAR = 0.6
"""Share of two names' words that must be the same for one to be taken as another spelling of the other."""
_SAME_WORD = 0.8
_MOST_LETTERS = 200
_STARS = ("rating", "stars", "score")
_WORDS = ("text", "comment", "message", "message_body", "review_body", "feedback", "body", "description", "answer")
_MONEY = ("value", "revenue", "total", "amount", "price")
_PLACES = ("url", "path", "referrer", "title")
_OWN_CHANNEL = "{properties.channel|context.channel|client}"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A rule as a line of YAML, to be pasted above the last rule; and why this one."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """A rule, or these of its event names, that earlier rules take whole."""

    rule: Rule
    by: tuple[int, ...]
    names: tuple[str, ...]
    whole: bool


def suggest(catalogue: Catalogue, name: str, properties: Iterable[str] = ()) -> Suggestion:
    """A rule for the event `name`: like the nearest name that a rule knows, else by the properties that came with it.

    >>> print(suggest(Catalogue.default(), "workshopVisit").rule)
    - {event: workshopVisit, channel: workshop, action: visit, stage: post_sale}
    >>> suggest(Catalogue.default(), "Hotline Rated", ["rating", "comment"]).why
    'it carries rating and comment'
    """
    near, score = _nearest(catalogue, name)
    if near is not None and score >= NEAR:
        known, rule = near
        given = {"channel": rule.channel, "action": rule.action, "stage": rule.stage}
        given |= {key: "|".join(paths) for key, paths in
                  (("text", rule.text), ("rating", rule.rating), ("amount", rule.amount)) if paths}  # fmt: skip
        return Suggestion(_line({"event": name, **given} | ({"contact": True} if rule.contact else {})),
                          f"its name is near {known!r} (rule {rule.number})")  # fmt: skip
    return _by_properties(name, [one for one in properties if is_path(f"properties.{one}")])


def _by_properties(name: str, properties: Sequence[str]) -> Suggestion:
    """Stars and words are an answer, money is a sale, an address is a visit."""
    stars, words, money, place = (_first(properties, some) for some in (_STARS, _WORDS, _MONEY, _PLACES))
    action = slug(name, "seen")
    if stars or words:
        stage, channel = "post_sale", "survey" if stars else _OWN_CHANNEL
    elif money:
        stage, channel = "sale", _OWN_CHANNEL
    else:
        stage, channel = "convenience", "web" if place else _OWN_CHANNEL
    given = {"event": name, "channel": channel, "action": action, "stage": stage}
    for key, found in (("text", words), ("rating", stars), ("amount", "" if stars or words else money)):
        if found:
            given[key] = f"properties.{found}"
    seen = [one for one in (stars, words, money, place) if one]
    return Suggestion(_line(given), f"it carries {' and '.join(seen)}" if seen else "by its own words: nothing is near")


def shadowed(catalogue: Catalogue) -> list[Shadow]:
    """Rules of which an earlier rule takes every event, or every event of some of their names; the last one left out.

    Only what is sure: a rule that several earlier ones take piece by piece, by other conditions, is not found.

    >>> given = "channel: a, action: a, stage: sale}"
    >>> text = f"rules: [{{event: [A, B], {given}, {{event: b, {given}, {{{given}]"
    >>> [(one.rule.number, one.by) for one in shadowed(Catalogue.parse(text))]
    [(2, (1,))]
    """
    found = []
    for place, rule in enumerate(catalogue.rules[:-1]):
        names = (*sorted(rule.events.exact), *rule.events.patterns) if rule.events else (None,)
        takers = {name: next((e.number for e in catalogue.rules[:place] if _takes(e, rule, name)), 0) for name in names}
        lost = tuple(name for name, taker in takers.items() if taker and name is not None)
        whole = all(takers.values())
        if lost or whole:
            found.append(Shadow(rule, tuple(sorted(set(takers.values()) - {0})), lost, whole))
    return found


def _takes(earlier: Rule, rule: Rule, name: str | None) -> bool:
    """Whether `earlier` matches every event of this name that `rule` matches."""
    if earlier.kinds and not (rule.kinds and rule.kinds <= earlier.kinds):
        return False
    if earlier.events is not None and (name is None or not _knows(earlier, name)):
        return False
    where = dict(rule.where)
    return all(path in where and words.covers(where[path]) for path, words in earlier.where)


def _knows(rule: Rule, name: str) -> bool:
    return rule.events is not None and (name in rule.events.patterns if "*" in name else name in rule.events)


def _nearest(catalogue: Catalogue, name: str) -> tuple[tuple[str, Rule] | None, float]:
    words, best, nearest = _words_of(name), 0.0, None
    for rule in catalogue.rules[:-1]:
        for known in sorted(rule.events.exact) if rule.events else ():
            score = _alike(words, _words_of(known))
            if score > best:
                best, nearest = score, (known, rule)
    return nearest, best


def _alike(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Words in common by words in either (Jaccard's index); a misspelled word counts as far as it is the same.

    >>> round(_alike(("product", "viewed"), ("produkt", "viewed")), 2), _alike(("a",), ("b",))
    (0.87, 0.0)
    """
    common, left = 0.0, list(theirs)
    for word in ours:
        closest = max(left, key=lambda other: _ratio(word, other), default=None)
        if closest is not None and _ratio(word, closest) >= _SAME_WORD:
            common += _ratio(word, closest)
            left.remove(closest)
    return common / max(len(ours) + len(theirs) - common, 1)


@lru_cache(maxsize=65_536)
def _ratio(word: str, other: str) -> float:
    if word == other:
        return 1.0
    # Two words of unlike length cannot be near; most pairs end here, and the rest is slow.
    if 2 * min(len(word), len(other)) < _SAME_WORD * (len(word) + len(other)):
        return 0.0
    return SequenceMatcher(None, word, other, autojunk=False).ratio()


@lru_cache(maxsize=8192)
def _words_of(name: str) -> tuple[str, ...]:
    """`productPageViewed`, `product_page_viewed` and `Product Page Viewed` are the same words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:_MOST_LETTERS])
    return tuple(dict.fromkeys(slug(spaced, "").split("_")))


def _first(properties: Sequence[str], wanted: Sequence[str]) -> str:
    """The property as it is spelled, in the order of what is wanted."""
    spelled = {one.lower(): one for one in reversed(properties)}
    return next((spelled[one] for one in wanted if one in spelled), "")


def _line(given: Mapping[str, object]) -> str:
    return (
        "- " + yaml.safe_dump(given, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6).strip()
    )
