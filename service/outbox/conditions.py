"""The language of audiences: a condition over an insight as data, read once and then asked of any number of insights.

    {"all": [C, …]}   {"any": [C, …]}   {"not": C}   {"field": "purchase.car_purchase.answer", "op": ">", "value": 0.6}

Pure. It looks at the insight as a key without `provisional` sees it, so that what waits for a person tells nothing here
either. A comparison with what is null is false, whatever the operator; `known` asks for null itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec

from models.insight import FLAGS, Decision
from models.journey.event import SECOND, Micros, parse_duration, parse_time
from models.journey.rule import STAGES
from models.predictors.feedback import EMOTIONS, POLARITIES
from service.errors import Invalid

Json: TypeAlias = Mapping[str, Any]
FieldKind = Literal["number", "text", "time", "truth", "texts"]

MOST_DEPTH = 8
MOST_COMPARISONS = 100
MOST_VALUES = 100
MOST_CHARACTERS = 200
MOST_NUMBER = 1e15

OPERATORS: dict[FieldKind, tuple[str, ...]] = {
    "number": ("=", "!=", "<", "<=", ">", ">=", "in", "not_in", "known"),
    "text": ("=", "!=", "in", "not_in", "known"),
    "time": ("<", "<=", ">", ">=", "within", "older_than", "known"),
    "truth": ("=",),
    "texts": ("has", "has_not", "known"),
}
"""`within` and `older_than` take a duration such as P7D, counted back from the moment of the insight."""


@dataclass(frozen=True, slots=True)
class Field:
    """What can be compared: its kind, and the allowed values where they are known beforehand."""

    kind: FieldKind
    allowed: tuple[str, ...] = ()


_DECISIONS = tuple(one.value for one in Decision)
_OF_EACH = {
    "decision": Field("text", _DECISIONS),
    "decided_by": Field("text", ("model", "person")),
    "waiting": Field("truth"),
    "flags": Field("texts", tuple(FLAGS)),
    "confidence": Field("number"),
}
"""What every conclusion has; `waiting` is `decision` review and `decided_by` model."""
FIELDS: dict[str, Field] = {
    "journey.touchpoints": Field("number"),
    "journey.first_at": Field("time"),
    "journey.last_at": Field("time"),
    "journey.stage": Field("text", STAGES),
    "journey.last_channel": Field("text"),
    "journey.preferred_channel": Field("text"),
    "journey.channel_preference.confidence": Field("number"),
    "model.version": Field("number"),
    **{f"next_touchpoint.{name}": field for name, field in _OF_EACH.items()},
    "next_touchpoint.answer": Field("text"),
    "next_touchpoint.prediction_set": Field("texts"),
    "next_touchpoint.none_within_horizon": Field("number"),
    "next_touchpoint.distribution.*": Field("number"),
    **{f"purchase.*.{name}": field for name, field in _OF_EACH.items()},
    "purchase.*.answer": Field("number"),
    "purchase.*.base_rate": Field("number"),
    **{f"feeling.{name}": field for name, field in _OF_EACH.items()},
    "feeling.answer": Field("text", POLARITIES),
    "feeling.channel": Field("text"),
    "feeling.said_at": Field("time"),
    "feeling.intensity.mean": Field("number"),
    "feeling.emotions.*": Field("number", EMOTIONS),
}
"""`*` stands for a target's definition, a touchpoint (`email.click`) or an emotion."""
_LISTED = {"purchase": "definition", "distribution": "touchpoint", "emotions": "emotion"}
"""Lists of the insight of which one member is meant, and what its name is called there."""
_NAME = re.compile(r"[^\s\x00-\x1f]{1,200}")
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda found, value: bool(found == value),
    "!=": lambda found, value: bool(found != value),
    "<": lambda found, value: bool(found < value),
    "<=": lambda found, value: bool(found <= value),
    ">": lambda found, value: bool(found > value),
    ">=": lambda found, value: bool(found >= value),
    "in": lambda found, value: found in value,
    "not_in": lambda found, value: found not in value,
    "has": lambda found, value: value in found,
    "has_not": lambda found, value: value not in found,
}


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these holds; of none, it holds."""

    of: tuple[Condition, ...]

    def holds(self, insight: Json, as_of: Micros) -> bool:
        return all(one.holds(insight, as_of) for one in self.of)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these holds; of none, it does not."""

    of: tuple[Condition, ...]

    def holds(self, insight: Json, as_of: Micros) -> bool:
        return any(one.holds(insight, as_of) for one in self.of)


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    of: Condition

    def holds(self, insight: Json, as_of: Micros) -> bool:
        return not self.of.holds(insight, as_of)


@dataclass(frozen=True, slots=True)
class Compare:
    """One field beside one value; `value` is micros for a moment or a duration."""

    path: tuple[str, ...]
    kind: FieldKind
    op: str
    value: Any

    def holds(self, insight: Json, as_of: Micros) -> bool:
        found = look_up(insight, self.path)
        if self.op == "known":
            return (found is not None) is self.value
        if found is None:
            return False
        if self.kind == "time":
            found = parse_time(found)
        if self.op in ("within", "older_than"):
            return bool((as_of - found <= self.value) is (self.op == "within"))
        return _COMPARED[self.op](found, self.value)


Condition: TypeAlias = AllOf | AnyOf | Not | Compare


def look_up(insight: Json, path: Sequence[str]) -> Any:
    """What stands at the path of an insight, None where nothing does.

    >>> look_up({"purchase": [{"definition": "car", "answer": 0.3}]}, ("purchase", "car", "answer"))
    0.3
    """
    found: Any = insight
    for above, step in zip(("", *path), path, strict=False):
        if isinstance(found, Mapping):
            found = found.get(step) if step != "waiting" else _waits(found)
        elif above in _LISTED:
            found = next((one for one in found if one.get(_LISTED[above]) == step), None)
        else:
            return None
        if found is None:
            return None
    if isinstance(found, Mapping):
        return found.get("probability")
    return [one["code"] for one in found] if path[-1] == "flags" else found


def _waits(conclusion: Json) -> bool:
    return conclusion.get("decision") == "review" and conclusion.get("decided_by") == "model"


@lru_cache(maxsize=1_024)
def restored(stored: str) -> Condition:
    """The condition of an audience. One that a later version does not allow any more holds for nobody: it must not keep
    insights from being written."""
    try:
        return read(msgspec.json.decode(stored))
    except Invalid:
        return AnyOf(())


def read(given: Any, definitions: Sequence[str] = ()) -> Condition:
    """A condition from data; `definitions` are the targets that insights tell of, where that is known.

    Raises Invalid naming the place, the value and what is allowed.

    >>> likely = read({"field": "purchase.car.answer", "op": ">", "value": 0.6})
    >>> [likely.holds({"purchase": [{"definition": "car", "answer": chance}]}, 0) for chance in (0.7, 0.5, None)]
    [True, False, False]
    """
    return _Reader(tuple(definitions)).read(given, "condition", 1)


@dataclass
class _Reader:
    definitions: tuple[str, ...]
    comparisons: int = 0

    def read(self, given: Any, place: str, depth: int) -> Condition:
        if depth > MOST_DEPTH:
            raise _wrong(place, None, f"is nested deeper than {MOST_DEPTH}", "Say it with fewer levels.")
        if not isinstance(given, Mapping):
            raise _wrong(place, given, "is no object", "Send one with `all`, `any`, `not`, or `field`.",
                         ("all", "any", "not", "field"))  # fmt: skip
        names = set(given)
        for name, made in (("all", AllOf), ("any", AnyOf)):
            if names == {name}:
                return made(self._list(given[name], f"{place}.{name}", depth))
        if names == {"not"}:
            return Not(self.read(given["not"], f"{place}.not", depth + 1))
        if names != {"field", "op", "value"}:
            raise _wrong(place, ", ".join(map(str, given)), "has members that make no condition",
                         "Send `all`, `any` or `not` alone, or `field`, `op` and `value`.",
                         ("all", "any", "not", "field, op, value"))  # fmt: skip
        return self._compare(given, place)

    def _list(self, given: Any, place: str, depth: int) -> tuple[Condition, ...]:
        if not isinstance(given, list):
            raise _wrong(place, given, "is no list", "Send a list of conditions.")
        return tuple(self.read(one, f"{place}.{number}", depth + 1) for number, one in enumerate(given))

    def _compare(self, given: Json, place: str) -> Compare:
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            raise _wrong(place, None, f"is one comparison more than {MOST_COMPARISONS}", "Say it with fewer.")
        name, op, value = given["field"], given["op"], given["value"]
        path, field = self._field(name, f"{place}.field")
        if op not in (allowed := OPERATORS[field.kind]):
            raise _wrong(
                f"{place}.op", op, f"is no operator for {name} ({field.kind})", "Choose an allowed one.", allowed
            )
        return Compare(path, field.kind, op, _value(value, op, field, f"{place}.value"))

    def _field(self, name: Any, place: str) -> tuple[tuple[str, ...], Field]:
        """The path of a field, and what is said of it."""
        if isinstance(name, str) and "*" not in name:
            if name in FIELDS:
                return tuple(name.split(".")), FIELDS[name]
            for form, field in FIELDS.items():
                before, star, behind = form.partition("*")
                middle = name[len(before) : len(name) - len(behind)]
                if star and name.startswith(before) and name.endswith(behind) and _NAME.fullmatch(middle):
                    self._named(before, middle, field, place)
                    allowed = () if before == "feeling.emotions." else field.allowed
                    rest = (behind[1:],) if behind else ()
                    return (*before[:-1].split("."), middle, *rest), Field(field.kind, allowed)
        raise _wrong(place, name, "is no field of an insight", "Choose an allowed one; * is a name.", tuple(FIELDS))

    def _named(self, before: str, name: str, field: Field, place: str) -> None:
        allowed = {"purchase.": self.definitions, "feeling.emotions.": field.allowed}.get(before, ())
        if allowed and name not in allowed:
            raise _wrong(place, name, f"is unknown behind {before!r}", "Choose an allowed one.", allowed)


def _value(value: Any, op: str, field: Field, place: str) -> Any:
    """The value that is compared with, or Invalid."""
    if op == "known":
        return _one(value, Field("truth"), place)
    if op in ("within", "older_than"):
        return _moment(value, place, lambda text: parse_duration(text) * SECOND, "a duration such as P7D or PT12H")
    if op not in ("in", "not_in"):
        return _one(value, field, place)
    if not isinstance(value, list) or not 0 < len(value) <= MOST_VALUES:
        raise _wrong(place, value, f"is no list of 1 to {MOST_VALUES} values", "Send such a list.", field.allowed)
    return tuple(_one(one, field, f"{place}.{number}") for number, one in enumerate(value))


def _one(value: Any, field: Field, place: str) -> Any:
    if field.kind == "time":
        return _moment(value, place, parse_time, "a moment such as 2026-11-21T10:15:00Z")
    if field.kind == "truth":
        if not isinstance(value, bool):
            raise _wrong(place, value, "is neither true nor false", "Send one of them.", ("true", "false"))
        return value
    if field.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_NUMBER:
            raise _wrong(place, None, "is no number, or too large a one", "Send a number.")
        return value
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS or (field.allowed and value not in field.allowed):
        raise _wrong(place, value, "is no value of this field", "Choose an allowed one.",
                     field.allowed or (f"a text of up to {MOST_CHARACTERS} characters",))  # fmt: skip
    return value


def _moment(value: Any, place: str, parse: Callable[[str], Micros], what: str) -> Micros:
    try:
        return parse(value)
    except (ValueError, TypeError, AttributeError):
        raise _wrong(place, value, f"is not {what}", "Send one.", (what,)) from None


def _wrong(place: str, value: Any, what: str, fix: str, allowed: Sequence[str] = ()) -> Invalid:
    told = value if isinstance(value, str | int | float | bool) else None
    shown = f" {told!r}"[:MOST_CHARACTERS] if told is not None else ""
    return Invalid(f"{place}{shown} {what}.", fix, code="invalid_condition", field=place, value=told, allowed=allowed)
