"""A run's settings from one TOML file and from `--set name=value`: every field of TrainConfig, by its dotted name.

The file says what it wants to differ; `--set` wins over it, and the options of the command win over both. Each value is
checked against the type of its field, and an unknown name is told with those that are near.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from models.journey.target import Target
from training.config import ConfigError, TrainConfig, parse_target


def read_settings(file: Path | None, changes: list[str], given: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a run: defaults, then the file, then `changes` ("purchase.trials=40"), then `given`.

    `given` holds values by dotted name, as the options of a command name them. Raises ConfigError.

    >>> read_settings(None, ["seed=3", "gate.worse_nats=0.02"], {"purchase.trials": 5}).gate.worse_nats
    0.02
    """
    told = _read(file) if file else {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change!r} must look like name=value, such as purchase.trials=40")
        _put(told, name.strip(), _value(value.strip()))
    for name, value in given.items():
        _put(told, name, value)
    config: TrainConfig = _made(TrainConfig, told, "")
    return config


def dotted_names() -> list[str]:
    """Every setting there is."""
    return list(_names(TrainConfig, ""))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {file}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config {file}: is no TOML: {error}") from None


def _value(text: str) -> Any:
    """A value as TOML would write it; what TOML cannot read is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(told: dict[str, Any], name: str, value: Any) -> None:
    *heads, last = name.split(".")
    for head in heads:
        inner = told.setdefault(head, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"setting {name!r}: {head} is no group of settings")
        told = inner
    told[last] = value


def _made(record: Any, told: Mapping[str, Any], prefix: str) -> Any:
    """A record of what was told; what was not keeps its default."""
    hints = typing.get_type_hints(record)
    known = [one.name for one in fields(record)]
    values = {}
    for name, value in told.items():
        if name not in known:
            near = difflib.get_close_matches(f"{prefix}{name}", dotted_names(), 1) or known
            raise ConfigError(f"setting {prefix + name!r} does not exist; did you mean {', '.join(near)}?")
        values[name] = _typed(hints[name], value, f"{prefix}{name}")
    try:
        return record(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{prefix.rstrip('.')}: {error}" if prefix else str(error)) from None


def _typed(hint: Any, value: Any, name: str) -> Any:
    """The value as its field wants it. Raises ConfigError."""
    if isinstance(value, Path | Target) or (is_dataclass(value) and not isinstance(value, type)):
        return value
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"setting {name!r} is a group of settings; name one of them, such as {name}.x")
        return _made(hint, value, f"{name}.")
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None or (value == "none" and type(None) in inner):
            return None
        return _typed(next(one for one in inner if one is not type(None)), value, name)
    if origin is typing.Literal:
        return _checked(value in inner, value, name, ", ".join(map(str, inner)))
    if origin is tuple:
        return _tuple(inner[0], value, name)
    if origin is dict:
        return dict(_checked(isinstance(value, Mapping), value, name, "a table"))
    return _plain(hint, value, name)


def _tuple(kind: Any, value: Any, name: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [value] if value else []
    _checked(isinstance(value, list | tuple), value, name, "a list")
    if kind is Target:
        return tuple(one if isinstance(one, Target) else parse_target(str(one)) for one in value)
    return tuple(_typed(kind, one, name) for one in value)


def _plain(hint: Any, value: Any, name: str) -> Any:
    if hint is Path:
        return Path(_checked(isinstance(value, str), value, name, "a path"))
    if hint is bool:
        return _checked(isinstance(value, bool), value, name, "true or false")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return int(_checked(number and value == int(value), value, name, "a whole number"))
    if hint is float:
        return float(_checked(number, value, name, "a number"))
    return _checked(isinstance(value, str), value, name, "text")


def _checked(allowed: bool, value: Any, name: str, wanted: str) -> Any:
    if not allowed:
        raise ConfigError(f"setting {name!r}: {value!r}; allowed: {wanted}")
    return value


def _names(record: Any, prefix: str) -> typing.Iterator[str]:
    hints = typing.get_type_hints(record)
    for one in fields(record):
        if is_dataclass(hints[one.name]):
            yield from _names(hints[one.name], f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}"
