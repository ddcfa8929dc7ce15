"""The policy: how much risk the operator accepts, how much people can read, and what is at stake. A file they edit.

Reads and checks the file; measures nothing and decides nothing. What was measured is the bundle's, so that a new policy
needs no new training. The file that comes along, `policy.yaml`, holds the defaults and says what each number means.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from models.insight import ReleasePolicy
from models.measured import COVERAGES

DEFAULT = Path(__file__).with_name("policy.yaml")
OnShift = Literal["note", "widen", "withdraw"]
ON_SHIFT = ("note", "widen", "withdraw")


class PolicyError(ValueError):
    """The policy file is wrong. `field` is where, `value` what stands there, `fix` what to write instead."""

    def __init__(self, field: str, value: Any, fix: str) -> None:
        super().__init__(f"policy: {field} is {value!r:.80}; {fix}")
        self.field, self.value, self.fix = field, value, fix


@dataclass(frozen=True, slots=True)
class _Number:
    """What may stand in a field: a number between two others, whole where `whole`."""

    least: float
    most: float
    whole: bool = False
    open: bool = False  # neither end itself is allowed

    def read(self, field: str, value: Any) -> float | int:
        kind = "a whole number" if self.whole else "a number"
        fix = f"write {kind} {'between' if self.open else 'from'} {self.least:g} {'and' if self.open else 'to'} "
        fix += f"{self.most:g}" + (", both excluded" if self.open else "")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or (self.whole and not float(value).is_integer()):
            raise PolicyError(field, value, fix)
        inside = self.least < value < self.most if self.open else self.least <= value <= self.most
        if not inside:
            raise PolicyError(field, value, fix)
        return int(value) if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class _One:
    """One of these values."""

    allowed: tuple[Any, ...]

    def read(self, field: str, value: Any) -> Any:
        if isinstance(value, bool) or value not in self.allowed:
            raise PolicyError(field, value, f"write one of {', '.join(map(str, self.allowed))}")
        return value


_SHARE = _Number(0, 1, open=True)
_MANY = 1_000_000_000
FIELDS: Mapping[str, _Number | _One] = {
    "feeling.alpha": _SHARE,
    "feeling.delta": _SHARE,
    "next_touchpoint.coverage": _One(COVERAGES),
    "next_touchpoint.delta": _SHARE,
    "purchase.delta": _SHARE,
    "audit.share": _Number(0, 1),
    "day_one.texts": _Number(0, _MANY, whole=True),
    "day_one.share": _Number(0, 1),
    "reviewers.minutes_a_day": _Number(0, _MANY),
    "reviewers.seconds_a_case": _Number(1, 86_400),
    "stake.least": _Number(0, 1),
    "stake.half_at_minor": _Number(1, 10**12, whole=True),
    "shift.level": _SHARE,
    "shift.feeling": _One(ON_SHIFT),
    "shift.purchase": _One(ON_SHIFT),
}
"""Every field of the file, by where it stands, and what may stand there."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the file says. `feeling`, `next_touchpoint` and `purchase` are promises; the rest is how they are kept.

    >>> policy = Policy.default()
    >>> policy.alpha, policy.audit_share, policy.release.coverage
    (0.05, 0.02, 0.9)
    """

    values: Mapping[str, Any]

    @classmethod
    def default(cls) -> Policy:
        """The policy that comes along."""
        return cls.load(DEFAULT)

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a file. Raises PolicyError."""
        try:
            return cls.read(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise PolicyError("the file", str(path), f"it cannot be read ({why}); name a file that can") from None

    @classmethod
    def read(cls, text: str) -> Policy:
        """Read YAML. A field left out keeps its default, one that nobody knows is a mistake. Raises PolicyError.

        >>> Policy.read("feeling: {alpha: 2}")
        Traceback (most recent call last):
        models.policy.PolicyError: policy: feeling.alpha is 2; write a number between 0 and 1, both excluded
        """
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = "the file" if mark is None else f"line {mark.line + 1}"
            raise PolicyError(where, getattr(error, "problem", None) or "", "write YAML") from None
        given = _flat(found or {})
        return cls({**_defaults(), **{name: FIELDS[name].read(name, value) for name, value in given.items()}})

    @property
    def release(self) -> ReleasePolicy:
        """What answers are decided by."""
        return ReleasePolicy(self.alpha, self.values["feeling.delta"], self.values["next_touchpoint.coverage"])

    @property
    def alpha(self) -> float:
        return float(self.values["feeling.alpha"])

    @property
    def audit_share(self) -> float:
        return float(self.values["audit.share"])

    @property
    def day_one_texts(self) -> int:
        return int(self.values["day_one.texts"])

    @property
    def day_one_share(self) -> float:
        return float(self.values["day_one.share"])

    @property
    def minutes_a_day(self) -> float:
        return float(self.values["reviewers.minutes_a_day"])

    @property
    def seconds_a_case(self) -> float:
        return float(self.values["reviewers.seconds_a_case"])

    def on_shift(self, kind: Literal["feeling", "purchase"]) -> OnShift:
        """What follows where the inputs of this kind are no longer what they were."""
        found: OnShift = self.values[f"shift.{kind}"]
        return found

    def risk_of(self, kind: str) -> tuple[float, float]:
        """How much may be wrong of what is released of a kind, and with what chance a good promise may be given up."""
        missed = {"feeling": self.alpha, "next_touchpoint": round(1 - self.values["next_touchpoint.coverage"], 6)}
        return missed.get(kind, 0.0), float(self.values[f"{kind}.delta"])

    @property
    def digest(self) -> str:
        """Names this policy: the same numbers, the same digest."""
        return hashlib.sha256(json.dumps(dict(self.values), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As in the file: sections of fields."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.values.items():
            section, field = name.split(".")
            found.setdefault(section, {})[field] = value
        return found


def _flat(found: Any) -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`. Raises PolicyError for what is no known field."""
    if not isinstance(found, Mapping):
        raise PolicyError("the file", found, f"write the sections {', '.join(_sections())}")
    flat = {}
    for section, fields in found.items():
        if section not in _sections():
            raise PolicyError(str(section), fields, f"there is no such section; allowed: {', '.join(_sections())}")
        known = [name.split(".")[1] for name in FIELDS if name.startswith(f"{section}.")]
        if not isinstance(fields, Mapping):
            raise PolicyError(str(section), fields, f"write fields below it; allowed: {', '.join(known)}")
        for field, value in fields.items():
            if field not in known:
                raise PolicyError(f"{section}.{field}", value, f"there is no such field; allowed: {', '.join(known)}")
            flat[f"{section}.{field}"] = value
    return flat


def _sections() -> list[str]:
    return list(dict.fromkeys(name.split(".")[0] for name in FIELDS))


def _defaults() -> dict[str, Any]:
    given = _flat(yaml.safe_load(DEFAULT.read_text("utf-8")))
    return {name: field.read(name, given[name]) for name, field in FIELDS.items()}
