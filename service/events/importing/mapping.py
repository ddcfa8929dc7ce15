"""A mapping: which column of a file means what, as data; one YAML file, read into types and checked key by key.

Reads no row and knows no file's columns: plan.py brings the two together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from models.journey.event import KINDS
from service.errors import Invalid, shown

PRESETS = ("events", "web", "shop", "calls", "tickets", "surveys", "objections")
TYPES = (*KINDS, "feedback")
TEXTS = ("message_id", "type", "event", "user_id", "anonymous_id", "previous_id")
MOMENTS = ("occurred_at", "received_at")
GROUPS = ("properties", "context")
_KEYS = ("source", *MOMENTS, *TEXTS, *GROUPS, "all_properties", "all_context", "others", "delimiter", "encoding")
_CELL_KEYS = ("column", "constant", "values", "otherwise", "missing", "optional", "prefix", "number")
_MOMENT_KEYS = ("column", "optional", "format", "zone")
_FORMATS = ("iso", "seconds", "milliseconds")

Number = Literal["point", "comma"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a value comes from: the first of these columns that the file has, or a constant, and what is made of it.

    `values` replaces what the cell says (in small letters), `otherwise` stands for all that is not listed there, and
    `missing` for an empty cell or a column that the file has not. `number` reads the cell as one.
    """

    columns: tuple[str, ...] = ()
    constant: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    otherwise: str | None = None
    missing: str | None = None
    optional: bool = False
    prefix: str = ""
    number: Number | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A column of times. `format`: iso, seconds or milliseconds since 1970, or a pattern of strptime.

    `zone` is that of times that name none.
    """

    columns: tuple[str, ...]
    optional: bool = False
    format: str = "iso"
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Columns:
    """A whole mapping. Columns that it does not name become properties, or are dropped.

    >>> Columns.parse("{occurred_at: when, user_id: who, event: {constant: Store Visited}}").cells["user_id"].columns
    ('who',)
    """

    moments: Mapping[str, Moment]
    cells: Mapping[str, Cell]
    """By what they give: a key of TEXTS, `all_properties`, `all_context`, `properties.x` or `context.x`."""
    source: str | None = None
    keep_others: bool = True
    delimiter: str = ","
    encoding: str = "utf-8"
    text: str = ""
    """What it was read from: an import is known by this and by its files."""

    @classmethod
    def preset(cls, name: str) -> Columns:
        """A mapping that comes along. Raises Invalid."""
        return cls.parse(preset_text(name), f"preset {name}")

    @classmethod
    def load(cls, path: Path) -> Columns:
        """A mapping of one's own. Raises Invalid."""
        try:
            return cls.parse(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise _wrong(str(path), f"cannot be read: {error}", "Name a YAML file.") from None

    @classmethod
    def parse(cls, text: str, where: str = "the mapping") -> Columns:
        """Read the YAML text. Raises Invalid naming the key, the value and what is allowed."""
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise _wrong(where, f"is no YAML: {error}", _START) from None
        if not isinstance(document, dict):
            raise _wrong(where, "is no mapping of keys", _START)
        _known(where, document, _KEYS)
        if "occurred_at" not in document:
            raise _wrong(where, "does not say occurred_at, when it happened", "Add occurred_at: COLUMN.", "occurred_at")
        others = _one_of(where, "others", document.get("others", "keep"), ("keep", "drop"))
        return cls(
            {name: _moment(f"{where}: {name}", document[name]) for name in MOMENTS if name in document},
            dict(_cells(where, document)),
            _optional_text(where, "source", document.get("source")),
            others == "keep",
            _optional_text(where, "delimiter", document.get("delimiter")) or ",",
            _optional_text(where, "encoding", document.get("encoding")) or "utf-8",
            text,
        )

    def mapped(self, pairs: Mapping[str, str]) -> Columns:
        """With these columns, {what it gives: the file's column}, which then give nothing else. Raises Invalid."""
        moments, cells = dict(self.moments), dict(self.cells)
        for ours, theirs in pairs.items():
            if ours in MOMENTS:
                before = moments.get(ours, Moment(()))
                moments[ours] = replace(before, columns=(theirs,), optional=False)
            elif ours in TEXTS:
                cells[ours] = replace(cells.get(ours, Cell()), columns=(theirs,), optional=False, constant=None)
            elif ours in GROUPS:
                cells[f"all_{ours}"] = Cell((theirs,))
            elif ours.startswith(("properties.", "context.")):
                cells[ours] = Cell((theirs,))
            else:
                allowed = (*MOMENTS, *TEXTS, *GROUPS, "properties.*", "context.*")
                raise Invalid(f"--map cannot map to {shown(ours)!r}{meant(ours, allowed)}.", "Map to one of ours.",
                              field="map", value=ours, allowed=allowed)  # fmt: skip
        taken = set(pairs.values())
        for name, moment in moments.items():
            if name not in pairs:
                moments[name] = replace(moment, columns=tuple(one for one in moment.columns if one not in taken))
        for name, cell in cells.items():
            if name not in pairs and name.removeprefix("all_") not in pairs:
                cells[name] = replace(cell, columns=tuple(one for one in cell.columns if one not in taken))
        text = f"{self.text}\n# --map {sorted(pairs.items())}" if pairs else self.text
        return replace(self, moments=moments, cells=cells, text=text)


_START = "Print one to begin with: python -m service import --show-mapping shop."


def preset_text(name: str) -> str:
    """The YAML of a preset, to be printed and copied. Raises Invalid."""
    if name not in PRESETS:
        raise Invalid(f"There is no preset {shown(name)!r}{meant(name, PRESETS)}.", "Name one that there is, or a "
                      "mapping file of your own.", field="as", value=name, allowed=PRESETS)  # fmt: skip
    return (files("service.events.importing") / "presets" / f"{name}.yaml").read_text("utf-8")


def meant(word: str, known: Iterable[str]) -> str:
    """A guess at what was meant, as the end of a sentence."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _cells(where: str, document: Mapping[str, Any]) -> Iterable[tuple[str, Cell]]:
    for name in (*TEXTS, "all_properties", "all_context"):
        if name in document:
            yield name, _cell(f"{where}: {name}", document[name])
    for group in GROUPS:
        singles = document.get(group, {})
        if not isinstance(singles, dict):
            raise _wrong(f"{where}: {group}", f"{singles!r:.60} is no mapping", "Write NAME: COLUMN, a line for each.")
        for name, raw in singles.items():
            yield f"{group}.{name}", _cell(f"{where}: {group}.{name}", raw)


def _cell(where: str, raw: Any) -> Cell:
    if not isinstance(raw, dict):
        return Cell(_columns(where, raw))
    _known(where, raw, _CELL_KEYS)
    if ("column" in raw) == ("constant" in raw):
        raise _wrong(where, "needs either column or constant", "Write column: NAME, or constant: VALUE.")
    values = raw.get("values", {})
    if not isinstance(values, dict):
        raise _wrong(f"{where}: values", f"{values!r:.60} is no mapping", "Write WHAT THE CELL SAYS: WHAT IT MEANS.")
    missing = _optional_text(where, "missing", raw.get("missing"))
    number = raw.get("number")
    return Cell(
        columns=_columns(where, raw["column"]) if "column" in raw else (),
        constant=_optional_text(where, "constant", raw.get("constant")),
        values={str(said).strip().lower(): str(means) for said, means in values.items()},
        otherwise=_optional_text(where, "otherwise", raw.get("otherwise")),
        missing=missing,
        optional=_flag(where, raw.get("optional", missing is not None)),
        prefix=_optional_text(where, "prefix", raw.get("prefix")) or "",
        number=None if number is None else _number(where, number),
    )


def _number(where: str, raw: Any) -> Number:
    return "comma" if _one_of(where, "number", raw, ("point", "comma")) == "comma" else "point"


def _moment(where: str, raw: Any) -> Moment:
    if not isinstance(raw, dict):
        return Moment(_columns(where, raw))
    _known(where, raw, _MOMENT_KEYS)
    if "column" not in raw:
        raise _wrong(where, "needs column", "Write column: NAME.")
    form, zone = str(raw.get("format", "iso")), str(raw.get("zone", "UTC"))
    if form not in _FORMATS and "%" not in form:
        allowed = (*_FORMATS, "a pattern such as %d.%m.%Y %H:%M")
        raise Invalid(f"{where}: format {shown(form)!r}.", "Say how the time is written.", field="format", value=form,
                      allowed=allowed)  # fmt: skip
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _wrong(f"{where}: zone", f"{shown(zone)!r} is no time zone", "Write one such as Europe/Berlin.") from None
    return Moment(_columns(where, raw["column"]), _flag(where, raw.get("optional", False)), form, zone)


def _columns(where: str, raw: Any) -> tuple[str, ...]:
    names = raw if isinstance(raw, list) else [raw]
    if not names or not all(isinstance(name, str | int) and not isinstance(name, bool) for name in names):
        raise _wrong(where, f"{raw!r:.60} is no column", "Write a column's name, or a list of them: the first that the "
                     "file has is taken.")  # fmt: skip
    return tuple(map(str, names))


def _optional_text(where: str, key: str, raw: Any) -> str | None:
    if raw is None or (isinstance(raw, str | int | float) and not isinstance(raw, bool)):
        return None if raw is None else str(raw)
    raise _wrong(f"{where}: {key}", f"{raw!r:.60} is no text", "Put it in quotes.")


def _flag(where: str, raw: Any) -> bool:
    return _one_of(where, "optional", raw, (True, False)) is True


def _one_of(where: str, key: str, raw: Any, allowed: tuple[Any, ...]) -> Any:
    if raw not in allowed:
        raise Invalid(f"{where}: {key} {raw!r:.60}.", "Choose one.", field=key, allowed=[str(one) for one in allowed])
    return raw


def _known(where: str, raw: Mapping[Any, Any], allowed: tuple[str, ...]) -> None:
    for key in raw:
        if key not in allowed:
            raise Invalid(f"{where}: unknown key {shown(key)!r}{meant(str(key), allowed)}.", "Use a known one.",
                          field=shown(key), allowed=allowed)  # fmt: skip


def _wrong(where: str, what: str, fix: str, field: str | None = None) -> Invalid:
    return Invalid(f"{where} {what}.", fix, field=field)
